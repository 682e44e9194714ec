// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is known of a reservation after a command, as a table. */
#include "cmocka_compat.h"

#include <string.h>

#include "ledger/reservation.h"
#include "proto/wire.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"
#include "scsi/transportid.h"

#define NOW 77

/* Before a command, and after it. */
#define UNKNOWN                                                                                    \
    {                                                                                              \
        .at_us = 0                                                                                 \
    }
#define NONE(at)                                                                                   \
    {                                                                                              \
        .at_us = (at)                                                                              \
    }
#define HELD(at, of, by)                                                                           \
    {                                                                                              \
        .at_us = (at), .held = true, .type = (of), .key = (by)                                     \
    }

static void assert_known(const struct ledger_reservation *got,
                         const struct ledger_reservation *wanted)
{
    assert_int_equal(got->at_us, wanted->at_us);
    assert_int_equal(got->held, wanted->held);
    assert_int_equal(got->type, wanted->type);
    assert_int_equal(got->key, wanted->key);
}

static void do_out(struct ledger_reservation *reservation, uint8_t action, uint8_t type,
                   uint64_t key, uint64_t sa_key)
{
    const struct prout list = {.key = key, .sa_key = sa_key};
    struct transportid id;
    uint8_t cdb[CDB_FIELD_SIZE] = {0}, data[256] = {0};
    struct request request = {.opcode = SPC_PERSISTENT_RESERVE_OUT, .cdb = cdb, .data = data};
    const struct reply reply = {.status = SPC_STATUS_GOOD};

    assert_true(transportid_parse("sas:5000000000000001", &id));
    request.length = (uint32_t)prout_encode(
        action, &list, &id, action == SPC_PROUT_REGISTER_AND_MOVE, data, sizeof(data));
    cdb_encode_prout(cdb, action, 0, type, request.length);
    ledger_reservation_update(reservation, &request, &reply, NOW);
}

static void test_out(void **state)
{
    static const struct {
        const char *what;
        struct ledger_reservation before;
        uint8_t action, type;
        uint64_t key, sa_key;
        struct ledger_reservation after;
    } rows[] = {
        {"reserve", UNKNOWN, SPC_PROUT_RESERVE, 5, 0xa, 0, HELD(NOW, 5, 0xa)},
        {"reserve for all", UNKNOWN, SPC_PROUT_RESERVE, 7, 0xa, 0, HELD(NOW, 7, 0)},
        {"release by the holder", HELD(1, 5, 0xa), SPC_PROUT_RELEASE, 5, 0xa, 0, NONE(NOW)},
        {"release by another one", HELD(1, 5, 0xa), SPC_PROUT_RELEASE, 5, 0xb, 0, HELD(1, 5, 0xa)},
        {"release by one of all", HELD(1, 7, 0), SPC_PROUT_RELEASE, 7, 0xb, 0, NONE(NOW)},
        {"release of what is not known", UNKNOWN, SPC_PROUT_RELEASE, 5, 0xa, 0, UNKNOWN},
        {"clear", HELD(1, 5, 0xa), SPC_PROUT_CLEAR, 0, 0xb, 0, NONE(NOW)},
        {"clear of what is not known", UNKNOWN, SPC_PROUT_CLEAR, 0, 0xb, 0, NONE(NOW)},
        {"preempt the holder", HELD(1, 5, 0xa), SPC_PROUT_PREEMPT, 6, 0xb, 0xa, HELD(NOW, 6, 0xb)},
        {"and abort", HELD(1, 5, 0xa), SPC_PROUT_PREEMPT_AND_ABORT, 6, 0xb, 0xa, HELD(NOW, 6, 0xb)},
        {"preempt another one", HELD(1, 5, 0xa), SPC_PROUT_PREEMPT, 6, 0xa, 0xb, HELD(1, 5, 0xa)},
        {"preempt all", HELD(1, 7, 0), SPC_PROUT_PREEMPT, 5, 0xb, 0, HELD(NOW, 5, 0xb)},
        {"preempt one of all", HELD(1, 7, 0), SPC_PROUT_PREEMPT, 5, 0xb, 0xc, HELD(1, 7, 0)},
        {"preempt where nothing is known", UNKNOWN, SPC_PROUT_PREEMPT, 5, 0xb, 0xa, UNKNOWN},
        {"preempt without a reservation", NONE(1), SPC_PROUT_PREEMPT, 5, 0xb, 0xa, NONE(1)},
        {"holder unregisters", HELD(1, 5, 0xa), SPC_PROUT_REGISTER, 0, 0xa, 0, NONE(NOW)},
        {"holder changes its key", HELD(1, 5, 0xa), SPC_PROUT_REGISTER, 0, 0xa, 0xc,
         HELD(NOW, 5, 0xc)},
        {"another one unregisters", HELD(1, 5, 0xa), SPC_PROUT_REGISTER, 0, 0xb, 0,
         HELD(1, 5, 0xa)},
        {"one of all unregisters", HELD(1, 7, 0), SPC_PROUT_REGISTER, 0, 0xb, 0, UNKNOWN},
        {"one more of all registers", HELD(1, 7, 0), SPC_PROUT_REGISTER, 0, 0, 0xb, HELD(1, 7, 0)},
        {"any registrant", HELD(1, 5, 0xa), SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, 0, 0xb,
         UNKNOWN},
        {"there is none", NONE(1), SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, 0, 0xb, NONE(1)},
        {"move", HELD(1, 5, 0xa), SPC_PROUT_REGISTER_AND_MOVE, 0, 0xa, 0xd, HELD(NOW, 5, 0xd)},
        {"replace a lost one", HELD(1, 5, 0xa), SPC_PROUT_REPLACE_LOST_RESERVATION, 5, 0, 0xd,
         UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ledger_reservation reservation = rows[i].before;

        print_message("%s\n", rows[i].what);
        do_out(&reservation, rows[i].action, rows[i].type, rows[i].key, rows[i].sa_key);
        assert_known(&reservation, &rows[i].after);
    }
}

static void do_in(struct ledger_reservation *reservation, uint8_t action, const uint8_t *data,
                  uint32_t size)
{
    uint8_t cdb[CDB_FIELD_SIZE] = {0}, copy[PRIN_RESERVATION_SIZE];
    struct request request = {.opcode = SPC_PERSISTENT_RESERVE_IN, .cdb = cdb, .data = copy};
    const struct reply reply = {.status = SPC_STATUS_GOOD, .size = size};

    memcpy(copy, data, size);
    cdb_encode_prin(cdb, action, sizeof(copy));
    ledger_reservation_update(reservation, &request, &reply, NOW);
}

static void test_told(void **state)
{
    /* SPC-4 6.15.3.2: length 16; the key; scope LU_SCOPE and type 5. */
    static const uint8_t held[PRIN_RESERVATION_SIZE] = {0, 0, 0, 1, 0, 0, 0,   16,      0,
                                                        0, 0, 0, 0, 0, 0, 0xe, [21] = 5};
    static const uint8_t none[PRIN_RESERVATION_SIZE] = {0, 0, 0, 1};
    static const struct ledger_reservation by_e = HELD(NOW, 5, 0xe), by_a = HELD(1, 5, 0xa),
                                           unreserved = NONE(NOW);
    struct ledger_reservation reservation = by_a;

    (void)state;
    do_in(&reservation, SPC_PRIN_READ_RESERVATION, held, 24);
    assert_known(&reservation, &by_e);
    do_in(&reservation, SPC_PRIN_READ_RESERVATION, none, 8);
    assert_known(&reservation, &unreserved);
    reservation = by_a;
    do_in(&reservation, SPC_PRIN_READ_RESERVATION, held, 12); /* cut: it says nothing */
    assert_known(&reservation, &by_a);
    do_in(&reservation, SPC_PRIN_READ_KEYS, held, 24); /* another service action */
    assert_known(&reservation, &by_a);
}

static void test_doubt(void **state)
{
    static const struct ledger_reservation by_a = HELD(1, 5, 0xa), unknown = UNKNOWN;
    struct ledger_reservation reservation = by_a;
    struct request request = {.opcode = SPC_PERSISTENT_RESERVE_IN};
    const struct reply reply = {.status = SPC_STATUS_GOOD};

    (void)state;
    ledger_reservation_doubt(&reservation, &request);
    assert_known(&reservation, &by_a);
    request.opcode = SPC_PERSISTENT_RESERVE_OUT;
    ledger_reservation_doubt(&reservation, &request);
    assert_known(&reservation, &unknown);
    reservation = by_a;
    request.opcode = WIRE_CLEANUP;
    ledger_reservation_update(&reservation, &request, &reply, NOW);
    assert_known(&reservation, &unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_doubt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
