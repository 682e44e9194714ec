// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands on single paths of a map, past the device-mapper. */
#ifndef MPATH_PATHS_H
#define MPATH_PATHS_H

#include <stdbool.h>

#include "mpath/map.h"
#include "proto/request.h"
#include "scsi/prin.h"

/* The largest answer that an allocation length can ask for. */
#define PATHS_ANSWER_MAX 65535

/* How one path answered. */
enum path_verdict {
    PATH_GOOD,
    PATH_CHECK,  /* CHECK CONDITION, said by the device */
    PATH_STATUS, /* another status, said by the device: RESERVATION CONFLICT, BUSY ... */
    PATH_FAILED, /* the command did not get there, or its answer not back */
};

struct path_answer {
    enum path_verdict verdict;
    struct reply reply;
};

/*
 * Send request to paths in turn, whatever its fd says, until one answers; with request->length
 * bytes of room in request->data. Only for commands that change nothing. Returns whether one did;
 * else reply is what the last one came to, or of no path B/05/00.
 */
bool paths_read(const struct map_paths *paths, const struct request *request, unsigned timeout_ms,
                struct reply *reply);

/* READ RESERVATION. Returns whether it could be read and understood; else *reply says why not. */
bool paths_read_reservation(const struct map_paths *paths, unsigned timeout_ms,
                            struct prin_reservation *ret, struct reply *reply);

/*
 * Start a walk through READ FULL STATUS, whose answer stays in a buffer of this file until the next
 * call. Returns whether all of it is there to walk through.
 */
bool paths_read_full_status(const struct map_paths *paths, unsigned timeout_ms,
                            struct prin_list *ret);

/* READ KEYS, as READ FULL STATUS; they share the buffer. */
bool paths_read_keys(const struct map_paths *paths, unsigned timeout_ms, struct prin_list *ret);

/* REPORT CAPABILITIES. */
bool paths_read_capabilities(const struct map_paths *paths, unsigned timeout_ms,
                             struct prin_capabilities *ret);

/*
 * Send PERSISTENT RESERVE OUT to one path, whatever the request's fd. A unit attention that waited
 * there comes instead of the command, which is then sent again, as the library does.
 */
struct path_answer paths_send(const struct map_path *path, const struct request *request,
                              unsigned timeout_ms);

#endif
