// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-4 5.13.7, Registering) and REGISTER AND MOVE
 * (5.13.8, Registering and moving the reservation).
 *
 * The table of 5.13.7, for the nexus that the command came from:
 *
 *   registered  key      service action key  SPEC_I_PT  outcome of REGISTER
 *   no          not 0    any                 any        RESERVATION CONFLICT
 *   no          0        0                   any        GOOD, nothing done
 *   no          0        not 0               0          register
 *   no          0        not 0               1          register, and the listed ports too
 *   yes         another  any                 any        RESERVATION CONFLICT
 *   yes         its own  any                 1          5/26/00
 *   yes         its own  0                   0          unregister
 *   yes         its own  not 0               0          change the key
 *
 * REGISTER AND IGNORE EXISTING KEY takes any key for the right one, and has no SPEC_I_PT.
 *
 * With ALL_TG_PT the same request counts as received through each target port (6.16.3). We judge
 * all of them before we follow one: if any would conflict, the command does. A port that SPEC_I_PT
 * lists must not be registered before the command: 5/26/00 (5.13.7, note to the table). That the
 * list has it twice, or the sender, is no error.
 */
#include <assert.h>

#include "lu/actions.h"

/* The target ports that a command registers through: all, or the one it came through. */
struct ports {
    uint16_t first, last;
};

static struct ports lu_ports_of(const struct lu *lu, const struct lu_command *command)
{
    uint16_t own = lu->nexus[command->nexus].target_port;

    if (command->prout.all_tg_pt)
        return (struct ports){1, lu->target_ports};
    return (struct ports){own, own};
}

/*
 * Register an initiator port through each of the target ports where it is not. If there is no room,
 * what was added by then is for lu_register_new() to take back. It must not be one of the first
 * `before` registrations.
 */
static void lu_register_missing(struct lu *lu, const struct transportid *initiator,
                                struct ports ports, uint64_t key, size_t before,
                                struct lu_result *result)
{
    for (uint16_t port = ports.first; port <= ports.last; port++) {
        size_t at = lu_find(lu, initiator, port);

        if (at < before)
            lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        else if (at == LU_NONE && !lu_registration_add(lu, initiator, port, key))
            lu_check_condition(result, SPC_INSUFFICIENT_REGISTRATION_RESOURCES);
    }
}

/*
 * Register what one TransportID of SPEC_I_PT stands for. An iSCSI name without ISID stands for
 * every initiator port of that name that the device server knows (SPC-4 7.6.4.6); there must be
 * one.
 */
static void lu_register_listed(struct lu *lu, const struct lu_command *command,
                               const struct transportid *id, size_t before,
                               struct lu_result *result)
{
    struct ports ports = lu_ports_of(lu, command);
    uint64_t key = command->prout.sa_key;
    bool known = false;

    if (lu_is_initiator_port(lu, command->nexus, id)) {
        lu_register_missing(lu, id, ports, key, before, result);
        return;
    }
    for (unsigned i = 0; i < LU_NEXUS_MAX && id->kind == TRANSPORTID_ISCSI_DEVICE; i++) {
        const struct transportid *port = &lu->nexus[i].initiator;

        if (lu->nexus[i].present && transportid_covers(id, port) &&
            lu_is_initiator_port(lu, command->nexus, port)) {
            lu_register_missing(lu, port, ports, key, before, result);
            known = true;
        }
    }
    if (!known)
        lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
}

/* Register the nexus and, with SPEC_I_PT, those listed; all of them or, on an error, none. */
static void lu_register_new(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    const struct transportid *own = &lu->nexus[command->nexus].initiator;
    size_t before = lu->registrations;
    struct transportid id;

    lu_register_missing(lu, own, lu_ports_of(lu, command), command->prout.sa_key, 0, result);
    while (prout_transportid_next(&command->prout, &id))
        lu_register_listed(lu, command, &id, before, result);
    if (result->status != SPC_STATUS_GOOD)
        lu->registrations = before;
}

/*
 * SPC-4 5.13.11.2.3, Unregistering. If that was the holder, the reservation goes with it; if the
 * type is one of all registrants, only with the last of them. Returns whether those who stay must
 * be told: only the registrants only types have anyone who relied on it.
 */
static bool lu_unregister(struct lu *lu, size_t registration)
{
    bool tell = false;

    if (lu_is_holder(lu, registration) &&
        (!spc_type_is_all_registrants(lu->type) || lu->registrations == 1)) {
        tell = spc_type_is_registrants_only(lu->type);
        lu_reservation_release(lu);
    }
    lu_registration_remove(lu, registration);
    return tell;
}

void lu_prout_register(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    bool ignore = command->cdb.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY;
    const struct transportid *own = &lu->nexus[command->nexus].initiator;
    const struct prout *prout = &command->prout;
    struct ports ports = lu_ports_of(lu, command);
    bool registered = false, tell = false;

    for (uint16_t port = ports.first; port <= ports.last; port++) {
        size_t at = lu_find(lu, own, port);

        /* No key is 0, so 0 is right exactly for those that are not registered. */
        if (!ignore && prout->key != (at == LU_NONE ? 0 : lu->registration[at].key)) {
            lu_conflict(result);
            return;
        }
        registered |= at != LU_NONE;
    }
    if (!registered && prout->sa_key == 0)
        return;
    if (registered && prout->spec_i_pt) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return;
    }

    if (prout->sa_key != 0) {
        lu_register_new(lu, command, result);
        if (result->status != SPC_STATUS_GOOD)
            return;
    }
    for (uint16_t port = ports.first; port <= ports.last; port++) {
        size_t at = lu_find(lu, own, port);

        /* A holder that changes its key goes on holding the reservation. */
        if (prout->sa_key != 0)
            lu->registration[at].key = prout->sa_key;
        else if (at != LU_NONE)
            tell |= lu_unregister(lu, at);
    }
    if (tell)
        lu_attention_all(lu, command->nexus, SPC_RESERVATIONS_RELEASED);
    lu->aptpl = prout->aptpl;
    lu->generation++;
    result->changed = true;
}

void lu_prout_register_and_move(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    size_t own = lu_authenticate(lu, command, result);
    uint16_t port = command->prout.relative_target_port;
    struct transportid id;
    size_t to;

    if (own == LU_NONE)
        return;
    if (command->prout.sa_key == 0 || port < 1 || port > lu->target_ports ||
        !prout_transportid_next(&command->prout, &id) ||
        !lu_is_initiator_port(lu, command->nexus, &id)) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return;
    }
    /* Not to the same initiator port, through any target port. */
    if (transportid_equal(&id, &lu->nexus[command->nexus].initiator)) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return;
    }
    if (!lu->reserved) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_CDB);
        return;
    }
    /* Others, and a reservation that all registrants hold, are excluded by lu_is_forbidden(). */
    assert(own == lu->holder && !spc_type_is_all_registrants(lu->type));
    to = lu_find(lu, &id, port);
    if (to == LU_NONE) {
        if (!lu_registration_add(lu, &id, port, command->prout.sa_key)) {
            lu_check_condition(result, SPC_INSUFFICIENT_REGISTRATION_RESOURCES);
            return;
        }
        to = lu->registrations - 1;
    }

    /* It is no error if the new holder was registered, with any key. Scope and type stay. */
    lu->registration[to].key = command->prout.sa_key;
    lu->holder = to;
    if (command->prout.unreg)
        lu_registration_remove(lu, own);
    lu->aptpl = command->prout.aptpl;
    lu->generation++;
    result->changed = true;
}
