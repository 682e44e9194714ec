// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_MAILBOX_H
#define SOAK_MAILBOX_H

/*
 * The wire between the helpers' SG_IO and the disks: memory that the helpers, through the library
 * that is preloaded into them (driver.c), share with the process that plays the disks (device.c).
 * What has been sent is the disks' affair, also if the helper dies: so it is with real ones.
 *
 * A command takes a free slot of its host, fills it in, marks it SENT, rings the bell and waits on
 * the slot's state. The device answers into the slot, marks it DONE and wakes the waiter, which
 * frees it. Slots of a helper that was killed are freed by device_forget().
 */

#include <stdatomic.h>
#include <stdint.h>

#define MAILBOX_MAGIC      UINT64_C(0x534f414b6d616c31)
#define MAILBOX_HOSTS      3
#define MAILBOX_SLOTS      256
#define MAILBOX_DATA_MAX   8192
#define MAILBOX_SENSE_MAX  96
#define MAILBOX_CDB_MAX    16
#define MAILBOX_DISKS      4
#define MAILBOX_LOOP_MAJOR 7

enum mailbox_state {
    MAILBOX_FREE,
    MAILBOX_TAKEN,
    MAILBOX_SENT,
    MAILBOX_DONE,
};

/* Ways in which the library can make a liar of the helper, to see whether a test notices. */
enum mailbox_mutant {
    MUTANT_NONE,
    MUTANT_GOOD,    /* a conflict becomes GOOD */
    MUTANT_FORGET,  /* a change is never sent, and said to be GOOD */
    MUTANT_TWICE,   /* a change is sent twice */
    MUTANT_REPEAT,  /* a change that timed out is sent again */
    MUTANT_ALTER,   /* a byte of the parameter list is another one */
    MUTANT_DATA,    /* a byte of the data is another one */
    MUTANT_SENSE,   /* the sense data are lost */
    MUTANT_RESIDUE, /* the residual is lost: more data than the disk has sent */
    MUTANT_DISK,    /* a command goes to another disk */
    MUTANT_STUCK,   /* a command never ends */
    MUTANT_DIE,     /* the helper dies */
    MUTANT_LEAK,    /* an fd stays open */
    MUTANTS,
};

struct mailbox_slot {
    /* the command */
    uint64_t rdev;
    int32_t interface_id;
    int32_t direction;
    uint32_t command_size;
    uint32_t sense_room;
    uint32_t transfer_size;
    uint32_t has_buffer;
    uint32_t timeout_ms;
    uint32_t flags;
    uint8_t cdb[MAILBOX_CDB_MAX];
    /* the answer */
    int32_t error; /* errno of the ioctl, 0 for none */
    uint32_t status;
    uint32_t host_status;
    uint32_t driver_status;
    int32_t residual;
    uint32_t sense_size;
    uint32_t data_size;
    uint8_t sense[MAILBOX_SENSE_MAX];
    /* data-out, then data-in */
    uint8_t data[MAILBOX_DATA_MAX];
};

/* The states lie apart, so that looking for what is new touches few cache lines. */
struct mailbox_host {
    _Atomic uint32_t state[MAILBOX_SLOTS];
    struct mailbox_slot slot[MAILBOX_SLOTS];
};

struct mailbox {
    uint64_t magic;
    uint32_t mutant;
    uint32_t rarely;       /* a mutant strikes each so many commands */
    uint64_t wrong_disk;   /* MUTANT_DISK: where to */
    _Atomic uint32_t bell; /* changes with each command */
    struct mailbox_host host[MAILBOX_HOSTS];
};

#endif
