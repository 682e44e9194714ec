// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_LU_SCRIPT_H
#define TESTS_UNIT_LU_SCRIPT_H

/*
 * A few words in which the rules of SPC can be written down as tables. A command:
 *
 *   NEXUS VERB KEY SERVICE-ACTION-KEY [tTYPE] [sSCOPE] [aptpl] [alltg] [unreg] [>PORT]...
 *
 * NEXUS is a letter for the initiator: upper case through target port 1, lower case through target
 * port 2. A to D and a to c are present; E is not, but has a TransportID. Z watches: it is never
 * registered and so never gets a unit attention. Keys are hexadecimal. >PORT, in the same letters,
 * is where REGISTER AND MOVE moves to, or one initiator port of SPEC_I_PT each (the case is then
 * without meaning). Commands are separated by "; ".
 *
 * An outcome is "good", "conflict" or the sense code ("5/26/04"). A state is what PERSISTENT
 * RESERVE IN says, "g3 t5 A=1* b=2": PRGENERATION 3, a reservation of type 5, A registered through
 * port 1 with key 1 and holding it, B through port 2 with key 2. Attentions are what TEST UNIT
 * READY then says to each nexus that is present: "B:2A/05 C:2A/04".
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_compat.h"
#include "lu/lu.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

#define SCRIPT_NEXUSES "ABCDabcZ"

static struct lu script_lu;

static inline struct transportid script_initiator(char letter)
{
    return transportid_sas(0x5000000000000000u + (unsigned)toupper((unsigned char)letter));
}

static inline uint16_t script_port(char letter)
{
    return islower((unsigned char)letter) ? 2 : 1;
}

static inline unsigned script_nexus(char letter)
{
    const char *found = strchr(SCRIPT_NEXUSES, letter);

    if (!letter || !found)
        fail_msg("no nexus '%c'", letter);
    return (unsigned)(found - SCRIPT_NEXUSES);
}

/* A logical unit behind two target ports, all nexuses present, nothing registered. */
static inline void script_start(void)
{
    lu_init(&script_lu, 2);
    for (const char *letter = SCRIPT_NEXUSES; *letter; letter++) {
        struct transportid initiator = script_initiator(*letter);

        assert_true(
            lu_nexus_add(&script_lu, script_nexus(*letter), &initiator, script_port(*letter)));
    }
}

static inline struct lu_result script_out(unsigned nexus, uint8_t service_action, uint8_t scope,
                                          uint8_t type, const struct prout *prout,
                                          const struct transportid *ids, size_t count)
{
    struct lu_result result;
    uint8_t list[4096], cdb[CDB_SIZE];
    size_t length = prout_encode(service_action, prout, ids, count, list, sizeof(list));

    assert_true(length <= sizeof(list));
    cdb_encode_prout(cdb, service_action, scope, type, (uint32_t)length);
    lu_execute(&script_lu, nexus, cdb, list, length, NULL, 0, &result);
    assert_uint_equal(result.length, 0);
    return result;
}

static inline uint8_t script_verb(const char *verb)
{
    static const char *const verbs[] = {"register", "reserve", "release", "clear",
                                        "preempt",  "abort",   "ignore",  "move"};

    for (uint8_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verb, verbs[i]) == 0)
            return i;
    }
    fail_msg("no verb '%s'", verb);
    return 0;
}

/* One command. */
static inline struct lu_result script_command(const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    char *words[16] = {0};
    struct transportid ids[16];
    struct prout prout = {0};
    uint8_t service_action, scope = 0, type = 0;
    struct lu_result result;
    unsigned nexus, count = 0, id_count = 0;

    assert_non_null(copy);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < 16);
        words[count++] = word;
    }
    assert_true(count >= 4);
    nexus = script_nexus(words[0][0]);
    service_action = script_verb(words[1]);
    prout.key = strtoull(words[2], NULL, 16);
    prout.sa_key = strtoull(words[3], NULL, 16);
    for (unsigned i = 4; i < count; i++) {
        const char *word = words[i];

        if (word[0] == '>') {
            prout.spec_i_pt = service_action != SPC_PROUT_REGISTER_AND_MOVE;
            prout.relative_target_port = script_port(word[1]);
            ids[id_count++] = script_initiator(word[1]);
        } else if (strcmp(word, "aptpl") == 0) {
            prout.aptpl = true;
        } else if (strcmp(word, "alltg") == 0) {
            prout.all_tg_pt = true;
        } else if (strcmp(word, "unreg") == 0) {
            prout.unreg = true;
        } else if (word[0] == 't') {
            type = (uint8_t)strtoul(word + 1, NULL, 16);
        } else if (word[0] == 's') {
            scope = (uint8_t)strtoul(word + 1, NULL, 16);
        } else {
            fail_msg("no word '%s'", word);
        }
    }
    free(copy);
    result = script_out(nexus, service_action, scope, type, &prout, ids, id_count);
    return result;
}

/* Any number of commands, each but the last with "; " behind it. All of them must end with GOOD. */
static inline void script_run(const char *script)
{
    char *copy = strdup(script);
    char *command = copy;

    assert_non_null(copy);
    while (command && *command) {
        char *end = strstr(command, "; ");

        if (end)
            *end = '\0';
        if (script_command(command).status != SPC_STATUS_GOOD)
            fail_msg("'%s' of '%s' is not GOOD", command, script);
        command = end ? end + 2 : NULL;
    }
    free(copy);
}

static inline const char *script_outcome(struct lu_result result)
{
    static char text[16];

    if (result.status != SPC_STATUS_CHECK_CONDITION) {
        assert_uint_equal(result.sense.key | result.sense.asc | result.sense.ascq, 0);
        if (result.status == SPC_STATUS_GOOD)
            return "good";
        return result.status == SPC_STATUS_RESERVATION_CONFLICT ? "conflict" : "?";
    }
    snprintf(text, sizeof(text), "%X/%02X/%02X", result.sense.key, result.sense.asc,
             result.sense.ascq);
    return text;
}

static inline size_t script_in(char letter, uint8_t service_action, uint8_t *data, uint16_t size)
{
    uint8_t cdb[CDB_SIZE];
    struct lu_result result;

    cdb_encode_prin(cdb, service_action, size);
    lu_execute(&script_lu, script_nexus(letter), cdb, NULL, 0, data, size, &result);
    assert_uint_equal(result.status, SPC_STATUS_GOOD);
    assert_false(result.changed);
    return result.length;
}

/* What the three PERSISTENT RESERVE IN agree on; the test fails if they do not. */
static inline const char *script_state(void)
{
    static char text[8192];
    static uint8_t full[65535], keys[8192], held[64];
    struct prin_list list, key_list;
    struct prin_reservation reservation;
    struct prin_registrant registrant;
    enum prin_result next;
    unsigned holders = 0;
    uint64_t key;
    int at;

    assert_int_equal(prin_list_decode(full,
                                      script_in('Z', SPC_PRIN_READ_FULL_STATUS, full, sizeof(full)),
                                      &list),
                     PRIN_OK);
    assert_int_equal(
        prin_list_decode(keys, script_in('Z', SPC_PRIN_READ_KEYS, keys, sizeof(keys)), &key_list),
        PRIN_OK);
    assert_int_equal(
        prin_reservation_decode(held, script_in('Z', SPC_PRIN_READ_RESERVATION, held, sizeof(held)),
                                &reservation),
        PRIN_OK);
    assert_uint_equal(list.generation, key_list.generation);
    assert_uint_equal(list.generation, reservation.generation);

    at = snprintf(text, sizeof(text), "g%u", list.generation);
    if (reservation.held)
        at += snprintf(text + at, sizeof(text) - at, " t%u", reservation.type);
    while ((next = prin_registrant_next(&list, &registrant)) == PRIN_OK) {
        uint64_t address = load_be64(registrant.transportid.bytes + 4);
        char letter = (char)(address & 0x7f);

        assert_int_equal(prin_key_next(&key_list, &key), PRIN_OK);
        assert_uint_equal(key, registrant.key);
        assert_false(registrant.all_tg_pt);
        if (registrant.holder) {
            holders++;
            assert_true(reservation.held);
            assert_uint_equal(registrant.type, reservation.type);
            assert_uint_equal(registrant.scope, reservation.scope);
            assert_uint_equal(reservation.key,
                              spc_type_is_all_registrants(reservation.type) ? 0 : registrant.key);
        } else {
            assert_uint_equal(registrant.type | registrant.scope, 0);
        }
        at += snprintf(text + at, sizeof(text) - at, " %c=%llx%s",
                       registrant.relative_target_port == 2 ? tolower(letter) : letter,
                       (unsigned long long)registrant.key, registrant.holder ? "*" : "");
        assert_true((size_t)at < sizeof(text));
    }
    assert_int_equal(next, PRIN_END);
    assert_int_equal(prin_key_next(&key_list, &key), PRIN_END);
    if (reservation.held)
        assert_true(holders > 0);
    return text;
}

static inline struct lu_result script_test_unit_ready(char letter)
{
    static const uint8_t cdb[CDB_SIZE] = {SPC_TEST_UNIT_READY};
    struct lu_result result;

    lu_execute(&script_lu, script_nexus(letter), cdb, NULL, 0, NULL, 0, &result);
    return result;
}

/* Takes them all, so the next call says "". */
static inline const char *script_attentions(void)
{
    static char text[1024];
    int at = 0;

    text[0] = '\0';
    for (const char *letter = SCRIPT_NEXUSES; *letter; letter++) {
        struct lu_result result;

        if (!script_lu.nexus[script_nexus(*letter)].present)
            continue;
        while ((result = script_test_unit_ready(*letter)).status != SPC_STATUS_GOOD) {
            assert_uint_equal(result.status, SPC_STATUS_CHECK_CONDITION);
            assert_uint_equal(result.sense.key, SPC_SENSE_UNIT_ATTENTION);
            at += snprintf(text + at, sizeof(text) - at, "%s%c:%02X/%02X", at ? " " : "", *letter,
                           result.sense.asc, result.sense.ascq);
            assert_true((size_t)at < sizeof(text));
        }
    }
    return text;
}

/* A row of a table: after `before`, `command` has this outcome and leaves this behind. */
struct script_row {
    const char *before;
    const char *command;
    const char *outcome;
    const char *state;      /* NULL: as before the command */
    const char *attentions; /* NULL: none */
};

static inline void script_table(const struct script_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[512], *before;
        struct lu_result result;

        snprintf(name, sizeof(name), "%s | %s", rows[i].before, rows[i].command);
        table_row = name;
        script_start();
        script_run(rows[i].before);
        script_attentions();
        before = strdup(script_state());
        assert_non_null(before);

        result = script_command(rows[i].command);
        assert_string_equal(script_outcome(result), rows[i].outcome);
        assert_string_equal(script_state(), rows[i].state ? rows[i].state : before);
        /* Said to have changed exactly if it has. */
        assert_int_equal(result.changed, rows[i].state != NULL);
        assert_string_equal(script_attentions(), rows[i].attentions ? rows[i].attentions : "");
        free(before);
        table_row = NULL;
    }
}

#define SCRIPT_TABLE(rows) script_table(rows, sizeof(rows) / sizeof((rows)[0]))

#endif
