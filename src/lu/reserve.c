// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RESERVE (SPC-4 5.13.9, Reserving), RELEASE, CLEAR, PREEMPT and PREEMPT AND ABORT (5.13.11,
 * Releasing persistent reservations and removing registrations). All of them begin with
 * lu_authenticate().
 *
 * PREEMPT is two operations under one name, told apart by the service action reservation key (table
 * and flow chart of 5.13.11.2.4):
 *
 *   reservation         SERVICE ACTION KEY        outcome
 *   none                0                         RESERVATION CONFLICT
 *   one holder          0                         5/26/00
 *   one holder          the holder's key          take the reservation, remove that key
 *   one holder          another registered key    remove that key
 *   all registrants     0                         take the reservation, remove all others
 *   all registrants     a registered key          remove that key
 *   none                a registered key          remove that key
 *   any                 unregistered, not 0       RESERVATION CONFLICT
 */
#include "lu/actions.h"

void lu_prout_reserve(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    size_t own = lu_authenticate(lu, command, result);

    if (own == LU_NONE)
        return;
    if (command->cdb.scope != SPC_SCOPE_LOGICAL_UNIT) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_CDB);
        return;
    }
    /* A holder may ask again for what it has; no nexus may ask for anything else. */
    if (lu->reserved) {
        if (!lu_is_holder(lu, own) || command->cdb.type != lu->type)
            lu_conflict(result);
        return;
    }
    lu->reserved = true;
    lu->type = command->cdb.type;
    lu->holder = spc_type_is_all_registrants(lu->type) ? 0 : own;
    result->changed = true;
}

/* SPC-4 5.13.11.2.2, Releasing. */
void lu_prout_release(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    size_t own = lu_authenticate(lu, command, result);
    bool tell;

    /* Not an error: this nexus holds nothing to release. */
    if (own == LU_NONE || !lu_is_holder(lu, own))
        return;
    if (command->cdb.scope != SPC_SCOPE_LOGICAL_UNIT || command->cdb.type != lu->type) {
        lu_check_condition(result, SPC_INVALID_RELEASE);
        return;
    }
    /* Nexuses that had access by being registered are told of the release. */
    tell = spc_type_is_registrants_only(lu->type) || spc_type_is_all_registrants(lu->type);
    lu_reservation_release(lu);
    if (tell)
        lu_attention_all(lu, command->nexus, SPC_RESERVATIONS_RELEASED);
    result->changed = true;
}

/* SPC-4 5.13.11.2.7, Clearing. */
void lu_prout_clear(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    if (lu_authenticate(lu, command, result) == LU_NONE)
        return;
    lu_attention_all(lu, command->nexus, SPC_RESERVATIONS_PREEMPTED);
    lu_reservation_release(lu);
    lu->registrations = 0;
    lu->generation++;
    result->changed = true;
}

/*
 * SPC-4 5.13.11.2.4.3, Preempting persistent reservations and registration handling. The nexus that
 * preempts keeps its registration even if it has the key that is preempted: so a holder can preempt
 * itself, which changes the type.
 */
static void lu_preempt_reservation(struct lu *lu, const struct lu_command *command, size_t own)
{
    bool all = spc_type_is_all_registrants(lu->type);
    bool other_type = command->cdb.type != lu->type;

    lu_reservation_release(lu);
    /* Downwards, since removing moves those behind it. */
    for (size_t i = lu->registrations; i-- > 0;) {
        if (i == own || (!all && lu->registration[i].key != command->prout.sa_key))
            continue;
        lu_attention_registered(lu, i, command->nexus, SPC_REGISTRATIONS_PREEMPTED);
        lu_registration_remove(lu, i);
        if (i < own)
            own--;
    }
    lu->reserved = true;
    lu->type = command->cdb.type;
    lu->holder = spc_type_is_all_registrants(lu->type) ? 0 : own;
    if (other_type)
        lu_attention_all(lu, command->nexus, SPC_RESERVATIONS_RELEASED);
}

/*
 * SPC-4 5.13.11.2.5, Removing registrations. Scope and type play no part, the nexus that preempts
 * is not spared, a reservation stays (unless all registrants held it and none is left). Returns
 * whether there was any.
 */
static bool lu_preempt_registrations(struct lu *lu, const struct lu_command *command)
{
    bool any = false;

    for (size_t i = lu->registrations; i-- > 0;) {
        if (lu->registration[i].key != command->prout.sa_key)
            continue;
        any = true;
        lu_attention_registered(lu, i, command->nexus, SPC_REGISTRATIONS_PREEMPTED);
        if (lu->reserved && lu->registrations == 1)
            lu_reservation_release(lu);
        lu_registration_remove(lu, i);
    }
    return any;
}

/*
 * SPC-4 5.13.11.2.4, Preempting, and 5.13.11.2.6, Preempting and aborting. The latter also aborts
 * what the preempted nexuses have in flight; a command here has ended before the next one begins,
 * so there is never anything to abort.
 */
void lu_prout_preempt(struct lu *lu, struct lu_command *command, struct lu_result *result)
{
    size_t own = lu_authenticate(lu, command, result);
    uint64_t key = command->prout.sa_key;
    bool all = lu->reserved && spc_type_is_all_registrants(lu->type);

    if (own == LU_NONE)
        return;
    if (key == 0 && lu->reserved && !all) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
        return;
    }
    if (lu->reserved && key == (all ? 0 : lu->registration[lu->holder].key)) {
        if (command->cdb.scope != SPC_SCOPE_LOGICAL_UNIT || !spc_type_is_valid(command->cdb.type)) {
            lu_check_condition(result, SPC_INVALID_FIELD_IN_CDB);
            return;
        }
        lu_preempt_reservation(lu, command, own);
    } else if (!lu_preempt_registrations(lu, command)) {
        lu_conflict(result);
        return;
    }
    lu->generation++;
    result->changed = true;
}
