// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PREEMPT knows keys only (SPC-4 5.13.11.2.4), people know hosts. READ FULL STATUS has both; where
 * a device has not got it, only a key can be named.
 */
#include "ctl/victims.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"

/* "21:00:00:24:ff:01:02:03" is 21000024ff010203. */
static bool victims_same_address(const char *address, const char *whom)
{
    char plain[64];
    size_t length = 0;

    for (; *whom && length + 1 < sizeof(plain); whom++) {
        if (*whom != ':')
            plain[length++] = *whom;
    }
    plain[length] = '\0';
    return length > 0 && strcasecmp(address, plain) == 0;
}

bool victims_is_host(const struct state_registration *one, const char *whom)
{
    char name[PRHELPER_TRANSPORTID_TEXT_MAX];
    const char *at = strchr(one->initiator, ':');

    if (!one->initiator[0] || !whom[0])
        return false;
    if (strcmp(one->initiator, whom) == 0)
        return true;
    if (strncmp(one->initiator, "fc:", 3) == 0 || strncmp(one->initiator, "sas:", 4) == 0)
        return victims_same_address(at + 1, whom);
    /* iscsi:iqn.2026-01.org.example:host,i,0x00023d000001 */
    if (strncmp(one->initiator, "iscsi:", 6) != 0)
        return false;
    snprintf(name, sizeof(name), "%s", one->initiator + 6);
    name[strcspn(name, ",")] = '\0';
    at = strrchr(name, ':');
    return strcmp(name, whom) == 0 || (at && strcmp(at + 1, whom) == 0);
}

/* One host's initiator ports differ in their ISID, as far as their names tell it (iSCSI). */
static bool victims_same_host(const struct state_registration *a,
                              const struct state_registration *b)
{
    size_t length = strcspn(a->initiator, ",");

    return length > 0 && length == strcspn(b->initiator, ",") &&
           strncmp(a->initiator, b->initiator, length) == 0;
}

static bool victims_has_key(const struct victims *victims, uint64_t key)
{
    for (size_t i = 0; i < victims->n_keys; i++) {
        if (victims->keys[i] == key)
            return true;
    }
    return false;
}

static void victims_add(struct victims *victims, uint64_t key)
{
    victims->count++;
    if (victims_has_key(victims, key))
        return;
    if (victims->n_keys == VICTIMS_KEYS_MAX)
        victims->too_many = true;
    else
        victims->keys[victims->n_keys++] = key;
}

void victims_find(const struct state *state, const char *whom, struct victims *ret_victims)
{
    uint64_t key;

    *ret_victims = (struct victims){.n_keys = 0};
    if (parse_hex(whom, UINT64_MAX, &key) && state_count(state, key) > 0) {
        ret_victims->keys[ret_victims->n_keys++] = key;
        ret_victims->count = state_count(state, key);
        return;
    }
    ret_victims->by_host = true;
    for (size_t i = 0; i < state->count; i++) {
        if (victims_is_host(&state->registrations[i], whom))
            victims_add(ret_victims, state->registrations[i].key);
    }
    for (size_t i = 0; i < state->count; i++)
        ret_victims->others += victims_has_key(ret_victims, state->registrations[i].key) &&
                               !victims_is_host(&state->registrations[i], whom);
}

size_t victims_left(const struct state *state, const struct victims *victims, const char *whom)
{
    size_t left = 0;

    for (size_t i = 0; i < state->count; i++)
        left += victims_has_key(victims, state->registrations[i].key) ||
                (victims->by_host && victims_is_host(&state->registrations[i], whom));
    return left;
}

size_t victims_elsewhere(const struct state *before, const struct victims *victims,
                         const struct state *now)
{
    size_t count = 0;

    for (size_t i = 0; i < now->count; i++) {
        bool same = false;

        for (size_t j = 0; j < before->count && !same; j++)
            same = victims_has_key(victims, before->registrations[j].key) &&
                   victims_same_host(&before->registrations[j], &now->registrations[i]);
        count += same && !victims_has_key(victims, now->registrations[i].key);
    }
    return count;
}
