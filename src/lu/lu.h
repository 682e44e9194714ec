// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SIMULATOR_LU_H
#define SIMULATOR_LU_H

/*
 * A logical unit as far as persistent reservations go: the state machine of SPC-4 5.13, Persistent
 * reservations, with PERSISTENT RESERVE IN (6.15) and OUT (6.16). No file descriptor, no system
 * call, no clock, no memory of its own: bytes of a command go in, status, sense and data come out.
 *
 * Everything is supported that the standard describes: all six types, SPEC_I_PT, ALL_TG_PT, APTPL,
 * REGISTER AND MOVE, unit attentions. Only REPLACE LOST RESERVATION and the commands of
 * SPC-2 are not there. What the standard leaves open is said where it is decided.
 *
 * Thread rule: one thread at a time per struct lu; the caller locks. Nothing here blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/cdb.h"
#include "scsi/spc.h"
#include "scsi/transportid.h"

/* I_T nexuses that can be there at one time. */
#define LU_NEXUS_MAX 256

/* Registrations. One more ends with INSUFFICIENT REGISTRATION RESOURCES. */
#define LU_REGISTRATION_MAX 128

/* Relative target port identifiers run from 1 to the number of ports, at most this. */
#define LU_TARGET_PORT_MAX 16

/* Unit attentions that wait for one nexus; more than there are different ones. */
#define LU_ATTENTION_MAX 8

/* An I_T nexus: an initiator port that has come in through a target port. */
struct lu_nexus {
    bool present;
    struct transportid initiator;
    uint16_t target_port;
    uint8_t attentions;
    struct spc_sense attention[LU_ATTENTION_MAX]; /* oldest first */
};

/* A registered I_T nexus, which need not be present. */
struct lu_registration {
    uint64_t key; /* never 0 */
    struct transportid initiator;
    uint16_t target_port;
};

/*
 * Some 100 kB, so no object for the stack of a thread. Owned by the caller; only the functions
 * below look inside. Invariants between calls: no I_T nexus is registered twice; while `reserved`,
 * the type is valid and there is at least one registration; `holder` is below `registrations`
 * unless the type is one of all registrants, when every registration holds the reservation and
 * `holder` is 0.
 */
struct lu {
    uint16_t target_ports;
    struct lu_nexus nexus[LU_NEXUS_MAX];
    struct lu_registration registration[LU_REGISTRATION_MAX]; /* in the order of registration */
    size_t registrations;
    bool reserved;
    uint8_t type; /* the scope is always that of the logical unit */
    size_t holder;
    uint32_t generation; /* PRGENERATION */
    bool aptpl;          /* the last valid APTPL: state outlives a loss of power */
};

/* What a command came to. */
struct lu_result {
    uint8_t status;         /* enum spc_status */
    struct spc_sense sense; /* for CHECK CONDITION, else 0/00/00 */
    size_t length;          /* bytes of data; 0 unless GOOD */
    bool changed;           /* lu_save() would now give something else: save before answering */
};

/* A logical unit with `target_ports` target ports (1 to LU_TARGET_PORT_MAX), as after power on. */
void lu_init(struct lu *lu, uint16_t target_ports);

/* Also takes one that is all zeros. */
void lu_deinit(struct lu *lu);

/*
 * An initiator port has logged in through a target port; commands from it carry the index `nexus`,
 * which the caller chooses. False if there is no such index or target port, if the index is taken,
 * if this initiator port is already there through this target port, or if the TransportID does not
 * name one port (RAW, or iSCSI without ISID). It keeps the registration it may have from before.
 */
bool lu_nexus_add(struct lu *lu, unsigned nexus, const struct transportid *initiator,
                  uint16_t target_port);

/* It has gone. Registration and reservation stay: SPC-4 5.13.1. An absent index is no error. */
void lu_nexus_remove(struct lu *lu, unsigned nexus);

/*
 * Let the next command of a present nexus end with this unit attention. One that already waits is
 * not queued twice. For resets and tests; reservations raise their own.
 */
void lu_attention_raise(struct lu *lu, unsigned nexus, struct spc_sense code);

/*
 * Process one command of a present nexus: TEST UNIT READY, PERSISTENT RESERVE IN or OUT, from ten
 * bytes. `param` holds `param_length` bytes of data-out, of which no more than the CDB's parameter
 * list length count. At most `data_size` bytes, and never more than the allocation length, are
 * written to `data`. `ret` is always filled in. Only GOOD changes reservations and registrations.
 */
void lu_execute(struct lu *lu, unsigned nexus, const uint8_t cdb[CDB_SIZE], const uint8_t *param,
                size_t param_length, uint8_t *data, size_t data_size, struct lu_result *ret);

/*
 * Whether a read or a write of this present nexus would now be let through, or end with RESERVATION
 * CONFLICT. SPC-4 5.13.1, table of commands that are allowed in the presence of various
 * reservations. RESERVATION CONFLICT has precedence over the unit attentions of reservations
 * (SAM-5 5.3, Status precedence), so ask this before anything else.
 */
bool lu_may_read(const struct lu *lu, unsigned nexus);
bool lu_may_write(const struct lu *lu, unsigned nexus);

/*
 * What a loss of power must not lose: registrations and reservation if APTPL is active, else
 * nothing. lu_save() returns the number of bytes, at most LU_SAVE_MAX; above `size`, what did not
 * fit is missing. PRGENERATION is not part of it, it starts at 0 with each power on (SPC-4 6.15.2).
 */
size_t lu_save(const struct lu *lu, uint8_t *bytes, size_t size);
#define LU_SAVE_MAX (12 + LU_REGISTRATION_MAX * (12 + TRANSPORTID_SIZE_MAX))

enum lu_load_result {
    LU_LOAD_OK,
    LU_LOAD_FOREIGN,   /* not made by lu_save(), or by that of another version */
    LU_LOAD_MALFORMED, /* cut short, altered, or for a logical unit with more target ports */
};

/* The reverse, into one that was just initialised. On anything but OK it stays as it is. */
enum lu_load_result lu_load(struct lu *lu, const uint8_t *bytes, size_t size);

#endif
