// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the helper has done, by device: counts, latencies, commands in flight, the last error, and
 * the keys that came through it with the clients who brought them. And what follows from that: two
 * virtual machines that have registered by the same I_T nexus are one to the logical unit.
 *
 * Thread rule: init and deinit belong to the main thread, everything else may be called by any.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ledger/latency.h"
#include "proto/request.h"
#include "serve/peer.h"
#include "sg/device.h"

#define LEDGER_DEVICES_MAX 256 /* the one not used for longest makes room */
#define LEDGER_KEYS_MAX    16  /* of one device */
#define LEDGER_HUNG_MS     5000

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
    bool replaced; /* somebody else has registered by the same nexus since */
};

struct ledger_error {
    int64_t at_us; /* 0: there was none */
    uint8_t opcode, action;
    enum ledger_result result;
    struct reply reply;
    int connection;
    struct peer *peer; /* a reference, or NULL */
};

/* One request that is being executed, in the hands of its thread. */
struct ledger_command {
    const struct request *request;
    struct ledger_device *device; /* NULL: there is no record of it */
    struct ledger_command *next, *previous;
    int64_t started_us;
    bool is_checked; /* it may register, and --exclusive has let it go ahead */
};

struct ledger_device {
    struct ledger_device *next, *previous; /* the one used last comes first */
    dev_t number;
    enum device_kind kind;
    struct device_names names; /* constant while a command is in flight */
    int64_t used_us;
    uint32_t counts[LEDGER_ACTIONS][LEDGER_RESULTS];
    struct latency latency[3];           /* by enum ledger_kind */
    struct ledger_command *first, *last; /* in flight, the oldest first */
    unsigned n_in_flight;
    struct ledger_error error;
    struct ledger_key keys[LEDGER_KEYS_MAX]; /* the oldest first */
    unsigned n_keys, n_keys_left_out;
    int64_t alarm_since_us; /* 0: it has not brought any about */
};

enum ledger_kind { LEDGER_PRIN, LEDGER_PROUT, LEDGER_CLEANUP };

struct ledger {
    const struct device_sources *sources; /* borrowed */
    struct peers *peers;                  /* borrowed */
    bool exclusive;
    bool reads; /* PERSISTENT RESERVE IN is of interest, too */

    pthread_mutex_t lock; /* of everything below */
    struct ledger_device *first, *last;
    unsigned n_devices;
    unsigned n_forgotten;
    unsigned n_alarms;
    unsigned n_refused;
};

void ledger_init(struct ledger *ledger, const struct device_sources *sources, struct peers *peers,
                 bool exclusive, bool reads);
void ledger_deinit(struct ledger *ledger);

/*
 * A request on a device of this kind begins. False: --exclusive forbids it, since another machine
 * holds a key by the same nexus. In any case followed by ledger_end. May block, in sysfs.
 */
bool ledger_begin(struct ledger *ledger, struct ledger_command *command,
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
        int connection;
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
