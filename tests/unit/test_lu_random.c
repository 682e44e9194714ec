// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Long runs of random commands against the invariants that SPC states for any of them.
 * script_state() asks all three PERSISTENT RESERVE IN after each command and fails where they
 * disagree (holder not registered, another key, no holder). The commands are drawn so that most of
 * them concern each other: five initiators, keys 0 to 4, usually the right one. A failure prints
 * seed and step.
 */
#include "lu_script.h"

#include "exactly.h"

#define SEEDS 40
#define STEPS 2500

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere. */
static unsigned pick(unsigned count)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * UINT64_C(2685821657736338717)) >> 33) % count;
}

/* What PERSISTENT RESERVE IN told of one registration, by nexus. */
struct seen {
    bool registered, holder;
    uint64_t key;
};

struct view {
    uint32_t generation;
    unsigned registrations, holders;
    uint8_t type; /* 0: no reservation */
    struct seen nexus[sizeof(SCRIPT_NEXUSES)];
};

/* Out of the bytes, by the decoder; no look into struct lu. */
static struct view look(void)
{
    static uint8_t data[16384];
    struct prin_registrant registrant;
    struct prin_list list;
    struct view view = {0};
    size_t length = script_in('Z', SPC_PRIN_READ_FULL_STATUS, data, sizeof(data));

    assert_int_equal(prin_list_decode(data, length, &list), PRIN_OK);
    view.generation = list.generation;
    while (prin_registrant_next(&list, &registrant) == PRIN_OK) {
        char letter = (char)load_be64(registrant.transportid.bytes + 4);
        const char *at;

        view.registrations++;
        if (registrant.holder) {
            view.holders++;
            view.type = registrant.type;
        }
        if (registrant.relative_target_port == 2)
            letter = (char)tolower(letter);
        at = strchr(SCRIPT_NEXUSES, letter);
        if (letter && at)
            view.nexus[at - SCRIPT_NEXUSES] = (struct seen){true, registrant.holder,
                                                            registrant.key};
    }
    return view;
}

static void assert_same(const struct view *a, const struct view *b)
{
    assert_uint_equal(a->generation, b->generation);
    assert_uint_equal(a->registrations, b->registrations);
    assert_uint_equal(a->type, b->type);
    for (size_t i = 0; i < strlen(SCRIPT_NEXUSES); i++) {
        assert_int_equal(a->nexus[i].registered, b->nexus[i].registered);
        assert_int_equal(a->nexus[i].holder, b->nexus[i].holder);
        assert_uint_equal(a->nexus[i].key, b->nexus[i].key);
    }
}

static struct lu_result random_command(const struct view *view, unsigned nexus,
                                       uint8_t service_action)
{
    static const uint8_t all_types[] = {1, 3, 5, 6, 7, 8, 2};
    const struct seen *own = &view->nexus[nexus];
    struct prout prout = {
        .key = pick(8) ? own->key : pick(5),
        .sa_key = pick(5),
        .aptpl = pick(2),
        .all_tg_pt = !pick(6),
        .spec_i_pt = service_action == SPC_PROUT_REGISTER && !pick(4),
        .unreg = pick(2),
        .relative_target_port = (uint16_t)(1 + pick(2)),
    };
    struct transportid ids[2] = {script_initiator("ABCDE"[pick(5)]),
                                 script_initiator("ABCDE"[pick(5)])};
    uint8_t type = pick(3) && view->type ? view->type : all_types[pick(sizeof(all_types))];

    return script_out(nexus, service_action, pick(30) ? 0 : 1, type, &prout, ids, 1 + pick(2));
}

static void check_step(const struct view *before, const struct view *after, unsigned nexus,
                       uint8_t service_action, const struct lu_result *result)
{
    static const uint8_t generation_rises[] = {1, 0, 0, 1, 1, 1, 1, 1};
    bool all = spc_type_is_all_registrants(after->type);

    /* Not more than one holder, unless all registrants are. */
    assert_uint_equal(after->holders, !after->type ? 0 : all ? after->registrations : 1);

    /* Only GOOD changes anything, and says so. */
    if (result->status != SPC_STATUS_GOOD) {
        assert_same(before, after);
        assert_false(result->changed);
        return;
    }

    /* PRGENERATION rises by one with each change that SPC-4 6.15.2 lists, and with nothing else. */
    assert_uint_equal(after->generation - before->generation,
                      result->changed && generation_rises[service_action]);

    /* RESERVE and RELEASE touch no registration; only REGISTER and MOVE adds one. */
    for (size_t i = 0; i < strlen(SCRIPT_NEXUSES); i++) {
        const struct seen *was = &before->nexus[i], *is = &after->nexus[i];

        if (service_action == SPC_PROUT_RESERVE || service_action == SPC_PROUT_RELEASE) {
            assert_int_equal(was->registered, is->registered);
            assert_uint_equal(was->key, is->key);
        }
        if (service_action >= SPC_PROUT_CLEAR && service_action <= SPC_PROUT_PREEMPT_AND_ABORT &&
            is->registered)
            assert_uint_equal(was->key, is->key);
    }

    /* Only registrants change anything, but by registering. */
    if (result->changed && service_action != SPC_PROUT_REGISTER &&
        service_action != SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY)
        assert_true(before->nexus[nexus].registered);
    if (service_action == SPC_PROUT_RESERVE)
        assert_true(after->nexus[nexus].holder);
    if (service_action == SPC_PROUT_CLEAR)
        assert_uint_equal(after->registrations, 0);
}

/* Who may read and write follows from what PERSISTENT RESERVE IN says, and from nothing else. */
static void check_access(const struct view *view)
{
    for (unsigned i = 0; i < strlen(SCRIPT_NEXUSES); i++) {
        const struct seen *seen = &view->nexus[i];
        bool member = seen->holder || (seen->registered && view->type >= 5);
        bool exclusive = view->type == 3 || view->type == 6 || view->type == 8;

        assert_int_equal(lu_may_write(&script_lu, i), !view->type || member);
        assert_int_equal(lu_may_read(&script_lu, i), !exclusive || member);
    }
}

/* Every attention that a step raised: the right code, for someone it concerns, never for the
 * sender. */
static void check_attentions(const struct view *before, const struct view *after, unsigned nexus,
                             uint8_t service_action)
{
    for (unsigned i = 0; i < strlen(SCRIPT_NEXUSES); i++) {
        const struct seen *was = &before->nexus[i], *is = &after->nexus[i];
        bool lost = was->registered && !is->registered;
        bool preempting = service_action == SPC_PROUT_PREEMPT ||
                          service_action == SPC_PROUT_PREEMPT_AND_ABORT;
        struct lu_result result = script_test_unit_ready(SCRIPT_NEXUSES[i]);
        uint8_t expected = 0;

        if (i == nexus)
            expected = 0;
        else if (lost && service_action == SPC_PROUT_CLEAR)
            expected = 0x03;
        else if (lost && preempting)
            expected = 0x05;
        else if (is->registered && before->type >= 5 && after->type == 0 &&
                 (service_action == SPC_PROUT_RELEASE || before->type <= 6))
            expected = 0x04;
        else if (is->registered && before->type && after->type && before->type != after->type)
            expected = 0x04;
        assert_uint_equal(result.sense.asc, expected ? 0x2a : 0);
        assert_uint_equal(result.sense.ascq, expected);
        if (expected)
            assert_uint_equal(script_test_unit_ready(SCRIPT_NEXUSES[i]).status, SPC_STATUS_GOOD);
    }
}

static void test_random_commands(void **state)
{
    static char row[64];
    unsigned good[8] = {0}, refused[8] = {0};

    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct view before;

        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        script_start();
        before = look();
        for (unsigned step = 0; step < STEPS; step++) {
            unsigned nexus = pick(7);
            /* As many REGISTER as all others, or the table would be empty most of the time. */
            uint8_t service_action = (uint8_t)(pick(2) ? 0 : pick(8));
            struct lu_result result;
            struct view after;

            snprintf(row, sizeof(row), "seed %u, step %u", seed, step);
            table_row = row;
            result = random_command(&before, nexus, service_action);
            after = look();
            script_state();
            check_step(&before, &after, nexus, service_action, &result);
            check_access(&after);
            check_attentions(&before, &after, nexus, service_action);
            (result.status == SPC_STATUS_GOOD && result.changed ? good : refused)[service_action]++;
            before = after;
        }
    }
    table_row = NULL;
    /* The dice must not have left anything out. */
    for (unsigned i = 0; i < 8; i++) {
        assert_true(good[i] >= SEEDS);
        assert_true(refused[i] >= SEEDS);
    }
}

/* At any moment: save, load into another one, and nothing but PRGENERATION differs. */
static void test_random_power_cycles(void **state)
{
    static uint8_t saved[LU_SAVE_MAX], again[LU_SAVE_MAX];

    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        random_state = ~(seed * UINT64_C(0x9e3779b97f4a7c15));
        script_start();
        for (unsigned step = 0; step < STEPS / 10; step++) {
            struct view before = look(), after;
            size_t size;

            random_command(&before, pick(7), (uint8_t)pick(8));
            script_attentions();
            before = look();
            if (!script_lu.aptpl)
                continue;
            size = lu_save(&script_lu, saved, sizeof(saved));
            script_start();
            assert_int_equal(lu_load(&script_lu, saved, size), LU_LOAD_OK);
            after = look();
            assert_uint_equal(after.generation, 0);
            before.generation = 0;
            assert_same(&before, &after);
            assert_uint_equal(lu_save(&script_lu, again, sizeof(again)), size);
            assert_memory_equal(again, saved, size);
        }
    }
}

/* Anything at all as command: no crash, no length beyond the room, no sense that is not there. */
static void test_random_bytes(void **state)
{
    (void)state;
    random_state = 1;
    script_start();
    for (unsigned step = 0; step < 100000; step++) {
        uint8_t cdb[CDB_SIZE], list[96], *param, *data;
        size_t length = pick(sizeof(list)), size = pick(64);
        struct lu_result result;

        for (size_t i = 0; i < sizeof(cdb); i++)
            cdb[i] = pick(2) ? (uint8_t)pick(256) : 0;
        cdb[0] = pick(10) ? 0x5e + (uint8_t)pick(2) : cdb[0];
        cdb[1] &= pick(10) ? 0x07 : 0xff;
        cdb[8] = pick(2) ? 24 : cdb[8];
        for (size_t i = 0; i < sizeof(list); i++)
            list[i] = pick(3) ? 0 : (uint8_t)pick(8);
        param = exactly(list, length);
        data = exactly(list, size);
        lu_execute(&script_lu, pick(8), cdb, param, length, data, size, &result);
        assert_true(result.length <= size);
        if (result.status != SPC_STATUS_GOOD)
            assert_uint_equal(result.length, 0);
        assert_int_equal(result.status == SPC_STATUS_CHECK_CONDITION, result.sense.key != 0);
        free(param);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_random_commands),
        cmocka_unit_test(test_random_power_cycles),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests_name("lu_random", tests, NULL, NULL);
}
