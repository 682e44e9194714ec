// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ground of the state machine: nexuses, unit attentions, registrations, and the questions about
 * them that all service actions ask.
 *
 * Registrations stand in one dense array, so "every registered I_T nexus" is a loop and a number of
 * registrations that were added in vain is taken back by lowering a count. They name the initiator
 * port itself, not a nexus index: a registration outlives the login (SPC-4 5.13.1), and another
 * port may register it before it ever logs in (SPEC_I_PT, REGISTER AND MOVE).
 */
#include "lu/lu.h"

#include <assert.h>
#include <string.h>

#include "lu/internal.h"

void lu_init(struct lu *lu, uint16_t target_ports)
{
    assert(target_ports >= 1 && target_ports <= LU_TARGET_PORT_MAX);
    memset(lu, 0, sizeof(*lu));
    lu->target_ports = target_ports;
}

void lu_deinit(struct lu *lu)
{
    memset(lu, 0, sizeof(*lu));
}

bool lu_nexus_add(struct lu *lu, unsigned nexus, const struct transportid *initiator,
                  uint16_t target_port)
{
    if (nexus >= LU_NEXUS_MAX || lu->nexus[nexus].present)
        return false;
    if (target_port < 1 || target_port > lu->target_ports)
        return false;
    if (initiator->kind == TRANSPORTID_RAW || initiator->kind == TRANSPORTID_ISCSI_DEVICE)
        return false;
    for (unsigned i = 0; i < LU_NEXUS_MAX; i++) {
        const struct lu_nexus *other = &lu->nexus[i];

        if (other->present && other->target_port == target_port &&
            transportid_equal(&other->initiator, initiator))
            return false;
    }
    lu->nexus[nexus] = (struct lu_nexus){
        .present = true,
        .initiator = *initiator,
        .target_port = target_port,
    };
    return true;
}

void lu_nexus_remove(struct lu *lu, unsigned nexus)
{
    if (nexus < LU_NEXUS_MAX)
        lu->nexus[nexus].present = false;
}

void lu_attention_raise(struct lu *lu, unsigned nexus, struct spc_sense code)
{
    struct lu_nexus *raised = &lu->nexus[nexus];

    assert(nexus < LU_NEXUS_MAX && raised->present);
    for (unsigned i = 0; i < raised->attentions; i++) {
        const struct spc_sense *waiting = &raised->attention[i];

        if (waiting->key == code.key && waiting->asc == code.asc && waiting->ascq == code.ascq)
            return;
    }
    if (raised->attentions < LU_ATTENTION_MAX)
        raised->attention[raised->attentions++] = code;
}

void lu_attention_registered(struct lu *lu, size_t registration, unsigned except,
                             struct spc_sense code)
{
    const struct lu_registration *registered = &lu->registration[registration];

    for (unsigned i = 0; i < LU_NEXUS_MAX; i++) {
        const struct lu_nexus *nexus = &lu->nexus[i];

        if (i != except && nexus->present && nexus->target_port == registered->target_port &&
            transportid_equal(&nexus->initiator, &registered->initiator))
            lu_attention_raise(lu, i, code);
    }
}

void lu_attention_all(struct lu *lu, unsigned except, struct spc_sense code)
{
    for (size_t i = 0; i < lu->registrations; i++)
        lu_attention_registered(lu, i, except, code);
}

void lu_conflict(struct lu_result *result)
{
    result->status = SPC_STATUS_RESERVATION_CONFLICT;
}

void lu_check_condition(struct lu_result *result, struct spc_sense code)
{
    result->status = SPC_STATUS_CHECK_CONDITION;
    result->sense = code;
}

size_t lu_find(const struct lu *lu, const struct transportid *initiator, uint16_t target_port)
{
    for (size_t i = 0; i < lu->registrations; i++) {
        const struct lu_registration *registration = &lu->registration[i];

        if (registration->target_port == target_port &&
            transportid_equal(&registration->initiator, initiator))
            return i;
    }
    return LU_NONE;
}

size_t lu_find_nexus(const struct lu *lu, unsigned nexus)
{
    return lu_find(lu, &lu->nexus[nexus].initiator, lu->nexus[nexus].target_port);
}

size_t lu_authenticate(const struct lu *lu, const struct lu_command *command,
                       struct lu_result *result)
{
    size_t own = lu_find_nexus(lu, command->nexus);

    if (own != LU_NONE && lu->registration[own].key == command->prout.key)
        return own;
    lu_conflict(result);
    return LU_NONE;
}

bool lu_is_holder(const struct lu *lu, size_t registration)
{
    return lu->reserved && (spc_type_is_all_registrants(lu->type) || registration == lu->holder);
}

bool lu_is_initiator_port(const struct lu *lu, unsigned nexus, const struct transportid *id)
{
    return id->kind != TRANSPORTID_RAW && id->kind != TRANSPORTID_ISCSI_DEVICE &&
           transportid_protocol(id) == transportid_protocol(&lu->nexus[nexus].initiator);
}

bool lu_registration_add(struct lu *lu, const struct transportid *initiator, uint16_t target_port,
                         uint64_t key)
{
    if (lu->registrations == LU_REGISTRATION_MAX)
        return false;
    lu->registration[lu->registrations++] = (struct lu_registration){
        .key = key,
        .initiator = *initiator,
        .target_port = target_port,
    };
    return true;
}

void lu_registration_remove(struct lu *lu, size_t registration)
{
    assert(registration < lu->registrations);
    assert(!lu_is_holder(lu, registration) || spc_type_is_all_registrants(lu->type));

    lu->registrations--;
    memmove(&lu->registration[registration], &lu->registration[registration + 1],
            (lu->registrations - registration) * sizeof(lu->registration[0]));
    if (lu->holder > registration)
        lu->holder--;
}

void lu_reservation_release(struct lu *lu)
{
    lu->reserved = false;
    lu->type = 0;
    lu->holder = 0;
}
