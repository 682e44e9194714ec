// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the multipath worker knows of the paths of its maps: a table in memory that it shares with
 * the helper, which reads it for the status document. Nothing waits for the other side, nothing is
 * lost however rarely it is read, and no command costs more by it. Both are of the same build.
 *
 * Each slot has one writer at a time. A reader sees a map as it was at one moment, or not at all.
 * Slots are used from the first on; all zeros is an empty table.
 *
 * Thread rule: any; the writer sees to it that there is one for each slot.
 */
#ifndef PROTO_MAPTABLE_H
#define PROTO_MAPTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MAPTABLE_SLOTS     1024
#define MAPTABLE_PATHS_MAX 64 /* of one map: PATHS_MAX */
#define MAPTABLE_UUID_SIZE 130
#define MAPTABLE_NAME_SIZE 32 /* the kernel's DISK_NAME_LEN */

enum maptable_state {
    MAPTABLE_UP,
    MAPTABLE_AWAY,   /* it did not answer when it was asked last */
    MAPTABLE_HANGS,  /* a command that it was given has not returned */
    MAPTABLE_FAILED, /* multipathd was told to fail it, and is to reinstate it */
    MAPTABLE_STATES
};

/* Whether the client's registration is there by this path (SPC-4 5.13.7). */
enum maptable_registered { MAPTABLE_NO, MAPTABLE_YES, MAPTABLE_UNKNOWN, MAPTABLE_REGISTERED };

struct maptable_path {
    uint32_t major, minor;
    char name[MAPTABLE_NAME_SIZE]; /* "sdb" */
    uint8_t state;                 /* enum maptable_state */
    uint8_t registered;            /* enum maptable_registered */
};

struct maptable_map {
    _Alignas(8) int64_t told_us; /* when it was so (base/clock.h) */
    uint32_t major, minor;
    uint32_t n_paths;              /* 0: there is no such map any more */
    char uuid[MAPTABLE_UUID_SIZE]; /* "mpath-3600..." */
    struct maptable_path path[MAPTABLE_PATHS_MAX];
};

struct maptable {
    struct maptable_slot {
        _Atomic uint32_t sequence; /* 0: not used yet; odd: being written */
        struct maptable_map map;
    } slot[MAPTABLE_SLOTS];
};

void maptable_write(struct maptable *table, unsigned slot, const struct maptable_map *map);

enum maptable_look {
    MAPTABLE_END,    /* neither this slot nor any after it has been used */
    MAPTABLE_FOUND,  /* *ret_map is what it has */
    MAPTABLE_NOTHING /* a map that has gone, or that cannot be read now; others may follow */
};

/*
 * Read a slot. What the writer, being of the same build, would not have written is
 * MAPTABLE_NOTHING; texts end with a NUL and have no control characters in them.
 */
enum maptable_look maptable_read(const struct maptable *table, unsigned slot,
                                 struct maptable_map *ret_map);

#endif
