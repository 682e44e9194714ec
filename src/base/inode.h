// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which file a name stands for, so that a file of ours can be told from one that has taken its
 * place.
 *
 * Thread rule: any thread. Nothing here needs the heap.
 */
#ifndef BASE_INODE_H
#define BASE_INODE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* An inode; its birth time tells it from a later one with the same number. */
struct inode_id {
    dev_t device;
    ino_t inode;
    struct timespec born; /* zeros where the filesystem does not know */
};

/*
 * What lies at path, not following a link; relative to the directory `dir`, or by itself. Returns 0
 * or a negative errno.
 */
int inode_identify_at(int dir, const char *path, struct inode_id *ret_inode);
int inode_identify(const char *path, struct inode_id *ret_inode);

bool inode_same(const struct inode_id *a, const struct inode_id *b);

/*
 * Lock the names in a directory against other helpers of the same user: a name is checked and then
 * removed, and in between no other helper may remove it and put something new in its place. Waits
 * for a second at most, and only for other helpers. Returns an fd for inode_unlock_names, or a
 * negative errno; then the caller has to do without.
 */
int inode_lock_names(int dir);
void inode_unlock_names(int dir, int lock);

/*
 * Remove what lies at path if it is still this inode. That it has gone, or that something else lies
 * there now, is no error. Returns 0 or a negative errno.
 */
int inode_remove(const char *path, const struct inode_id *inode);

#endif
