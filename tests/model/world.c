// SPDX-License-Identifier: LGPL-2.1-or-later
/* The steps of a run: what can happen next in a state. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi/sense.h"

const struct setting *setting;
struct paths_map world_map;
bool telling, emitting_noise;
char said[512];
uint64_t row_count[ROWS][4];

const char *const row_text[ROWS] = {
    [1] = "one path has another key or none; REGISTER K->N",
    [2] = "holding path down; REGISTER ->0",
    [3] = "another path down; REGISTER ->0",
    [4] = "holding path down; REGISTER K->N",
    [5] = "RESERVE again, the holding path is not the first",
    [6] = "first path unregistered; RESERVE, PREEMPT, CLEAR",
    [7] = "PREEMPT of the own key without a reservation",
    [8] = "RELEASE of types 7 and 8",
    [9] = "RELEASE with a wrong key while the map holds",
    [10] = "RELEASE of another type",
    [11] = "RELEASE, holding path down",
    [12] = "PREEMPT of the own key, types 7 and 8",
    [13] = "PREEMPT of the own key, held by the map, another type",
    [14] = "two of three paths down; PREEMPT of another key",
    [15] = "PREEMPT of the own key, held by another host that shares it",
    [16] = "registrations are shared, or no READ FULL STATUS; PREEMPT of the own key",
    [17] = "a path returns while the map is narrowed to another",
    [18] = "a path that was failed on purpose goes, and returns unnoticed",
    [19] = "a path that was reinstated while away returns before multipathd looks; then or next",
};

void say(const char *format, ...)
{
    size_t length = strlen(said);
    va_list arguments;

    if (!telling)
        return;
    if (length > 0 && length + 2 < sizeof(said)) {
        memcpy(said + length, "; ", 3);
        length += 2;
    }
    va_start(arguments, format);
    vsnprintf(said + length, sizeof(said) - length, format, arguments);
    va_end(arguments);
}

static const char *action_text(struct prcommand command)
{
    static const char *const names[] = {
        "REGISTER",           "RESERVE", "RELEASE", "CLEAR", "PREEMPT", "PREEMPT AND ABORT",
        "REGISTER AND IGNORE"};
    static char text[4][80];
    static unsigned turn;
    char *out = text[turn++ % 4];

    if (command.action == SPC_PROUT_REGISTER ||
        command.action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY)
        snprintf(out, 80, "%s %d->%d", names[command.action], command.key, command.sa_key);
    else if (command.action == SPC_PROUT_PREEMPT)
        snprintf(out, 80, "PREEMPT of %d with %d, type %d", command.sa_key, command.key,
                 command.type);
    else if (command.action == SPC_PROUT_CLEAR)
        snprintf(out, 80, "CLEAR with %d", command.key);
    else
        snprintf(out, 80, "%s with %d, type %d", names[command.action], command.key, command.type);
    return out;
}

static const char *status_text(uint8_t status)
{
    return status == SPC_STATUS_GOOD                   ? "GOOD"
           : status == SPC_STATUS_RESERVATION_CONFLICT ? "RESERVATION CONFLICT"
           : status == SPC_STATUS_BUSY                 ? "BUSY"
                                                       : "CHECK CONDITION";
}

const char *fault_text(enum fault fault)
{
    static const char *const texts[FAULTS] = {
        [FAULT_NONE] = "none",
        [FAULT_ANSWER] = "impossible-answer",
        [FAULT_STATE] = "state-after-answer",
        [FAULT_UNSAFE] = "unsafe-write",
        [FAULT_DENIED] = "denied-write",
        [FAULT_UNSAFE_FRESH] = "unsafe-write-by-returned",
        [FAULT_DENIED_FRESH] = "denied-write-by-returned",
        [FAULT_UNSAFE_LASTING] = "lasting-unsafe-write",
        [FAULT_DENIED_LASTING] = "lasting-denied-write",
        [FAULT_OTHER] = "other-host-answer",
        [FAULT_OTHER_UNSAFE] = "other-host-unsafe",
        [FAULT_OTHER_DENIED] = "other-host-denied",
        [FAULT_NEEDLESS] = "needless-refusal",
        [FAULT_FAILED] = "left-failed",
    };

    return texts[fault];
}

/* The class of what no rule keeps to which this run belongs; "" if to none. */
const char *world_class(const struct world *world, enum fault fault)
{
    static const struct {
        uint16_t mark;
        const char *name;
    } classes[] = {
        {MARK_ABSENT_KEY, "absent-key"},
        {MARK_CRASH, "crash"},
        {MARK_PREEMPT_LOST, "preempt-unanswered"},
        {MARK_DAEMON_COUNT, "daemon-count"},
        {MARK_DAEMON_CLEARED, "daemon-cleared"},
        {MARK_DAEMON_REVIVED, "daemon-revived"},
        {MARK_DAEMON_CHANGED, "daemon-changed"},
        {MARK_DAEMON_WINDOW, "daemon-window"},
        {MARK_FENCE_BACK, "daemon-fence-back"},
        {MARK_FENCE_NEW_KEY, "fence-of-new-key"},
        {MARK_FENCE_IN_HANG, "fence-while-hung"},
        {MARK_FENCE_IN_COMMAND, "fence-in-command"},
        {MARK_FENCE_UNREPAIRED, "fence-unrepaired"},
        {MARK_SHARER_CAME, "sharer-came"},
    };

    static const uint16_t fences = MARK_FENCE_IN_COMMAND | MARK_FENCE_NEW_KEY | MARK_FENCE_IN_HANG |
                                   MARK_FENCE_UNREPAIRED | MARK_SHARER_CAME | MARK_LATE;

    if (world->excused)
        return "irregular-start";
    if (fault == FAULT_DENIED &&
        (world->active ? &world->engine.memory : &world->memory)->aim == PATHS_AIM_WITHDRAW)
        return "write-while-unregistering";
    /* The reservation is held by the paths that are registered, and not by the others yet. */
    if (fault == FAULT_DENIED && world->lun.type >= SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS &&
        (world->active ? &world->engine.memory : &world->memory)->aim == PATHS_AIM_LEVEL)
        return "write-while-registering";
    /* A guest that has just been migrated in does not run yet. */
    if (fault == FAULT_DENIED && world->migrated)
        return "guest-migrated-in";
    if (fault == FAULT_DENIED_FRESH)
        return "returned-unregistered";
    /* A fence takes nothing from another host. */
    if ((fault == FAULT_STATE || fault == FAULT_OTHER_DENIED) && world->marks & MARK_SHARER_CAME &&
        !(world->marks & ~fences))
        return "sharer-came";
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (world->marks & classes[i].mark)
            return classes[i].name;
    if (fault == FAULT_UNSAFE_FRESH && setting->multipathd != PATHS_MULTIPATHD_NEW)
        return "returned-registered";
    if ((setting->quirks.no_full_status || setting->quirks.swapped_keys) &&
        setting->quirks.group[1] == 0 && world->memory.twin[1] == 0 && setting->other_key[0] == 1)
        return "unseen-twins";
    return "";
}

void world_describe(const struct world *world, char *text, size_t size)
{
    size_t at = 0;

#define PUT(...) at += (size_t)snprintf(text + at, at < size ? size - at : 0, __VA_ARGS__)
    PUT("A[");
    for (unsigned path = 0; path < setting->paths; path++)
        PUT("%d%s", world->lun.key[path],
            world->path[path] == PATH_DOWN   ? (world->pending >> path & 1 ? "h" : "x")
            : world->path[path] == PATH_BACK ? "b"
            : world->failed >> path & 1      ? "f"
                                             : "");
    PUT("] B[");
    for (unsigned other = 0; other < setting->nexuses; other++)
        PUT("%d", world->lun.key[setting->paths + other]);
    PUT("]");
    if (world->lun.type && world->lun.holder >= setting->paths)
        PUT(" type %d by B%d", world->lun.type, world->lun.holder - setting->paths);
    else if (world->lun.type && world->lun.holder >= 0)
        PUT(" type %d by A%d", world->lun.type, world->lun.holder);
    else if (world->lun.type)
        PUT(" type %d", world->lun.type);
    PUT(" mpd(%d%s)", world->daemon.key, world->daemon.set ? ",set" : "");
    PUT(" aim %d key %d had %x/%x |", world->active ? world->engine.memory.aim : world->memory.aim,
        (int)(world->active ? world->engine.memory.key : world->memory.key),
        (unsigned)(world->active ? world->engine.memory.had : world->memory.had),
        (unsigned)(world->active ? world->engine.memory.expected : world->memory.expected));
    for (unsigned i = 0; i < world->ideals; i++) {
        const struct ideal *ideal = &world->ideal[i];

        PUT(" {A%d B%d%d", ideal->lun.key[0], ideal->lun.key[1], ideal->lun.key[2]);
        if (ideal->lun.type)
            PUT(" t%d", ideal->lun.type);
        if (ideal->lun.type && ideal->lun.holder >= 0)
            PUT("%s", ideal->lun.holder == 0 ? "A" : "B");
        PUT("%s", ideal->phase == PHASE_PENDING    ? " pending"
                  : ideal->phase == PHASE_EXECUTED ? " done"
                                                   : "");
        if (ideal->late.key || ideal->late.sa_key || ideal->late.action)
            PUT(" late");
        PUT("}");
    }
#undef PUT
}

/* Nothing is under way. */
static bool is_quiet(const struct world *world)
{
    return !world->active && !world->pending && !world->look_due && !daemon_busy(world) &&
           world->daemon.due == 0 && !paths_unfinished(&world->memory);
}

/* READ KEYS is next, to be compared with a READ FULL STATUS: a change between the two is seen. */
static bool is_compared(const struct world *world)
{
    const struct paths_step *step = &world->engine.step;

    return step->kind == PATHS_STEP_SEND && step->parameters_length == 0 &&
           (step->cdb[1] & CDB_SERVICE_ACTION_MASK) == SPC_PRIN_READ_KEYS;
}

static void emit_checked(struct world *next, enum fault fault, world_emit *emit, void *context)
{
    if (!next->active || (!setting->quirks.no_full_status && !is_compared(next)))
        next->generation = 0;
    if (fault == FAULT_NONE)
        fault = oracle_access(next);
    if (is_quiet(next))
        fault = fault == FAULT_UNSAFE || fault == FAULT_UNSAFE_FRESH   ? FAULT_UNSAFE_LASTING
                : fault == FAULT_DENIED || fault == FAULT_DENIED_FRESH ? FAULT_DENIED_LASTING
                                                                       : fault;
    /* The map is as a nexus would be, and nothing is under way: what has happened explains no more.
     */
    if (fault == FAULT_NONE && is_quiet(next) && next->fresh == 0 && oracle_agrees_wholly(next))
        next->marks &= setting->forgets ? MARK_CRASH : 0;
    emit(next, fault, context);
    said[0] = '\0';
}

static void copy(struct world *to, const struct world *from)
{
    memcpy(to, from, sizeof(*to));
}

/* The engine's command is over. */
static void end_command(struct world *world)
{
    world->memory = world->engine.memory;
    world->journal = world->memory;
    memset(&world->engine, 0, sizeof(world->engine));
    world->active = world->repairing = false;
    world->asked = 0;
    world->in_flight = 0;
}

static void count_row(const struct world *world, const struct paths_reply *reply)
{
    unsigned column = reply->unknown                               ? 3
                      : reply->status == SPC_STATUS_BUSY           ? 2
                      : reply->reason == PATHS_REASON_NOT_NARROWED ? 2
                      : reply->status == SPC_STATUS_GOOD           ? 0
                                                                   : 1;

    if (world->row)
        row_count[world->row][column]++;
}

/*
 * Whether a command could have been carried out: RESERVE, PREEMPT of another key and CLEAR by any
 * path, the others with all of them. A map cannot be narrowed without multipathd.
 */
static bool can_be_served(const struct world *world)
{
    unsigned up = 0;

    for (unsigned path = 0; path < setting->paths; path++)
        up += world->path[path] == PATH_UP;
    switch (world->command.action) {
    case SPC_PROUT_RESERVE:
    case SPC_PROUT_CLEAR:
        return up > 0;
    case SPC_PROUT_PREEMPT:
        return up == setting->paths || (up > 0 && world->command.key != world->command.sa_key &&
                                        world->command.sa_key != 0);
    default:
        return up == setting->paths;
    }
}

/*
 * Commands that must not wait for multipathd: fencing above all. RELEASE only by the path that
 * holds the reservation.
 */
static bool goes_on_without_daemon(const struct world *world)
{
    switch (world->command.action) {
    case SPC_PROUT_RESERVE:
        return true;
    case SPC_PROUT_RELEASE:
        return world->lun.holder < 0 || world->lun.holder >= setting->paths ||
               world->path[world->lun.holder] == PATH_UP;
    case SPC_PROUT_PREEMPT:
        return world->command.sa_key != 0 && world->command.sa_key != world->command.key;
    default:
        return false;
    }
}

static bool is_needless(const struct paths_reply *reply)
{
    if (reply->reason == PATHS_REASON_NOT_NARROWED)
        return setting->multipathd != PATHS_MULTIPATHD_NONE && !setting->refuses;
    /* What another host did before the command may only be seen now. */
    if (reply->reason == PATHS_REASON_FENCED)
        return false;
    return reply->unknown || reply->status == SPC_STATUS_BUSY;
}

/*
 * An unregistration is finished later, though that is known before: from 0.13 on what an absent
 * path has, and another host too, goes when the path returns.
 */
static bool is_finished_later(const struct world *world)
{
    bool registers = world->command.action == SPC_PROUT_REGISTER ||
                     world->command.action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY;

    for (unsigned path = 0; path < setting->paths; path++)
        for (unsigned other = 0; other < setting->nexuses; other++)
            if (registers && !setting->refuses && world->command.sa_key == 0 &&
                world->path[path] == PATH_DOWN && world->lun.key[path] != 0 &&
                world->lun.key[path] == world->lun.key[setting->paths + other])
                return true;
    return false;
}

static enum fault end_with(struct world *world, const struct paths_reply *reply)
{
    bool repairing = world->repairing;
    enum fault fault;

    end_command(world);
    if (repairing) {
        world->look_due |= reply->status != SPC_STATUS_GOOD;
        if (!world->look_due && !paths_unfinished(&world->memory) && !daemon_busy(world))
            world->fresh = 0;
        world->migrated &= paths_unfinished(&world->memory);
        oracle_settled(world);
        say("the repair ends, %s", paths_unfinished(&world->memory) ? "not finished" : "finished");
        return FAULT_NONE;
    }
    say("A is answered %s%s (%s)", reply->unknown ? "UNKNOWN" : status_text(reply->status),
        reply->status == SPC_STATUS_CHECK_CONDITION && !reply->unknown ? " 5/26" : "",
        paths_reason_text(reply->reason));
    world->migrated &= paths_unfinished(&world->memory);
    count_row(world, reply);
    world->row = 0;
    fault = oracle_answer(world, reply);
    if (fault == FAULT_NONE && world->quiet && is_needless(reply))
        fault = FAULT_NEEDLESS;
    /* What could not be done was known before anything was sent. */
    if (fault == FAULT_NONE && world->smooth && reply->unknown &&
        reply->reason != PATHS_REASON_FENCED && !is_finished_later(world))
        fault = FAULT_NEEDLESS;
    world->quiet = world->smooth = false;
    if (fault == FAULT_NONE && world->failed && world->pending == 0 &&
        !paths_unfinished(&world->memory))
        fault = FAULT_FAILED;
    if (fault == FAULT_NONE && !reply->unknown && reply->status != SPC_STATUS_BUSY &&
        reply->reason == PATHS_REASON_NONE) {
        world->excused = reply->status == SPC_STATUS_GOOD &&
                                 (world->command.action == SPC_PROUT_REGISTER ||
                                  world->command.action == 6)
                             ? 0
                             : world->excused;
        if (world->pending == 0 && world->fresh == 0 && !paths_unfinished(&world->memory) &&
            !daemon_busy(world) && oracle_access(world) == FAULT_NONE &&
            oracle_agrees_wholly(world))
            world->marks &= setting->forgets ? MARK_CRASH : 0;
    }
    return fault;
}

/* The worker does not ask a path again that has answered this command: see steps_ask() there. */
static void note_asked(struct world *world, const struct paths_outcome *outcome)
{
    const struct paths_step *step = &world->engine.step;
    uint8_t action = step->cdb[1] & CDB_SERVICE_ACTION_MASK;

    if (step->kind == PATHS_STEP_ASK)
        world->asked = (uint8_t)outcome->answered;
    else if (step->kind == PATHS_STEP_SEND &&
             (outcome->end != PATHS_DONE ||
              (outcome->status == SPC_STATUS_CHECK_CONDITION && sense_is_of_path(outcome->sense)) ||
              (step->parameters_length > 0 &&
               (action == SPC_PROUT_RELEASE || action == SPC_PROUT_CLEAR ||
                action == SPC_PROUT_PREEMPT || action == SPC_PROUT_PREEMPT_AND_ABORT))))
        world->asked = 0;
}

static void feed(struct world *world, const struct paths_outcome *outcome)
{
    if (setting->trusts)
        note_asked(world, outcome);
    world->engine.map = &world_map;
    paths_feed(&world->engine, outcome);
    world->engine.map = NULL;
}

static uint64_t answering(const struct world *world)
{
    uint64_t set = 0;

    for (unsigned path = 0; path < setting->paths; path++)
        if (world->path[path] != PATH_DOWN && !(world->pending >> path & 1))
            set |= (uint64_t)1 << path;
    return set;
}

static struct prcommand decode(const struct paths_step *step)
{
    return (struct prcommand){.action = step->cdb[1] & 0x1f,
                              .key = (uint8_t)load_be64(step->parameters),
                              .sa_key = (uint8_t)load_be64(step->parameters + 8),
                              .type = step->cdb[2] & 0xf};
}

static void outcome_status(struct paths_outcome *outcome, uint8_t status, uint16_t asc)
{
    outcome->end = PATHS_DONE;
    outcome->status = status;
    if (status == SPC_STATUS_CHECK_CONDITION)
        outcome->sense = SPC_SENSE(SPC_SENSE_ILLEGAL_REQUEST, asc >> 8, asc & 0xff);
}

static void expand_read(const struct world *world, world_emit *emit, void *context)
{
    const struct paths_step *step = &world->engine.step;
    struct paths_outcome outcome = {.end = PATHS_REFUSED};
    static uint8_t data[1024];
    struct world next;

    copy(&next, world);
    say("engine: PERSISTENT RESERVE IN %d by A%u", step->cdb[1], step->path);
    if (answering(world) >> step->path & 1) {
        int length = target_read(&setting->quirks, &world->lun, step->path, step->cdb[1] & 0x1f,
                                 world->generation, data, sizeof(data));

        if (length < 0) {
            outcome_status(&outcome, SPC_STATUS_CHECK_CONDITION, 0x2400);
        } else {
            outcome.end = PATHS_DONE;
            outcome.data = data;
            outcome.length = (size_t)length;
        }
    }
    feed(&next, &outcome);
    emit_checked(&next, FAULT_NONE, emit, context);
}

/* What a command is sent again for, as often as this at least. */
#define NOISE_ENDURED 3
static bool is_passing(const struct paths_outcome *outcome)
{
    return outcome->status != SPC_STATUS_CHECK_CONDITION ||
           (outcome->sense.key == SPC_SENSE_UNIT_ATTENTION && outcome->sense.asc != 0x2a);
}

/* The command is not executed: what a path or the device server may say instead. */
static void expand_noise(const struct world *world, world_emit *emit, void *context)
{
    static const struct {
        uint8_t status;
        struct spc_sense sense;
        const char *text;
    } noises[] = {
        {SPC_STATUS_BUSY, {0}, "BUSY"},
        {SPC_STATUS_TASK_SET_FULL, {0}, "TASK SET FULL"},
        {SPC_STATUS_CHECK_CONDITION, {2, 0x04, 0x0c}, "2/04/0C, port group unavailable"},
        {SPC_STATUS_CHECK_CONDITION, {5, 0x25, 0x00}, "5/25/00, not mapped there"},
        {SPC_STATUS_CHECK_CONDITION, {5, 0x94, 0x01}, "5/94/01, not the owner"},
        {SPC_STATUS_CHECK_CONDITION, {6, 0x29, 0x00}, "6/29/00, reset"},
        {SPC_STATUS_CHECK_CONDITION, {6, 0x2a, 0x05}, "6/2A/05, registrations preempted"},
    };
    const struct paths_step *step = &world->engine.step;
    struct world next;

    if (!setting->noise || world->events == 0)
        return;
    emitting_noise = true;
    for (size_t i = 0; i < sizeof(noises) / sizeof(noises[0]); i++) {
        struct paths_outcome outcome = {
            .end = PATHS_DONE, .status = noises[i].status, .sense = noises[i].sense};

        copy(&next, world);
        next.events--;
        /* A few of these go by without being noticed. */
        if (setting->events > NOISE_ENDURED || !is_passing(&outcome))
            next.quiet = false;
        next.smooth = false;
        say("engine: opcode %x by A%u: %s", step->cdb[0], step->path, noises[i].text);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
    }
    if (step->parameters_length == 0) {
        static uint8_t data[40];
        struct paths_outcome outcome = {.end = PATHS_DONE, .data = data};

        for (unsigned i = 0; i < 3; i++) {
            copy(&next, world);
            next.events--;
            next.quiet = next.smooth = false;
            memset(data, 0xff, sizeof(data));
            outcome.length = i == 0 ? 3 : sizeof(data);
            if (i == 2)
                store_be32(data + 4, 0x1000);
            say("engine: reading by A%u: an answer that cannot be understood", step->path);
            feed(&next, &outcome);
            emit_checked(&next, FAULT_NONE, emit, context);
        }
        copy(&next, world);
        next.events--;
        next.quiet = next.smooth = false;
        next.path[step->path] = PATH_DOWN;
        outcome = (struct paths_outcome){.end = PATHS_LOST};
        say("engine: reading by A%u: no answer", step->path);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
    }
    emitting_noise = false;
}

static void note_change(struct world *world, struct prcommand command, uint8_t status)
{
    if (status == SPC_STATUS_GOOD && command.action != SPC_PROUT_RESERVE &&
        command.action != SPC_PROUT_RELEASE)
        world->generation++;
}

/* A write that is in flight on a path which was failed finds it unregistered. */
static bool meets_gap(const struct world *world, const struct lun *after)
{
    for (unsigned path = 0; path < setting->paths; path++)
        if (world->in_flight >> path & 1 && target_may_write(&setting->quirks, &world->lun, path) &&
            !target_may_write(&setting->quirks, after, path))
            return true;
    return false;
}

static void expand_send(const struct world *world, world_emit *emit, void *context)
{
    const struct paths_step *step = &world->engine.step;
    struct prcommand command = decode(step);
    struct paths_outcome outcome = {.end = PATHS_REFUSED};
    unsigned path = step->path;
    struct world next;
    uint16_t asc = 0;
    uint8_t status;

    if (!(answering(world) >> path & 1)) {
        copy(&next, world);
        say("engine: %s by A%u: the path is away", action_text(command), path);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
        return;
    }
    copy(&next, world);
    status = target_execute(&setting->quirks, &next.lun, path, command, &asc);
    note_change(&next, command, status);
    say("engine: %s by A%u: %s", action_text(command), path, status_text(status));
    outcome_status(&outcome, status, asc);
    feed(&next, &outcome);
    emit_checked(&next, meets_gap(world, &next.lun) ? FAULT_DENIED : FAULT_NONE, emit, context);
    if (world->events == 0)
        return;

    memset(&outcome, 0, sizeof(outcome));
    outcome.end = PATHS_LOST;
    copy(&next, world);
    if (command.action == SPC_PROUT_PREEMPT && world->command.action != SPC_PROUT_PREEMPT)
        next.marks |= MARK_PREEMPT_LOST;
    status = target_execute(&setting->quirks, &next.lun, path, command, &asc);
    note_change(&next, command, status);
    next.events--;
    next.quiet = next.smooth = false;
    next.path[path] = PATH_DOWN;
    say("engine: %s by A%u: executed, but the path fails and no answer comes", action_text(command),
        path);
    feed(&next, &outcome);
    emit_checked(&next, FAULT_NONE, emit, context);

    copy(&next, world);
    if (command.action == SPC_PROUT_PREEMPT && world->command.action != SPC_PROUT_PREEMPT)
        next.marks |= MARK_PREEMPT_LOST;
    next.events--;
    next.quiet = next.smooth = false;
    next.path[path] = PATH_DOWN;
    next.pending |= (uint8_t)(1 << path);
    next.hanging[path] = command;
    say("engine: %s by A%u: hangs", action_text(command), path);
    feed(&next, &outcome);
    emit_checked(&next, FAULT_NONE, emit, context);
}

static void expand_tell(const struct world *world, world_emit *emit, void *context)
{
    const struct paths_step *step = &world->engine.step;
    struct paths_outcome outcome = {.end = PATHS_DONE};
    struct world next;

    if (setting->silences && world->events > 0) {
        copy(&next, world);
        next.events--;
        next.quiet &= goes_on_without_daemon(&next);
        next.smooth = false;
        outcome.end = PATHS_LOST;
        say("engine: multipathd does not answer message %d, nor do anything", step->tell);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
        if (step->tell != PATHS_TELL_GETPRSTATUS && !daemon_busy(world)) {
            struct paths_outcome unheard;

            copy(&next, world);
            next.events--;
            next.quiet = next.smooth = false;
            daemon_tell(&next, step, &unheard);
            say("and does not answer");
            feed(&next, &outcome);
            emit_checked(&next, FAULT_NONE, emit, context);
        }
    }
    if (daemon_busy(world))
        return; /* its socket waits */
    copy(&next, world);
    outcome.end = PATHS_DONE;
    if (setting->refuses && step->tell != PATHS_TELL_GETPRSTATUS) {
        say("engine: multipathd says fail to message %d", step->tell);
        outcome.end = PATHS_REFUSED;
    } else {
        daemon_tell(&next, step, &outcome);
    }
    if (step->tell == PATHS_TELL_FAIL && outcome.end == PATHS_DONE)
        next.in_flight |= (uint8_t)step->paths;
    if (step->tell == PATHS_TELL_REINSTATE)
        next.in_flight &= (uint8_t)~step->paths;
    feed(&next, &outcome);
    emit_checked(&next, FAULT_NONE, emit, context);
}

static void expand_engine(const struct world *world, world_emit *emit, void *context)
{
    const struct paths_step *step = &world->engine.step;
    struct paths_outcome outcome = {.end = PATHS_DONE};
    struct paths_reply reply;
    struct world next;

    switch (step->kind) {
    case PATHS_STEP_ASK:
        copy(&next, world);
        outcome.answered = answering(world) | (world->asked & step->paths);
        say("engine asks all paths: %x answer", (unsigned)outcome.answered);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
        if (setting->noise && world->events > 0) {
            emitting_noise = true;
            copy(&next, world);
            next.events--;
            next.quiet = next.smooth = false;
            outcome.sense = SPC_RESERVATIONS_PREEMPTED;
            say("engine asks all paths: %x answer, one after 6/2A/03", (unsigned)outcome.answered);
            feed(&next, &outcome);
            emit_checked(&next, FAULT_NONE, emit, context);
            emitting_noise = false;
        }
        break;
    case PATHS_STEP_SEND:
        if (answering(world) >> step->path & 1)
            expand_noise(world, emit, context);
        if (step->parameters_length == 0)
            expand_read(world, emit, context);
        else
            expand_send(world, emit, context);
        break;
    case PATHS_STEP_TELL:
        expand_tell(world, emit, context);
        break;
    case PATHS_STEP_DRAIN:
        if (setting->silences && world->events > 0) {
            outcome.end = PATHS_LOST;
            copy(&next, world);
            next.events--;
            next.quiet = next.smooth = false;
            say("engine: a write is still in flight on %x after a second", (unsigned)step->paths);
            feed(&next, &outcome);
            emit_checked(&next, FAULT_NONE, emit, context);
            outcome.end = PATHS_DONE;
        }
        copy(&next, world);
        next.in_flight &= (uint8_t)~step->paths;
        say("engine: nothing is in flight on %x", (unsigned)step->paths);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
        break;
    case PATHS_STEP_JOURNAL:
        copy(&next, world);
        next.journal = next.engine.memory;
        say("engine writes: aim %d, key %d, had %x, failed %x", next.journal.aim,
            (int)next.journal.key, (unsigned)next.journal.had, (unsigned)next.journal.failed);
        feed(&next, &outcome);
        emit_checked(&next, FAULT_NONE, emit, context);
        break;
    case PATHS_STEP_REPLY: {
        enum fault fault;

        copy(&next, world);
        reply = step->reply;
        fault = end_with(&next, &reply);
        emit_checked(&next, fault, emit, context);
        return;
    }
    }
    if (setting->deadlines && world->events > 0) {
        copy(&next, world);
        next.events--;
        next.quiet = next.smooth = false;
        say("the deadline passes");
        paths_give_up(&next.engine);
        emit_checked(&next, FAULT_NONE, emit, context);
    }
    if (setting->crashes && world->events > 0) {
        enum fault fault;

        copy(&next, world);
        next.events--;
        next.marks |= MARK_CRASH;
        next.quiet = next.smooth = false;
        say("the worker is killed");
        reply = (struct paths_reply){.status = SPC_STATUS_CHECK_CONDITION, .unknown = true};
        next.engine.memory = next.journal;
        if (setting->forgets)
            memset(&next.engine.memory, 0, sizeof(next.engine.memory));
        fault = end_with(&next, &reply);
        emit_checked(&next, fault, emit, context);
    }
}

static bool named(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; at && *at;) {
        const char *end = strchr(at, ',');
        size_t size = end ? (size_t)(end - at) : strlen(at);

        if (size == length && strncmp(at, name, size) == 0)
            return true;
        at = end ? end + 1 : at + size;
    }
    return false;
}

static unsigned usable_count(const struct world *world)
{
    unsigned found = 0;

    for (unsigned path = 0; path < setting->paths; path++)
        found += world->path[path] != PATH_DOWN;
    return found;
}

static uint8_t row_of(const struct world *world)
{
    struct prcommand c = world->command;
    const struct lun *lun = &world->lun;
    bool ours = lun->type && lun->holder >= 0 && lun->holder < setting->paths;
    bool away = ours && world->path[lun->holder] == PATH_DOWN;
    bool registering = c.action == SPC_PROUT_REGISTER || c.action == 6;
    bool all = lun->type == 7 || lun->type == 8;
    bool mixed = false;

    for (unsigned path = 1; path < setting->paths; path++)
        mixed |= lun->key[path] != lun->key[0];
    if (c.action == SPC_PROUT_PREEMPT && c.key == c.sa_key &&
        lun->key[setting->paths - 1] == c.key) {
        if (setting->quirks.no_full_status ||
            setting->quirks.group[setting->paths - 1] != setting->paths - 1)
            return 16;
        if (all)
            return 12;
        if (ours)
            return lun->type != c.type ? 13 : 0;
        return lun->type && lun->key[lun->holder] == c.key ? 15 : 7;
    }
    if (registering && c.sa_key == 0)
        return away ? 2 : usable_count(world) < setting->paths && lun->key[0] ? 3 : 0;
    if (registering && c.key && c.sa_key != c.key)
        return mixed ? 1 : away ? 4 : 0;
    if (c.action == SPC_PROUT_RELEASE) {
        if (ours && lun->key[lun->holder] != c.key)
            return 9;
        if (lun->type && lun->type != c.type && (ours || all))
            return 10;
        if (away)
            return 11;
        if (all)
            return 8;
    }
    if (c.action == SPC_PROUT_RESERVE && ours && lun->holder > 0 && lun->type == c.type)
        return 5;
    if (lun->key[0] == 0 && lun->key[setting->paths - 1] &&
        (c.action == SPC_PROUT_RESERVE || c.action == SPC_PROUT_PREEMPT ||
         c.action == SPC_PROUT_CLEAR))
        return 6;
    if (c.action == SPC_PROUT_PREEMPT && setting->paths == 3 && usable_count(world) == 1)
        return 14;
    return 0;
}

static void begin_command(struct world *world, const struct paths_command *command)
{
    world->active = true;
    world->asked = 0;
    world->repairing = command->repair;
    world->look_due &= !command->repair;
    paths_begin(&world->engine, &world_map, &world->memory, command);
    world->engine.map = NULL;
}

static const struct {
    const char *name;
    struct prcommand command; /* type 1: the setting's first, type 2: its second */
} guest_menu[] = {
    {"reg", {0, 0, 1, 0}},  {"ign", {6, 0, 1, 0}},  {"chg", {0, 1, 2, 0}},  {"chg2", {0, 2, 1, 0}},
    {"ignn", {6, 0, 2, 0}}, {"unr", {0, 1, 0, 0}},  {"unr2", {0, 2, 0, 0}}, {"ign0", {6, 0, 0, 0}},
    {"res", {1, 1, 0, 1}},  {"res2", {1, 2, 0, 1}}, {"rel", {2, 1, 0, 1}},  {"rel2", {2, 2, 0, 1}},
    {"relt", {2, 1, 0, 2}}, {"clr", {3, 1, 0, 0}},  {"pre", {4, 1, 3, 1}},  {"own", {4, 1, 1, 1}},
    {"own2", {4, 1, 1, 2}}, {"zero", {4, 1, 0, 1}},
};

#define KEY_OWN 99
static const struct {
    const char *name;
    struct prcommand command;
} other_menu[] = {
    {"reg", {6, 0, KEY_OWN, 0}},  {"unr", {6, 0, 0, 0}},       {"res", {1, KEY_OWN, 0, 1}},
    {"rel", {2, KEY_OWN, 0, 1}},  {"clr", {3, KEY_OWN, 0, 0}}, {"pre", {4, KEY_OWN, 1, 1}},
    {"pre2", {4, KEY_OWN, 2, 1}},
};

static uint8_t type_of(uint8_t choice)
{
    return choice == 1 ? setting->type : choice == 2 ? setting->type2 : 0;
}

static void expand_guest(const struct world *world, world_emit *emit, void *context)
{
    struct world next;

    if (world->active || world->pending != 0)
        return; /* the map is BUSY until what hangs has returned */
    if ((world->look_due || paths_unfinished(&world->memory)) && answering(world) != 0) {
        copy(&next, world);
        say("worker: repair");
        begin_command(&next, &(struct paths_command){.repair = true});
        emit_checked(&next, FAULT_NONE, emit, context);
    }
    if (world->guest_left == 0)
        return;
    for (size_t i = 0; i < sizeof(guest_menu) / sizeof(guest_menu[0]); i++) {
        struct paths_command command;

        if (!named(setting->guest, guest_menu[i].name))
            continue;
        copy(&next, world);
        next.guest_left--;
        next.command = guest_menu[i].command;
        next.command.type = type_of(next.command.type);
        if (row_of(&next) != 0)
            next.row = row_of(&next);
        next.migrated = (next.migrated && paths_unfinished(&next.memory)) ||
                        (next.command.action == SPC_PROUT_PREEMPT &&
                         next.command.key == next.command.sa_key &&
                         next.lun.holder >= setting->paths);
        say("A's guest: %s", action_text(next.command));
        command = (struct paths_command){.service_action = next.command.action,
                                         .type = next.command.type,
                                         .key = next.command.key,
                                         .sa_key = next.command.sa_key};
        oracle_command(&next);
        next.quiet = can_be_served(&next) && !setting->quirks.no_full_status &&
                     !setting->quirks.swapped_keys && !next.memory.plain &&
                     next.memory.aim == PATHS_AIM_NONE && !daemon_busy(&next) &&
                     next.daemon.due == 0 && next.fresh == 0;
        next.smooth = next.memory.aim == PATHS_AIM_NONE && !daemon_busy(&next) &&
                      next.daemon.due == 0;
        begin_command(&next, &command);
        emit_checked(&next, FAULT_NONE, emit, context);
    }
}

static void mark_other(struct world *world, const struct lun *before, struct prcommand command)
{
    if (command.action == SPC_PROUT_PREEMPT || command.action == SPC_PROUT_CLEAR) {
        if (daemon_busy(world))
            world->marks |= world->daemon.phase > 0 ? MARK_DAEMON_WINDOW : MARK_FENCE_BACK;
        if (world->active)
            world->marks |= MARK_FENCE_IN_COMMAND;
        if (world->active && command.action == SPC_PROUT_PREEMPT &&
            (command.sa_key == world->command.sa_key || world->lun.type >= 7) &&
            (world->command.action == SPC_PROUT_REGISTER || world->command.action == 6))
            world->marks |= MARK_FENCE_NEW_KEY;
        for (unsigned path = 0; path < setting->paths; path++)
            if ((world->memory.plain || setting->other_key[0] == 1) &&
                before->key[path] == command.sa_key &&
                (world->active || paths_unfinished(&world->memory) ||
                 command.sa_key != world->memory.key) &&
                (world->path[path] == PATH_DOWN || world->fresh >> path & 1))
                world->marks |= MARK_ABSENT_KEY;
        if (world->pending)
            world->marks |= MARK_FENCE_IN_HANG;
        if (!world->active && paths_unfinished(&world->memory))
            world->marks |= MARK_FENCE_UNREPAIRED;
    }
    if ((world->active || world->pending || paths_unfinished(&world->memory)) &&
        ((command.action == 6 && command.sa_key == 1) ||
         (command.action == SPC_PROUT_RESERVE && command.key == 1)))
        world->marks |= MARK_SHARER_CAME;
}

static void expand_others(const struct world *world, world_emit *emit, void *context)
{
    struct world next;

    if (world->others_left == 0)
        return;
    for (unsigned other = 0; other < setting->nexuses; other++) {
        unsigned nexus = setting->paths + other;

        for (size_t i = 0; i < sizeof(other_menu) / sizeof(other_menu[0]); i++) {
            struct prcommand command = other_menu[i].command;
            enum fault fault;
            uint8_t status;

            if (!named(setting->others, other_menu[i].name))
                continue;
            if (command.key == KEY_OWN)
                command.key = world->lun.key[nexus];
            if (command.sa_key == KEY_OWN)
                command.sa_key = setting->other_key[other];
            if (command.key == 0 && command.action != 6)
                continue;
            command.type = type_of(command.type);
            copy(&next, world);
            status = target_execute(&setting->quirks, &next.lun, nexus, command, NULL);
            if (status != SPC_STATUS_GOOD && world->ideals == 1)
                continue;
            next.others_left--;
            next.quiet = next.smooth = false;
            if (status == SPC_STATUS_GOOD) {
                mark_other(&next, &world->lun, command);
                note_change(&next, command, status);
            }
            say("B%u: %s: %s", other, action_text(command), status_text(status));
            fault = oracle_other(&next, other, command, status);
            emit_checked(&next, fault, emit, context);
        }
    }
}

static void settle(struct world *world, unsigned path)
{
    world->pending &= (uint8_t) ~(1 << path);
    memset(&world->hanging[path], 0, sizeof(world->hanging[path]));
    oracle_settled(world);
}

/* multipathd notices a path that returns, unless it does not look, or not yet. */
static bool is_noticed(const struct world *world, unsigned path)
{
    return setting->multipathd != PATHS_MULTIPATHD_NONE &&
           !((world->daemon.unchecked | world->daemon.due) >> path & 1);
}

static void note_return(struct world *world, unsigned path)
{
    if (world->daemon.due >> path & 1)
        world->row = 19;
    else if (world->active && world->daemon.unchecked >> path & 1)
        world->row = 18;
    else if (world->active && world->daemon.unchecked != 0)
        world->row = 17;
}

static void expand_paths(const struct world *world, world_emit *emit, void *context)
{
    struct world next;

    for (unsigned path = 0; path < setting->paths; path++) {
        if (world->path[path] == PATH_UP && world->events > 0) {
            copy(&next, world);
            next.events--;
            next.path[path] = PATH_DOWN;
            next.quiet = next.smooth = false;
            say("path A%u goes down", path);
            emit_checked(&next, FAULT_NONE, emit, context);
        }
        if (world->path[path] == PATH_DOWN && !(world->pending >> path & 1) &&
            (setting->returns || !world->active)) {
            copy(&next, world);
            next.quiet = next.smooth = false;
            next.look_due = true;
            next.fresh |= (uint8_t)(1 << path);
            note_return(&next, path);
            if (!is_noticed(&next, path)) {
                next.path[path] = PATH_UP;
            } else {
                next.path[path] = PATH_BACK;
                daemon_returned(&next, path);
            }
            say("path A%u returns", path);
            emit_checked(&next, FAULT_NONE, emit, context);
            if (setting->blips && is_noticed(world, path)) {
                copy(&next, world);
                next.look_due = true;
                next.fresh |= (uint8_t)(1 << path);
                next.path[path] = PATH_UP;
                say("path A%u returns, which multipathd does not notice", path);
                emit_checked(&next, FAULT_NONE, emit, context);
            }
        }
        if (world->pending >> path & 1) {
            copy(&next, world);
            note_change(
                &next, world->hanging[path],
                target_execute(&setting->quirks, &next.lun, path, world->hanging[path], NULL));
            next.marks |= MARK_LATE;
            settle(&next, path);
            say("late: %s by A%u is executed", action_text(world->hanging[path]), path);
            emit_checked(&next, FAULT_NONE, emit, context);
            copy(&next, world);
            settle(&next, path);
            say("late: %s by A%u is dropped", action_text(world->hanging[path]), path);
            emit_checked(&next, FAULT_NONE, emit, context);
        }
    }
}

void world_expand(const struct world *world, world_emit *emit, void *context)
{
    struct world next;

    said[0] = '\0';
    if (world->active)
        expand_engine(world, emit, context);
    expand_guest(world, emit, context);
    expand_others(world, emit, context);
    expand_paths(world, emit, context);
    if (daemon_busy(world)) {
        copy(&next, world);
        daemon_step(&next);
        emit_checked(&next, FAULT_NONE, emit, context);
        return;
    }
    for (unsigned path = 0; path < setting->paths; path++) {
        if (!(world->daemon.due >> path & 1))
            continue;
        for (int missed = 0; missed <= (int)daemon_may_miss(); missed++) {
            copy(&next, world);
            daemon_look(&next, path, missed);
            emit_checked(&next, FAULT_NONE, emit, context);
        }
    }
}

void world_begin(const struct setting *chosen)
{
    setting = chosen;
    memset(&world_map, 0, sizeof(world_map));
    world_map.count = setting->paths;
    world_map.multipathd = (enum paths_multipathd)setting->multipathd;
    for (unsigned path = 0; path < setting->paths; path++) {
        world_map.path[path].initiator = target_initiator(path);
        world_map.path[path].target_port = target_port(path);
        world_map.path[path].id = paths_nexus_id(&world_map.path[path].initiator,
                                                 world_map.path[path].target_port);
    }
}

static void emit_root(struct world *world, world_emit *emit, void *context)
{
    oracle_begin(world);
    emit_checked(world, FAULT_NONE, emit, context);
}

/* One start: which hosts are registered, and who holds the reservation. */
static void root(bool a, bool b, int holder, world_emit *emit, void *context)
{
    struct world world;
    bool all = setting->type == 7 || setting->type == 8;

    memset(&world, 0, sizeof(world));
    world.lun.holder = -1;
    world.events = setting->events;
    world.guest_left = setting->guest_commands;
    world.others_left = setting->other_commands;
    for (unsigned path = 0; path < setting->paths; path++) {
        world.path[path] = PATH_UP;
        world.lun.key[path] = a;
    }
    for (unsigned other = 0; other < setting->nexuses && b; other++)
        world.lun.key[setting->paths + other] = setting->other_key[other];
    if (holder >= 0) {
        world.lun.type = setting->type;
        world.lun.holder = all ? -1 : (int8_t)holder;
    }
    if (a) {
        world.memory.key = 1;
        world.memory.aptpl_known = true;
        world.memory.had = world.memory.expected = (1u << setting->paths) - 1;
        for (unsigned path = 0; path < setting->paths; path++)
            if (setting->quirks.group[path] != path)
                world.memory.twin[path] = world.memory.twin[setting->quirks.group[path]] =
                    (uint8_t)(setting->quirks.group[path] + 1);
        world.memory.plain = setting->quirks.no_full_status || setting->quirks.swapped_keys;
        world.daemon.key = 1;
        world.daemon.set = world.daemon.ever = setting->multipathd != PATHS_MULTIPATHD_NONE;
    }
    world.journal = world.memory;
    said[0] = '\0';
    say("start");
    emit_root(&world, emit, context);
    if (!setting->irregular || !a || holder == 0)
        return;
    /* As after a restart without a journal, with a path that was never registered. */
    memset(&world.memory, 0, sizeof(world.memory));
    world.journal = world.memory;
    world.lun.key[0] = 0;
    world.excused = 1;
    memset(world.ideal, 0, sizeof(world.ideal));
    say("start: path A0 is not registered");
    emit_root(&world, emit, context);
    world.lun.key[0] = 4;
    memset(world.ideal, 0, sizeof(world.ideal));
    say("start: path A0 has another key");
    emit_root(&world, emit, context);
}

void world_roots(world_emit *emit, void *context)
{
    for (unsigned hosts = 0; hosts < 4; hosts++) {
        bool a = hosts & 1, b = hosts & 2;

        if (b && setting->nexuses == 0)
            continue;
        root(a, b, -1, emit, context);
        if (a)
            root(a, b, 0, emit, context);
        if (a && setting->paths > 1 && setting->type < 7)
            root(a, b, setting->paths - 1, emit, context);
        if (b && setting->type < 7)
            root(a, b, setting->paths, emit, context);
    }
}
