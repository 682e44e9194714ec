// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Messages to multipathd about a map, and its answers. The map's thread keeps one connection while
 * it has something to do, and makes it anew after an exchange that failed. Each exchange has a
 * deadline of its own: a path that hangs can keep multipathd from answering any client for most of
 * a minute.
 *
 * The map is named by its kernel name, "dm-3", which multipathd takes as well; a path likewise.
 *
 * multipathd registers a path that returns by the key that it has for the map, and from 0.13 on,
 * when it is told to look after the registrations and does not find that key, it clears a path's
 * registration. So it is told so only if its key is ours.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mpath/command.h"
#include "mpath/host.h"
#include "multipathd/multipathd.h"

#define TOLD_BARRIER_MS   1000 /* fencing must not wait for it any longer */
#define TOLD_ORDER_MS     3000
#define TOLD_ANSWER_MAX   (256u << 10) /* its list of all paths; all others are short */
#define TOLD_COMMAND_SIZE 1024

/* 0 or a negative errno, with the reason in daemon_text. */
static int told_connect(struct command *command)
{
    const char *wanted = getenv("MULTIPATH_SOCKET_NAME");
    size_t used = 0, size = sizeof(command->daemon_text);
    int fd = -ENOENT;

    command->daemon_text[0] = '\0';
    for (size_t i = 0; fd < 0 && i < (wanted ? 1 : HOST_MULTIPATHD_SOCKETS); i++) {
        const char *name = wanted ? wanted : host_multipathd[i];

        fd = multipathd_connect(name, TOLD_BARRIER_MS);
        if (fd < 0 && used < size)
            used += (size_t)snprintf(command->daemon_text + used, size - used, "%s%s: %s",
                                     used ? ", " : "", name, strerror(-fd));
    }
    command->is_silent = fd == -ETIMEDOUT;
    command->map->multipathd = fd < 0 ? -1 : fd;
    command->map->version = PATHS_MULTIPATHD_NONE;
    return fd < 0 ? fd : 0;
}

static void told_disconnect(struct map *map)
{
    cleanup_close(&map->multipathd);
    map->multipathd = -1;
}

/* Returns what it says, the caller's, or NULL. */
static char *told_ask(struct command *command, const char *text, int timeout_ms)
{
    struct map *map = command->map;
    char *answer;
    int r = map->multipathd < 0 ? told_connect(command) : 0;

    if (r < 0)
        return NULL;
    r = multipathd_exchange(map->multipathd, text, timeout_ms, TOLD_ANSWER_MAX, &answer);
    if (r == 0)
        return answer;
    command->is_silent = r == -ETIMEDOUT;
    snprintf(command->daemon_text, sizeof(command->daemon_text), "did not answer %.40s: %s", text,
             strerror(-r));
    told_disconnect(map);
    return NULL;
}

/* multipathd is gone if it cannot be connected to and did not merely time out. */
static bool told_is_gone(const struct command *command)
{
    return command->map->multipathd < 0 && !command->is_silent;
}

void told_begin(struct command *command)
{
    struct map *map = command->map;
    CLEANUP_FREE char *answer = NULL;
    char text[TOLD_COMMAND_SIZE];

    /* The connection of the previous command, if the same process still runs. */
    if (map->multipathd >= 0 && !multipathd_is_quiet(map->multipathd))
        told_disconnect(map);
    if (map->multipathd < 0 && told_connect(command) < 0) {
        /* A multipathd that does not answer still runs: it will do what it was told before. */
        command->known.multipathd = command->is_silent ? PATHS_MULTIPATHD_OLD
                                                       : PATHS_MULTIPATHD_NONE;
        return;
    }
    command->known.multipathd = map->version;
    if (map->version != PATHS_MULTIPATHD_NONE)
        return;
    snprintf(text, sizeof(text), "getprhold map %s", map->names.kernel_name);
    answer = told_ask(command, text, TOLD_BARRIER_MS);
    command->known.multipathd = PATHS_MULTIPATHD_OLD;
    if (!answer)
        return;
    if (strcmp(answer, "set") == 0 || strcmp(answer, "unset") == 0 ||
        strcmp(answer, "unknown") == 0)
        command->known.multipathd = PATHS_MULTIPATHD_NEW;
    map->version = command->known.multipathd;
}

/* "ok" is ok; what it says else is a refusal. */
static enum paths_end told_order(struct command *command, const char *text)
{
    CLEANUP_FREE char *answer = told_ask(command, text, TOLD_ORDER_MS);

    if (!answer)
        return told_is_gone(command) ? PATHS_REFUSED : PATHS_LOST;
    return strcmp(answer, "ok") == 0 ? PATHS_DONE : PATHS_REFUSED;
}

/* An order for each path of a set. */
static enum paths_end told_paths(struct command *command, const char *order, uint64_t set)
{
    enum paths_end end = PATHS_DONE;
    char text[TOLD_COMMAND_SIZE];

    for (unsigned i = 0; i < command->map->count && end != PATHS_LOST; i++) {
        enum paths_end one;

        if (!(set >> i & 1))
            continue;
        snprintf(text, sizeof(text), "%s path %s", order, command->map->path[i]->names.name);
        one = told_order(command, text);
        if (one != PATHS_DONE)
            end = one;
    }
    return end;
}

/* Whether a text has a line like this one, ignoring spaces at its end. */
static bool told_has_line(const char *text, const char *line)
{
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        size_t length = strlen(line);

        if (strncmp(text, line, length) == 0 &&
            strspn(text + length, " ") == strcspn(text + length, "\n"))
            return true;
    }
    return false;
}

/*
 * Whether multipathd says of each path of a set that the map does not use it. One that hangs, and
 * of which the map does not know yet, may have writes of the guest in hand, or be given some.
 */
static bool told_are_failed(struct command *command, uint64_t set)
{
    CLEANUP_FREE char *answer = NULL;

    if (set == 0)
        return true;
    answer = told_ask(command, "show paths raw format \"%d %t\"", TOLD_BARRIER_MS);
    for (unsigned i = 0; answer && i < command->map->count; i++) {
        char line[TOLD_COMMAND_SIZE];

        snprintf(line, sizeof(line), "%s failed", command->map->path[i]->names.name);
        if ((set >> i & 1) && !told_has_line(answer, line))
            return false;
    }
    return answer != NULL;
}

/*
 * The map is to be narrowed to one path; all but that one are failed, or so already. One that is
 * away and says so may stay: the map fails it as soon as it has given it a write.
 *
 * What a path that hangs has in flight would not end in time. That is asked before any path is
 * failed: multipathd registers a path again that is reinstated, and a refusal is to change nothing.
 */
static enum paths_end told_narrow(struct command *command, uint64_t set)
{
    uint64_t hung = map_busy(command->map);

    if (!told_are_failed(command, hung) || steps_in_flight(command, hung))
        return PATHS_REFUSED;
    return told_paths(command, "fail", set);
}

static void told_list(const struct command *command, uint64_t set, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "setprstatus map %s",
                                   command->map->names.kernel_name);
    const char *before = " pathlist \"";

    if (command->known.multipathd != PATHS_MULTIPATHD_NEW)
        return;
    for (unsigned i = 0; i < command->map->count && used < size; i++) {
        dev_t number = command->map->path[i]->names.number;

        if (!(set >> i & 1))
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%u:%u", before, major(number),
                                 minor(number));
        before = " ";
    }
    if (before[1] == '\0' && used < size)
        snprintf(text + used, size - used, "\"");
}

static void told_status(struct command *command, const char *map, struct paths_outcome *ret)
{
    CLEANUP_FREE char *answer = NULL;
    char text[TOLD_COMMAND_SIZE];

    snprintf(text, sizeof(text), "getprstatus map %s", map);
    answer = told_ask(command, text, TOLD_BARRIER_MS);
    if (!answer)
        ret->end = told_is_gone(command) ? PATHS_REFUSED : PATHS_LOST;
    else if (strcmp(answer, "fail") == 0)
        ret->end = PATHS_REFUSED;
    else
        ret->set = strcmp(answer, "set") == 0 || strcmp(answer, "1") == 0;
}

/* The key with which it would register a path: "none", or a number, possibly with ":aptpl". NULL:
 * no answer.
 */
static char *told_key(struct command *command)
{
    char text[TOLD_COMMAND_SIZE];

    snprintf(text, sizeof(text), "getprkey map %s", command->map->names.kernel_name);
    return told_ask(command, text, TOLD_BARRIER_MS);
}

static bool told_key_is(const char *answer, uint64_t key)
{
    char wanted[24];

    snprintf(wanted, sizeof(wanted), "0x%" PRIx64, key);
    return strcspn(answer, ":") == strlen(wanted) && strncmp(answer, wanted, strlen(wanted)) == 0;
}

/* "ok" is said only if the map's key is this one now. */
static enum paths_end told_set_key(struct command *command, uint64_t key)
{
    char text[TOLD_COMMAND_SIZE];
    enum paths_end end;

    snprintf(text, sizeof(text), "setprkey map %s key %" PRIx64 "%s",
             command->map->names.kernel_name, key, command->engine.memory.aptpl ? ":aptpl" : "");
    end = told_order(command, text);
    command->daemon_key = end == PATHS_DONE      ? TOLD_KEY_TAKEN
                          : end == PATHS_REFUSED ? TOLD_KEY_OTHER
                                                 : TOLD_KEY_NOT_ASKED;
    return end;
}

/* Let it maintain the registrations, but only if it has their key. */
static enum paths_end told_set_status(struct command *command, const char *text)
{
    if (command->daemon_key == TOLD_KEY_NOT_ASKED) {
        CLEANUP_FREE char *answer = told_key(command);

        if (!answer)
            return told_is_gone(command) ? PATHS_REFUSED : PATHS_LOST;
        command->daemon_key = told_key_is(answer, command->engine.memory.key) ? TOLD_KEY_TAKEN
                                                                              : TOLD_KEY_OTHER;
    }
    return command->daemon_key == TOLD_KEY_TAKEN ? told_order(command, text) : PATHS_REFUSED;
}

void told_step(struct command *command, const struct paths_step *step, struct paths_outcome *ret)
{
    const char *map = command->map->names.kernel_name;
    char text[TOLD_COMMAND_SIZE];

    switch (step->tell) {
    case PATHS_TELL_GETPRSTATUS:
        told_status(command, map, ret);
        return;
    case PATHS_TELL_SETPRKEY:
        ret->end = told_set_key(command, step->key);
        return;
    case PATHS_TELL_SETPRSTATUS:
        snprintf(text, sizeof(text), "setprstatus map %s", map);
        ret->end = told_set_status(command, text);
        return;
    case PATHS_TELL_SETPRSTATUS_LIST:
        told_list(command, step->paths, text, sizeof(text));
        ret->end = told_set_status(command, text);
        return;
    case PATHS_TELL_UNSETPRSTATUS:
        snprintf(text, sizeof(text), "unsetprstatus map %s", map);
        break;
    case PATHS_TELL_FAIL:
        ret->end = told_narrow(command, step->paths);
        return;
    case PATHS_TELL_REINSTATE:
        ret->end = told_paths(command, "reinstate", step->paths);
        return;
    }
    ret->end = told_order(command, text);
}

void told_forget(struct command *command)
{
    const char *map = command->map->names.kernel_name;
    char text[TOLD_COMMAND_SIZE];

    snprintf(text, sizeof(text), "unsetprstatus map %s", map);
    (void)told_order(command, text);
    snprintf(text, sizeof(text), "unsetprkey map %s", map);
    (void)told_order(command, text);
}

/*
 * It has another key than the client's, or none, and did not take it. With `reservation_key file'
 * it has what it was told; with a number in multipath.conf that has to be the client's, which only
 * a site that knows its clients' keys can arrange.
 */
static void told_advise(struct command *command, uint64_t key)
{
    CLEANUP_FREE char *answer = told_key(command);

    if (!answer)
        return;
    if (strncmp(answer, "0x", 2) != 0)
        command_say(
            command,
            "multipathd has not kept the client's key for this map and will not register paths "
            "that come up later: if multipath.conf has no reservation_key, add 'reservation_key "
            "file' to its defaults section and run 'multipathd reconfigure'");
    else if (!told_key_is(answer, key))
        command_say(command,
                    "the client's key is 0x%" PRIx64
                    ", but multipathd has %.24s for this map: if that is the reservation_key of "
                    "multipath.conf, set 'reservation_key file' there, which allows any key, and "
                    "run 'multipathd reconfigure'",
                    key, answer);
}

void told_end(struct command *command)
{
    const struct paths_memory *memory = &command->engine.memory;
    bool registers = !command->wanted.repair &&
                     (command->wanted.service_action == SPC_PROUT_REGISTER ||
                      command->wanted.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY);
    char text[TOLD_COMMAND_SIZE];

    if (command->known.multipathd == PATHS_MULTIPATHD_NONE ||
        command->answer.reply.status != SPC_STATUS_GOOD)
        return;
    if (registers && memory->key != 0) {
        if (command->daemon_key == TOLD_KEY_OTHER)
            told_advise(command, memory->key);
    } else if (memory->key == 0 && memory->aim == PATHS_AIM_NONE &&
               (registers || command->memory.key != 0)) {
        snprintf(text, sizeof(text), "unsetprkey map %s", command->map->names.kernel_name);
        (void)told_order(command, text);
    }
}
