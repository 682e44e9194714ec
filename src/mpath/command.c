// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "mpath/hold.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"

/* A repair has no client that waits. */
#define COMMAND_REPAIR_MS    30000
#define COMMAND_REPAIR_IO_MS 30000
/* For another helper's command on the same map, before a repair that can wait. */
#define COMMAND_REPAIR_LOCK_MS 100

void command_say(struct command *command, const char *format, ...)
{
    char *text = command->answer.text;
    size_t size = sizeof(command->answer.text);
    size_t used = strlen(text);
    va_list arguments;

    used += (size_t)snprintf(text + used, size - used, "%s%s",
                             used ? "; " : command->map->names.name, used ? "" : ": ");
    if (used >= size)
        return;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void command_busy(struct command *command, const char *why)
{
    reply_status(&command->answer.reply, SPC_STATUS_BUSY, 0);
    command_say(command, "%s", why);
}

/* The client's command. False: the answer is known. */
static bool command_decode(struct command *command)
{
    const struct request *request = &command->work->request.request;
    enum prout_result result;
    struct prout prout;
    struct cdb cdb;

    if (request->opcode == WIRE_CLEANUP) {
        command->wanted.service_action = SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY;
        command->is_cleanup = true;
        return true;
    }
    if (request->opcode != SPC_PERSISTENT_RESERVE_OUT) {
        reply_sense(&command->answer.reply, SPC_INVALID_OPERATION_CODE);
        return false;
    }
    cdb_decode(request->cdb, &cdb);
    /* Nothing is known of the parameter list of one that does not exist. */
    if (cdb.service_action > SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY) {
        reply_sense(&command->answer.reply, SPC_INVALID_FIELD_IN_CDB);
        return false;
    }
    result = prout_decode(cdb.service_action, request->data, request->length, &prout);
    if (result != PROUT_OK) {
        reply_sense(&command->answer.reply, prout_sense(result));
        return false;
    }
    command->wanted = (struct paths_command){
        .service_action = cdb.service_action,
        .scope = cdb.scope,
        .type = cdb.type,
        .key = prout.key,
        .sa_key = prout.sa_key,
        .aptpl = prout.aptpl,
        .all_tg_pt = prout.all_tg_pt,
        .spec_i_pt = prout.spec_i_pt,
    };
    return true;
}

static void command_store(struct command *command, const struct paths_memory *memory)
{
    struct map *map = command->map;

    if (journal_store(&map->journal, memory, &command->known, map->path) < 0)
        command->is_forgetful = true;
}

static void command_step(struct command *command, const struct paths_step *step)
{
    struct paths_outcome outcome = {.end = PATHS_DONE};

    switch (step->kind) {
    case PATHS_STEP_ASK:
        steps_ask(command, step, &outcome);
        break;
    case PATHS_STEP_SEND:
        steps_send(command, step, &outcome);
        break;
    case PATHS_STEP_TELL:
        told_step(command, step, &outcome);
        break;
    case PATHS_STEP_DRAIN:
        steps_drain(command, step, &outcome);
        break;
    case PATHS_STEP_JOURNAL:
        command_store(command, &command->engine.memory);
        break;
    case PATHS_STEP_REPLY:
        return;
    }
    paths_feed(&command->engine, &outcome);
}

/* Names of the paths of a set, with commas; what does not fit is left out. */
static void command_list(const struct command *command, uint64_t set, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < command->map->count; i++) {
        const char *name = command->map->path[i]->names.name;

        if (!(set >> i & 1) || used + strlen(name) + 3 > size)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", name);
    }
}

static void command_take_reply(struct command *command, const struct paths_reply *reply)
{
    char names[160];

    if (reply->status == SPC_STATUS_CHECK_CONDITION)
        reply_sense(&command->answer.reply, reply->sense);
    else
        reply_status(&command->answer.reply, reply->status, 0);
    command_list(command, reply->paths, names, sizeof(names));
    if (reply->reason != PATHS_REASON_NONE)
        command_say(command, "%s%s%s", paths_reason_text(reply->reason), names[0] ? ": " : "",
                    names);
    if (reply->unknown)
        command_say(command, "outcome unknown");
    if (command->is_silent)
        command_say(command, "multipathd %s", command->daemon_text);
    else if (command->known.multipathd == PATHS_MULTIPATHD_NONE)
        command_say(
            command,
            "cannot reach multipathd, so only this helper registers paths that come up later: %s",
            command->daemon_text);
    if (command->is_forgetful)
        command_say(command, "the command could not be written to the map's journal, so it would "
                             "be lost in a restart");
}

/*
 * Paths are away, or something is unfinished: look again in a while. So too if a path is back, or
 * new: few commands register it, but a repair does.
 */
static void command_mark(struct command *command)
{
    const struct paths_memory *memory = &command->engine.memory;
    struct map *map = command->map;
    bool away = false;

    for (unsigned i = 0; i < map->count; i++) {
        struct path *path = map->path[i];
        bool answered = command->answered >> i & 1;

        path->is_level = answered && (path->is_level || command->wanted.repair);
        away |= !path->is_level;
    }
    /* A repair that is not GOOD has not looked: it is due still. */
    if (command->wanted.repair)
        away |= paths_step(&command->engine)->reply.status != SPC_STATUS_GOOD;
    map->is_watched = paths_unfinished(memory) || (away && memory->key != 0);
}

static const struct paths_reply *command_drive(struct command *command)
{
    paths_begin(&command->engine, &command->known, &command->memory, &command->wanted);
    while (paths_step(&command->engine)->kind != PATHS_STEP_REPLY) {
        if (clock_now_ms() >= command->deadline_ms) {
            paths_give_up(&command->engine);
            break;
        }
        command_step(command, paths_step(&command->engine));
        free(command->data);
        command->data = NULL;
    }
    return &paths_step(&command->engine)->reply;
}

/* With the journal's lock. */
static void command_run(struct command *command)
{
    const struct paths_reply *reply;

    steps_prepare(command);
    told_begin(command);
    observe_begin(command);
    observe_fill(command);
    reply = command_drive(command);
    /* CLEANUP is no command of the guest's: it does not want to hear what happened to its keys. */
    if (command->is_cleanup && reply->reason == PATHS_REASON_ATTENTION)
        reply = command_drive(command);
    steps_settle(command);
    command_store(command, &command->engine.memory);
    command_take_reply(command, reply);
    told_end(command);
    command_mark(command);
    report_paths(command);
}

/* With the journal's lock. */
static void command_run_forget(struct command *command)
{
    const struct paths_memory nothing = {.plain = command->memory.plain};

    if (paths_unfinished(&command->memory))
        return; /* there is still something to be repaired */
    steps_prepare(command);
    told_begin(command);
    observe_begin(command);
    observe_fill(command);
    if (!observe_nothing(command))
        return;
    if (command->known.multipathd != PATHS_MULTIPATHD_NONE)
        told_forget(command);
    command_store(command, &nothing);
    command->map->is_watched = false;
}

static void command_begin(struct command *command, int64_t lock_until_ms)
{
    struct map *map = command->map;
    int r;

    if (!journal_lock(&map->journal, lock_until_ms)) {
        command_busy(command, "another helper is executing a command on it");
        return;
    }
    r = map_list_paths(map);
    if (r < 0) {
        command_busy(command, "its paths cannot be listed");
        command_say(command, "%s", strerror(-r));
        if (r == -ENOENT)
            report_gone(map);
    } else if (map_is_held(map) || hold_is_taken(map->journal.fd)) {
        command_busy(command, "an earlier command is still hung");
    } else {
        observe_fill(command);
        journal_load(&map->journal, &command->known, map->path, &command->memory);
        if (command->forgets)
            command_run_forget(command);
        else
            command_run(command);
    }
    journal_unlock(&map->journal);
    free(command->seen);
    free(command->data);
}

static void command_execute(struct map *map, struct work *work)
{
    struct command *command = calloc(1, sizeof(*command));

    if (!command) {
        work_answer_busy(work, map->names.name, "no memory");
        return;
    }
    command->map = map;
    command->work = work;
    command->deadline_ms = work->deadline_ms;
    command->io_timeout_ms = work->request.io_timeout_ms;
    if (command_decode(command))
        command_begin(command, work->deadline_ms);
    work_answer(work, &command->answer, NULL);
    free(command);
}

static void command_repair(struct map *map, bool forgets)
{
    struct command *command = calloc(1, sizeof(*command));

    if (!command)
        return;
    command->map = map;
    command->deadline_ms = clock_now_ms() + COMMAND_REPAIR_MS;
    command->io_timeout_ms = COMMAND_REPAIR_IO_MS;
    command->wanted.repair = true;
    command->forgets = forgets;
    command_begin(command, clock_now_ms() + COMMAND_REPAIR_LOCK_MS);
    free(command);
}

static void command_watch(struct map *map)
{
    command_repair(map, false);
}

static void command_forget(struct map *map)
{
    command_repair(map, true);
}

const struct map_calls command_calls = {command_execute, command_watch, command_forget};
