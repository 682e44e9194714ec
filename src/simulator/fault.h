// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Faults on purpose: a text file says which LUN hangs, is slow, or answers with a chosen status or
 * sense. It may be changed at any time and counts from the next command on.
 *
 *   # LUN (a path without blanks)   what it does
 *   /var/tmp/lun0                   hang
 *   /var/tmp/lun1                   latency 250          in milliseconds; the command is executed
 *   /var/tmp/lun2                   status 28            hexadecimal
 *   /var/tmp/lun3                   sense 4/44/00        hexadecimal
 *   /var/tmp/lun4                   quirk no-aptpl       simulator/quirk.h
 */
#ifndef SIMULATOR_FAULT_H
#define SIMULATOR_FAULT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "scsi/spc.h"
#include "simulator/quirk.h"

#define FAULT_MAX 64

enum fault_kind {
    FAULT_NONE,
    FAULT_HANG,
    FAULT_LATENCY,
    FAULT_STATUS,
    FAULT_SENSE,
    FAULT_QUIRK,
};

struct fault {
    enum fault_kind kind;
    unsigned latency_ms;
    uint8_t status;
    struct spc_sense sense;
    enum quirk quirk;
};

struct fault_entry {
    dev_t device;
    ino_t inode;
    struct fault fault;
};

struct faults {
    const char *path; /* NULL: there are none */
    pthread_mutex_t lock;
    ino_t inode; /* of what was read last, as the next two */
    struct timespec changed;
    off_t size;
    struct fault_entry entries[FAULT_MAX];
    size_t n_entries;
};

/*
 * Parse one line in place. Returns true, with *ret_path NULL for a line that says nothing; false if
 * it is malformed.
 */
bool fault_parse_line(char *line, const char **ret_path, struct fault *ret_fault);

/* path: borrowed, may be NULL, and need not exist yet. */
void faults_init(struct faults *faults, const char *path);
void faults_deinit(struct faults *faults);

/* What the LUN with this device and inode shall do now. Any thread; reads the file if it changed.
 */
struct fault faults_find(struct faults *faults, dev_t device, ino_t inode);

#endif
