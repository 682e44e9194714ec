// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PERSISTENT RESERVE IN: four views of the same state. None of them needs a registration, changes
 * anything, or can fail; an answer longer than the allocation length is cut by the encoders.
 */
#include "lu/actions.h"
#include "scsi/prin.h"

/*
 * ALLOW COMMANDS 001b: TEST UNIT READY passes every reservation, nothing is said of the rest. SPC-4
 * 6.15.4.
 */
#define ALLOW_TEST_UNIT_READY 1

/* SPC-4 6.15.2: one key for each registered I_T nexus, so the same one may come several times. */
static size_t lu_read_keys(const struct lu *lu, uint8_t *data, size_t size)
{
    struct writer writer = prin_list_begin(data, size, lu->generation);

    for (size_t i = 0; i < lu->registrations; i++)
        prin_key_add(&writer, lu->registration[i].key);
    return prin_list_end(&writer);
}

/* SPC-4 6.15.3: the holder's key, or 0 if all registrants hold it. */
static size_t lu_read_reservation(const struct lu *lu, uint8_t *data, size_t size)
{
    struct prin_reservation reservation = {.generation = lu->generation, .held = lu->reserved};

    if (lu->reserved) {
        reservation.scope = SPC_SCOPE_LOGICAL_UNIT;
        reservation.type = lu->type;
        if (!spc_type_is_all_registrants(lu->type))
            reservation.key = lu->registration[lu->holder].key;
    }
    return prin_reservation_encode(data, size, &reservation);
}

/* SPC-4 6.15.4. */
static size_t lu_report_capabilities(const struct lu *lu, uint8_t *data, size_t size)
{
    struct prin_capabilities capabilities = {
        .spec_i_pt = true,
        .all_tg_pt = true,
        .persistent = true,
        .persistent_active = lu->aptpl,
        .allow_commands = ALLOW_TEST_UNIT_READY,
        .types_valid = true,
    };

    for (uint8_t type = 0; type < 16; type++) {
        if (spc_type_is_valid(type))
            capabilities.types |= (uint16_t)(1u << type);
    }
    return prin_capabilities_encode(data, size, &capabilities);
}

/*
 * SPC-4 6.15.5. A registration that ALL_TG_PT made is reported once for each target port, which the
 * standard allows: ALL_TG_PT is then 0 and the port is named.
 */
static size_t lu_read_full_status(const struct lu *lu, uint8_t *data, size_t size)
{
    struct writer writer = prin_list_begin(data, size, lu->generation);

    for (size_t i = 0; i < lu->registrations; i++) {
        const struct lu_registration *registration = &lu->registration[i];
        struct prin_registrant registrant = {
            .key = registration->key,
            .relative_target_port = registration->target_port,
            .transportid = registration->initiator,
        };

        if (lu_is_holder(lu, i)) {
            registrant.holder = true;
            registrant.scope = SPC_SCOPE_LOGICAL_UNIT;
            registrant.type = lu->type;
        }
        prin_registrant_add(&writer, &registrant);
    }
    return prin_list_end(&writer);
}

void lu_prin(const struct lu *lu, const struct cdb *cdb, uint8_t *data, size_t data_size,
             struct lu_result *result)
{
    size_t size = cdb->length < data_size ? cdb->length : data_size;

    switch (cdb->service_action) {
    case SPC_PRIN_READ_KEYS:
        result->length = lu_read_keys(lu, data, size);
        break;
    case SPC_PRIN_READ_RESERVATION:
        result->length = lu_read_reservation(lu, data, size);
        break;
    case SPC_PRIN_REPORT_CAPABILITIES:
        result->length = lu_report_capabilities(lu, data, size);
        break;
    case SPC_PRIN_READ_FULL_STATUS:
        result->length = lu_read_full_status(lu, data, size);
        break;
    default:
        lu_check_condition(result, SPC_INVALID_FIELD_IN_CDB);
        break;
    }
}
