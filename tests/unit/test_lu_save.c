// SPDX-License-Identifier: LGPL-2.1-or-later
/* What outlives a loss of power: SPC-4 5.13.5, Preserving persistent reservations and
 * registrations. */
#include "lu_script.h"

#include "exactly.h"

static uint8_t saved[LU_SAVE_MAX];

/* Save, lose everything, load. */
static void power_cycle(void)
{
    size_t size = lu_save(&script_lu, saved, sizeof(saved));
    uint8_t *bytes;

    assert_true(size <= sizeof(saved));
    bytes = exactly(saved, size);
    script_start();
    assert_int_equal(lu_load(&script_lu, bytes, size), LU_LOAD_OK);
    free(bytes);
}

static void test_power_cycle(void **state)
{
    static const struct {
        const char *script;
        const char *state; /* afterwards: PRGENERATION starts anew */
    } rows[] = {
        {"", "g0"},
        {"A register 0 1", "g0"},
        {"A register 0 1; A reserve 1 0 t5", "g0"},
        {"A register 0 1 aptpl", "g0 A=1"},
        {"A register 0 1 aptpl; b register 0 2", "g0"},
        {"A register 0 1; b register 0 ffffffffffffffff aptpl", "g0 A=1 b=ffffffffffffffff"},
        {"A register 0 1; B register 0 2 aptpl; B reserve 2 0 t1", "g0 t1 A=1 B=2*"},
        {"A register 0 1; B register 0 2 aptpl; A reserve 1 0 t3", "g0 t3 A=1* B=2"},
        {"A register 0 1; B register 0 2 aptpl; A reserve 1 0 t7", "g0 t7 A=1* B=2*"},
        {"A register 0 1; B register 0 2 aptpl; A reserve 1 0 t8", "g0 t8 A=1* B=2*"},
        {"A register 0 1 aptpl; A reserve 1 0 t6; A release 1 0 t6", "g0 A=1"},
        {"A register 0 1 aptpl; A reserve 1 0 t6; A clear 1 0", "g0"},
        {"A register 0 1; A reserve 1 0 t6; A move 1 2 aptpl >E", "g0 t6 A=1 E=2*"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].script;
        script_start();
        script_run(rows[i].script);
        power_cycle();
        assert_string_equal(script_state(), rows[i].state);
        /* And once more: what is loaded is as good as what was there. */
        power_cycle();
        assert_string_equal(script_state(), rows[i].state);
    }
    table_row = NULL;
}

static void test_aptpl_comes_back(void **state)
{
    struct prin_capabilities capabilities;
    uint8_t data[8];

    (void)state;
    script_start();
    script_run("A register 0 1 aptpl; A clear 1 0");
    power_cycle();
    script_in('Z', SPC_PRIN_REPORT_CAPABILITIES, data, sizeof(data));
    assert_int_equal(prin_capabilities_decode(data, sizeof(data), &capabilities), PRIN_OK);
    assert_true(capabilities.persistent_active);
}

/* `changed` is what a caller goes by: no change without it. */
static void test_changed(void **state)
{
    static const struct {
        const char *script, *command;
        bool changed;
    } rows[] = {
        {"", "A register 0 1 aptpl", true},
        {"", "A register 0 0 aptpl", false},
        {"A register 0 1 aptpl", "A register 1 1", true}, /* APTPL is switched off */
        {"A register 0 1 aptpl", "A reserve 1 0 t1", true},
        {"A register 0 1 aptpl; A reserve 1 0 t1", "A reserve 1 0 t1", false},
        {"A register 0 1 aptpl; A reserve 1 0 t1", "A release 1 0 t1", true},
        {"A register 0 1 aptpl", "A release 1 0 t1", false},
        {"A register 0 1 aptpl", "A clear 1 0", true},
        {"A register 0 1 aptpl", "A clear 2 0", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static uint8_t before[LU_SAVE_MAX];
        size_t before_size, size;
        struct lu_result result;

        table_row = rows[i].command;
        script_start();
        script_run(rows[i].script);
        before_size = lu_save(&script_lu, before, sizeof(before));
        result = script_command(rows[i].command);
        size = lu_save(&script_lu, saved, sizeof(saved));
        assert_int_equal(result.changed, rows[i].changed);
        assert_int_equal(size != before_size || memcmp(before, saved, size) != 0, rows[i].changed);
    }
    table_row = NULL;
}

static void test_format(void **state)
{
    static const uint8_t expected[12 + 36 + 36] = {
        'P', 'R', 'L', 'U', 0,    1, 0x03, 0x05, 0, 1, 0, 2,  /* header */
        0,   0,   0,   0,   0,    0, 0,    0xa,  0, 1, 0, 24, /* A */
        6,   0,   0,   0,   0x50, 0, 0,    0,    0, 0, 0, 'A', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0,   0,   0,   0,   0,    0, 0,    0xb,  0, 2, 0, 24, /* b */
        6,   0,   0,   0,   0x50, 0, 0,    0,    0, 0, 0, 'B', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    };

    (void)state;
    script_start();
    script_run("A register 0 a; b register 0 b aptpl; b reserve b 0 t5");
    for (size_t size = 0; size <= sizeof(expected) + 1; size++) {
        size_t stored = size < sizeof(expected) ? size : sizeof(expected);
        uint8_t bytes[sizeof(expected) + 1];

        memset(bytes, 0xa5, sizeof(bytes));
        assert_uint_equal(lu_save(&script_lu, bytes, size), sizeof(expected));
        assert_memory_equal(bytes, expected, stored);
        if (stored < sizeof(bytes))
            assert_uint_equal(bytes[stored], 0xa5);
    }
}

/* Each row alters the bytes of test_format(). */
static void test_load_refuses(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        uint8_t byte;
        enum lu_load_result result;
    } rows[] = {
        {"unchanged", 0, 'P', LU_LOAD_OK},
        {"another magic", 0, 'p', LU_LOAD_FOREIGN},
        {"version 0", 5, 0, LU_LOAD_FOREIGN},
        {"version 2", 5, 2, LU_LOAD_FOREIGN},
        {"version 257", 4, 1, LU_LOAD_FOREIGN},
        {"unknown flag", 6, 0x07, LU_LOAD_MALFORMED},
        {"reserved without APTPL", 6, 0x02, LU_LOAD_MALFORMED},
        {"registrations without APTPL", 6, 0x00, LU_LOAD_MALFORMED},
        {"type without reservation", 6, 0x01, LU_LOAD_MALFORMED},
        {"no such type", 7, 0x02, LU_LOAD_MALFORMED},
        {"type 0", 7, 0x00, LU_LOAD_MALFORMED},
        {"scope 1", 7, 0x15, LU_LOAD_MALFORMED},
        {"another type", 7, 0x06, LU_LOAD_OK},
        {"one holder, but all registrants", 7, 0x07, LU_LOAD_MALFORMED},
        {"another holder", 9, 0, LU_LOAD_OK},
        {"no such holder", 9, 2, LU_LOAD_MALFORMED},
        {"holder 257", 8, 1, LU_LOAD_MALFORMED},
        {"one registration more than there is", 11, 3, LU_LOAD_MALFORMED},
        {"one registration less than there is", 11, 1, LU_LOAD_MALFORMED},
        {"no registration", 11, 0, LU_LOAD_MALFORMED},
        {"another key", 19, 0xc, LU_LOAD_OK},
        {"key 0", 19, 0, LU_LOAD_MALFORMED},
        {"port 0", 21, 0, LU_LOAD_MALFORMED},
        {"port 3", 21, 3, LU_LOAD_MALFORMED},
        {"the same nexus twice", 35, 'B', LU_LOAD_OK}, /* not yet: another port */
        {"TransportID cut", 23, 23, LU_LOAD_MALFORMED},
        {"TransportID too long", 23, 25, LU_LOAD_MALFORMED},
        {"TransportID of nearly 64 kB", 22, 0xff, LU_LOAD_MALFORMED},
        {"TransportID empty", 23, 0, LU_LOAD_MALFORMED},
        {"TransportID unknown", 24, 0x0f, LU_LOAD_MALFORMED},
        {"TransportID with reserved bits", 24, 0x16, LU_LOAD_MALFORMED},
        {"TransportID with reserved bytes", 47, 1, LU_LOAD_MALFORMED},
        {"TransportID of another protocol", 24, 0x04, LU_LOAD_MALFORMED}, /* byte 4 is reserved */
    };
    uint8_t good[84];

    (void)state;
    script_start();
    script_run("A register 0 a; b register 0 b aptpl; b reserve b 0 t5");
    assert_uint_equal(lu_save(&script_lu, good, sizeof(good)), sizeof(good));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *bytes = exactly(good, sizeof(good));

        table_row = rows[i].name;
        bytes[rows[i].offset] = rows[i].byte;
        script_start();
        assert_int_equal(lu_load(&script_lu, bytes, sizeof(good)), rows[i].result);
        if (rows[i].result != LU_LOAD_OK)
            assert_string_equal(script_state(), "g0");
        free(bytes);
    }
    table_row = NULL;

    /* Registrations, but no APTPL that could have saved them. */
    script_start();
    script_run("A register 0 a aptpl");
    assert_uint_equal(lu_save(&script_lu, saved, sizeof(saved)), 48);
    saved[6] = 0;
    script_start();
    assert_int_equal(lu_load(&script_lu, saved, 48), LU_LOAD_MALFORMED);
    assert_string_equal(script_state(), "g0");

    /* The same nexus twice indeed. */
    good[35] = 'B';
    good[21] = 2;
    script_start();
    assert_int_equal(lu_load(&script_lu, good, sizeof(good)), LU_LOAD_MALFORMED);
    assert_string_equal(script_state(), "g0");
}

/* The header alone: each field that says more than there is, alone. */
static void test_load_empty(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[12];
        enum lu_load_result result;
    } rows[] = {
        {"nothing", {'P', 'R', 'L', 'U', 0, 1, 0, 0, 0xff, 0xff}, LU_LOAD_OK},
        {"APTPL", {'P', 'R', 'L', 'U', 0, 1, 1, 0, 0xff, 0xff}, LU_LOAD_OK},
        {"a type", {'P', 'R', 'L', 'U', 0, 1, 1, 5, 0xff, 0xff}, LU_LOAD_MALFORMED},
        {"a holder", {'P', 'R', 'L', 'U', 0, 1, 1, 0, 0, 0}, LU_LOAD_MALFORMED},
        {"a reservation", {'P', 'R', 'L', 'U', 0, 1, 3, 7, 0xff, 0xff}, LU_LOAD_MALFORMED},
        {"one without APTPL", {'P', 'R', 'L', 'U', 0, 1, 2, 7, 0xff, 0xff}, LU_LOAD_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].name;
        script_start();
        assert_int_equal(lu_load(&script_lu, rows[i].bytes, 12), rows[i].result);
        assert_string_equal(script_state(), "g0");
    }
    table_row = NULL;
}

static void test_load_every_length(void **state)
{
    uint8_t good[84 + 1] = {0};

    (void)state;
    script_start();
    script_run("A register 0 a; b register 0 b aptpl; b reserve b 0 t5");
    assert_uint_equal(lu_save(&script_lu, good, sizeof(good)), 84);
    for (size_t size = 0; size <= sizeof(good); size++) {
        uint8_t *bytes = exactly(good, size);

        script_start();
        assert_int_equal(lu_load(&script_lu, bytes, size), size == 84 ? LU_LOAD_OK
                                                           : size < 6 ? LU_LOAD_FOREIGN
                                                                      : LU_LOAD_MALFORMED);
        assert_string_equal(script_state(), size == 84 ? "g0 t5 A=a b=b*" : "g0");
        free(bytes);
    }
}

static void test_greatest(void **state)
{
    char name[TRANSPORTID_ISCSI_MAX];
    size_t size;

    (void)state;
    lu_init(&script_lu, 1);
    memset(name, 'n', sizeof(name));
    strcpy(name + sizeof(name) - strlen(",i,0x000") - 1, ",i,0x000");
    for (unsigned i = 0; i < LU_REGISTRATION_MAX; i++) {
        struct prout prout = {.sa_key = UINT64_MAX, .aptpl = true};
        struct transportid id;

        name[0] = (char)('a' + i / 26);
        name[1] = (char)('a' + i % 26);
        assert_true(transportid_iscsi(name, &id));
        assert_uint_equal(id.size, TRANSPORTID_SIZE_MAX);
        assert_true(lu_nexus_add(&script_lu, i, &id, 1));
        assert_string_equal(
            script_outcome(script_out(i, SPC_PROUT_REGISTER, 0, 0, &prout, NULL, 0)), "good");
    }
    size = lu_save(&script_lu, saved, sizeof(saved));
    assert_uint_equal(size, LU_SAVE_MAX);
    lu_init(&script_lu, 1);
    assert_int_equal(lu_load(&script_lu, saved, size), LU_LOAD_OK);
    assert_uint_equal(script_lu.registrations, LU_REGISTRATION_MAX);

    /* One more than there is room for. */
    store_be16(saved + 10, LU_REGISTRATION_MAX + 1);
    lu_init(&script_lu, 1);
    assert_int_equal(lu_load(&script_lu, saved, size), LU_LOAD_MALFORMED);
    assert_uint_equal(script_lu.registrations, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_power_cycle),
        cmocka_unit_test(test_aptpl_comes_back),
        table_test(test_changed),
        cmocka_unit_test(test_format),
        table_test(test_load_refuses),
        table_test(test_load_empty),
        cmocka_unit_test(test_load_every_length),
        cmocka_unit_test(test_greatest),
    };

    return cmocka_run_group_tests_name("lu_save", tests, NULL, NULL);
}
