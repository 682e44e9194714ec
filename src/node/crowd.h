// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All helpers of this node: where their status sockets are, and what each says when all are asked
 * at the same time. One that hangs, lies or sends garbage costs its own answer and no other's: each
 * has the same deadline, and the one that has most to tell is left out when all together are too
 * much.
 *
 * Thread rule: none; a crowd belongs to its caller, who waits in crowd_ask.
 */
#ifndef NODE_CROWD_H
#define NODE_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "node/facts.h"

#define CROWD_MAX        2048        /* status sockets */
#define CROWD_TEXT_MAX   (4u << 20)  /* bytes of one document */
#define CROWD_TEXTS_MAX  (16u << 20) /* and of all that are being read */
#define CROWD_ROWS_MAX   32768       /* devices, keys, paths and clients of all of them */
#define CROWD_LUNS_MAX   8192 /* of them devices, each of which is a dozen lines of numbers */
#define CROWD_NAME_MAX   (4 * sizeof(((struct sockaddr_un *)0)->sun_path)) /* each byte is \xNN */
#define CROWD_PLACES_MAX 16

struct json_object;

/* What came of asking one. The words for it are crowd_state_word's. */
enum crowd_state {
    CROWD_UNASKED,  /* there was no time or no fd left */
    CROWD_ANSWERED, /* the facts are valid */
    CROWD_GONE,     /* no process listens: the helper has ended, and left its socket */
    CROWD_DENIED,   /* this user may not read it */
    CROWD_SILENT,   /* no whole answer until the deadline */
    CROWD_GARBAGE,  /* something else than a status document */
    CROWD_NEWER,    /* a document of a format that is not known here */
    CROWD_TOO_LARGE,
    CROWD_STATES
};

struct crowd_member {
    /*
     * The socket's name in its directory without ".sock", or its path if it was given by itself;
     * escaped, and never cut: no other has the same.
     */
    char name[CROWD_NAME_MAX];
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    enum crowd_state state;
    double took_s;
    struct facts facts;
    unsigned n_rows; /* of the facts */

    int fd;       /* while it is asked; else -1 */
    bool pending; /* its listener's queue was full, or there was no fd: to be tried again */
    char *text;
    size_t size;
};

struct crowd {
    unsigned n_members;
    struct crowd_member *members; /* owned; by name */
    unsigned n_left_out;          /* sockets beyond CROWD_MAX, or whose path is too long */
    unsigned n_rows, n_luns;      /* devices, keys, paths and clients; devices */
    unsigned n_unreadable;        /* directories that could not be read */
    double took_s;
};

/*
 * Find status sockets and ask them. Each place is a socket, or a directory with any number of them;
 * a place that is not there has none. Returns 0, and the caller gives *ret_crowd to crowd_deinit;
 * or -ENOMEM.
 */
int crowd_ask(const char *const *places, unsigned n_places, int timeout_ms,
              struct crowd *ret_crowd);
void crowd_deinit(struct crowd *crowd);

/* A crowd of one, that has answered with this document. The same. */
int crowd_of_document(const char *name, struct json_object *document, struct crowd *ret_crowd);

/* "answered", "gone" ... */
const char *crowd_state_word(enum crowd_state state);

/* What an administrator does about it, for all but CROWD_ANSWERED. */
const char *crowd_state_advice(enum crowd_state state);

#endif
