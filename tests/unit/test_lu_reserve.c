// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lu_script.h"

static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

#define THREE "A register 0 1; B register 0 2; C register 0 3; "

/* SPC-4 5.13.9, Reserving. */
static void test_reserve(void **state)
{
    static const struct script_row rows[] = {
        {"A register 0 1", "A reserve 1 0 t1", "good", "g1 t1 A=1*", NULL},
        {"A register 0 1", "A reserve 1 9 t3", "good", "g1 t3 A=1*", NULL},
        {"A register 0 1; B register 0 2", "B reserve 2 0 t5", "good", "g2 t5 A=1 B=2*", NULL},
        {"A register 0 1; B register 0 2", "B reserve 2 0 t6", "good", "g2 t6 A=1 B=2*", NULL},
        {"A register 0 1; B register 0 2", "B reserve 2 0 t7", "good", "g2 t7 A=1* B=2*", NULL},
        {"A register 0 1; B register 0 2", "B reserve 2 0 t8", "good", "g2 t8 A=1* B=2*", NULL},
        /* Two nexuses with one key: only one of them reserved. */
        {"A register 0 1; B register 0 1", "B reserve 1 0 t1", "good", "g2 t1 A=1 B=1*", NULL},
        {"", "A reserve 0 0 t1", "conflict", NULL, NULL},
        {"", "A reserve 1 0 t1", "conflict", NULL, NULL},
        {"A register 0 1", "A reserve 2 0 t1", "conflict", NULL, NULL},
        {"A register 0 1", "A reserve 0 0 t1", "conflict", NULL, NULL},
        {"A register 0 1", "a reserve 1 0 t1", "conflict", NULL, NULL},
        {"B register 0 2", "A reserve 2 0 t1", "conflict", NULL, NULL},
        /* What the reservation forbids is a conflict, no matter what else is wrong. */
        {"A register 0 1; A reserve 1 0 t1", "B reserve 0 0 t2", "conflict", NULL, NULL},
        {"A register 0 1; B register 0 2; A reserve 1 0 t5", "B reserve 2 0 t5 s1", "conflict",
         NULL, NULL},
        /* Types and scopes that do not exist, also where none is registered. */
        {"A register 0 1", "A reserve 1 0 t0", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t2", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t4", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t9", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 tf", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t1 s1", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t1 s2", "5/24/00", NULL, NULL},
        {"A register 0 1", "A reserve 1 0 t1 sf", "5/24/00", NULL, NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* Every type held, every type asked for, by the holder, by another registrant, by a stranger. */
static void test_reserve_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(types); i++) {
        for (size_t k = 0; k < sizeof(types); k++) {
            static const char *const who[] = {"A reserve 1 0", "B reserve 2 0", "C reserve 0 0"};
            bool all = types[i] >= 7;

            for (size_t w = 0; w < 3; w++) {
                bool good = types[i] == types[k] && (w == 0 || (w == 1 && all));
                char before[128], command[64];
                struct script_row row = {before, command, good ? "good" : "conflict", NULL, NULL};

                snprintf(before, sizeof(before),
                         "A register 0 1; B register 0 2; A reserve 1 0 t%x", types[i]);
                snprintf(command, sizeof(command), "%s t%x", who[w], types[k]);
                script_table(&row, 1);
            }
        }
    }
}

/* SPC-4 5.13.11.2.2, Releasing. */
static void test_release(void **state)
{
    static const struct script_row rows[] = {

        {THREE "A reserve 1 0 t1", "A release 1 0 t1", "good", "g3 A=1 B=2 C=3", NULL},
        {THREE "A reserve 1 0 t3", "A release 1 9 t3", "good", "g3 A=1 B=2 C=3", NULL},
        {THREE "A reserve 1 0 t5", "A release 1 0 t5", "good", "g3 A=1 B=2 C=3", "B:2A/04 C:2A/04"},
        {THREE "A reserve 1 0 t6", "A release 1 0 t6", "good", "g3 A=1 B=2 C=3", "B:2A/04 C:2A/04"},
        {THREE "A reserve 1 0 t7", "A release 1 0 t7", "good", "g3 A=1 B=2 C=3", "B:2A/04 C:2A/04"},
        {THREE "A reserve 1 0 t8", "A release 1 0 t8", "good", "g3 A=1 B=2 C=3", "B:2A/04 C:2A/04"},
        /* Any holder may. */
        {THREE "A reserve 1 0 t7", "B release 2 0 t7", "good", "g3 A=1 B=2 C=3", "A:2A/04 C:2A/04"},
        /* A registered one that holds nothing: nothing done, no error, no matter what it says. */
        {THREE "A reserve 1 0 t5", "B release 2 0 t5", "good", NULL, NULL},
        {THREE "A reserve 1 0 t1", "B release 2 0 t3", "good", NULL, NULL},
        {THREE "A reserve 1 0 t1", "B release 2 0 t2 s5", "good", NULL, NULL},
        {"A register 0 1", "A release 1 0 t1", "good", NULL, NULL},
        /* The holder must say what it holds. */
        {THREE "A reserve 1 0 t1", "A release 1 0 t3", "5/26/04", NULL, NULL},
        {THREE "A reserve 1 0 t5", "A release 1 0 t6", "5/26/04", NULL, NULL},
        {THREE "A reserve 1 0 t1", "A release 1 0 t0", "5/26/04", NULL, NULL},
        {THREE "A reserve 1 0 t1", "A release 1 0 t1 s1", "5/26/04", NULL, NULL},
        {THREE "A reserve 1 0 t7", "B release 2 0 t8", "5/26/04", NULL, NULL},
        /* Who may not. */
        {THREE "A reserve 1 0 t1", "A release 2 0 t1", "conflict", NULL, NULL},
        {THREE "A reserve 1 0 t1", "B release 1 0 t1", "conflict", NULL, NULL},
        {THREE "A reserve 1 0 t1", "D release 0 0 t1", "conflict", NULL, NULL},
        {THREE "A reserve 1 0 t1", "a release 1 0 t1", "conflict", NULL, NULL},
        {"", "A release 0 0 t1", "conflict", NULL, NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 5.13.11.2.7, Clearing. */
static void test_clear(void **state)
{
    static const struct script_row rows[] = {
        {"A register 0 1", "A clear 1 0", "good", "g2", NULL},
        {THREE, "A clear 1 0", "good", "g4", "B:2A/03 C:2A/03"},
        {THREE "A reserve 1 0 t1", "A clear 1 0", "good", "g4", "B:2A/03 C:2A/03"},
        {THREE "A reserve 1 0 t6", "B clear 2 0", "good", "g4", "A:2A/03 C:2A/03"},
        {THREE "A reserve 1 0 t8", "C clear 3 9 t2 sf", "good", "g4", "A:2A/03 B:2A/03"},
        {"A register 0 1 alltg", "A clear 1 0", "good", "g2", "a:2A/03"},
        {THREE, "A clear 2 0", "conflict", NULL, NULL},
        {THREE, "D clear 0 0", "conflict", NULL, NULL},
        {"", "A clear 0 0", "conflict", NULL, NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
}

/* SPC-4 5.13.11.2.4, Preempting: the table of the two operations, for both service actions. */
static void test_preempt(void **state)
{
    static const struct script_row rows[] = {
        /* No reservation. */
        {THREE, "A preempt 1 2 t1", "good", "g4 A=1 C=3", "B:2A/05"},
        {THREE, "A preempt 1 1 t1", "good", "g4 B=2 C=3", NULL},
        {THREE, "A preempt 1 9 t1", "conflict", NULL, NULL},
        {THREE, "A preempt 1 0 t1", "conflict", NULL, NULL},
        {THREE "D register 0 2", "A preempt 1 2 t1", "good", "g5 A=1 C=3", "B:2A/05 D:2A/05"},
        {THREE "D register 0 1", "A preempt 1 1 t1", "good", "g5 B=2 C=3", "D:2A/05"},
        /* One holder, its key: take it, with the new type; those who stay learn of another type. */
        {THREE "B reserve 2 0 t1", "A preempt 1 2 t1", "good", "g4 t1 A=1* C=3", "B:2A/05"},
        {THREE "B reserve 2 0 t5", "C preempt 3 2 t5", "good", "g4 t5 A=1 C=3*", "B:2A/05"},
        {THREE "B reserve 2 0 t1", "A preempt 1 2 t3", "good", "g4 t3 A=1* C=3", "B:2A/05 C:2A/04"},
        {THREE "B reserve 2 0 t5", "A preempt 1 2 t1", "good", "g4 t1 A=1* C=3", "B:2A/05 C:2A/04"},
        {THREE "B reserve 2 0 t6", "A preempt 1 2 t8", "good", "g4 t8 A=1* C=3*",
         "B:2A/05 C:2A/04"},
        {THREE "D register 0 2; B reserve 2 0 t1", "A preempt 1 2 t1", "good", "g5 t1 A=1* C=3",
         "B:2A/05 D:2A/05"},
        /* The one that preempts has that key, too, and keeps its registration. */
        {"A register 0 1; B register 0 1; C register 0 3; B reserve 1 0 t1", "A preempt 1 1 t1",
         "good", "g4 t1 A=1* C=3", "B:2A/05"},
        /* It is the holder. */
        {THREE "A reserve 1 0 t1", "A preempt 1 1 t1", "good", "g4 t1 A=1* B=2 C=3", NULL},
        {THREE "A reserve 1 0 t5", "A preempt 1 1 t6", "good", "g4 t6 A=1* B=2 C=3",
         "B:2A/04 C:2A/04"},
        {THREE "A reserve 1 0 t5", "A preempt 1 1 t7", "good", "g4 t7 A=1* B=2* C=3*",
         "B:2A/04 C:2A/04"},
        /* One holder, another key: only registrations; scope and type play no part. */
        {THREE "A reserve 1 0 t1", "A preempt 1 2 t3", "good", "g4 t1 A=1* C=3", "B:2A/05"},
        {THREE "A reserve 1 0 t1", "A preempt 1 2 t2 sf", "good", "g4 t1 A=1* C=3", "B:2A/05"},
        {THREE "A reserve 1 0 t5", "B preempt 2 3 t5", "good", "g4 t5 A=1* B=2", "C:2A/05"},
        {THREE "A reserve 1 0 t5", "B preempt 2 2 t5", "good", "g4 t5 A=1* C=3", NULL},
        {THREE "C reserve 3 0 t5", "B preempt 2 1 t5", "good", "g4 t5 B=2 C=3*", "A:2A/05"},
        {THREE "A reserve 1 0 t1", "B preempt 2 9 t1", "conflict", NULL, NULL},
        {THREE "A reserve 1 0 t1", "B preempt 2 0 t1", "5/26/00", NULL, NULL},
        {THREE "A reserve 1 0 t1", "A preempt 1 0 t1", "5/26/00", NULL, NULL},
        /* All registrants, key 0: take it from all of them. */
        {THREE "A reserve 1 0 t7", "B preempt 2 0 t7", "good", "g4 t7 B=2*", "A:2A/05 C:2A/05"},
        {THREE "A reserve 1 0 t7", "B preempt 2 0 t1", "good", "g4 t1 B=2*", "A:2A/05 C:2A/05"},
        {THREE "A reserve 1 0 t8", "C preempt 3 0 t6", "good", "g4 t6 C=3*", "A:2A/05 B:2A/05"},
        {"A register 0 1; A reserve 1 0 t8", "A preempt 1 0 t5", "good", "g2 t5 A=1*", NULL},
        /* All registrants, a key: only registrations. */
        {THREE "A reserve 1 0 t7", "A preempt 1 2 t1", "good", "g4 t7 A=1* C=3*", "B:2A/05"},
        {THREE "A reserve 1 0 t8", "B preempt 2 2 t8", "good", "g4 t8 A=1* C=3*", NULL},
        {THREE "A reserve 1 0 t8", "B preempt 2 9 t8", "conflict", NULL, NULL},
        {"A register 0 1; A reserve 1 0 t8", "A preempt 1 1 t8", "good", "g2", NULL},
        {"A register 0 1; B register 0 1; A reserve 1 0 t7", "A preempt 1 1 t7", "good", "g3",
         "B:2A/05"},
        /* A type or scope that does not exist matters only where a reservation is made. */
        {THREE "B reserve 2 0 t1", "A preempt 1 2 t2", "5/24/00", NULL, NULL},
        {THREE "B reserve 2 0 t1", "A preempt 1 2 t1 s1", "5/24/00", NULL, NULL},
        {THREE "B reserve 2 0 t7", "A preempt 1 0 t0", "5/24/00", NULL, NULL},
        {THREE, "A preempt 1 2 t0 s7", "good", "g4 A=1 C=3", "B:2A/05"},
        /* Who may not. */
        {THREE "B reserve 2 0 t1", "D preempt 0 2 t1", "conflict", NULL, NULL},
        {THREE "B reserve 2 0 t1", "A preempt 2 2 t1", "conflict", NULL, NULL},
        {THREE "B reserve 2 0 t1", "A preempt 0 2 t1", "conflict", NULL, NULL},
        {THREE "B reserve 2 0 t1", "a preempt 1 2 t1", "conflict", NULL, NULL},
        /* A registrant that is not there loses its registration all the same. */
        {"A register 0 1 >E; A reserve 1 0 t1", "A preempt 1 1 t1", "good", "g2 t1 A=1*", NULL},
    };

    (void)state;
    SCRIPT_TABLE(rows);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct script_row row = rows[i];
        char command[64];

        snprintf(command, sizeof(command), "%c abort %s", row.command[0],
                 row.command + strlen("A preempt "));
        row.command = command;
        script_table(&row, 1);
    }
}

/* SPC-4 5.13.1, commands allowed in the presence of reservations: every type, every role. */
static void test_access(void **state)
{
    /* A reserved, B is registered, C is not. */
    static const struct {
        uint8_t type;
        const char *read, *write; /* who may */
    } rows[] = {
        {1, "ABC", "A"}, {3, "A", "A"},    {5, "ABC", "AB"},
        {6, "AB", "AB"}, {7, "ABC", "AB"}, {8, "AB", "AB"},
    };

    (void)state;
    script_start();
    for (const char *who = "ABCab"; *who; who++) {
        assert_true(lu_may_read(&script_lu, script_nexus(*who)));
        assert_true(lu_may_write(&script_lu, script_nexus(*who)));
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char script[64];

        snprintf(script, sizeof(script), "A reserve 1 0 t%x", rows[i].type);
        table_row = script;
        script_start();
        script_run("A register 0 1; B register 0 2");
        script_run(script);
        for (const char *who = "ABC"; *who; who++) {
            assert_int_equal(lu_may_read(&script_lu, script_nexus(*who)),
                             strchr(rows[i].read, *who) != NULL);
            assert_int_equal(lu_may_write(&script_lu, script_nexus(*who)),
                             strchr(rows[i].write, *who) != NULL);
        }
        /* The holder's initiator through the other target port is as good as C. */
        assert_int_equal(lu_may_write(&script_lu, script_nexus('a')), false);
        assert_int_equal(lu_may_read(&script_lu, script_nexus('a')),
                         strchr(rows[i].read, 'C') != NULL);

        script_run("A clear 1 0");
        assert_true(lu_may_read(&script_lu, script_nexus('C')));
        assert_true(lu_may_write(&script_lu, script_nexus('C')));
    }
    table_row = NULL;
}

/* SPC-4 5.13.1, PERSISTENT RESERVE OUT allowed in the presence of reservations; SAM-5 5.3. */
static void test_conflict_before_attention(void **state)
{
    (void)state;
    script_start();
    script_run("A register 0 a; B register 0 b; A reserve a 0 t5; A preempt a b t5");
    /* B is no registrant any more: the conflict comes first, and the attention stays. */
    assert_string_equal(script_outcome(script_command("B reserve b 0 t5")), "conflict");
    assert_string_equal(script_outcome(script_command("B preempt b a t5")), "conflict");
    assert_string_equal(script_outcome(script_command("B register b 0")), "6/2A/05");
}

/* REPLACE LOST RESERVATION is not served; a registrant is told so, no matter who holds the
 * reservation.
 */
static void test_replace_lost(void **state)
{
    static const struct {
        char nexus;
        const char *outcome;
    } rows[] = {{'A', "5/24/00"}, {'B', "5/24/00"}, {'C', "conflict"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct prout prout = {.sa_key = 0xd};

        script_start();
        script_run("A register 0 a; B register 0 b; A reserve a 0 t5");
        assert_string_equal(
            script_outcome(script_out(script_nexus(rows[i].nexus),
                                      SPC_PROUT_REPLACE_LOST_RESERVATION, 0, 5, &prout, NULL, 0)),
            rows[i].outcome);
    }
}

/* The fencing of a cluster, step by step: registrants only, the victim loses its access at once. */
static void test_fencing(void **state)
{
    (void)state;
    script_start();
    script_run("A register 0 a; B register 0 b; A reserve a 0 t5");
    assert_true(lu_may_write(&script_lu, script_nexus('B')));
    script_run("A abort a b t5");
    assert_false(lu_may_write(&script_lu, script_nexus('B')));
    assert_true(lu_may_read(&script_lu, script_nexus('B')));
    assert_string_equal(script_outcome(script_command("B register b 0")), "6/2A/05");
    assert_string_equal(script_outcome(script_command("B register b 0")), "conflict");
    assert_string_equal(script_outcome(script_command("B preempt b a t5")), "conflict");
    script_run("B register 0 b");
    assert_true(lu_may_write(&script_lu, script_nexus('B')));
    assert_string_equal(script_state(), "g4 t5 A=a* B=b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_reserve),
        table_test(test_reserve_again),
        table_test(test_release),
        table_test(test_clear),
        table_test(test_preempt),
        table_test(test_access),
        cmocka_unit_test(test_conflict_before_attention),
        cmocka_unit_test(test_replace_lost),
        cmocka_unit_test(test_fencing),
    };

    return cmocka_run_group_tests_name("lu_reserve", tests, NULL, NULL);
}
