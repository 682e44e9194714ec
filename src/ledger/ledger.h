// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the helper has done, by device: counts, latencies, commands in flight, the last error, and
 * the keys that came through it with the clients who brought them. And what follows from that: two
 * processes that have registered by the same I_T nexus are one to the logical unit.
 *
 * Thread rule: init and deinit belong to the main thread, everything else may be called by any.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include "ledger/record.h"

void ledger_init(struct ledger *ledger, const struct device_sources *sources, struct peers *peers,
                 bool reads);
void ledger_deinit(struct ledger *ledger);

/* A request on a device of this kind begins. Followed by ledger_end. May block, in sysfs. */
void ledger_begin(struct ledger *ledger, struct ledger_command *command,
                  const struct request *request, enum device_kind kind, dev_t number);

/* It has its answer; refused: by the helper itself. Logs the alarm. */
void ledger_end(struct ledger *ledger, struct ledger_command *command, const struct reply *reply,
                bool refused);

#define LEDGER_IN_FLIGHT_MAX 32 /* that a copy lists */

/* One device's record at one moment, for telling others. */
struct ledger_copy {
    struct ledger_device device; /* its pointers to other records and commands mean nothing */
    bool connected[LEDGER_KEYS_MAX];
    unsigned n_shared; /* those who are registered by the nexus, if that is cause for alarm */
    int64_t shared_since_us;
    struct peer *shared[LEDGER_KEYS_MAX]; /* references */
    unsigned n_listed;
    struct {
        uint8_t opcode, action;
        uint64_t connection;
        struct peer *peer; /* a reference, or NULL */
        int64_t started_us;
    } in_flight[LEDGER_IN_FLIGHT_MAX]; /* the oldest first */
};

/*
 * Copy all records, the one used last first. Returns how many; *ret_copies is the caller's, for
 * ledger_free_copies. None, if memory is short.
 */
unsigned ledger_copy(struct ledger *ledger, struct ledger_copy **ret_copies);
void ledger_free_copies(struct ledger_copy *copies, unsigned n_copies);

/* For whoever tells others what is in it. Pure. */
enum ledger_kind ledger_kind_of(uint8_t opcode);
unsigned ledger_row_of(uint8_t opcode, uint8_t action);
const char *ledger_command_name(uint8_t opcode);
const char *ledger_action_name(uint8_t opcode, uint8_t action); /* NULL for CLEANUP */
enum ledger_result ledger_result_of(uint8_t status, bool refused);
const char *ledger_result_name(enum ledger_result result);

#endif
