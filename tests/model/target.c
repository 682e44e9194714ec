// SPDX-License-Identifier: LGPL-2.1-or-later
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "lu/lu.h"
#include "scsi/prout.h"

static struct lu lu;

struct transportid target_initiator(unsigned nexus)
{
    /* The first two are of one initiator port, through two target ports. */
    return transportid_sas(0x5000c50000000000 + (nexus < 2 ? 0 : nexus));
}

uint16_t target_port(unsigned nexus)
{
    return (uint16_t)(1 + nexus % 2);
}

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "model: %s\n", what);
        abort();
    }
}

/* The real logical unit in this state, without unit attentions. Registrations in nexus order. */
static void load(const struct target_quirks *quirks, const struct lun *lun)
{
    static bool begun;

    if (!begun) {
        lu_init(&lu, 2);
        for (unsigned i = 0; i < TARGET_NEXUSES; i++) {
            struct transportid id = target_initiator(i);

            check(lu_nexus_add(&lu, i, &id, target_port(i)), "a nexus cannot be added");
        }
        begun = true;
    }
    lu.registrations = 0;
    lu.reserved = lun->type != 0;
    lu.type = lun->type;
    lu.holder = 0;
    for (unsigned i = 0; i < TARGET_NEXUSES; i++) {
        lu.nexus[i].attentions = 0;
        if (lun->key[i] == 0 || quirks->group[i] != i)
            continue;
        if (lun->holder == (int)i)
            lu.holder = lu.registrations;
        lu.registration[lu.registrations].key = lun->key[i];
        lu.registration[lu.registrations].initiator = lu.nexus[i].initiator;
        lu.registration[lu.registrations++].target_port = lu.nexus[i].target_port;
    }
}

static void store(const struct target_quirks *quirks, struct lun *lun)
{
    memset(lun, 0, sizeof(*lun));
    lun->holder = -1;
    lun->type = lu.reserved ? lu.type : 0;
    for (size_t r = 0; r < lu.registrations; r++) {
        for (unsigned i = 0; i < TARGET_NEXUSES; i++) {
            if (lu.registration[r].target_port != lu.nexus[i].target_port ||
                !transportid_equal(&lu.registration[r].initiator, &lu.nexus[i].initiator))
                continue;
            for (unsigned j = i; j < TARGET_NEXUSES; j++)
                if (quirks->group[j] == i)
                    lun->key[j] = (uint8_t)lu.registration[r].key;
            if (lu.reserved && !spc_type_is_all_registrants(lu.type) && lu.holder == r)
                lun->holder = (int8_t)i;
        }
    }
}

/* What is remembered: state and command, and what came of it. */
struct memo {
    struct lun before, after;
    struct prcommand command;
    uint8_t nexus, used, status;
    uint16_t asc;
    struct target_quirks quirks;
};
#define MEMOS (1u << 18)
static struct memo memos[MEMOS];

static struct memo *find_memo(const struct target_quirks *quirks, const struct lun *lun,
                              unsigned nexus, struct prcommand command)
{
    uint64_t words[3] = {0};
    uint64_t hash;

    memcpy(&words[0], lun, sizeof(*lun));
    memcpy(&words[1], &command, sizeof(command));
    words[1] = words[1] << 8 | nexus;
    memcpy(&words[2], quirks, sizeof(*quirks) < 8 ? sizeof(*quirks) : 8);
    hash = words[0] * 0x9e3779b97f4a7c15 ^ (words[1] + 0x7f4a7c15) * 0xc2b2ae3d27d4eb4f ^
           words[2] * 0x165667b19e3779f9;
    hash ^= hash >> 29;
    hash *= 0xbf58476d1ce4e5b9;
    hash ^= hash >> 32;
    for (unsigned i = 0; i < 8; i++) {
        struct memo *memo = &memos[(hash + i) % MEMOS];

        if (!memo->used || (memo->nexus == nexus && memcmp(&memo->before, lun, sizeof(*lun)) == 0 &&
                            memcmp(&memo->command, &command, sizeof(command)) == 0 &&
                            memcmp(&memo->quirks, quirks, sizeof(*quirks)) == 0))
            return memo;
    }
    memos[hash % MEMOS].used = 0;
    return &memos[hash % MEMOS];
}

static void execute(const struct target_quirks *quirks, struct memo *memo)
{
    struct prout prout = {.key = memo->command.key, .sa_key = memo->command.sa_key};
    struct lu_result result;
    uint8_t cdb[CDB_SIZE], list[PROUT_SIZE];

    load(quirks, &memo->before);
    cdb_encode_prout(cdb, memo->command.action, 0, memo->command.type, PROUT_SIZE);
    prout_encode(memo->command.action, &prout, NULL, 0, list, sizeof(list));
    lu_execute(&lu, quirks->group[memo->nexus], cdb, list, sizeof(list), NULL, 0, &result);
    memo->status = result.status;
    memo->asc = (uint16_t)(result.sense.asc << 8 | result.sense.ascq);
    store(quirks, &memo->after);
}

uint8_t target_execute(const struct target_quirks *quirks, struct lun *lun, unsigned nexus,
                       struct prcommand command, uint16_t *ret_asc)
{
    struct memo *memo = find_memo(quirks, lun, nexus, command);

    if (!memo->used) {
        memset(memo, 0, sizeof(*memo));
        memo->before = *lun;
        memo->command = command;
        memo->nexus = (uint8_t)nexus;
        memo->quirks = *quirks;
        execute(quirks, memo);
        memo->used = 1;
    }
    *lun = memo->after;
    if (ret_asc)
        *ret_asc = memo->asc;
    return memo->status;
}

/* Answers that are remembered, by what they depend on. */
struct answer {
    struct lun lun;
    struct target_quirks quirks;
    uint32_t generation;
    uint8_t action, used;
    int length;
    uint8_t data[512];
};
#define ANSWERS 4096
static struct answer answers[ANSWERS];

static void read_anew(struct answer *answer, unsigned nexus)
{
    struct lu_result result;
    uint8_t cdb[CDB_SIZE];

    load(&answer->quirks, &answer->lun);
    lu.generation = answer->generation;
    cdb_encode_prin(cdb, answer->action, 65535);
    lu_execute(&lu, answer->quirks.group[nexus], cdb, NULL, 0, answer->data, sizeof(answer->data),
               &result);
    check(result.status == SPC_STATUS_GOOD, "PERSISTENT RESERVE IN is not GOOD");
    if (answer->action == SPC_PRIN_READ_FULL_STATUS && answer->quirks.swapped_keys) {
        for (size_t at = 8; at + 24 <= result.length;
             at += 24 + load_be32(answer->data + at + 20)) {
            uint64_t key = load_be64(answer->data + at);

            store_be64(answer->data + at, __builtin_bswap64(key));
        }
    }
    answer->length = (int)result.length;
    answer->used = 1;
}

int target_read(const struct target_quirks *quirks, const struct lun *lun, unsigned nexus,
                uint8_t action, uint32_t generation, uint8_t *data, size_t size)
{
    struct answer *answer;
    uint64_t hash;

    if (action == SPC_PRIN_READ_FULL_STATUS && quirks->no_full_status)
        return -1;
    memcpy(&hash, lun, sizeof(hash));
    hash = (hash ^ (uint64_t)action << 32 ^ generation) * 0x9e3779b97f4a7c15;
    answer = &answers[hash >> 32 & (ANSWERS - 1)];
    if (!answer->used || answer->action != action || answer->generation != generation ||
        memcmp(&answer->lun, lun, sizeof(*lun)) != 0 ||
        memcmp(&answer->quirks, quirks, sizeof(*quirks)) != 0) {
        answer->lun = *lun;
        answer->quirks = *quirks;
        answer->generation = generation;
        answer->action = action;
        read_anew(answer, nexus);
    }
    check((size_t)answer->length <= size, "no room for an answer");
    memcpy(data, answer->data, (size_t)answer->length);
    return answer->length;
}

bool target_may_write(const struct target_quirks *quirks, const struct lun *lun, unsigned nexus)
{
    unsigned own = quirks->group[nexus];
    uint8_t key = lun->key[own];

    /* The table of SPC-4 5.13.1 once more; lu_may_write() agrees with it, see model_check(). */
    switch (lun->type) {
    case 0:
        return true;
    case SPC_TYPE_WRITE_EXCLUSIVE:
    case SPC_TYPE_EXCLUSIVE_ACCESS:
        return lun->holder == (int)own;
    default:
        return key != 0;
    }
}
