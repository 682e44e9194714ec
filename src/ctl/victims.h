// SPDX-License-Identifier: LGPL-2.1-or-later
/* Whom to fence: registrations by key or by host. */
#ifndef CTL_VICTIMS_H
#define CTL_VICTIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/state.h"

#define VICTIMS_KEYS_MAX 16

struct victims {
    uint64_t keys[VICTIMS_KEYS_MAX]; /* each once */
    size_t n_keys;
    size_t count;  /* registrations that are meant */
    size_t others; /* registrations of other hosts that also have one of these keys */
    bool by_host;  /* told by host, not by key */
    bool too_many; /* it has more keys than there is room for */
};

/*
 * Those whose key or host `whom` is. A host is an initiator port as full-status shows it, an iSCSI
 * name or what stands behind its last colon, or the port name of Fibre Channel with or without
 * colons. A text that is both a registered key and a host's name is taken as the key.
 */
void victims_find(const struct state *state, const char *whom, struct victims *ret_victims);

/* Whether a registration is meant by the name of its host. */
bool victims_is_host(const struct state_registration *one, const char *whom);

/*
 * How many registrations of `now` are of a host that the victims are of, but have another key: by
 * another path it may have another one. `before` has the victims.
 */
size_t victims_elsewhere(const struct state *before, const struct victims *victims,
                         const struct state *now);

/*
 * Their remaining registrations: the number of registrations of `state` that have one of the
 * keys, or the host.
 */
size_t victims_left(const struct state *state, const struct victims *victims, const char *whom);

#endif
