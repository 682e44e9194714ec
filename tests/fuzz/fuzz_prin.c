// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Answers to PERSISTENT RESERVE IN, which a target may make up, as our own code and as the client
 * library decodes them. Input: which service action, how much room there is for the answer that is
 * built from what was understood, the answer.
 */
#include <prhelper.h>

#include "fuzz.h"
#include "scsi/prin.h"

/* The library says the same of the same bytes. */
static int public_result(enum prin_result result)
{
    static const int results[] = {
        [PRIN_OK] = 0,
        [PRIN_END] = PRHELPER_END,
        [PRIN_TRUNCATED] = PRHELPER_TRUNCATED,
        [PRIN_MALFORMED] = PRHELPER_MALFORMED,
    };

    return results[result];
}

/* What a walk came to: it has ended, it ends again, and before the end it told no more than came.
 */
static void check_end(struct prin_list *list, enum prin_result result, size_t size)
{
    struct prin_registrant registrant;
    uint64_t key;

    fuzz_check(result != PRIN_OK);
    fuzz_check(result != PRIN_END || list->needed <= size);
    fuzz_check(result != PRIN_TRUNCATED || list->needed > size);
    fuzz_check(prin_key_next(list, &key) != PRIN_OK);
    fuzz_check(prin_registrant_next(list, &registrant) != PRIN_OK);
}

static void check_keys(const uint8_t *data, size_t size, uint8_t *built, size_t room)
{
    struct prin_list list;
    struct prhelper_list public_list;
    enum prin_result result = prin_list_decode(data, size, &list);
    struct writer writer;
    size_t count = 0;
    uint64_t key, public_key;

    fuzz_check(prhelper_list_decode(data, size, &public_list) == public_result(result));
    fuzz_check((result == PRIN_OK) == (size >= PRIN_HEADER_SIZE));
    if (result != PRIN_OK)
        return;
    writer = prin_list_begin(built, room, list.generation);
    while ((result = prin_key_next(&list, &key)) == PRIN_OK) {
        fuzz_check(key == load_be64(data + PRIN_HEADER_SIZE + 8 * count));
        fuzz_check(prhelper_key_next(&public_list, &public_key) == 0 && public_key == key);
        prin_key_add(&writer, key);
        count++;
    }
    fuzz_check(prhelper_key_next(&public_list, &public_key) == public_result(result));
    fuzz_check(count <= (size - PRIN_HEADER_SIZE) / 8);
    check_end(&list, result, size);

    fuzz_check(prin_list_end(&writer) <= room);
    if (result == PRIN_END) {
        size_t full = PRIN_HEADER_SIZE + 8 * count;

        fuzz_check(list.needed == full);
        fuzz_check(memcmp(built, data, full < room ? full : room) == 0);
    }
}

static void check_registrants(const uint8_t *data, size_t size)
{
    static uint8_t built[FUZZ_INPUT_MAX];
    struct prin_list list, list_again;
    struct prhelper_list public_list;
    struct prhelper_registrant public_registrant;
    struct prin_registrant registrant, again;
    enum prin_result result = prin_list_decode(data, size, &list);
    struct writer writer = prin_list_begin(built, sizeof(built), 1);
    size_t count = 0, length;

    if (result != PRIN_OK)
        return;
    fuzz_check(prhelper_list_decode(data, size, &public_list) == 0);
    while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK) {
        fuzz_check(prhelper_registrant_next(&public_list, &public_registrant) == 0);
        fuzz_check(public_registrant.key == registrant.key &&
                   public_registrant.holder == registrant.holder &&
                   public_registrant.type == registrant.type &&
                   public_registrant.target_port == registrant.relative_target_port);
        fuzz_check(registrant.scope < 16 && registrant.type < 16);
        fuzz_check(registrant.transportid.size <= TRANSPORTID_SIZE_MAX);
        prin_registrant_add(&writer, &registrant);
        count++;
    }
    fuzz_check(prhelper_registrant_next(&public_list, &public_registrant) == public_result(result));
    fuzz_check(count <= (size - PRIN_HEADER_SIZE) / 24);
    check_end(&list, result, size);

    /* The same again from what we would have sent. TransportIDs may have become shorter. */
    length = prin_list_end(&writer);
    fuzz_check(writer_ok(&writer));
    prin_list_decode(data, size, &list);
    fuzz_check(prin_list_decode(built, length, &list_again) == PRIN_OK);
    for (; count > 0; count--) {
        fuzz_check(prin_registrant_next(&list, &registrant) == PRIN_OK &&
                   prin_registrant_next(&list_again, &again) == PRIN_OK);
        fuzz_check(again.key == registrant.key && again.holder == registrant.holder &&
                   again.all_tg_pt == registrant.all_tg_pt && again.scope == registrant.scope &&
                   again.type == registrant.type &&
                   again.relative_target_port == registrant.relative_target_port &&
                   transportid_equal(&again.transportid, &registrant.transportid));
    }
    fuzz_check(prin_registrant_next(&list_again, &again) == PRIN_END);
}

static void check_reservation(const uint8_t *data, size_t size, uint8_t *built, size_t room)
{
    struct prin_reservation reservation, again;
    struct prhelper_reservation public_reservation;
    enum prin_result result = prin_reservation_decode(data, size, &reservation);
    size_t length;

    fuzz_check(prhelper_reservation_decode(data, size, &public_reservation) ==
               public_result(result));
    if (result != PRIN_OK)
        return;
    fuzz_check(public_reservation.held == reservation.held &&
               public_reservation.key == reservation.key &&
               public_reservation.type == reservation.type &&
               public_reservation.generation == reservation.generation);
    fuzz_check(reservation.held || (!reservation.key && !reservation.type && !reservation.scope));
    length = prin_reservation_encode(built, room, &reservation);
    fuzz_check(length <= room);
    result = prin_reservation_decode(built, length, &again);
    fuzz_check(result == (length < (reservation.held ? PRIN_RESERVATION_SIZE : PRIN_HEADER_SIZE)
                              ? PRIN_TRUNCATED
                              : PRIN_OK));
    if (result == PRIN_OK)
        fuzz_check(again.held == reservation.held && again.key == reservation.key &&
                   again.type == reservation.type && again.scope == reservation.scope &&
                   again.generation == reservation.generation);
}

static void check_capabilities(const uint8_t *data, size_t size, uint8_t *built, size_t room)
{
    struct prin_capabilities capabilities, again;
    struct prhelper_capabilities public_capabilities;
    enum prin_result result = prin_capabilities_decode(data, size, &capabilities);
    size_t length;

    fuzz_check(prhelper_capabilities_decode(data, size, &public_capabilities) ==
               public_result(result));
    if (result != PRIN_OK)
        return;
    fuzz_check(public_capabilities.types == capabilities.types &&
               public_capabilities.persistent == capabilities.persistent);
    length = prin_capabilities_encode(built, room, &capabilities);
    fuzz_check(length <= room);
    result = prin_capabilities_decode(built, length, &again);
    fuzz_check(result == (room < PRIN_CAPABILITIES_SIZE ? PRIN_TRUNCATED : PRIN_OK));
    if (result == PRIN_OK)
        fuzz_check(again.replace_lost == capabilities.replace_lost &&
                   again.compatible == capabilities.compatible &&
                   again.spec_i_pt == capabilities.spec_i_pt &&
                   again.all_tg_pt == capabilities.all_tg_pt &&
                   again.persistent == capabilities.persistent &&
                   again.persistent_active == capabilities.persistent_active &&
                   again.allow_commands == capabilities.allow_commands &&
                   again.types_valid == capabilities.types_valid &&
                   again.types == capabilities.types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    uint8_t kind = reader_u8(&input) % 4;
    size_t room = reader_u8(&input);
    uint8_t built[256];
    size_t answer_size;
    uint8_t *answer = fuzz_rest(&input, false, &answer_size);

    memset(built, 0xc3, sizeof(built));
    switch (kind) {
    case SPC_PRIN_READ_KEYS:
        check_keys(answer, answer_size, built, room);
        break;
    case SPC_PRIN_READ_RESERVATION:
        check_reservation(answer, answer_size, built, room);
        break;
    case SPC_PRIN_REPORT_CAPABILITIES:
        check_capabilities(answer, answer_size, built, room);
        break;
    default:
        check_registrants(answer, answer_size);
        break;
    }
    for (size_t i = room; i < sizeof(built); i++)
        fuzz_check(built[i] == 0xc3);
    free(answer);
    return 0;
}
