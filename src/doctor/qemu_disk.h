// SPDX-License-Identifier: LGPL-2.1-or-later
/* How QEMU gives a disk to its guest, by its command line. */
#ifndef DOCTOR_QEMU_DISK_H
#define DOCTOR_QEMU_DISK_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a socket's path with its NUL: more than sockaddr_un has. */
#define QEMU_HELPER_MAX 128

/* Whether a live migration also migrates the reservation (QEMU 11.0, scsi-block's migrate-pr). */
enum qemu_migration { QEMU_MIGRATION_UNKNOWN, QEMU_MIGRATION_ON, QEMU_MIGRATION_OFF };

struct qemu_disk {
    char model[40]; /* "scsi-block", "virtio-blk-pci"; "": it is not on the command line */
    bool passes;    /* that model passes the guest's SCSI commands on */
    bool managed;   /* its node has a pr-manager: */
    char helper[QEMU_HELPER_MAX]; /* the path of whose socket is this; "" if that is not known */
    bool stops;                   /* QEMU stops the guest upon an error of this disk */
    enum qemu_migration migration;
    char machine[64]; /* the machine type, or "" */
};

/* Whether a file name of the command line is the disk. */
typedef bool qemu_is_disk(void *context, const char *name);

/*
 * From NUL-separated arguments. Of several devices with the disk the one that suits reservations
 * least. What was plugged in later is not on the command line.
 */
void qemu_disk_find(const char *command, size_t size, qemu_is_disk *is_disk, void *context,
                    struct qemu_disk *ret);

/* The path of its first pr-manager's socket; false: it has none. */
bool qemu_helper_find(const char *command, size_t size, char ret[QEMU_HELPER_MAX]);

#endif
