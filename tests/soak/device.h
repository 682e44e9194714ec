// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_DEVICE_H
#define SOAK_DEVICE_H

/*
 * The disks: logical units of the simulator that all hosts share, served by one thread, and what
 * lies between them and the hosts: delays, hangs, errors. A command is with its disk when it has
 * been sent, and is carried out even if its helper is no more.
 *
 * Thread rule: device_start() and device_stop() are for one thread, the others for any.
 */

#include <stdint.h>

#include "mailbox.h"

struct device_options {
    uint64_t seed;
    unsigned error_percent; /* commands that meet an error */
    unsigned hang_ms;       /* a disk hangs each so often, on average */
    uint64_t rdev[MAILBOX_DISKS];
};

/* Serve the mailbox from now on. Returns 0 or a negative errno. */
int device_start(struct mailbox *mailbox, const struct device_options *options);
void device_stop(void);

/* The host's helper is gone: no process waits for what it has sent. */
void device_forget(unsigned host);

/* The key that the host has registered on the disk, or 0. */
uint64_t device_key(unsigned disk, unsigned host);

#endif
