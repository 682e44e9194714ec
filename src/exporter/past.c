// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exporter/past.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 0: there is no such process, or it cannot be seen from here. */
static uint64_t past_start_of(int64_t pid)
{
    char path[48], text[1024];
    const char *at;
    uint64_t started = 0;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    /* The name, field 2, may have any character; field 22 is the 20th after it. */
    at = strrchr(text, ')');
    for (unsigned field = 0; at && field < 20; field++)
        at = strchr(at + 1, ' ');
    if (at)
        (void)sscanf(at, " %" SCNu64, &started);
    return started;
}

static struct past_helper *past_find(const struct past *past, const char *name)
{
    for (unsigned i = 0; i < past->n; i++) {
        if (strcmp(past->helpers[i].name, name) == 0)
            return &past->helpers[i];
    }
    return NULL;
}

/* Those with a name: tools, which come and go, have none. There is room for all. */
static unsigned past_note(const struct facts *facts, struct past_client *clients)
{
    unsigned n = 0;

    for (unsigned i = 0; i < facts->n_clients; i++) {
        if (facts->clients[i].pid == 0 || !*facts->clients[i].vm)
            continue;
        clients[n].pid = facts->clients[i].pid;
        clients[n].started = past_start_of(clients[n].pid);
        n += clients[n].started != 0;
    }
    return n;
}

static void past_remember(struct past_helper *helper, const struct facts *facts)
{
    struct past_client *clients = reallocarray(helper->clients, facts->n_clients + 1,
                                               sizeof(*clients));

    helper->n_clients = helper->n_orphans = 0;
    if (!clients)
        return;
    helper->clients = clients;
    helper->n_clients = past_note(facts, clients);
}

static int past_compare_pids(const void *a, const void *b)
{
    const int64_t *one = a, *other = b;

    return (*one > *other) - (*one < *other);
}

/* The clients of all helpers that answer, in order: *ret_pids, which the caller frees. */
static size_t past_list_served(const struct crowd *crowd, int64_t **ret_pids)
{
    int64_t *pids = calloc(crowd->n_rows + 1, sizeof(*pids));
    size_t n = 0;

    for (unsigned i = 0; pids && i < crowd->n_members; i++) {
        const struct facts *facts = &crowd->members[i].facts;

        for (unsigned k = 0; crowd->members[i].state == CROWD_ANSWERED && k < facts->n_clients; k++)
            pids[n++] = facts->clients[k].pid;
    }
    if (n > 0)
        qsort(pids, n, sizeof(*pids), past_compare_pids);
    *ret_pids = pids;
    return n;
}

/* Without memory for those that are served it stays as it was. */
static void past_count_orphans(struct past_helper *helper, const int64_t *served, size_t n_served)
{
    if (!served)
        return;
    helper->n_orphans = 0;
    for (unsigned i = 0; i < helper->n_clients; i++) {
        const struct past_client *client = &helper->clients[i];

        helper->n_orphans += past_start_of(client->pid) == client->started &&
                             !bsearch(&client->pid, served, n_served, sizeof(*served),
                                      past_compare_pids);
    }
}

/* The state of a helper; one that is not in the crowd is gone. */
static enum crowd_state past_state_of(const struct crowd *crowd, const char *name)
{
    for (unsigned i = 0; i < crowd->n_members; i++) {
        if (strcmp(crowd->members[i].name, name) == 0)
            return crowd->members[i].state;
    }
    return CROWD_GONE;
}

void past_update(struct past *past, const struct crowd *crowd)
{
    int64_t *served;
    size_t n_served = past_list_served(crowd, &served);

    for (unsigned i = 0; i < past->n;) {
        struct past_helper *helper = &past->helpers[i];

        if (past_state_of(crowd, helper->name) == CROWD_GONE) {
            past_count_orphans(helper, served, n_served);
            if (served && helper->n_orphans == 0) {
                free(helper->clients);
                *helper = past->helpers[--past->n];
                continue;
            }
        } else {
            helper->n_orphans = 0;
        }
        i++;
    }
    free(served);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];
        struct past_helper *helper = past_find(past, member->name);

        if (member->state != CROWD_ANSWERED || (!helper && past->n == CROWD_MAX))
            continue;
        if (!helper) {
            helper = reallocarray(past->helpers, past->n + 1, sizeof(*helper));
            if (!helper)
                continue;
            past->helpers = helper;
            helper = &past->helpers[past->n++];
            *helper = (struct past_helper){0};
            memcpy(helper->name, member->name, sizeof(helper->name));
        }
        past_remember(helper, &member->facts);
    }
}

void past_deinit(struct past *past)
{
    for (unsigned i = 0; i < past->n; i++)
        free(past->helpers[i].clients);
    free(past->helpers);
    *past = (struct past){0};
}
