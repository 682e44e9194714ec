// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Real validations draw their keys as well. These are random so that two runs that a mistake lets
 * loose on one LUN cannot take each other's registrations for their own.
 */
#include "validate/keys.h"

#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

#define KEYS_PREFIX 0x7072766c00000000u /* "prvl" */

static uint64_t keys_draw(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint32_t)clock_now_us() *
                 2654435761u; /* so early that there is none: it will do */
    return KEYS_PREFIX | number | 1;
}

bool keys_set(struct keys *keys, const char *name, uint64_t key)
{
    if (keys->count == KEYS_MAX || strlen(name) >= KEYS_NAME_MAX)
        return false;
    strcpy(keys->one[keys->count].name, name);
    keys->one[keys->count++].value = key;
    return true;
}

const char *keys_name(const struct keys *keys, uint64_t key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->one[i].value == key)
            return keys->one[i].name;
    }
    return NULL;
}

static bool keys_is_known(const struct keys *keys, uint64_t key)
{
    return keys_name(keys, key) || (key & 0xFFFFFFFF00000000u) == KEYS_PREFIX;
}

bool keys_is_own(const struct keys *keys, uint64_t key)
{
    return keys_is_known(keys, key) || keys_is_known(keys, __builtin_bswap64(key));
}

bool keys_find(struct keys *keys, const char *name, uint64_t *ret_key)
{
    uint64_t key;

    if (strcmp(name, "0") == 0) {
        *ret_key = 0;
        return true;
    }
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->one[i].name, name) == 0) {
            *ret_key = keys->one[i].value;
            return true;
        }
    }
    do
        key = keys_draw();
    while (keys_name(keys, key));
    if (!keys_set(keys, name, key))
        return false;
    *ret_key = key;
    return true;
}
