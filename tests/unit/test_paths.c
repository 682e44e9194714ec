// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The engine of multipath maps where tests/model is too coarse: exact bytes, what each sense code
 * of a path means, maps of one and of 64 paths, the journal. The logical unit is the real src/lu.
 */
#include "cmocka_compat.h"

#include <string.h>

#include "base/bytes.h"
#include "lu/lu.h"
#include "paths/paths.h"
#include "scsi/prin.h"

#define KEY            0x1122334455667788
#define OTHER          0x99
#define NEXUS_OF_OTHER 100

static struct lu lu;
static struct paths_map map;
static struct paths_memory memory;
static struct paths engine;

/* What a path says instead of the logical unit, for a number of commands. */
static struct {
    unsigned path, times;
    struct paths_outcome outcome;
    bool reads_too;
} instead;

/* What happened, for the tests to look at. */
static unsigned sends, reads, asks, tells, journals;
static uint8_t last_cdb[CDB_SIZE], last_parameters[PROUT_SIZE];
static struct spc_sense ask_sense;
static uint64_t away;        /* paths that do not answer */
static bool refuses;         /* multipathd says "fail" */
static bool silent;          /* or does not answer */
static unsigned silent_from; /* or not from this message on, counted from 1; 0: it does */

static struct transportid port_of(unsigned path)
{
    return transportid_sas(0x5000c50000000000 + path / 16);
}

static void start(unsigned paths)
{
    struct transportid other = transportid_sas(0x5000c500ffffffff);

    lu_init(&lu, 16);
    memset(&map, 0, sizeof(map));
    memset(&memory, 0, sizeof(memory));
    memset(&instead, 0, sizeof(instead));
    map.count = paths;
    map.multipathd = PATHS_MULTIPATHD_NEW;
    for (unsigned path = 0; path < paths; path++) {
        map.path[path].initiator = port_of(path);
        map.path[path].target_port = (uint16_t)(1 + path % 16);
        map.path[path].id = paths_nexus_id(&map.path[path].initiator, map.path[path].target_port);
        assert_true(lu_nexus_add(&lu, path, &map.path[path].initiator, map.path[path].target_port));
    }
    assert_true(lu_nexus_add(&lu, NEXUS_OF_OTHER, &other, 1));
    ask_sense = SPC_NO_ADDITIONAL_SENSE;
    away = 0;
    refuses = silent = false;
    silent_from = 0;
}

static void no_attentions(void)
{
    for (unsigned nexus = 0; nexus < LU_NEXUS_MAX; nexus++)
        lu.nexus[nexus].attentions = 0;
}

static void carry_out_send(const struct paths_step *step, struct paths_outcome *outcome)
{
    static uint8_t data[PATHS_DATA_MAX];
    struct lu_result result;

    sends += step->parameters_length != 0;
    reads += step->parameters_length == 0;
    if (step->parameters_length != 0) {
        memcpy(last_cdb, step->cdb, sizeof(last_cdb));
        memcpy(last_parameters, step->parameters, sizeof(last_parameters));
    }
    if (instead.times > 0 && instead.path == step->path &&
        (instead.reads_too || step->parameters_length != 0)) {
        instead.times--;
        *outcome = instead.outcome;
        return;
    }
    lu_execute(&lu, step->path, step->cdb, step->parameters, step->parameters_length, data,
               sizeof(data), &result);
    no_attentions();
    outcome->end = PATHS_DONE;
    outcome->status = result.status;
    outcome->sense = result.sense;
    outcome->data = data;
    outcome->length = result.length;
}

static const struct paths_reply *run(struct paths_command command)
{
    const struct paths_step *step;

    sends = reads = asks = tells = journals = 0;
    paths_begin(&engine, &map, &memory, &command);
    for (step = paths_step(&engine); step->kind != PATHS_STEP_REPLY; step = paths_step(&engine)) {
        struct paths_outcome outcome = {.end = PATHS_DONE};

        switch (step->kind) {
        case PATHS_STEP_ASK:
            asks++;
            outcome.answered = step->paths & ~away;
            outcome.sense = ask_sense;
            ask_sense = SPC_NO_ADDITIONAL_SENSE;
            break;
        case PATHS_STEP_SEND:
            carry_out_send(step, &outcome);
            break;
        case PATHS_STEP_TELL:
            tells++;
            if (silent || (silent_from != 0 && tells >= silent_from))
                outcome.end = PATHS_LOST;
            else if (refuses && step->tell != PATHS_TELL_GETPRSTATUS)
                outcome.end = PATHS_REFUSED;
            break;
        case PATHS_STEP_JOURNAL:
            journals++;
            break;
        default:
            break;
        }
        paths_feed(&engine, &outcome);
    }
    memory = engine.memory;
    return &step->reply;
}

static struct paths_command command(uint8_t action, uint8_t type, uint64_t key, uint64_t sa_key)
{
    return (struct paths_command){
        .service_action = action, .type = type, .key = key, .sa_key = sa_key};
}

#define REGISTER(key, sa_key) command(SPC_PROUT_REGISTER, 0, key, sa_key)
#define RESERVE(type, key)    command(SPC_PROUT_RESERVE, type, key, 0)

static void assert_status(const struct paths_reply *reply, uint8_t status)
{
    assert_uint_equal(reply->status, status);
    assert_false(reply->unknown);
}

static void assert_sense(const struct paths_reply *reply, uint8_t key, uint8_t asc, uint8_t ascq)
{
    assert_status(reply, SPC_STATUS_CHECK_CONDITION);
    assert_uint_equal(reply->sense.key, key);
    assert_uint_equal(reply->sense.asc, asc);
    assert_uint_equal(reply->sense.ascq, ascq);
}

/* Another host, by the logical unit itself. */
static void other(uint8_t action, uint8_t type, uint64_t key, uint64_t sa_key)
{
    struct prout prout = {.key = key, .sa_key = sa_key};
    uint8_t cdb[CDB_SIZE], list[PROUT_SIZE];
    struct lu_result result;

    cdb_encode_prout(cdb, action, 0, type, PROUT_SIZE);
    prout_encode(action, &prout, NULL, 0, list, sizeof(list));
    lu_execute(&lu, NEXUS_OF_OTHER, cdb, list, sizeof(list), NULL, 0, &result);
    assert_uint_equal(result.status, SPC_STATUS_GOOD);
    no_attentions();
}

static void test_sizes_of_maps(void **state)
{
    static const unsigned sizes[] = {1, 2, 33, 64};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        start(sizes[i]);
        assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
        assert_uint_equal(lu.registrations, sizes[i]);
        assert_uint_equal(memory.aim, PATHS_AIM_NONE);
        assert_int_equal(__builtin_popcountll(memory.had), sizes[i]);
        assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
        assert_uint_equal(sends, 1);
        assert_true(lu.reserved);
        assert_status(run(REGISTER(KEY, OTHER)), SPC_STATUS_GOOD);
        for (size_t r = 0; r < lu.registrations; r++)
            assert_true(lu.registration[r].key == OTHER);
        assert_true(lu.reserved);
        assert_status(run(REGISTER(OTHER, 0)), SPC_STATUS_GOOD);
        assert_uint_equal(lu.registrations, 0);
        assert_false(lu.reserved);
    }
    start(0);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_BUSY);
    assert_uint_equal(asks, 0);
}

static void test_bytes_of_a_registration(void **state)
{
    static const uint8_t cdb[CDB_SIZE] = {0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0};
    static const uint8_t parameters[PROUT_SIZE] = {0,    0,    0,    0,    0,    0,    0,    0,
                                                   0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                                   0,    0,    0,    0,    1,    0,    0,    0};
    struct paths_command ignore = command(SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, OTHER,
                                          KEY);

    (void)state;
    start(1);
    ignore.aptpl = true;
    assert_status(run(ignore), SPC_STATUS_GOOD);
    assert_memory_equal(last_cdb, cdb, sizeof(cdb));
    assert_memory_equal(last_parameters, parameters, sizeof(parameters));
    assert_true(lu.aptpl);

    /* The same key again changes it, by one path. */
    ignore.aptpl = false;
    assert_status(run(ignore), SPC_STATUS_GOOD);
    assert_uint_equal(sends, 1);
    assert_false(lu.aptpl);
    ignore.aptpl = true;
    assert_status(run(ignore), SPC_STATUS_GOOD);
    assert_true(lu.aptpl);

    /* A key that is withdrawn, or brought to another path later, goes with the same APTPL. */
    assert_true(memory.aptpl);
    other(SPC_PROUT_REGISTER, 0, 0, OTHER);
    lu.aptpl = true;
    memory.aim = PATHS_AIM_WITHDRAW;
    run((struct paths_command){.repair = true});
    assert_uint_equal(lu.registrations, 1);
    assert_true(lu.aptpl);
}

/* Nothing is known of APTPL, as after a restart without the journal: it stays as it is. */
static void test_aptpl_is_not_known(void **state)
{
    struct paths_command reg = REGISTER(0, KEY);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        bool plain = i & 1, aptpl = i & 2;

        start(2);
        reg.aptpl = aptpl;
        assert_status(run(reg), SPC_STATUS_GOOD);
        memory = (struct paths_memory){.plain = plain};
        assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
        assert_true(lu.aptpl == aptpl);
        assert_true(memory.aptpl == aptpl && memory.aptpl_known);
        /* Asked for once. */
        assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
        assert_true(plain || reads == 1);
        memory.aim = PATHS_AIM_WITHDRAW;
        run((struct paths_command){.repair = true});
        assert_uint_equal(lu.registrations, 0);
        assert_true(lu.aptpl == aptpl);
    }
}

static void test_a_path_that_speaks_for_itself(void **state)
{
    static const struct {
        const char *name;
        uint8_t status;
        struct spc_sense sense;
        enum paths_end end;
    } rows[] = {
        {"2/04/0A", 2, {2, 0x04, 0x0a}, PATHS_DONE}, {"2/04/0B", 2, {2, 0x04, 0x0b}, PATHS_DONE},
        {"2/04/0C", 2, {2, 0x04, 0x0c}, PATHS_DONE}, {"5/25/00", 2, {5, 0x25, 0x00}, PATHS_DONE},
        {"5/94/01", 2, {5, 0x94, 0x01}, PATHS_DONE}, {"offline", 0, {0}, PATHS_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].name;
        start(3);
        assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
        instead.times = 1000;
        instead.reads_too = true;
        instead.outcome = (struct paths_outcome){
            .end = rows[i].end, .status = rows[i].status, .sense = rows[i].sense};
        assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
        assert_true(lu.reserved);
        assert_uint_equal(lu.holder, lu.registrations > 1 ? 1 : 0);
        assert_status(run(command(SPC_PROUT_RELEASE, 5, KEY, 0)), SPC_STATUS_GOOD);
        assert_false(lu.reserved);
    }
    table_row = NULL;
}

static void test_what_is_repeated(void **state)
{
    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);

    instead.outcome = (struct paths_outcome){.end = PATHS_DONE, .status = SPC_STATUS_BUSY};
    instead.times = 3;
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_uint_equal(sends, 4);
    assert_status(run(command(SPC_PROUT_RELEASE, 5, KEY, 0)), SPC_STATUS_GOOD);
    instead.times = 4;
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_BUSY);
    assert_false(lu.reserved);

    instead.outcome = (struct paths_outcome){
        .end = PATHS_DONE, .status = SPC_STATUS_CHECK_CONDITION, .sense = SPC_RESET_OCCURRED};
    instead.times = 16;
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_status(run(command(SPC_PROUT_RELEASE, 5, KEY, 0)), SPC_STATUS_GOOD);
    instead.times = 17;
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_BUSY);

    /* No answer: sent once. */
    instead.outcome = (struct paths_outcome){.end = PATHS_LOST};
    instead.times = 1;
    assert_true(run(command(SPC_PROUT_CLEAR, 0, KEY, 0))->unknown);
    assert_uint_equal(sends, 1);
}

/* A refusal of the device server is the guest's to know. */
static void test_what_the_target_refuses(void **state)
{
    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    instead.outcome = (struct paths_outcome){
        .end = PATHS_DONE, .status = SPC_STATUS_CHECK_CONDITION, .sense = SPC_SENSE(5, 0x26, 0x00)};
    instead.times = 1;
    assert_sense(run(RESERVE(5, KEY)), 5, 0x26, 0x00);
    instead.outcome.sense = SPC_SENSE(4, 0x44, 0x00);
    instead.times = 1;
    assert_true(run(RESERVE(5, KEY))->unknown);
}

static void test_an_attention_is_told_once(void **state)
{
    const struct paths_reply *reply;

    (void)state;
    start(3);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    ask_sense = SPC_REGISTRATIONS_PREEMPTED;
    reply = run(RESERVE(5, KEY));
    assert_sense(reply, 6, 0x2a, 0x05);
    assert_uint_equal(reply->reason, PATHS_REASON_ATTENTION);
    assert_uint_equal(sends, 0);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);

    /* One of another kind is nothing to the guest. */
    ask_sense = SPC_RESET_OCCURRED;
    assert_status(run(command(SPC_PROUT_RELEASE, 5, KEY, 0)), SPC_STATUS_GOOD);
}

static void test_commands_that_a_map_does_not_serve(void **state)
{
    struct paths_command bad;

    (void)state;
    start(2);
    assert_sense(run(command(SPC_PROUT_REGISTER_AND_MOVE, 5, KEY, OTHER)), 5, 0x24, 0x00);
    assert_sense(run(command(SPC_PROUT_REPLACE_LOST_RESERVATION, 5, KEY, OTHER)), 5, 0x24, 0x00);
    bad = REGISTER(0, KEY);
    bad.spec_i_pt = true;
    assert_sense(run(bad), 5, 0x26, 0x00);
    bad = REGISTER(0, KEY);
    bad.all_tg_pt = true;
    assert_sense(run(bad), 5, 0x26, 0x00);
    assert_sense(run(RESERVE(2, KEY)), 5, 0x24, 0x00);
    bad = RESERVE(5, KEY);
    bad.scope = 1;
    assert_sense(run(bad), 5, 0x24, 0x00);
    assert_uint_equal(asks + sends + reads + tells + journals, 0);

    /* Without a registration nothing but registering is served. */
    for (uint8_t action = SPC_PROUT_RESERVE; action <= SPC_PROUT_PREEMPT_AND_ABORT; action++)
        assert_status(run(command(action, 5, 0, KEY)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(sends, 0);
}

/* Rows that are the same on a plain LUN, with nothing sent where nothing is to be changed. */
static void test_nothing_is_sent_for_nothing(void **state)
{
    (void)state;
    start(3);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    assert_status(run(REGISTER(OTHER, 5)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(sends, 0);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_uint_equal(sends, 0);
    assert_status(run(RESERVE(6, KEY)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(sends, 0);
    assert_sense(run(command(SPC_PROUT_RELEASE, 6, KEY, 0)), 5, 0x26, 0x04);
    assert_uint_equal(sends, 0);
    assert_status(run(command(SPC_PROUT_RELEASE, 5, OTHER, 0)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_status(run(command(SPC_PROUT_PREEMPT, 5, KEY, KEY)), SPC_STATUS_GOOD);
    assert_uint_equal(sends, 0);
    assert_sense(run(command(SPC_PROUT_PREEMPT, 5, KEY, 0)), 5, 0x26, 0x00);
    assert_uint_equal(sends, 0);
    assert_true(lu.reserved);
    assert_uint_equal(lu.registrations, 3);
}

/* READ FULL STATUS that gives one registration to every target port of the host. */
static void test_a_registration_for_every_port(void **state)
{
    static uint8_t data[256];
    struct prin_registrant registrant = {
        .key = KEY, .all_tg_pt = true, .holder = true, .type = 5, .transportid = port_of(0)};
    struct writer writer = prin_list_begin(data, sizeof(data), 7);

    (void)state;
    start(2);
    prin_registrant_add(&writer, &registrant);
    instead.outcome = (struct paths_outcome){
        .end = PATHS_DONE, .data = data, .length = prin_list_end(&writer)};
    instead.reads_too = true;
    instead.times = 1000;
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_uint_equal(sends, 0);
    assert_uint_equal(engine.view.twins, 2);
    assert_status(run(RESERVE(5, OTHER)), SPC_STATUS_RESERVATION_CONFLICT);
}

static void test_answers_that_cannot_be_read(void **state)
{
    static uint8_t data[] = {0, 0, 0, 1, 0, 0, 1, 0, 1, 2, 3};
    static const size_t lengths[] = {0, 7, 8, sizeof(data)};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        start(1);
        instead.outcome = (struct paths_outcome){
            .end = PATHS_DONE, .data = data, .length = lengths[i]};
        instead.reads_too = true;
        instead.times = 1000;
        assert_status(run(REGISTER(0, KEY)), SPC_STATUS_BUSY);
        assert_uint_equal(engine.step.reply.reason, PATHS_REASON_NOT_READ);
        assert_uint_equal(sends, 0);
    }
}

/* Fencing does not wait for multipathd; what registers or unregisters does. */
static void test_multipathd_is_silent(void **state)
{
    const struct paths_reply *reply;

    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    other(SPC_PROUT_REGISTER, 0, 0, OTHER);
    silent = true;
    reply = run(REGISTER(KEY, 5));
    assert_status(reply, SPC_STATUS_BUSY);
    assert_uint_equal(reply->reason, PATHS_REASON_MULTIPATHD_SILENT);
    assert_uint_equal(sends, 0);
    assert_status(run(REGISTER(KEY, 0)), SPC_STATUS_BUSY);
    assert_uint_equal(sends, 0);
    assert_status(run(command(SPC_PROUT_PREEMPT, 5, KEY, OTHER)), SPC_STATUS_GOOD);
    assert_uint_equal(lu.registrations, 2);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_status(run(command(SPC_PROUT_PREEMPT, 6, KEY, KEY)), SPC_STATUS_BUSY);
    assert_uint_equal(sends, 0);
    assert_uint_equal(lu.type, 5);
    assert_status(run(command(SPC_PROUT_RELEASE, 5, KEY, 0)), SPC_STATUS_GOOD);
    assert_false(lu.reserved);
}

/* Paths that are still failed on purpose: what needs all of them waits, fencing does not. */
static void test_a_reinstatement_is_due(void **state)
{
    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    other(SPC_PROUT_REGISTER, 0, 0, OTHER);
    memory.failed = 2;
    silent = true;
    assert_status(run(command(SPC_PROUT_PREEMPT, 6, KEY, KEY)), SPC_STATUS_BUSY);
    assert_uint_equal(sends, 0);
    assert_status(run(command(SPC_PROUT_PREEMPT, 5, KEY, OTHER)), SPC_STATUS_GOOD);
    assert_uint_equal(lu.registrations, 2);
    assert_uint_equal(memory.failed, 2);
    silent = false;
    assert_status(run(command(SPC_PROUT_PREEMPT, 6, KEY, KEY)), SPC_STATUS_GOOD);
    assert_uint_equal(lu.type, 6);
    assert_uint_equal(memory.failed, 0);
}

/* The first word of a command has no answer: nothing has been sent to the target, and nothing is.
 */
static void test_the_first_word_is_lost(void **state)
{
    static const struct paths_command commands[2] = {
        {.service_action = SPC_PROUT_REGISTER, .key = KEY, .sa_key = 5},
        {.service_action = SPC_PROUT_REGISTER, .key = KEY},
    };
    const struct paths_reply *reply;

    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        start(2);
        assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
        silent_from = 2;
        reply = run(commands[i]);
        assert_status(reply, SPC_STATUS_BUSY);
        assert_uint_equal(reply->reason, PATHS_REASON_MULTIPATHD_SILENT);
        assert_uint_equal(sends, 0);
        assert_false(paths_unfinished(&memory));
        assert_uint_equal(memory.key, KEY);
        assert_uint_equal(memory.had, 3);
    }
}

/* Without a look, for want of multipathd or of a path, a repair is due still. */
static void test_a_repair_without_a_look(void **state)
{
    static const struct paths_command repair = {.repair = true};
    const struct paths_reply *reply;

    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    silent = true;
    reply = run(repair);
    assert_status(reply, SPC_STATUS_BUSY);
    assert_uint_equal(reply->reason, PATHS_REASON_MULTIPATHD_SILENT);
    silent = false;
    away = 3;
    reply = run(repair);
    assert_status(reply, SPC_STATUS_BUSY);
    assert_uint_equal(reply->reason, PATHS_REASON_NOT_READ);
    away = 0;
    assert_status(run(repair), SPC_STATUS_GOOD);
}

/*
 * An absent path has a key that another host has too, and multipathd does not take what it is told:
 * it would not take that registration away, so nothing is begun.
 */
static void test_multipathd_refuses(void **state)
{
    static const uint64_t keys[2] = {5, 0};
    const struct paths_reply *reply;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        start(2);
        assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
        other(SPC_PROUT_REGISTER, 0, 0, KEY);
        away = 2;
        refuses = true;
        reply = run(REGISTER(KEY, keys[i]));
        assert_status(reply, SPC_STATUS_BUSY);
        assert_uint_equal(reply->reason, PATHS_REASON_SHARED_ABSENT);
        assert_uint_equal(sends, 0);
        assert_false(paths_unfinished(&memory));
        assert_uint_equal(memory.key, KEY);
    }
}

/* A conflict of what takes the old key from absent paths is no fence: the look after it decides. */
static void test_a_conflict_is_no_fence(void **state)
{
    (void)state;
    start(2);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    away = 2;
    instead.outcome = (struct paths_outcome){.end = PATHS_DONE,
                                             .status = SPC_STATUS_RESERVATION_CONFLICT};
    instead.times = 1;
    assert_status(run(REGISTER(KEY, 5)), SPC_STATUS_GOOD);
    assert_uint_equal(instead.times, 0);
    assert_true(lu.reserved);
    assert_uint_equal(lu.registrations, 1);
    assert_uint_equal(memory.key, 5);
    assert_uint_equal(memory.had, 1);
}

static void test_the_deadline(void **state)
{
    struct paths_command reserve = RESERVE(5, KEY);
    struct paths_outcome good = {.end = PATHS_DONE, .answered = 3};

    (void)state;
    start(2);
    paths_begin(&engine, &map, &memory, &reserve);
    paths_feed(&engine, &good);
    paths_give_up(&engine);
    assert_status(&paths_step(&engine)->reply, SPC_STATUS_BUSY);
    assert_uint_equal(paths_step(&engine)->reply.reason, PATHS_REASON_DEADLINE);
    assert_false(paths_unfinished(&engine.memory));
}

static void test_journal_bytes(void **state)
{
    static const uint8_t wanted_head[] = {'p',  'r',  'p',  'a',  't',  'h',  's', 2, 0x11, 0x22,
                                          0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0,   0, 0,    0,
                                          0,    0,    0,    0x99, 1,    5,    2,   0};
    uint8_t bytes[PATHS_JOURNAL_MAX];
    struct paths_memory back;
    size_t size;

    (void)state;
    start(3);
    memory = (struct paths_memory){.key = KEY,
                                   .old_key = OTHER,
                                   .had = 1,
                                   .expected = 5,
                                   .failed = 4,
                                   .aim = PATHS_AIM_LEVEL,
                                   .aptpl = true,
                                   .aptpl_known = true,
                                   .twin = {1, 0, 1}};
    size = paths_journal_encode(&memory, &map, bytes);
    assert_uint_equal(size, 32 + 2 * 10);
    assert_memory_equal(bytes, wanted_head, sizeof(wanted_head));
    assert_true(load_be64(bytes + 32) == map.path[0].id);
    assert_uint_equal(bytes[40], 0x05);
    assert_true(load_be64(bytes + 42) == map.path[2].id);
    assert_uint_equal(bytes[50], 0x06);
    assert_uint_equal(bytes[51], 1);

    memset(&back, 0, sizeof(back));
    assert_true(paths_journal_decode(bytes, size, &map, &back));
    assert_memory_equal(&back, &memory, sizeof(back));

    /* Any byte altered, or the end cut off: none. */
    for (size_t i = 0; i < size; i++) {
        memset(&back, 0xaa, sizeof(back));
        bytes[i] ^= 0x40;
        assert_false(paths_journal_decode(bytes, size, &map, &back));
        bytes[i] ^= 0x40;
        assert_false(paths_journal_decode(bytes, i, &map, &back));
        assert_uint_equal(back.aim, 0xaa);
    }

    /* Paths in another order, and one that the map does not have any more. */
    map.path[0] = map.path[2];
    map.count = 1;
    assert_true(paths_journal_decode(bytes, size, &map, &back));
    assert_uint_equal(back.failed, 1);
    assert_uint_equal(back.expected, 1);
    assert_uint_equal(back.had, 0);
    assert_uint_equal(back.twin[0], 0);
}

static void assert_registrations(uint64_t with, uint64_t known)
{
    uint64_t found_with, found_known;

    paths_registrations(&engine, &found_with, &found_known);
    assert_uint_equal(found_with, with);
    assert_uint_equal(found_known, known);
}

/* By which paths the guest is registered, after each command. */
static void test_registrations(void **state)
{
    (void)state;
    start(3);
    assert_sense(run(command(9, 0, 0, KEY)), 5, 0x24, 0);
    assert_registrations(0, 0); /* not looked */
    assert_status(run(REGISTER(OTHER, KEY)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_registrations(0, 7);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    assert_registrations(7, 7);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_registrations(7, 7);
    assert_status(run(REGISTER(KEY, OTHER)), SPC_STATUS_GOOD);
    assert_registrations(7, 7);
    assert_status(run(command(SPC_PROUT_CLEAR, 0, OTHER, 0)), SPC_STATUS_GOOD);
    assert_registrations(0, 7); /* which no look has shown */
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    assert_status(run(REGISTER(KEY, 0)), SPC_STATUS_GOOD);
    assert_registrations(0, 7);

    /* One takes no registration: its port has room for no more. */
    instead.path = 1;
    instead.times = 9;
    instead.outcome = (struct paths_outcome){
        .end = PATHS_DONE, .status = SPC_STATUS_CHECK_CONDITION, .sense = {5, 0x55, 4}};
    assert_true(run(REGISTER(0, KEY))->unknown);
    assert_registrations(5, 7);
    instead.times = 0;
    run((struct paths_command){.repair = true});
    assert_registrations(7, 7);

    /* Fenced, and of a map whose memory is lost. */
    other(SPC_PROUT_REGISTER, 0, 0, OTHER);
    other(SPC_PROUT_PREEMPT, 5, OTHER, KEY);
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_RESERVATION_CONFLICT);
    assert_registrations(0, 7);
    assert_status(run(REGISTER(0, KEY)), SPC_STATUS_GOOD);
    memset(&memory, 0, sizeof(memory));
    assert_status(run(RESERVE(5, KEY)), SPC_STATUS_GOOD);
    assert_registrations(7, 7);
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(paths_reason_text(PATHS_REASON_NONE), "");
    for (unsigned reason = 1; reason < PATHS_REASONS; reason++) {
        const char *text = paths_reason_text((enum paths_reason)reason);

        assert_true(strlen(text) > 20);
        assert_true(text[strlen(text) - 1] != '.');
        for (unsigned other_reason = 1; other_reason < reason; other_reason++)
            assert_string_not_equal(text, paths_reason_text((enum paths_reason)other_reason));
    }
    assert_string_equal(paths_reason_text(PATHS_REASONS), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_of_maps),
        cmocka_unit_test(test_bytes_of_a_registration),
        cmocka_unit_test(test_aptpl_is_not_known),
        cmocka_unit_test(test_a_path_that_speaks_for_itself),
        cmocka_unit_test(test_what_is_repeated),
        cmocka_unit_test(test_what_the_target_refuses),
        cmocka_unit_test(test_an_attention_is_told_once),
        cmocka_unit_test(test_commands_that_a_map_does_not_serve),
        cmocka_unit_test(test_nothing_is_sent_for_nothing),
        cmocka_unit_test(test_a_registration_for_every_port),
        cmocka_unit_test(test_answers_that_cannot_be_read),
        cmocka_unit_test(test_multipathd_is_silent),
        cmocka_unit_test(test_a_reinstatement_is_due),
        cmocka_unit_test(test_the_first_word_is_lost),
        cmocka_unit_test(test_a_repair_without_a_look),
        cmocka_unit_test(test_multipathd_refuses),
        cmocka_unit_test(test_a_conflict_is_no_fence),
        cmocka_unit_test(test_the_deadline),
        cmocka_unit_test(test_journal_bytes),
        cmocka_unit_test(test_registrations),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
