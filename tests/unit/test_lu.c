// SPDX-License-Identifier: LGPL-2.1-or-later
/* The frame: nexuses, unit attentions, malformed commands, the bytes of the answers. */
#include "lu_script.h"

#include "exactly.h"

static void test_nexus(void **state)
{
    struct transportid a = transportid_sas(1), b = transportid_sas(2), id;

    (void)state;
    lu_init(&script_lu, 2);
    assert_true(lu_nexus_add(&script_lu, 0, &a, 1));
    assert_false(lu_nexus_add(&script_lu, 0, &b, 1)); /* index taken */
    assert_false(lu_nexus_add(&script_lu, 1, &a, 1)); /* nexus there */
    assert_true(lu_nexus_add(&script_lu, 1, &a, 2));
    assert_false(lu_nexus_add(&script_lu, 2, &a, 2));
    assert_false(lu_nexus_add(&script_lu, 2, &b, 0));
    assert_false(lu_nexus_add(&script_lu, 2, &b, 3));
    assert_false(lu_nexus_add(&script_lu, LU_NEXUS_MAX, &b, 1));
    assert_true(lu_nexus_add(&script_lu, LU_NEXUS_MAX - 1, &b, 1));

    assert_true(transportid_iscsi("iqn.a", &id));
    assert_false(lu_nexus_add(&script_lu, 2, &id, 1));
    assert_true(transportid_iscsi("iqn.a,i,0x1", &id));
    assert_true(lu_nexus_add(&script_lu, 2, &id, 1));
    assert_true(transportid_decode((const uint8_t *)"\x0f", 1, &id));
    assert_false(lu_nexus_add(&script_lu, 3, &id, 1));

    lu_nexus_remove(&script_lu, 0);
    lu_nexus_remove(&script_lu, 0);
    lu_nexus_remove(&script_lu, LU_NEXUS_MAX);
    assert_true(lu_nexus_add(&script_lu, 5, &a, 1));
    lu_deinit(&script_lu);
    for (unsigned i = 0; i < LU_NEXUS_MAX; i++)
        assert_false(script_lu.nexus[i].present);
    lu_deinit(&script_lu);
}

/* SPC-4 5.13.1: registration and reservation are not lost with the login. */
static void test_nexus_loss(void **state)
{
    struct transportid b = script_initiator('B');

    (void)state;
    script_start();
    script_run("A register 0 1; B register 0 2; B reserve 2 0 t5");
    lu_nexus_remove(&script_lu, script_nexus('B'));
    assert_string_equal(script_state(), "g2 t5 A=1 B=2*");

    /* What happens meanwhile is not told later. */
    script_run("A preempt 1 2 t1");
    assert_true(lu_nexus_add(&script_lu, script_nexus('B'), &b, 1));
    assert_string_equal(script_state(), "g3 t1 A=1*");
    assert_string_equal(script_attentions(), "");

    /* Back under another index, it is the same nexus. */
    script_run("A register 1 1; B register 0 2; A preempt 1 1 t8");
    lu_nexus_remove(&script_lu, script_nexus('B'));
    lu_nexus_remove(&script_lu, script_nexus('D'));
    assert_true(lu_nexus_add(&script_lu, script_nexus('D'), &b, 1));
    assert_true(lu_may_write(&script_lu, script_nexus('D')));
    script_run("D register 2 0");
    assert_string_equal(script_state(), "g7 t8 A=1*");
}

/* SAM-5 5.14: reported once, before anything else, in order; the command does nothing. */
static void test_attentions(void **state)
{
    struct lu_result result;
    uint8_t data[8], cdb[CDB_SIZE];

    (void)state;
    script_start();
    script_run("A register 0 1; B register 0 2; A reserve 1 0 t5; A release 1 0 t5");
    script_run("A preempt 1 2 t1; A clear 1 0");

    /* PERSISTENT RESERVE OUT, IN and an unknown command all meet it; none is processed. */
    assert_string_equal(script_outcome(script_command("B register 0 9")), "6/2A/04");
    cdb_encode_prin(cdb, 31, sizeof(data));
    lu_execute(&script_lu, script_nexus('B'), cdb, NULL, 0, data, sizeof(data), &result);
    assert_string_equal(script_outcome(result), "6/2A/05");
    assert_uint_equal(result.length, 0);
    assert_false(result.changed);
    assert_string_equal(script_state(), "g4");
    assert_string_equal(script_outcome(script_test_unit_ready('B')), "good");

    /* The same one is not queued twice; another one is, behind it. */
    lu_attention_raise(&script_lu, script_nexus('C'), SPC_RESET_OCCURRED);
    lu_attention_raise(&script_lu, script_nexus('C'), SPC_RESERVATIONS_RELEASED);
    lu_attention_raise(&script_lu, script_nexus('C'), SPC_RESET_OCCURRED);
    lu_attention_raise(&script_lu, script_nexus('C'), SPC_RESERVATIONS_RELEASED);
    assert_string_equal(script_attentions(), "C:29/00 C:2A/04");

    /* More than fit: the first ones stay. */
    for (unsigned i = 0; i < LU_ATTENTION_MAX + 3; i++)
        lu_attention_raise(&script_lu, script_nexus('C'), SPC_SENSE(6, 0x80, i));
    for (unsigned i = 0; i < LU_ATTENTION_MAX; i++) {
        result = script_test_unit_ready('C');
        assert_uint_equal(result.status, SPC_STATUS_CHECK_CONDITION);
        assert_uint_equal(result.sense.ascq, i);
    }
    assert_string_equal(script_attentions(), "");
}

static void test_attention_is_cleared_with_the_nexus(void **state)
{
    struct transportid c = script_initiator('C');

    (void)state;
    script_start();
    lu_attention_raise(&script_lu, script_nexus('C'), SPC_RESET_OCCURRED);
    lu_nexus_remove(&script_lu, script_nexus('C'));
    assert_true(lu_nexus_add(&script_lu, script_nexus('C'), &c, 1));
    assert_string_equal(script_attentions(), "");
}

static void test_malformed_commands(void **state)
{
    static const struct {
        const char *name;
        uint8_t cdb[CDB_SIZE];
        uint8_t list[48];
        size_t length; /* of the parameter list as it came */
        const char *outcome;
    } rows[] = {
        {"test unit ready", {0x00}, {0}, 0, "good"},
        {"unknown opcode", {0x12, 0, 0, 0, 36}, {0}, 0, "5/20/00"},
        {"cleanup is no SCSI command", {0xff}, {0}, 0, "5/20/00"},
        {"in: service action 4", {0x5e, 4, 0, 0, 0, 0, 0, 0, 8}, {0}, 0, "5/24/00"},
        {"in: service action 31", {0x5e, 31, 0, 0, 0, 0, 0, 0, 8}, {0}, 0, "5/24/00"},
        {"out: service action 8", {0x5f, 8, 0, 0, 0, 0, 0, 0, 24}, {0}, 24, "5/24/00"},
        {"out: service action 31", {0x5f, 31, 0, 0, 0, 0, 0, 0, 24}, {0}, 24, "5/24/00"},
        {"out: no parameter list", {0x5f, 0}, {0}, 0, "5/1A/00"},
        {"out: 23 bytes", {0x5f, 0, 0, 0, 0, 0, 0, 0, 23}, {0}, 23, "5/1A/00"},
        {"out: 25 bytes", {0x5f, 0, 0, 0, 0, 0, 0, 0, 25}, {0}, 25, "5/1A/00"},
        {"out: length says less than came", {0x5f, 0, 0, 0, 0, 0, 0, 0, 24}, {0}, 48, "good"},
        {"out: length says more than came", {0x5f, 0, 0, 0, 0, 0, 0, 0, 24}, {0}, 20, "5/1A/00"},
        {"out: length in bytes 5 and 6", {0x5f, 0, 0, 0, 0, 0, 1, 0, 24}, {0}, 48, "5/1A/00"},
        {"out: the list is judged before the type",
         {0x5f, 1, 2, 0, 0, 0, 0, 0, 23},
         {0},
         23,
         "5/1A/00"},
        {"out: the type is judged before the key",
         {0x5f, 1, 2, 0, 0, 0, 0, 0, 24},
         {1},
         24,
         "5/24/00"},
        {"out: the key is judged before the scope",
         {0x5f, 1, 0x11, 0, 0, 0, 0, 0, 24},
         {1},
         24,
         "conflict"},
        {"out: the key is judged before the TransportIDs",
         {0x5f, 0, 0, 0, 0, 0, 0, 0, 28},
         {[7] = 1, [20] = 0x08, [27] = 24},
         28,
         "conflict"},
        {"out: the list is judged before the key",
         {0x5f, 3, 0, 0, 0, 0, 0, 0, 23},
         {1},
         23,
         "5/1A/00"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *list = exactly(rows[i].list, rows[i].length);
        uint8_t data[8];
        struct lu_result result;

        table_row = rows[i].name;
        script_start();
        lu_execute(&script_lu, script_nexus('A'), rows[i].cdb, list, rows[i].length, data,
                   sizeof(data), &result);
        assert_string_equal(script_outcome(result), rows[i].outcome);
        assert_uint_equal(result.length, 0);
        assert_false(result.changed);
        free(list);
    }
    table_row = NULL;
}

/* SPC-4 6.15.4: what is supported, and APTPL as it stands. */
/* SAM-5 5.3: RESERVATION CONFLICT has precedence over what is wrong with the parameter list. */
static void test_conflict_before_list(void **state)
{
    static const uint8_t forbidden[] = {
        SPC_PROUT_RESERVE, SPC_PROUT_RELEASE,           SPC_PROUT_CLEAR,
        SPC_PROUT_PREEMPT, SPC_PROUT_PREEMPT_AND_ABORT, SPC_PROUT_REGISTER_AND_MOVE};
    uint8_t cdb[CDB_SIZE], list[24] = {0};
    struct lu_result result;

    (void)state;
    for (size_t i = 0; i < sizeof(forbidden); i++) {
        cdb_encode_prout(cdb, forbidden[i], 0, 1, 5);
        script_start();
        script_run("A register 0 1");
        lu_execute(&script_lu, script_nexus('B'), cdb, list, 5, NULL, 0, &result);
        assert_string_equal(script_outcome(result), "5/1A/00");
        script_run("A reserve 1 0 t5");
        lu_execute(&script_lu, script_nexus('B'), cdb, list, 5, NULL, 0, &result);
        assert_string_equal(script_outcome(result), "conflict");
        /* The holder may: so its list counts. */
        lu_execute(&script_lu, script_nexus('A'), cdb, list, 5, NULL, 0, &result);
        assert_string_equal(script_outcome(result), "5/1A/00");
    }
    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 1, 5);
    lu_execute(&script_lu, script_nexus('B'), cdb, list, 5, NULL, 0, &result);
    assert_string_equal(script_outcome(result), "5/1A/00");
    /* What does not exist is not allowed either. */
    cdb_encode_prout(cdb, 8, 0, 1, sizeof(list));
    lu_execute(&script_lu, script_nexus('B'), cdb, list, sizeof(list), NULL, 0, &result);
    assert_string_equal(script_outcome(result), "conflict");
    lu_execute(&script_lu, script_nexus('A'), cdb, list, sizeof(list), NULL, 0, &result);
    assert_string_equal(script_outcome(result), "5/24/00");
}

static void test_report_capabilities(void **state)
{
    static const uint8_t expected[8] = {0x00, 0x08, 0x0d, 0x90, 0xea, 0x01, 0x00, 0x00};
    uint8_t data[8];

    (void)state;
    script_start();
    assert_uint_equal(script_in('A', SPC_PRIN_REPORT_CAPABILITIES, data, sizeof(data)), 8);
    assert_memory_equal(data, expected, 8);
    script_run("A register 0 1 aptpl");
    script_in('A', SPC_PRIN_REPORT_CAPABILITIES, data, sizeof(data));
    assert_uint_equal(data[3], 0x91);
}

/* The answers byte for byte, at every allocation length and every buffer size. */
static void test_answers(void **state)
{
    static const uint8_t keys[] = {0, 0, 0,   2,   0, 0, 0, 16, 0, 0, 0, 0,
                                   0, 0, 0xa, 0xb, 0, 0, 0, 0,  0, 0, 0, 2};
    static const uint8_t reservation[] = {0, 0, 0,   2,   0, 0, 0, 16, 0, 0, 0, 0,
                                          0, 0, 0xa, 0xb, 0, 0, 0, 0,  0, 6, 0, 0};
    static const uint8_t capabilities[] = {0, 8, 0x0d, 0x90, 0xea, 0x01, 0, 0};
    static const uint8_t full_status[] = {
        0, 0, 0, 2, 0,    0,  0,   96,                                  /* header */
        0, 0, 0, 0, 0,    0,  0xa, 0xb, 0, 0, 0, 0,   1, 6, 0, 0, 0, 0, /* key, holder, type */
        0, 1, 0, 0, 0,    24,                                           /* port, length */
        6, 0, 0, 0, 0x50, 0,  0,   0,   0, 0, 0, 'A', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,    0,  0,   2,   0, 0, 0, 0,   0, 0, 0, 0, 0, 0, /* key */
        0, 2, 0, 0, 0,    24,                                           /* port, length */
        6, 0, 0, 0, 0x50, 0,  0,   0,   0, 0, 0, 'B', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    };
    static const struct {
        uint8_t service_action;
        const uint8_t *bytes;
        size_t size;
    } answers[] = {
        {SPC_PRIN_READ_KEYS, keys, sizeof(keys)},
        {SPC_PRIN_READ_RESERVATION, reservation, sizeof(reservation)},
        {SPC_PRIN_REPORT_CAPABILITIES, capabilities, sizeof(capabilities)},
        {SPC_PRIN_READ_FULL_STATUS, full_status, sizeof(full_status)},
    };

    (void)state;
    script_start();
    script_run("A register 0 a0b; b register 0 2; A reserve a0b 0 t6");
    for (size_t i = 0; i < 4; i++) {
        uint8_t data[128], cdb[CDB_SIZE];

        table_row = spc_prin_name(answers[i].service_action);
        for (uint16_t size = 0; size < sizeof(data); size++) {
            size_t stored = size < answers[i].size ? size : answers[i].size;
            struct lu_result result;

            memset(data, 0xa5, sizeof(data));
            assert_uint_equal(script_in('C', answers[i].service_action, data, size), stored);
            assert_memory_equal(data, answers[i].bytes, stored);
            assert_uint_equal(data[stored], 0xa5);

            memset(data, 0xa5, sizeof(data));
            cdb_encode_prin(cdb, answers[i].service_action, UINT16_MAX);
            lu_execute(&script_lu, script_nexus('C'), cdb, NULL, 0, data, size, &result);
            assert_uint_equal(result.length, stored);
            assert_memory_equal(data, answers[i].bytes, stored);
            assert_uint_equal(data[stored], 0xa5);
        }
    }
    table_row = NULL;
}

static void test_generation_wraps(void **state)
{
    (void)state;
    script_start();
    script_lu.generation = UINT32_MAX;
    script_run("A register 0 1");
    assert_string_equal(script_state(), "g0 A=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nexus),
        cmocka_unit_test(test_nexus_loss),
        cmocka_unit_test(test_attentions),
        cmocka_unit_test(test_attention_is_cleared_with_the_nexus),
        table_test(test_malformed_commands),
        cmocka_unit_test(test_conflict_before_list),
        cmocka_unit_test(test_report_capabilities),
        table_test(test_answers),
        cmocka_unit_test(test_generation_wraps),
    };

    return cmocka_run_group_tests_name("lu", tests, NULL, NULL);
}
