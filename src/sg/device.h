// SPDX-License-Identifier: LGPL-2.1-or-later
/* What kind of thing is behind an fd that a client has passed? */
#ifndef SG_DEVICE_H
#define SG_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum device_kind {
    DEVICE_OTHER,        /* nothing that takes SG_IO with a version 3 header */
    DEVICE_SG,           /* SCSI generic character device */
    DEVICE_BLOCK,        /* block device: any of the following */
    DEVICE_DISK,         /* whole SCSI disk */
    DEVICE_NOT_SCSI,     /* whole device that is no SCSI disk, regardless of what lies below it */
    DEVICE_PARTITION,    /* part of a block device */
    DEVICE_DM_MULTIPATH, /* device-mapper map whose uuid begins with mpath- */
    DEVICE_DM_OTHER,     /* any other device-mapper map: LVM, kpartx, crypt ... */
    DEVICE_UNKNOWN,      /* it could not be found out; never what the functions here return */
};

/* Where the kernel tells about devices. */
struct device_sources {
    int sys_dev_block; /* directory fd of /sys/dev/block, or -1 */
};

/* Returns 0 or a negative errno; then no block device can be told from another. */
int device_sources_init(struct device_sources *sources);
void device_sources_deinit(struct device_sources *sources);

/*
 * DEVICE_OTHER, DEVICE_SG or DEVICE_BLOCK: all that fstat(2) tells. May block (an fd of a dead
 * network file system). *ret_number is the device number, 0 for DEVICE_OTHER. Returns 0, or a
 * negative errno if it could not be found out.
 */
int device_classify(int fd, enum device_kind *ret_kind, dev_t *ret_number);

/*
 * Which kind of block device `number` is: one of those after DEVICE_BLOCK. Asked anew for each
 * command, since numbers are reused; while the fd is open, the number stays with its device. May
 * block. Returns 0, or a negative errno if it could not be found out: -ENOENT where sysfs does not
 * know the device.
 */
int device_refine_block(const struct device_sources *sources, dev_t number,
                        enum device_kind *ret_kind);

/*
 * Is this errno (positive) of a kind that says nothing of the device, but that fds or memory ran
 * out, or that the call may be made again?
 */
bool device_is_shortage(int error);

/* What a device is called; each "" if unknown. Longer names are cut. */
struct device_names {
    char name[32];   /* the kernel's: sdb */
    char wwn[128];   /* the logical unit's in the world: naa.6001405...; uuid of a map */
    char map[128];   /* a device-mapper map's name */
    char nexus[32];  /* HOST:CHANNEL:TARGET:LUN of a SCSI device */
    uint64_t serial; /* of this use of the number; 0: unknown */
    bool cut_short;  /* some of it could not be found out now; "" and 0 say nothing then */
};

/* Read them from sysfs. May block. */
void device_describe(const struct device_sources *sources, enum device_kind kind, dev_t number,
                     struct device_names *ret);

/*
 * Only the serial: is it still the same device? May block. Returns 0, or a negative errno if it
 * could not be found out: then *ret_serial is untouched, and the device may be the same or another
 * one.
 */
int device_serial(const struct device_sources *sources, enum device_kind kind, dev_t number,
                  uint64_t *ret_serial);

/* In one word, for programs to read: "block", "partition" ... By enum device_kind. */
extern const char *const device_kind_word[];

/* For messages: "partition", "device-mapper map" ... */
const char *device_kind_name(enum device_kind kind);

#endif
