// SPDX-License-Identifier: LGPL-2.1-or-later
/* The options of a command, as typed. */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Options that not every command takes. */
#define OPTION_KEY           0x001u
#define OPTION_NEW_KEY       0x002u
#define OPTION_VICTIM_KEY    0x004u
#define OPTION_TYPE          0x008u
#define OPTION_APTPL         0x010u
#define OPTION_ALL_TG_PT     0x020u
#define OPTION_UNREG         0x040u
#define OPTION_TRANSPORT_ID  0x080u /* a TransportID */
#define OPTION_TRANSPORT_IDS 0x100u /* any number of them */
#define OPTION_TARGET_PORT   0x200u
#define OPTION_DIRECT        0x400u
#define OPTION_SOCKET        0x800u
#define OPTION_TIMEOUT       0x1000u
#define OPTION_JSON          0x2000u
#define OPTION_STATUS_SOCKET 0x4000u
#define OPTION_YES           0x10000u
#define OPTION_WATCH         0x8000u
#define OPTION_DRY_RUN       0x20000u /* of all that change something */
#define OPTION_ALL           0x40000u
#define OPTION_PURPOSE       0x100000u
#define OPTION_SECOND        0x200000u
#define OPTION_PROFILES      0x400000u
#define OPTION_FORCE         0x800000u
#define OPTION_REPORT        0x1000000u

/* Taken by all but a few. */
#define OPTIONS_COMMON (OPTION_SOCKET | OPTION_TIMEOUT | OPTION_JSON)

struct command;

struct options {
    const struct command *command;
    const char *operand;       /* KEY|HOST of fence */
    const char *device;        /* NULL if there was none */
    const char *socket;        /* NULL: the default */
    const char *status_socket; /* the same */
    unsigned given;            /* OPTION_ bits */
    uint64_t key;
    uint64_t other_key; /* the new one or the victim's */
    unsigned type;
    unsigned flags; /* PRHELPER_APTPL ... */
    uint16_t target_port;
    struct prhelper_transportid *transport_ids; /* owned */
    size_t n_transport_ids;
    int timeout_ms; /* PRHELPER_FOREVER if none was given */
    bool direct;
    bool json;
    bool watch;
    bool all;
    bool yes;
    bool dry_run;
    const char *purpose;  /* --for */
    const char *second;   /* of validate; NULL: one I_T nexus only */
    const char *profiles; /* a directory; NULL: the default */
    const char *report;   /* a file; NULL: none */
    bool force;
};

enum options_verdict {
    OPTIONS_RUN,
    OPTIONS_EXIT,  /* everything was printed: exit with 0 */
    OPTIONS_ERROR, /* said on standard error: exit with CTL_USAGE */
};

/*
 * Parse what follows the command's name; argv[0] is that name. On anything but OPTIONS_RUN there is
 * nothing to free. Texts are kept, not copied.
 */
enum options_verdict options_parse(struct options *options, const struct command *command, int argc,
                                   char **argv);

void options_deinit(struct options *options);

#endif
