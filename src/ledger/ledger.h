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

#include "base/clock.h"
#include "ledger/record.h"
#include "scsi/cdb.h"

void ledger_init(struct ledger *ledger, const struct device_sources *sources, struct peers *peers,
                 bool reads);
void ledger_deinit(struct ledger *ledger);

/* A request that may change something begins, on a device of this kind. Followed by ledger_end. May
 * block, in sysfs. */
void ledger_begin(struct ledger *ledger, struct ledger_command *command,
                  const struct request *request, enum device_kind kind, dev_t number);

/* It has its answer; refused: by the helper itself. Logs the alarm. */
void ledger_end(struct ledger *ledger, struct ledger_command *command, const struct reply *reply,
                bool refused);

/* A client's first command for a device: it has a record from now on, also while this one hangs. */
void ledger_meet(struct ledger *ledger, enum device_kind kind, dev_t number, int64_t now_us);

/* Let the client's entry say what it waits for. */
static inline void ledger_set_busy(const struct request *request, dev_t number, uint16_t what,
                                   int64_t started_us)
{
    struct peer *peer = request->peer;

    if (!peer)
        return;
    atomic_store_explicit(&peer->busy_device, number, memory_order_relaxed);
    atomic_store_explicit(&peer->busy_with, what, memory_order_relaxed);
    atomic_store_explicit(&peer->busy_since_us, started_us, memory_order_release);
}

/*
 * The same of PERSISTENT RESERVE IN, which is what helpers do most: nothing is held while the
 * command is in flight, but the client's own entry, struct peer, tells of it. Not for DEVICE_OTHER.
 * Returns when it began (base/clock.h, us), for ledger_end_read.
 */
static inline int64_t ledger_begin_read(struct ledger *ledger, const struct request *request,
                                        enum device_kind kind, dev_t number)
{
    const unsigned device = LEDGER_READS | (kind == DEVICE_SG ? LEDGER_READS_SG : 0);
    const struct peer *peer = request->peer;
    int64_t now = clock_now_us();

    if (!peer || atomic_load_explicit(&peer->busy_device, memory_order_relaxed) != number ||
        (atomic_load_explicit(&peer->busy_with, memory_order_relaxed) & ~0xffu) != device)
        ledger_meet(ledger, kind, number, now);
    ledger_set_busy(request, number,
                    (uint16_t)(device | (request->cdb[1] & CDB_SERVICE_ACTION_MASK)), now);
    return now;
}

void ledger_end_read(struct ledger *ledger, const struct request *request, enum device_kind kind,
                     dev_t number, int64_t started_us, const struct reply *reply);

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

/* For reports of what is in it. Pure. */
enum ledger_kind ledger_kind_of(uint8_t opcode);
unsigned ledger_row_of(uint8_t opcode, uint8_t action);
const char *ledger_command_name(uint8_t opcode);
const char *ledger_action_name(uint8_t opcode, uint8_t action); /* NULL for CLEANUP */
enum ledger_result ledger_result_of(uint8_t status, bool refused);
const char *ledger_result_name(enum ledger_result result);

#endif
