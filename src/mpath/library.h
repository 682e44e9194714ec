// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libmpathpersist, which is never linked with, and never loaded into the worker itself: only into
 * the children that it forks.
 */
#ifndef MPATH_LIBRARY_H
#define MPATH_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "scsi/cdb.h"
#include "scsi/prout.h"

struct prout_param_descriptor; /* the library's */

struct library {
    int (*init)(void);
    int (*out)(int fd, int service_action, int scope, unsigned type,
               struct prout_param_descriptor *list, int noisy, int verbose);
    void *handle;
};

/*
 * Load it into this process, for good. Returns false with ret_error for people if it is not there,
 * or is older than 0.8.6.
 */
bool library_open(struct library *ret, char *ret_error, size_t error_size);

/*
 * Can it be loaded, and what is its version ("0.9.4", "" if it does not tell)? In a child, for a
 * short time. False with ret_error for people if it cannot.
 */
bool library_probe(char *ret_version, size_t version_size, char *ret_error, size_t error_size);

/*
 * Initialise it and have it execute PERSISTENT RESERVE OUT on the map that fd is open on, by all
 * its paths. Returns one of its codes (result.h), or a negative errno for want of memory. Once in a
 * process. May block for minutes, or end the process.
 */
int library_out(const struct library *library, int fd, const struct cdb *cdb,
                const struct prout *prout);

#endif
