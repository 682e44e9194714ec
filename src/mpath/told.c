// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What multipathd is told of a map, and what it says. One connection for each command, made anew
 * after an exchange that failed. Each exchange has a deadline of its own: a path that hangs can
 * make multipathd deaf to everybody for the better part of a minute.
 *
 * The map is named by its kernel name, "dm-3", which multipathd takes as well; a path likewise.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mpath/command.h"
#include "mpath/host.h"
#include "multipathd/multipathd.h"

#define TOLD_BARRIER_MS   1000 /* fencing must not wait for it any longer */
#define TOLD_ORDER_MS     3000
#define TOLD_ANSWER_MAX   4096
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
    command->daemon = fd < 0 ? -1 : fd;
    return fd < 0 ? fd : 0;
}

/* Returns what it says, the caller's, or NULL. */
static char *told_ask(struct command *command, const char *text, int timeout_ms)
{
    char *answer;
    int r = command->daemon < 0 ? told_connect(command) : 0;

    if (r < 0)
        return NULL;
    r = multipathd_exchange(command->daemon, text, timeout_ms, TOLD_ANSWER_MAX, &answer);
    if (r == 0)
        return answer;
    command->is_silent = r == -ETIMEDOUT;
    snprintf(command->daemon_text, sizeof(command->daemon_text), "did not answer %.40s: %s", text,
             strerror(-r));
    cleanup_close(&command->daemon);
    command->daemon = -1;
    return NULL;
}

/* The process at the other end: another one may be of another version. */
static pid_t told_peer(const struct command *command)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(command->daemon, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? 0 : peer.pid;
}

void told_begin(struct command *command)
{
    struct shared *shared = command->map->shared;
    CLEANUP_FREE char *answer = NULL;
    char text[TOLD_COMMAND_SIZE];
    pid_t peer;

    if (told_connect(command) < 0) {
        /* One that is there but deaf is not none: it will do what it was told before. */
        command->known.multipathd = command->is_silent ? PATHS_MULTIPATHD_OLD
                                                       : PATHS_MULTIPATHD_NONE;
        return;
    }
    peer = told_peer(command);
    if (shared_get_multipathd(shared, peer, &command->known.multipathd))
        return;
    snprintf(text, sizeof(text), "getprhold map %s", command->map->names.kernel_name);
    answer = told_ask(command, text, TOLD_BARRIER_MS);
    command->known.multipathd = PATHS_MULTIPATHD_OLD;
    if (!answer)
        return;
    if (strcmp(answer, "set") == 0 || strcmp(answer, "unset") == 0 ||
        strcmp(answer, "unknown") == 0)
        command->known.multipathd = PATHS_MULTIPATHD_NEW;
    if (peer)
        shared_set_multipathd(shared, peer, command->known.multipathd);
}

/* "ok" is ok; what it says else is a refusal. */
static enum paths_end told_order(struct command *command, const char *text)
{
    CLEANUP_FREE char *answer = told_ask(command, text, TOLD_ORDER_MS);

    if (!answer)
        return command->daemon < 0 && !command->is_silent ? PATHS_REFUSED : PATHS_LOST;
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
        ret->end = command->daemon < 0 && !command->is_silent ? PATHS_REFUSED : PATHS_LOST;
    else if (strcmp(answer, "fail") == 0)
        ret->end = PATHS_REFUSED;
    else
        ret->set = strcmp(answer, "set") == 0 || strcmp(answer, "1") == 0;
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
        snprintf(text, sizeof(text), "setprkey map %s key %" PRIx64 "%s", map, step->key,
                 command->engine.memory.aptpl ? ":aptpl" : "");
        break;
    case PATHS_TELL_SETPRSTATUS:
        snprintf(text, sizeof(text), "setprstatus map %s", map);
        break;
    case PATHS_TELL_SETPRSTATUS_LIST:
        told_list(command, step->paths, text, sizeof(text));
        break;
    case PATHS_TELL_UNSETPRSTATUS:
        snprintf(text, sizeof(text), "unsetprstatus map %s", map);
        break;
    case PATHS_TELL_FAIL:
        ret->end = told_paths(command, "fail", step->paths);
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
 * The key that multipathd would register a returning path with: "none", or a number, with ":aptpl"
 * perhaps. With `reservation_key file' it is what it was told; with a number in multipath.conf it
 * has to be the client's, which only a site that knows its clients' keys can arrange.
 */
static void told_advise(struct command *command, uint64_t key)
{
    CLEANUP_FREE char *answer = NULL;
    char text[TOLD_COMMAND_SIZE], wanted[24];

    snprintf(text, sizeof(text), "getprkey map %s", command->map->names.kernel_name);
    answer = told_ask(command, text, TOLD_BARRIER_MS);
    if (!answer)
        return;
    snprintf(wanted, sizeof(wanted), "0x%" PRIx64, key);
    if (strncmp(answer, "0x", 2) != 0)
        command_say(command, "multipath.conf has no reservation_key for this map, without which "
                             "multipathd registers no path that comes up later: put "
                             "`reservation_key file' into its defaults section and run `multipathd "
                             "reconfigure'");
    else if (strcspn(answer, ":") != strlen(wanted) || strncmp(answer, wanted, strlen(wanted)) != 0)
        command_say(command,
                    "the client's key is %s, but multipathd has %.24s for this map: if that "
                    "is the reservation_key of multipath.conf, put `reservation_key file' "
                    "there, which takes any key, and run `multipathd reconfigure'",
                    wanted, answer);
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
        told_advise(command, memory->key);
    } else if (memory->key == 0 && memory->aim == PATHS_AIM_NONE &&
               (registers || command->memory.key != 0)) {
        snprintf(text, sizeof(text), "unsetprkey map %s", command->map->names.kernel_name);
        (void)told_order(command, text);
    }
}
