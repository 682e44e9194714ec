// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The way of a command from its bytes to the service action, and what a reservation lets through.
 *
 * A command is judged in this order: what the reservation forbids, unit attention, operation code,
 * form of the parameter list, service action, type, reservation key, everything else. Of several
 * errors the first in this order is reported, which is the one that LIO reports too, where the
 * standard leaves it open. A service action changes nothing before it has ruled out every error, so
 * each is atomic.
 */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "lu/actions.h"

/*
 * Whether the reservation alone forbids the service action to this nexus, no matter what else is
 * wrong with the command: RESERVATION CONFLICT has precedence over CHECK CONDITION. SPC-4 5.13.1,
 * table of PERSISTENT RESERVE OUT service actions that are allowed in the presence of various
 * reservations; SAM-5 5.3, Status precedence.
 */
static bool lu_is_forbidden(const struct lu *lu, unsigned nexus, uint8_t service_action)
{
    size_t own = lu_find_nexus(lu, nexus);

    switch (service_action) {
    case SPC_PROUT_RESERVE:
        return lu->reserved && (own == LU_NONE || !lu_is_holder(lu, own));
    case SPC_PROUT_REGISTER_AND_MOVE:
        /* What all registrants hold cannot be moved from one of them. SPC-4 5.13.8. */
        return lu->reserved &&
               (own == LU_NONE || own != lu->holder || spc_type_is_all_registrants(lu->type));
    case SPC_PROUT_REPLACE_LOST_RESERVATION:
    case SPC_PROUT_RELEASE:
    case SPC_PROUT_CLEAR:
    case SPC_PROUT_PREEMPT:
    case SPC_PROUT_PREEMPT_AND_ABORT:
        return lu->reserved && own == LU_NONE;
    case SPC_PROUT_REGISTER:
    case SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY:
        return false;
    default: /* not in the table, so only a holder is allowed to ask */
        return lu->reserved && (own == LU_NONE || !lu_is_holder(lu, own));
    }
}

/*
 * Whether a command with invalid TransportIDs has a wrong key as well. The standard leaves it open
 * which of the two is reported; RESERVATION CONFLICT has the precedence in general.
 */
static bool lu_has_wrong_key(const struct lu *lu, unsigned nexus, uint8_t service_action,
                             const uint8_t *param)
{
    size_t own = lu_find_nexus(lu, nexus);
    uint64_t key = load_be64(param);

    switch (service_action) {
    case SPC_PROUT_REGISTER:
        return key != (own == LU_NONE ? 0 : lu->registration[own].key);
    case SPC_PROUT_REGISTER_AND_MOVE:
        return own == LU_NONE || key != lu->registration[own].key;
    default:
        return false;
    }
}

static void lu_execute_prout(struct lu *lu, unsigned nexus, const struct cdb *cdb,
                             const uint8_t *param, size_t param_length, struct lu_result *result)
{
    static lu_prout_function *const service_actions[] = {
        [SPC_PROUT_REGISTER] = lu_prout_register,
        [SPC_PROUT_RESERVE] = lu_prout_reserve,
        [SPC_PROUT_RELEASE] = lu_prout_release,
        [SPC_PROUT_CLEAR] = lu_prout_clear,
        [SPC_PROUT_PREEMPT] = lu_prout_preempt,
        [SPC_PROUT_PREEMPT_AND_ABORT] = lu_prout_preempt,
        [SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY] = lu_prout_register,
        [SPC_PROUT_REGISTER_AND_MOVE] = lu_prout_register_and_move,
    };
    struct lu_command command = {.nexus = nexus, .cdb = *cdb};
    enum prout_result decoded;

    if (param_length > cdb->length)
        param_length = cdb->length;
    decoded = prout_decode(cdb->service_action, param, param_length, &command.prout);
    if (decoded == PROUT_BAD_FIELD && lu_has_wrong_key(lu, nexus, cdb->service_action, param)) {
        lu_conflict(result);
        return;
    }
    if (decoded != PROUT_OK) {
        lu_check_condition(result, prout_sense(decoded));
        return;
    }
    /* Scope and type count for some service actions, and for PREEMPT only sometimes: see there. */
    if (cdb->service_action >= sizeof(service_actions) / sizeof(service_actions[0]) ||
        (cdb->service_action == SPC_PROUT_RESERVE && !spc_type_is_valid(cdb->type))) {
        lu_check_condition(result, SPC_INVALID_FIELD_IN_CDB);
        return;
    }
    service_actions[cdb->service_action](lu, &command, result);
}

void lu_execute(struct lu *lu, unsigned nexus, const uint8_t cdb[CDB_SIZE], const uint8_t *param,
                size_t param_length, uint8_t *data, size_t data_size, struct lu_result *ret)
{
    struct lu_nexus *from = &lu->nexus[nexus];
    uint8_t field[CDB_FIELD_SIZE] = {0};
    struct cdb decoded;

    assert(nexus < LU_NEXUS_MAX && from->present);
    *ret = (struct lu_result){.status = SPC_STATUS_GOOD};

    memcpy(field, cdb, CDB_SIZE);
    cdb_decode(field, &decoded);
    /* Before a unit attention, which stays: SAM-5 5.3, Status precedence. */
    if (decoded.opcode == SPC_PERSISTENT_RESERVE_OUT &&
        lu_is_forbidden(lu, nexus, decoded.service_action)) {
        lu_conflict(ret);
        return;
    }

    /*
     * A command that finds a unit attention reports it, clears it and does nothing else.
     * SAM-5 5.14, Unit attention conditions; the three commands that are exempt are none of ours.
     */
    if (from->attentions > 0) {
        lu_check_condition(ret, from->attention[0]);
        from->attentions--;
        memmove(&from->attention[0], &from->attention[1],
                from->attentions * sizeof(from->attention[0]));
        return;
    }

    switch (decoded.opcode) {
    case SPC_TEST_UNIT_READY:
        break;
    case SPC_PERSISTENT_RESERVE_IN:
        lu_prin(lu, &decoded, data, data_size, ret);
        break;
    case SPC_PERSISTENT_RESERVE_OUT:
        lu_execute_prout(lu, nexus, &decoded, param, param_length, ret);
        break;
    default:
        lu_check_condition(ret, SPC_INVALID_OPERATION_CODE);
        break;
    }
}

/* Whether the reservation leaves this nexus alone: it holds it, or being registered is enough. */
static bool lu_is_exempt(const struct lu *lu, unsigned nexus)
{
    size_t own;

    assert(nexus < LU_NEXUS_MAX && lu->nexus[nexus].present);
    own = lu_find_nexus(lu, nexus);
    return own != LU_NONE && (lu_is_holder(lu, own) || spc_type_is_registrants_only(lu->type));
}

bool lu_may_read(const struct lu *lu, unsigned nexus)
{
    return !lu->reserved || !spc_type_is_exclusive_access(lu->type) || lu_is_exempt(lu, nexus);
}

bool lu_may_write(const struct lu *lu, unsigned nexus)
{
    return !lu->reserved || lu_is_exempt(lu, nexus);
}
