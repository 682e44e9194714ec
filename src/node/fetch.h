// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fetching status documents of helpers: a client that connects to a status socket is sent one JSON
 * document, then end of file. Another program that listens there cannot make the caller wait for
 * longer than it has said, nor swell.
 *
 * Thread rule: none; a fetch belongs to its caller.
 */
#ifndef NODE_FETCH_H
#define NODE_FETCH_H

#include <json.h>
#include <stddef.h>

#define FETCH_WAIT_MS 10000       /* for people, who have not said how long */
#define FETCH_MAX     (64u << 20) /* bytes of one document */

/* In memory an object has some 800 bytes, independent of the text, and a value some 50. */
#define FETCH_OBJECTS_MAX 50000
#define FETCH_VALUES_MAX  500000

/* What came is no status document that can be read. */
enum fetch_problem {
    FETCH_EMPTY = 1, /* nothing at all: too many readers are connected */
    FETCH_FOREIGN,   /* something else than a helper's status */
    FETCH_BLOATED,   /* more objects than any helper has to tell of: they would take much memory */
    FETCH_FORMAT,    /* the status of a helper that is newer than this program */
};

/*
 * Begin to fetch: a non-blocking socket that is connected to `path`, owned by the caller. Returns 0
 * or a negative errno; -EAGAIN: the listener's queue is full.
 */
int fetch_connect(const char *path, int *ret_fd);

/*
 * Read what has come, without waiting, into *text, which the caller frees for every return value,
 * and which ends with a zero byte when there is any. Returns 1 at the end of file, 0 if there may
 * be more later, or a negative errno; -EFBIG: it has more than `max` bytes.
 */
int fetch_read(int fd, char **text, size_t *size, size_t max);

/*
 * Make a document of a text that ends with a zero byte; NULL counts as empty. Returns 0, and the
 * caller puts *ret_document; or an enum fetch_problem.
 */
int fetch_parse(const char *text, struct json_object **ret_document);

/*
 * All of it, within `timeout_ms`. Returns 0, and the caller puts *ret_document; a negative errno;
 * or an enum fetch_problem.
 */
int fetch_document(const char *path, int timeout_ms, struct json_object **ret_document);

#endif
