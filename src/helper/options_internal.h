// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the parts of the options have in common: options_set.c knows each of them, options.c where
 * they come from. */
#ifndef HELPER_OPTIONS_INTERNAL_H
#define HELPER_OPTIONS_INTERNAL_H

#include <getopt.h>

#include "helper/options.h"

enum {
    OPTION_CONFIG = 256,
    OPTION_IO_TIMEOUT,
    OPTION_CLIENT_TIMEOUT,
    OPTION_STOP_TIMEOUT,
    OPTION_MAX_CLIENTS,
    OPTION_MAX_THREADS,
    OPTION_SOCKET_MODE,
    OPTION_SOCKET_USER,
    OPTION_SOCKET_GROUP,
    OPTION_MPATH_TIMEOUT,
    OPTION_MPATH_WORKER,
    OPTION_LOG,
    OPTION_SANDBOX,
    OPTION_AUDIT,
    OPTION_EXCLUSIVE,
    OPTION_STATUS_SOCKET,
    OPTION_STATUS_MODE,
    OPTION_STATUS_GROUP,
};

extern const char options_short[];
extern const struct option options_long[];
extern const char options_help[];

/* What parsing has to remember beside the result. */
struct options_parser {
    struct options *options;
    gid_t user_gid;   /* group of -u */
    unsigned verbose; /* count of -v */
    bool quiet;
    bool log_given;
    bool audit_given;
    const char *config; /* NULL: the default */
};

/* One option, from anywhere; value: NULL if it takes none. 0, or -EINVAL after saying why. */
int options_set(struct options_parser *parser, int option, const char *value);

#endif
