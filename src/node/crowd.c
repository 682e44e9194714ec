// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All are asked at a time, so that those which hang keep no other from its turn; each is parsed as
 * soon as it is whole, so that texts and JSON objects are there for a few of them only.
 */
#include "node/crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "node/crowd_internal.h"
#include "node/fetch.h"

#define CROWD_RETRY_MS 10

struct crowd_round {
    struct crowd *crowd;
    int64_t started_us, deadline_ms;
    unsigned n_begun;   /* members before this one have been asked or are being asked */
    unsigned n_waiting; /* of them */
};

static void crowd_end(struct crowd_round *round, struct crowd_member *member,
                      enum crowd_state state)
{
    if (member->fd >= 0) {
        close(member->fd);
        round->n_waiting--;
    }
    free(member->text);
    member->fd = -1;
    member->text = NULL;
    member->size = 0;
    member->state = state;
    member->took_s = (double)(clock_now_us() - round->started_us) / 1e6;
}

static enum crowd_state crowd_state_of(int r)
{
    switch (-r) {
    case EACCES:
    case EPERM:
        return CROWD_DENIED;
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return CROWD_GONE;
    case EFBIG:
        return CROWD_TOO_LARGE;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return CROWD_UNASKED;
    default:
        return CROWD_GARBAGE;
    }
}

static void crowd_begin(struct crowd_round *round, struct crowd_member *member)
{
    int r = fetch_connect(member->path, &member->fd);

    member->pending = false;
    if (r == 0) {
        round->n_waiting++;
        member->state = CROWD_SILENT;
    } else if (r == -EAGAIN || r == -EMFILE || r == -ENFILE) {
        member->state = r == -EAGAIN ? CROWD_SILENT : CROWD_UNASKED;
        member->pending = true;
    } else {
        crowd_end(round, member, crowd_state_of(r));
    }
}

/* Begin those whose turn it is. Returns whether some are to be tried again. */
static bool crowd_begin_more(struct crowd_round *round)
{
    struct crowd *crowd = round->crowd;
    bool pending = false;

    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct crowd_member *member = &crowd->members[i];

        if (i >= round->n_begun)
            round->n_begun = i + 1;
        else if (!member->pending)
            continue;
        crowd_begin(round, member);
        pending = pending || member->pending;
    }
    return pending;
}

static unsigned crowd_rows_of(const struct facts *facts)
{
    unsigned n_rows = facts->n_devices + facts->n_clients;

    for (unsigned i = 0; i < facts->n_devices; i++)
        n_rows += facts->devices[i].n_keys + facts->devices[i].n_paths;
    return n_rows;
}

/* All together have too much to tell: what the one with most of it has said is forgotten. */
static void crowd_forget_largest(struct crowd *crowd, bool by_devices)
{
    struct crowd_member *largest = NULL;
    unsigned most = 0;

    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct crowd_member *member = &crowd->members[i];
        unsigned n = by_devices ? member->facts.n_devices : member->n_rows;

        if (member->state == CROWD_ANSWERED && n > most) {
            largest = member;
            most = n;
        }
    }
    if (!largest)
        return;
    crowd->n_rows -= largest->n_rows;
    crowd->n_luns -= largest->facts.n_devices;
    facts_deinit(&largest->facts);
    largest->n_rows = 0;
    largest->state = CROWD_TOO_LARGE;
}

/* Its state afterwards is in `member`. */
static void crowd_keep(struct crowd *crowd, struct crowd_member *member,
                       struct json_object *document)
{
    if (facts_read(document, &member->facts) < 0) {
        member->state = CROWD_UNASKED;
        return;
    }
    member->state = CROWD_ANSWERED;
    member->n_rows = crowd_rows_of(&member->facts);
    crowd->n_rows += member->n_rows;
    crowd->n_luns += member->facts.n_devices;
    while (crowd->n_rows > CROWD_ROWS_MAX)
        crowd_forget_largest(crowd, false);
    while (crowd->n_luns > CROWD_LUNS_MAX)
        crowd_forget_largest(crowd, true);
}

/* All of it has come. */
static void crowd_understand(struct crowd_round *round, struct crowd_member *member)
{
    struct json_object *document;
    enum crowd_state state;

    switch (fetch_parse(member->text, &document)) {
    case 0:
        crowd_keep(round->crowd, member, document);
        state = member->state;
        json_object_put(document);
        break;
    case FETCH_EMPTY:
        state = CROWD_SILENT;
        break;
    case FETCH_BLOATED:
        state = CROWD_TOO_LARGE;
        break;
    case FETCH_FORMAT:
        state = CROWD_NEWER;
        break;
    default:
        state = CROWD_GARBAGE;
        break;
    }
    crowd_end(round, member, state);
}

/* All together are too much: who has sent most is cut off. */
static void crowd_bound(struct crowd_round *round)
{
    for (;;) {
        struct crowd_member *largest = NULL;
        size_t total = 0;

        for (unsigned i = 0; i < round->n_begun; i++) {
            struct crowd_member *member = &round->crowd->members[i];

            total += member->size;
            if (!largest || member->size > largest->size)
                largest = member;
        }
        if (total <= CROWD_TEXTS_MAX)
            return;
        crowd_end(round, largest, CROWD_TOO_LARGE);
    }
}

static void crowd_receive(struct crowd_round *round, struct crowd_member *member)
{
    int r = fetch_read(member->fd, &member->text, &member->size, CROWD_TEXT_MAX);

    if (r > 0)
        crowd_understand(round, member);
    else if (r < 0)
        crowd_end(round, member, crowd_state_of(r));
    else
        crowd_bound(round);
}

/* Those that wait, into `fds`, whose members are in `who`. */
static unsigned crowd_list(struct crowd_round *round, struct pollfd *fds, struct crowd_member **who)
{
    unsigned n = 0;

    for (unsigned i = 0; i < round->n_begun; i++) {
        struct crowd_member *member = &round->crowd->members[i];

        if (member->fd < 0)
            continue;
        fds[n] = (struct pollfd){.fd = member->fd, .events = POLLIN};
        who[n++] = member;
    }
    return n;
}

static void crowd_go(struct crowd_round *round, struct pollfd *fds, struct crowd_member **who)
{
    struct crowd *crowd = round->crowd;

    for (;;) {
        bool pending = crowd_begin_more(round);
        int64_t left = round->deadline_ms - clock_now_ms();
        unsigned n;

        if (left <= 0 || (round->n_begun == crowd->n_members && round->n_waiting == 0 && !pending))
            return;
        n = crowd_list(round, fds, who);
        if (poll(fds, n, pending && left > CROWD_RETRY_MS ? CROWD_RETRY_MS : (int)left) < 0)
            continue;
        for (unsigned i = 0; i < n; i++) {
            if (fds[i].revents && who[i]->fd >= 0)
                crowd_receive(round, who[i]);
        }
    }
}

int crowd_ask(const char *const *places, unsigned n_places, int timeout_ms, struct crowd *ret_crowd)
{
    struct crowd crowd = {0};
    struct crowd_round round = {.crowd = &crowd, .started_us = clock_now_us()};
    int r = crowd_find(places, n_places, &crowd);
    struct pollfd *fds = calloc(crowd.n_members + 1, sizeof(*fds));
    struct crowd_member **who = calloc(crowd.n_members + 1, sizeof(struct crowd_member *));

    if (r == 0 && (!fds || !who))
        r = -ENOMEM;
    if (r == 0) {
        round.deadline_ms = clock_now_ms() + timeout_ms;
        crowd_go(&round, fds, who);
        for (unsigned i = 0; i < crowd.n_members; i++) {
            if (crowd.members[i].fd >= 0)
                crowd_end(&round, &crowd.members[i], CROWD_SILENT);
        }
        crowd.took_s = (double)(clock_now_us() - round.started_us) / 1e6;
        *ret_crowd = crowd;
    } else {
        crowd_deinit(&crowd);
    }
    free(fds);
    free(who);
    return r;
}

int crowd_of_document(const char *name, struct json_object *document, struct crowd *ret_crowd)
{
    struct crowd crowd = {.members = calloc(1, sizeof(*crowd.members))};

    if (!crowd.members)
        return -ENOMEM;
    crowd.n_members = 1;
    escape_text(crowd.members[0].name, sizeof(crowd.members[0].name), name);
    crowd.members[0].fd = -1;
    crowd_keep(&crowd, &crowd.members[0], document);
    if (crowd.members[0].state == CROWD_UNASKED) {
        crowd_deinit(&crowd);
        return -ENOMEM;
    }
    *ret_crowd = crowd;
    return 0;
}

void crowd_deinit(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->n_members; i++) {
        if (crowd->members[i].state == CROWD_ANSWERED)
            facts_deinit(&crowd->members[i].facts);
    }
    free(crowd->members);
    *crowd = (struct crowd){0};
}

const char *crowd_state_word(enum crowd_state state)
{
    static const char *const words[CROWD_STATES] = {
        [CROWD_UNASKED] = "not asked", [CROWD_ANSWERED] = "answered",   [CROWD_GONE] = "gone",
        [CROWD_DENIED] = "denied",     [CROWD_SILENT] = "silent",       [CROWD_GARBAGE] = "garbage",
        [CROWD_NEWER] = "newer",       [CROWD_TOO_LARGE] = "too large",
    };

    return words[state];
}

const char *crowd_state_advice(enum crowd_state state)
{
    static const char *const advice[CROWD_STATES] = {
        [CROWD_UNASKED] = "There were too many, or no memory or file descriptor was left: raise "
                          "LimitNOFILE= of the exporter.",
        [CROWD_GONE] = "The helper has exited and left its socket behind. If its virtual machine "
                       "still runs, start the helper again.",
        [CROWD_DENIED] =
            "Run the exporter in the group of the status socket (--status-group of the helper).",
        [CROWD_SILENT] = "The helper is stopped, or has too many readers. Look at the "
                         "process: is it stopped by a debugger or SIGSTOP?",
        [CROWD_GARBAGE] = "This is not a helper's status socket. Is it the socket for clients?",
        [CROWD_NEWER] = "The helper is newer than this program: upgrade it.",
        [CROWD_TOO_LARGE] = "Status documents of more than 4 MiB or 50,000 objects are not read. "
                            "If all together have more than 8,192 devices, the largest is omitted.",
    };

    return advice[state] ? advice[state] : "";
}
