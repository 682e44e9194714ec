// SPDX-License-Identifier: LGPL-2.1-or-later
/* The registrations and the reservation of a device, as far as they can be read. */
#ifndef CTL_STATE_H
#define CTL_STATE_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/outcome.h"
#include "ctl/session.h"

struct state_registration {
    uint64_t key;
    bool holder; /* of the reservation, alone or with all others */
    bool named;  /* READ FULL STATUS has said by which nexus it is: */
    bool all_tg_pt;
    uint16_t target_port;
    char initiator[PRHELPER_TRANSPORTID_TEXT_MAX]; /* "" if it was not said */
};

struct state {
    bool known; /* all keys have been read, so the registrations are complete */
    bool cut;   /* there are more of them than an answer has room for */
    struct state_registration *registrations; /* owned */
    size_t count;
    bool answered; /* READ RESERVATION has been answered, so it is known whether there is one */
    bool held;     /* there is one: */
    struct prhelper_reservation reservation;
};

/*
 * Read keys and reservation, and full status too if there is a holder, or with `who` if there is a
 * registration. Changes nothing on the device. What cannot be read is left out, and what does not
 * go together is not believed. The caller ends it by state_deinit().
 */
void state_read(struct session *session, bool who, struct state *ret_state);

void state_deinit(struct state *state);

/* How many registrations have this key. */
size_t state_count(const struct state *state, uint64_t key);

/*
 * Whether the name of a registration is missing, so that a host may have more of them than are
 * found by its name.
 */
bool state_has_nameless(const struct state *state);

/* Whether it is of a type that all who are registered hold. SPC-4 6.15.3.4. */
bool state_is_held_by_all(const struct state *state);

/* The name of a reservation's type, or "of unknown type N". `text` is room for that. */
const char *state_type_text(unsigned type, char text[32]);

/* Add a line about who holds the reservation, if there is one or that is not known. */
void state_add_holder(const struct state *state, struct outcome *outcome);

#endif
