// SPDX-License-Identifier: LGPL-2.1-or-later
/* The reservation keys of a profile: names in its steps, numbers on the device. */
#ifndef VALIDATE_KEYS_H
#define VALIDATE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX      24
#define KEYS_NAME_MAX 16

struct keys {
    size_t count;
    struct {
        char name[KEYS_NAME_MAX];
        uint64_t value;
    } one[KEYS_MAX];
};

/*
 * The key of this name, drawn at random when it is first asked for; "0" is the key 0. Drawn keys
 * begin with the letters "prvl", by which what an ended run has left behind is known, and differ
 * from one another. False if there is no room for one more, or the name is too long.
 */
bool keys_find(struct keys *keys, const char *name, uint64_t *ret_key);

/* Give a name a key of one's own. The same failures. */
bool keys_set(struct keys *keys, const char *name, uint64_t key);

/*
 * Whether this program may have registered it: one of `keys`, one that is drawn or is for tidying
 * up, or such a one with its bytes the other way round, as some devices return them.
 */
bool keys_is_own(const struct keys *keys, uint64_t key);

/* Its name, or NULL. */
const char *keys_name(const struct keys *keys, uint64_t key);

#endif
