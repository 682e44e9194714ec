// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lu_script.h"

/* SPC-4 5.13.7, Registering: the table of REGISTER, row by row. */
static void test_register(void **state)
{
    static const struct script_row rows[] = {
        /* Not registered. */
        {"", "A register 0 1", "good", "g1 A=1", NULL},
        {"", "A register 0 0", "good", NULL, NULL},
        {"", "A register 1 1", "conflict", NULL, NULL},
        {"", "A register 1 0", "conflict", NULL, NULL},
        {"", "A register 0 ffffffffffffffff", "good", "g1 A=ffffffffffffffff", NULL},
        {"B register 0 2", "A register 2 1", "conflict", NULL, NULL},
        {"B register 0 2", "A register 0 2", "good", "g2 B=2 A=2", NULL},
        /* The other target port is another nexus. */
        {"A register 0 1", "a register 0 3", "good", "g2 A=1 a=3", NULL},
        {"A register 0 1", "a register 1 3", "conflict", NULL, NULL},
        /* Registered: change. */
        {"A register 0 1", "A register 1 2", "good", "g2 A=2", NULL},
        {"A register 0 1", "A register 1 1", "good", "g2 A=1", NULL},
        {"A register 0 1", "A register 0 2", "conflict", NULL, NULL},
        {"A register 0 1", "A register 2 2", "conflict", NULL, NULL},
        {"A register 0 1; B register 0 1", "A register 1 2", "good", "g3 A=2 B=1", NULL},
        /* Registered: unregister. */
        {"A register 0 1", "A register 1 0", "good", "g2", NULL},
        {"A register 0 1", "A register 0 0", "conflict", NULL, NULL},
        {"A register 0 1", "A register 2 0", "conflict", NULL, NULL},
        {"A register 0 1; B register 0 2; C register 0 3", "B register 2 0", "good", "g4 A=1 C=3",
         NULL},
        /* Scope and type are ignored. */
        {"", "A register 0 1 t2 sf", "good", "g1 A=1", NULL},
        /* A reservation of another nexus is in no one's way. */
        {"A register 0 1; A reserve 1 0 t3", "B register 0 2", "good", "g2 t3 A=1* B=2", NULL},
        {"A register 0 1; A reserve 1 0 t8", "B register 0 2", "good", "g2 t8 A=1* B=2*", NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

static void test_register_and_ignore_existing_key(void **state)
{
    static const struct script_row rows[] = {
        {"", "A ignore 0 1", "good", "g1 A=1", NULL},
        {"", "A ignore 7 1", "good", "g1 A=1", NULL},
        {"", "A ignore 7 0", "good", NULL, NULL},
        {"A register 0 1", "A ignore 0 2", "good", "g2 A=2", NULL},
        {"A register 0 1", "A ignore 7 2", "good", "g2 A=2", NULL},
        {"A register 0 1", "A ignore 7 0", "good", "g2", NULL},
        {"A register 0 1", "A ignore 0 2 >B", "5/26/00", NULL, NULL},
        {"", "A ignore 0 1 t2 sf", "good", "g1 A=1", NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 5.13.11.2.3, Unregistering, and 5.13.10: what becomes of the reservation. */
static void test_register_by_holder(void **state)
{
    static const struct script_row rows[] = {
        /* A new key does not touch it. */
        {"A register 0 1; B register 0 2; A reserve 1 0 t1", "A register 1 9", "good",
         "g3 t1 A=9* B=2", NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t7", "A register 1 9", "good",
         "g3 t7 A=9* B=2*", NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t6", "A ignore 0 9", "good",
         "g3 t6 A=9* B=2", NULL},
        /* One holder leaves: released, and the registrants only types tell. */
        {"A register 0 1; B register 0 2; C register 0 3; A reserve 1 0 t1", "A register 1 0",
         "good", "g4 B=2 C=3", NULL},
        {"A register 0 1; B register 0 2; C register 0 3; A reserve 1 0 t3", "A register 1 0",
         "good", "g4 B=2 C=3", NULL},
        {"A register 0 1; B register 0 2; C register 0 3; A reserve 1 0 t5", "A register 1 0",
         "good", "g4 B=2 C=3", "B:2A/04 C:2A/04"},
        {"A register 0 1; B register 0 2; C register 0 3; A reserve 1 0 t6", "A ignore 0 0", "good",
         "g4 B=2 C=3", "B:2A/04 C:2A/04"},
        /* Another nexus leaves. */
        {"A register 0 1; B register 0 2; B reserve 2 0 t5", "A register 1 0", "good", "g3 t5 B=2*",
         NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t3", "B register 2 0", "good", "g3 t3 A=1*",
         NULL},
        /* All registrants: it stays until the last one leaves, and none is told. */
        {"A register 0 1; B register 0 2; A reserve 1 0 t7", "A register 1 0", "good", "g3 t7 B=2*",
         NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t8", "A register 1 0", "good", "g3 t8 B=2*",
         NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t8; A register 1 0", "B register 2 0",
         "good", "g4", NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 6.16.3, SPEC_I_PT: all of them or none. */
static void test_spec_i_pt(void **state)
{
    static const struct script_row rows[] = {
        {"", "A register 0 1 >B", "good", "g1 A=1 B=1", NULL},
        {"", "a register 0 1 >B", "good", "g1 a=1 b=1", NULL},
        {"", "A register 0 1 >B >E >C", "good", "g1 A=1 B=1 E=1 C=1", NULL},
        {"", "A register 0 1 >B >B >A", "good", "g1 A=1 B=1", NULL},
        {"", "A register 0 0 >B", "good", NULL, NULL},
        {"", "A register 1 1 >B", "conflict", NULL, NULL},
        {"B register 0 2", "A register 0 1 >B", "5/26/00", NULL, NULL},
        {"B register 0 2", "A register 0 1 >C >B", "5/26/00", NULL, NULL},
        {"b register 0 2", "A register 0 1 >B", "good", "g2 b=2 A=1 B=1", NULL},
        {"b register 0 2", "A register 0 1 alltg >B", "5/26/00", NULL, NULL},
        {"A register 0 1", "A register 1 2 >B", "5/26/00", NULL, NULL},
        {"A register 0 1", "A register 1 0 >B", "5/26/00", NULL, NULL},
        {"A register 0 1", "A register 0 2 >B", "conflict", NULL, NULL},
        {"", "A register 0 1 alltg >B", "good", "g1 A=1 a=1 B=1 b=1", NULL},
        {"A register 0 1", "A reserve 1 0 t1 >B", "5/26/00", NULL, NULL},
        {"A register 0 1", "A clear 1 0 >B", "5/26/00", NULL, NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 6.16.3, ALL_TG_PT: as if received through every target port. */
static void test_all_tg_pt(void **state)
{
    static const struct script_row rows[] = {
        {"", "A register 0 1 alltg", "good", "g1 A=1 a=1", NULL},
        {"", "a register 0 1 alltg", "good", "g1 A=1 a=1", NULL},
        {"", "A register 0 0 alltg", "good", NULL, NULL},
        {"A register 0 1 alltg", "A register 1 2 alltg", "good", "g2 A=2 a=2", NULL},
        {"A register 0 1 alltg", "A register 1 2", "good", "g2 A=2 a=1", NULL},
        {"A register 0 1 alltg", "a register 1 0 alltg", "good", "g2", NULL},
        {"A register 0 1 alltg", "a register 1 0", "good", "g2 A=1", NULL},
        /* One of the requests would conflict: so does the whole. */
        {"a register 0 2", "A register 0 1 alltg", "conflict", NULL, NULL},
        {"A register 0 1", "A register 1 2 alltg", "conflict", NULL, NULL},
        {"A register 0 1; a register 0 2", "A register 1 3 alltg", "conflict", NULL, NULL},
        /* Which ignoring the existing key cures. */
        {"a register 0 2", "A ignore 0 1 alltg", "good", "g2 a=1 A=1", NULL},
        {"a register 0 2", "A ignore 0 0 alltg", "good", "g2", NULL},
        {"", "A ignore 0 0 alltg", "good", NULL, NULL},
        /* Unregistering through all ports takes the reservation of any of them along. */
        {"A register 0 1 alltg; B register 0 2; a reserve 1 0 t5", "A register 1 0 alltg", "good",
         "g3 B=2", "B:2A/04"},
        {"A register 0 1 alltg; A reserve 1 0 t8", "A register 1 0 alltg", "good", "g2", NULL},
        /* Ignored by everything else. */
        {"A register 0 1", "A reserve 1 0 t1 alltg", "good", "g1 t1 A=1*", NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 5.13.8, Registering and moving the reservation. */
static void test_register_and_move(void **state)
{
    static const struct script_row rows[] = {
        {"A register 0 1; A reserve 1 0 t1", "A move 1 2 >B", "good", "g2 t1 A=1 B=2*", NULL},
        {"A register 0 1; A reserve 1 0 t5", "A move 1 2 >b", "good", "g2 t5 A=1 b=2*", NULL},
        {"A register 0 1; A reserve 1 0 t6", "A move 1 2 >E", "good", "g2 t6 A=1 E=2*", NULL},
        {"A register 0 1; A reserve 1 0 t1", "A move 1 2 unreg >B", "good", "g2 t1 B=2*", NULL},
        /* Scope and type are ignored; the reservation keeps its own. */
        {"A register 0 1; A reserve 1 0 t1", "A move 1 2 t2 s5 >B", "good", "g2 t1 A=1 B=2*", NULL},
        /* Registered before, with this or another key. */
        {"B register 0 2; A register 0 1; A reserve 1 0 t5", "A move 1 2 >B", "good",
         "g3 t5 B=2* A=1", NULL},
        {"B register 0 2; A register 0 1; A reserve 1 0 t5", "A move 1 9 unreg >B", "good",
         "g3 t5 B=9*", NULL},
        {"A register 0 1; B register 0 2; C register 0 3; A reserve 1 0 t5", "A move 1 9 unreg >C",
         "good", "g4 t5 B=2 C=9*", NULL},
        /* Who may not. */
        {"", "A move 0 2 >B", "conflict", NULL, NULL},
        {"B register 0 2; B reserve 2 0 t1", "A move 2 3 >C", "conflict", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t1", "A move 2 2 >B", "conflict", NULL, NULL},
        {"A register 0 1; B register 0 2; B reserve 2 0 t1", "A move 1 3 >C", "conflict", NULL,
         NULL},
        {"A register 0 1; A reserve 1 0 t7", "A move 1 2 >B", "conflict", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t8", "A move 1 2 >B", "conflict", NULL, NULL},
        /* ... before anything that is wrong with the list. */
        {"A register 0 1; A reserve 1 0 t8", "A move 1 0", "conflict", NULL, NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t1", "B move 2 0", "conflict", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t1", "B move 0 0", "conflict", NULL, NULL},
        /* What is not allowed. */
        {"A register 0 1", "A move 1 2 >B", "5/24/00", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t1", "A move 1 0 >B", "5/26/00", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t1", "A move 1 2 >A", "5/26/00", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t3", "A move 1 1 >a", "5/26/00", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t1", "A move 1 2", "5/26/00", NULL, NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

static void test_move_to_bad_port(void **state)
{
    static const struct {
        const char *id;
        uint16_t port;
        const char *outcome;
    } rows[] = {
        {"sas:5000000000000042", 0, "5/26/00"},
        {"sas:5000000000000042", 3, "5/26/00"},
        {"sas:5000000000000042", 65535, "5/26/00"},
        {"fc:5000000000000042", 1, "5/26/00"},
        {"iscsi:iqn.b,i,0x1", 1, "5/26/00"},
        {"iscsi:iqn.b", 1, "5/26/00"},
        {"raw:0f0000000000000000000000000000000000000000000000", 1, "5/26/00"},
        {"sas:5000000000000042", 2, "good"},
    };

    (void)state;
    script_start();
    script_run("A register 0 1; A reserve 1 0 t1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prout prout = {.key = 1, .sa_key = 2, .relative_target_port = rows[i].port};
        struct transportid id;

        table_row = rows[i].id;
        assert_true(transportid_parse(rows[i].id, &id));
        assert_string_equal(
            script_outcome(
                script_out(script_nexus('A'), SPC_PROUT_REGISTER_AND_MOVE, 0, 0, &prout, &id, 1)),
            rows[i].outcome);
        assert_string_equal(script_state(),
                            strcmp(rows[i].outcome, "good") == 0 ? "g2 t1 A=1 b=2*" : "g1 t1 A=1*");
    }
    table_row = NULL;
}

static void test_spec_i_pt_bad_transportids(void **state)
{
    static const char *const texts[] = {
        "fc:5000000000000042",
        "iscsi:iqn.b,i,0x1",
        "iscsi:iqn.b",
        "raw:0f0000000000000000000000000000000000000000000000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct prout prout = {.sa_key = 1, .spec_i_pt = true};
        struct transportid ids[2] = {script_initiator('B')};

        table_row = texts[i];
        script_start();
        assert_true(transportid_parse(texts[i], &ids[1]));
        /* The good one before the bad one must not stay, nor the sender's. */
        assert_string_equal(
            script_outcome(script_out(script_nexus('A'), SPC_PROUT_REGISTER, 0, 0, &prout, ids, 2)),
            "5/26/00");
        assert_string_equal(script_state(), "g0");
    }
    table_row = NULL;
}

/* SPC-4 7.6.4.6: an iSCSI name without ISID stands for all ports of that name that are known. */
static void test_spec_i_pt_iscsi_device(void **state)
{
    static const char *const names[] = {"iqn.a,i,0x1", "iqn.b,i,0x1", "iqn.b,i,0x2",
                                        "iqn.bb,i,0x1"};
    struct prout prout = {.sa_key = 5, .spec_i_pt = true};
    struct transportid id;

    (void)state;
    lu_init(&script_lu, 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(transportid_iscsi(names[i], &id));
        assert_true(lu_nexus_add(&script_lu, i, &id, 1));
    }
    assert_true(transportid_iscsi("iqn.c", &id));
    assert_string_equal(script_outcome(script_out(0, SPC_PROUT_REGISTER, 0, 0, &prout, &id, 1)),
                        "5/26/00");
    assert_uint_equal(script_lu.registrations, 0);

    assert_true(transportid_iscsi("iqn.b", &id));
    assert_string_equal(script_outcome(script_out(0, SPC_PROUT_REGISTER, 0, 0, &prout, &id, 1)),
                        "good");
    assert_uint_equal(script_lu.registrations, 3);
    for (unsigned i = 0; i < 3; i++) {
        char text[TRANSPORTID_TEXT_SIZE];

        transportid_format(text, sizeof(text), &script_lu.registration[i].initiator);
        assert_string_equal(text + strlen("iscsi:"), names[i]);
        assert_uint_equal(script_lu.registration[i].key, 5);
    }
}

/* Registers initiators of its own, through port 1, until `count` registrations exist. */
static void fill(size_t count)
{
    while (script_lu.registrations < count) {
        struct prout prout = {.sa_key = 0xf};
        struct transportid id = transportid_sas(0x1000 + script_lu.registrations);
        unsigned nexus = 100;

        assert_true(lu_nexus_add(&script_lu, nexus, &id, 1));
        assert_string_equal(
            script_outcome(script_out(nexus, SPC_PROUT_REGISTER, 0, 0, &prout, NULL, 0)), "good");
        lu_nexus_remove(&script_lu, nexus);
    }
}

static void test_registration_resources(void **state)
{
    static const struct {
        size_t filled;
        const char *command;
        const char *outcome;
    } rows[] = {
        {LU_REGISTRATION_MAX - 2, "B register 0 1", "good"},
        {LU_REGISTRATION_MAX - 1, "B register 0 1", "5/55/04"},
        {LU_REGISTRATION_MAX - 1, "B ignore 0 1", "5/55/04"},
        {LU_REGISTRATION_MAX - 2, "B register 0 1 alltg", "5/55/04"},
        {LU_REGISTRATION_MAX - 3, "B register 0 1 alltg", "good"},
        {LU_REGISTRATION_MAX - 3, "B register 0 1 >C >D", "5/55/04"},
        {LU_REGISTRATION_MAX - 4, "B register 0 1 >C >D", "good"},
        {LU_REGISTRATION_MAX - 1, "A move 1 2 >B", "5/55/04"},
        {LU_REGISTRATION_MAX - 2, "A move 1 2 >B", "good"},
        /* No room is needed for one that is registered. */
        {LU_REGISTRATION_MAX - 1, "A register 1 2", "good"},
        {LU_REGISTRATION_MAX - 1, "A ignore 0 2", "good"},
        {LU_REGISTRATION_MAX - 1, "A register 1 0", "good"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *before;
        struct lu_result result;

        table_row = rows[i].command;
        script_start();
        fill(rows[i].filled);
        script_run("A register 0 1; A reserve 1 0 t1");
        before = strdup(script_state());
        assert_non_null(before);
        result = script_command(rows[i].command);
        assert_string_equal(script_outcome(result), rows[i].outcome);
        assert_int_equal(result.changed, result.status == SPC_STATUS_GOOD);
        if (result.status != SPC_STATUS_GOOD)
            assert_string_equal(script_state(), before);
        free(before);
    }
    table_row = NULL;
}

static void test_aptpl(void **state)
{
    static const struct {
        const char *script;
        bool active;
    } rows[] = {
        {"A register 0 1", false},
        {"A register 0 1 aptpl", true},
        {"A ignore 0 1 aptpl", true},
        {"A register 0 1 aptpl; B register 0 2", false},
        {"A register 0 1; B register 0 2 aptpl", true},
        {"A register 0 1 aptpl; A register 1 0", false},
        /* Nothing registered, nothing processed. */
        {"A register 0 1 aptpl; B register 0 0", true},
        {"A register 0 0 aptpl", false},
        {"A register 0 1; A reserve 1 0 t1; A move 1 2 aptpl >B", true},
        {"A register 0 1 aptpl; A reserve 1 0 t1; A move 1 2 >B", false},
        /* The others ignore the bit. */
        {"A register 0 1 aptpl; A reserve 1 0 t1; A release 1 0 t1; A clear 1 0", true},
        {"A register 0 1; A reserve 1 0 t1 aptpl; A release 1 0 t1 aptpl; A clear 1 0 aptpl",
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct prin_capabilities capabilities;
        uint8_t data[8];

        table_row = rows[i].script;
        script_start();
        script_run(rows[i].script);
        assert_int_equal(prin_capabilities_decode(
                             data, script_in('Z', SPC_PRIN_REPORT_CAPABILITIES, data, sizeof(data)),
                             &capabilities),
                         PRIN_OK);
        assert_int_equal(capabilities.persistent_active, rows[i].active);
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_register),
        table_test(test_register_and_ignore_existing_key),
        table_test(test_register_by_holder),
        table_test(test_spec_i_pt),
        table_test(test_all_tg_pt),
        table_test(test_register_and_move),
        table_test(test_move_to_bad_port),
        table_test(test_spec_i_pt_bad_transportids),
        cmocka_unit_test(test_spec_i_pt_iscsi_device),
        table_test(test_registration_resources),
        table_test(test_aptpl),
    };

    return cmocka_run_group_tests_name("lu_register", tests, NULL, NULL);
}
