// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the ledger knows: its records and what is in them. Which function may touch them stands in
 * ledger.h and keys.h; all of it is under the ledger's lock.
 */
#ifndef LEDGER_RECORD_H
#define LEDGER_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/lock.h"
#include "ledger/latency.h"
#include "proto/request.h"
#include "scsi/transportid.h"
#include "serve/peer.h"
#include "sg/device.h"

#define LEDGER_DEVICES_MAX 256 /* the one not used for longest makes room */
#define LEDGER_KEYS_MAX    16  /* of one device */

/* In peer->busy_with, beside the service action: it is a PERSISTENT RESERVE IN; of a SCSI generic
 * device, which may have the number of a block device. */
#define LEDGER_READS    0x100u
#define LEDGER_READS_SG 0x200u

/* Rows of counts: the service actions of both commands, "other" for each, and CLEANUP. */
#define LEDGER_PRIN_ACTIONS  5
#define LEDGER_PROUT_ACTIONS 10
#define LEDGER_ACTIONS       (LEDGER_PRIN_ACTIONS + LEDGER_PROUT_ACTIONS + 1)

enum ledger_result {
    LEDGER_GOOD,
    LEDGER_CHECK_CONDITION,
    LEDGER_BUSY,
    LEDGER_RESERVATION_CONFLICT,
    LEDGER_TASK_SET_FULL,
    LEDGER_OTHER,
    LEDGER_REFUSED, /* by the helper itself, with CHECK CONDITION */
    LEDGER_RESULTS,
};

/* A key that a client registered. */
struct ledger_key {
    uint64_t key;
    struct peer *peer; /* a reference */
    int64_t since_us;
    bool replaced; /* another client has registered by the same nexus since */
    bool doubtful; /* a command since may have removed it, and no list has been read after that */
    bool seen; /* READ FULL STATUS has it on a nexus of this host, and its client had vanished */
};

struct ledger_error {
    int64_t at_us; /* 0: there was none */
    uint8_t opcode, action;
    enum ledger_result result;
    struct reply reply;
    uint64_t connection;
    struct peer *peer; /* a reference, or NULL */
};

/* What is known of a reservation, see ledger/reservation.h. */
struct ledger_reservation {
    int64_t at_us; /* 0: nothing is known */
    bool held;
    uint8_t type; /* if held */
    uint64_t key; /* the holder's; 0: there is none, or all registrants hold it */
};

/* One request that may change something and is being executed, in the hands of its thread. */
struct ledger_command {
    const struct request *request;
    struct ledger_device *device; /* NULL: there is no record of it */
    struct ledger_command *next, *previous;
    int64_t started_us;
};

struct ledger_device {
    struct ledger_device *next, *previous; /* the one used last comes first */
    dev_t number;
    enum device_kind kind;
    struct device_names names;    /* constant while a command is in flight */
    struct transportid initiator; /* ours; size 0: unknown */
    int64_t used_us;
    uint32_t counts[LEDGER_ACTIONS][LEDGER_RESULTS];
    struct latency latency[3];           /* by enum ledger_kind */
    struct ledger_command *first, *last; /* in flight, the oldest first */
    unsigned n_in_flight;
    struct ledger_error error;
    struct ledger_reservation reservation;
    struct ledger_key keys[LEDGER_KEYS_MAX]; /* the oldest first */
    unsigned n_keys, n_keys_left_out;
    int64_t alarm_since_us; /* 0: it has not brought any about */
};

enum ledger_kind { LEDGER_PRIN, LEDGER_PROUT, LEDGER_CLEANUP };

struct ledger {
    const struct device_sources *sources; /* borrowed */
    struct peers *peers;                  /* borrowed */
    bool reads;                           /* PERSISTENT RESERVE IN is of interest, too */

    struct lock lock; /* of everything below */
    struct ledger_device *first, *last;
    unsigned n_devices;
    unsigned n_keys; /* of all devices */
    unsigned n_forgotten;
    unsigned n_alarms;
};

#endif
