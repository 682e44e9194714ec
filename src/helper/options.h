// SPDX-License-Identifier: LGPL-2.1-or-later
/* The command line and the configuration file. Constant once parsed. */
#ifndef HELPER_OPTIONS_H
#define HELPER_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/log.h"

struct options {
    const char *socket_path; /* NULL: not given */
    const char *pidfile;     /* NULL: none is to be written */
    bool daemon;
    enum log_level level;
    bool syslog;
    bool sandbox;
    bool audit; /* a line for each command that changes something */

    uid_t uid; /* (uid_t)-1: stay */
    gid_t gid; /* (gid_t)-1: stay */
    mode_t socket_mode;
    uid_t socket_uid;
    gid_t socket_gid;

    const char *status_path; /* for process_path; NULL: the default; "": no status */
    mode_t status_mode;
    gid_t status_gid;

    unsigned io_timeout_s;
    unsigned mpath_timeout_s;
    unsigned hung_after_s;
    unsigned client_timeout_s;
    unsigned stop_timeout_s;
    unsigned max_clients; /* 0: as many as there is room for */
    unsigned max_threads; /* 0: max_clients + 1, or 4,096 if that is less */
    unsigned max_buffers_mib;

    const char *mpath_worker;
    const char *mpath_socket; /* NULL: start mpath_worker */

    char *config_text;    /* owned: what the strings above may point into */
    char *pidfile_buffer; /* owned, or NULL */
};

/* What to do after parsing. */
enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_EXIT,  /* everything that was asked for has been printed */
    OPTIONS_ERROR, /* a message has been printed */
};

/*
 * Parse the configuration file, then the command line, which wins. Looks up names of users and
 * groups. Strings of argv are borrowed. Give the struct to options_deinit in any case.
 */
enum options_verdict options_parse(struct options *options, int argc, char **argv);
void options_deinit(struct options *options);

#endif
