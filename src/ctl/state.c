// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * READ KEYS shows the number of registrations, READ FULL STATUS the nexus of each. Not
 * every device has the latter, and by a helper it may end before the former does; so keys are the
 * list, and each is given a name from the other if there is one.
 */
#include "ctl/state.h"

#include <stdio.h>
#include <stdlib.h>

static bool state_ask(struct session *session, const struct command *command,
                      struct outcome *outcome)
{
    session_send(session, command, outcome);
    return prhelper_is_good(outcome->r, &outcome->result);
}

static void state_read_keys(struct session *session, struct state *state)
{
    struct outcome outcome;
    struct prhelper_list list;
    const uint8_t *data;
    size_t size;
    uint64_t key;
    int r;

    if (!state_ask(session, &cmd_keys, &outcome))
        return;
    data = session_data(session, &outcome, &size);
    if (prhelper_list_decode(data, size, &list) != 0)
        return;
    state->registrations = calloc(size / sizeof(key) + 1, sizeof(*state->registrations));
    if (!state->registrations)
        return;
    while ((r = prhelper_key_next(&list, &key)) == 0)
        state->registrations[state->count++].key = key;
    state->known = r == PRHELPER_END;
    state->cut = r == PRHELPER_TRUNCATED;
}

/* Find the registration of this full status: one with that key that has no full status yet. */
static void state_take(struct state *state, const struct prhelper_registrant *registrant)
{
    for (size_t i = 0; i < state->count; i++) {
        struct state_registration *one = &state->registrations[i];

        if (one->key != registrant->key || one->named)
            continue;
        one->named = true;
        one->holder = registrant->holder;
        one->all_tg_pt = registrant->all_tg_pt;
        one->target_port = registrant->target_port;
        if (registrant->port.size > 0)
            prhelper_transportid_format(one->initiator, sizeof(one->initiator), &registrant->port);
        return;
    }
}

static void state_read_full_status(struct session *session, struct state *state)
{
    struct prhelper_registrant registrant;
    struct outcome outcome;
    struct prhelper_list list;
    const uint8_t *data;
    size_t size;

    if (!state_ask(session, &cmd_full_status, &outcome))
        return;
    data = session_data(session, &outcome, &size);
    if (prhelper_list_decode(data, size, &list) != 0)
        return;
    while (prhelper_registrant_next(&list, &registrant) == 0)
        state_take(state, &registrant);
}

/*
 * Where READ FULL STATUS names no holder among those that READ RESERVATION says could be it, any of
 * them may be: rather one too many is told that it loses the reservation than none.
 */
static void state_find_holders(struct state *state)
{
    bool all = state_is_held_by_all(state), found = false;

    for (size_t i = 0; i < state->count && !all; i++)
        found |= state->registrations[i].named && state->registrations[i].holder &&
                 state->registrations[i].key == state->reservation.key;
    for (size_t i = 0; i < state->count && state->held; i++) {
        struct state_registration *one = &state->registrations[i];

        if (all || (one->key == state->reservation.key && (!found || !one->named)))
            one->holder = true;
    }
}

void state_read(struct session *session, bool who, struct state *ret_state)
{
    struct outcome outcome;

    *ret_state = (struct state){.known = false};
    state_read_keys(session, ret_state);
    if (state_ask(session, &cmd_reservation, &outcome) &&
        prhelper_reservation_decode(outcome.result.data, outcome.result.size,
                                    &ret_state->reservation) == 0) {
        ret_state->answered = true;
        ret_state->held = ret_state->reservation.held;
    }
    if (ret_state->held || (who && ret_state->count > 0))
        state_read_full_status(session, ret_state);
    state_find_holders(ret_state);
}

void state_deinit(struct state *state)
{
    free(state->registrations);
    *state = (struct state){.known = false};
}

size_t state_count(const struct state *state, uint64_t key)
{
    size_t count = 0;

    for (size_t i = 0; i < state->count; i++)
        count += state->registrations[i].key == key;
    return count;
}

bool state_has_nameless(const struct state *state)
{
    for (size_t i = 0; i < state->count; i++) {
        if (!state->registrations[i].initiator[0])
            return true;
    }
    return false;
}

bool state_is_held_by_all(const struct state *state)
{
    return state->held && (state->reservation.type == PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
                           state->reservation.type == PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS);
}

const char *state_type_text(unsigned type, char text[32])
{
    const char *name = prhelper_type_name(type);

    if (name)
        return name;
    snprintf(text, 32, "of unknown type %u", type);
    return text;
}

/* The one who holds it, if it is one and its initiator port is known; else NULL. */
static const char *state_holder(const struct state *state)
{
    const char *initiator = NULL;
    unsigned holders = 0;

    for (size_t i = 0; i < state->count; i++) {
        if (!state->registrations[i].holder)
            continue;
        holders++;
        initiator = state->registrations[i].initiator;
    }
    return holders == 1 && *initiator ? initiator : NULL;
}

void state_add_holder(const struct state *state, struct outcome *outcome)
{
    const char *type, *initiator = state_holder(state);
    char text[32];

    if (!state->answered)
        outcome_add_line(
            outcome, "The holder of the reservation could not be read: it may be any registrant.");
    if (!state->held)
        return;
    type = state_type_text(state->reservation.type, text);
    if (state_is_held_by_all(state))
        outcome_add_line(outcome, "All registered hosts hold the reservation, %s.", type);
    else
        outcome_add_line(outcome, "Key " OUTCOME_KEY " holds the reservation, %s%s%s.",
                         state->reservation.key, type, initiator ? ", from " : "",
                         initiator ? initiator : "");
}
