// SPDX-License-Identifier: LGPL-2.1-or-later
/* An I_T nexus to the LUN that is looked at: commands by a helper or --direct, data past it. */
#ifndef VALIDATE_NEXUS_H
#define VALIDATE_NEXUS_H

#include <prhelper.h>
#include <stdbool.h>

#include "ctl/options.h"
#include "ctl/session.h"

#define NEXUS_IDENTITY_MAX 256

/* Unit attentions in a row, with none of which the command was carried out. */
#define NEXUS_ATTENTIONS_MAX 8

/* Room for what came of something, in one or two words: "good", "conflict", "sense 5/24/00". */
#define NEXUS_GOT_MAX 64

enum nexus_action {
    NEXUS_REGISTER,
    NEXUS_REGISTER_IGNORE,
    NEXUS_RESERVE,
    NEXUS_RELEASE,
    NEXUS_CLEAR,
    NEXUS_PREEMPT,
    NEXUS_PREEMPT_ABORT,
    NEXUS_READ_KEYS,
    NEXUS_READ_RESERVATION,
    NEXUS_REPORT_CAPABILITIES,
    NEXUS_READ_FULL_STATUS,
};

struct nexus_call {
    enum nexus_action action;
    uint64_t key;   /* the reservation key */
    uint64_t other; /* the service action reservation key: the new one, or the victim's */
    unsigned type;
    unsigned flags; /* PRHELPER_APTPL */
};

struct nexus_answer {
    int r; /* libprhelper's */
    struct prhelper_result result;
    unsigned n_attentions; /* that came before; the first of them is kept */
    struct prhelper_sense attention;
    int64_t us; /* how long all of it took */
    char got[NEXUS_GOT_MAX];
};

struct nexus {
    const char *name; /* "A" */
    struct options options;
    struct session session;
    int data_fd;    /* for reading and writing data; -1: none is protected here */
    uint8_t *block; /* owned: what is to be written, and room to read to; NULL: no data */
    bool is_file;
    bool is_map;                       /* a multipath map */
    char identity[NEXUS_IDENTITY_MAX]; /* the logical unit's name in the world; "" if unknown */
    char device[32];                   /* the kernel's name; "" if unknown */
};

/*
 * Open `device` and connect to the helper at `socket`, or do without by options->direct; both texts
 * are kept. ret_error has room for `size` bytes. Returns 0, or an enum exit_status with the reason
 * in ret_error.
 */
int nexus_open(struct nexus *nexus, const char *name, const struct options *options,
               const char *device, const char *socket, char *ret_error, size_t size);
void nexus_close(struct nexus *nexus);

/*
 * Send a command, again after a unit attention; connect anew first if the connection is dead. What
 * came of it is in the answer, whose `got` has it in a word.
 */
void nexus_send(struct nexus *nexus, const struct nexus_call *call, struct nexus_answer *ret);

/*
 * Two nexuses, two commands, under way at the same time. Without a helper they are one after the
 * other.
 */
void nexus_send_both(struct nexus *const nexus[2], const struct nexus_call call[2],
                     struct nexus_answer ret[2]);

/*
 * Read a block of data, and with `write` write it back as it was. "good", "conflict",
 * "device gone" or "errno 5"; "skipped" if there is no data.
 */
void nexus_transfer(struct nexus *nexus, bool write, struct nexus_answer *ret);

#endif
