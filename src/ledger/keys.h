// SPDX-License-Identifier: LGPL-2.1-or-later
/* The keys in the ledger: what ledger.c needs of them. Everything here under the ledger's lock. */
#ifndef LEDGER_KEYS_H
#define LEDGER_KEYS_H

#include "ledger/record.h"

/* An alarm that has just come about. */
struct ledger_alarm {
    struct peer *with; /* the other process, a reference; NULL: there is none */
};

/* A command has been answered GOOD: what does that mean for the keys? ret_alarm: NULL for commands
 * that only read. */
void ledger_keys_update(struct ledger *ledger, const struct ledger_command *command,
                        const struct reply *reply, int64_t now_us, struct ledger_alarm *ret_alarm);

/* Is any of the clients still there? */
bool ledger_keys_any_connected(struct ledger *ledger, const struct ledger_device *device);

/*
 * If at least two processes that are there are registered by the device's nexus: all that are, also
 * those that have vanished, with references; and since when, which is the time of the last alarm or
 * registration. Returns how many, else 0.
 */
unsigned ledger_keys_shared(struct ledger *ledger, const struct ledger_device *device,
                            struct peer *ret_peers[LEDGER_KEYS_MAX], int64_t *ret_since_us);

void ledger_keys_clear(struct ledger *ledger, struct ledger_device *device);

#endif
