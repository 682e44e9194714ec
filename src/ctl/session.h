// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device that is open, and a way to send it commands. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include <prhelper.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/direct.h"
#include "ctl/options.h"
#include "ctl/outcome.h"

struct session {
    const struct options *options;
    struct direct direct;    /* of --direct */
    struct prhelper *helper; /* a helper's, or one that is `direct` */
    int device_fd;           /* -1: not open */
    uint8_t *long_data;      /* owned: an answer that libprhelper has no room for; or NULL */
    size_t long_size;
    /* All unit attentions: the device reports each once, to the next command. */
    struct prhelper_sense attentions[OUTCOME_ATTENTIONS_MAX];
    unsigned n_attentions;
    char note[512]; /* who loses something, as far as the command's preparation knows */
};

const char *session_socket(const struct session *session);

/* Open the device. 0 or a negative errno. */
int session_open_device(struct session *session, const struct options *options);

/* Connect to the helper, or for --direct do without. Returns as prhelper_connect() does. */
int session_connect(struct session *session);

/* Give up the connection, to connect again later. */
void session_disconnect(struct session *session);

void session_close(struct session *session);

/*
 * Send a command; again if a unit attention came in its place, which says that the command was not
 * carried out. Fills in the first part of the outcome. With --direct a list is read again with more
 * room, until all of it has come or the allocation length is at its maximum.
 */
void session_send(struct session *session, const struct command *command, struct outcome *outcome);

/* The data of the last command, which `outcome` is of: *ret_size bytes, until the next one. */
const uint8_t *session_data(const struct session *session, const struct outcome *outcome,
                            size_t *ret_size);

#endif
