// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The typed calls: each writes a CDB and, for PERSISTENT RESERVE OUT, a parameter list into the
 * connection's message, and leaves the rest to execute_start(). What the fields mean and whether
 * they fit together is the device server's to judge; here only what could not be expressed is
 * refused.
 *
 * SPC-4 6.16.2 has the fields that count for each service action. Those that do not are zero.
 */
#include <string.h>

#include "client/connection.h"
#include "client/transport_ids.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

#define TYPE_MAX 0xf /* a field of four bits */

static int commands_start_in(struct prhelper *helper, int device, uint8_t service_action,
                             uint16_t allocation_length, struct prhelper_result *ret_result)
{
    int r = execute_claim(helper, device, ret_result);

    if (r != 0)
        return r;
    memset(helper->message, 0, WIRE_CDB_SIZE);
    cdb_encode_prin(helper->message, service_action, allocation_length);
    return execute_start(helper, device, 0, 0, ret_result);
}

int prhelper_start_read_keys(struct prhelper *helper, int device,
                             struct prhelper_result *ret_result)
{
    return commands_start_in(helper, device, SPC_PRIN_READ_KEYS, WIRE_DATA_MAX, ret_result);
}

int prhelper_start_read_reservation(struct prhelper *helper, int device,
                                    struct prhelper_result *ret_result)
{
    return commands_start_in(helper, device, SPC_PRIN_READ_RESERVATION, PRIN_RESERVATION_SIZE,
                             ret_result);
}

int prhelper_start_report_capabilities(struct prhelper *helper, int device,
                                       struct prhelper_result *ret_result)
{
    return commands_start_in(helper, device, SPC_PRIN_REPORT_CAPABILITIES, PRIN_CAPABILITIES_SIZE,
                             ret_result);
}

int prhelper_start_read_full_status(struct prhelper *helper, int device,
                                    struct prhelper_result *ret_result)
{
    return commands_start_in(helper, device, SPC_PRIN_READ_FULL_STATUS, WIRE_DATA_MAX, ret_result);
}

/* `ports`: count of them, none unless the service action and prout->spec_i_pt want some. */
static int commands_start_out(struct prhelper *helper, int device, uint8_t service_action,
                              unsigned type, const struct prout *prout,
                              const struct prhelper_transportid *ports, size_t count,
                              struct prhelper_result *ret_result)
{
    uint8_t *list = helper->message + WIRE_CDB_SIZE;
    int r = execute_claim(helper, device, ret_result);
    size_t size;

    if (r == 0 && type > TYPE_MAX)
        r = PRHELPER_BAD_ARGUMENT;
    if (r != 0)
        return r;
    size = prout_encode(service_action, prout, NULL, 0, list, WIRE_DATA_MAX);
    r = transport_ids_append(service_action, ports, count, &helper->port, list, &size,
                             WIRE_DATA_MAX);
    if (r != 0)
        return r;
    memset(helper->message, 0, WIRE_CDB_SIZE);
    cdb_encode_prout(helper->message, service_action, SPC_SCOPE_LOGICAL_UNIT, (uint8_t)type,
                     (uint32_t)size);
    return execute_start(helper, device, size, 0, ret_result);
}

/* One that registers, with flags. allowed: those that this service action has. */
static int commands_start_register(struct prhelper *helper, int device, uint8_t service_action,
                                   unsigned type, struct prout *prout, unsigned flags,
                                   unsigned allowed, const struct prhelper_transportid *ports,
                                   size_t count, struct prhelper_result *ret_result)
{
    if (flags & ~allowed) {
        int r = execute_claim(helper, device, ret_result);

        return r != 0 ? r : PRHELPER_BAD_ARGUMENT;
    }
    prout->aptpl = flags & PRHELPER_APTPL;
    prout->all_tg_pt = flags & PRHELPER_ALL_TG_PT;
    prout->unreg = flags & PRHELPER_UNREG;
    return commands_start_out(helper, device, service_action, type, prout, ports, count,
                              ret_result);
}

int prhelper_start_register(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                            unsigned flags, struct prhelper_result *ret_result)
{
    return commands_start_register(helper, device, SPC_PROUT_REGISTER, 0,
                                   &(struct prout){.key = key, .sa_key = new_key}, flags,
                                   PRHELPER_APTPL | PRHELPER_ALL_TG_PT, NULL, 0, ret_result);
}

int prhelper_start_register_ports(struct prhelper *helper, int device, uint64_t key,
                                  uint64_t new_key, unsigned flags,
                                  const struct prhelper_transportid *ports, size_t count,
                                  struct prhelper_result *ret_result)
{
    return commands_start_register(
        helper, device, SPC_PROUT_REGISTER, 0,
        &(struct prout){.key = key, .sa_key = new_key, .spec_i_pt = true}, flags,
        PRHELPER_APTPL | PRHELPER_ALL_TG_PT, ports, count, ret_result);
}

int prhelper_start_register_ignore(struct prhelper *helper, int device, uint64_t new_key,
                                   unsigned flags, struct prhelper_result *ret_result)
{
    return commands_start_register(helper, device, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0,
                                   &(struct prout){.sa_key = new_key}, flags,
                                   PRHELPER_APTPL | PRHELPER_ALL_TG_PT, NULL, 0, ret_result);
}

int prhelper_start_register_move(struct prhelper *helper, int device, uint64_t key,
                                 uint64_t new_key, unsigned type, unsigned flags,
                                 uint16_t target_port, const struct prhelper_transportid *port,
                                 struct prhelper_result *ret_result)
{
    return commands_start_register(
        helper, device, SPC_PROUT_REGISTER_AND_MOVE, type,
        &(struct prout){.key = key, .sa_key = new_key, .relative_target_port = target_port}, flags,
        PRHELPER_APTPL | PRHELPER_UNREG, port, 1, ret_result);
}

/* Those that have nothing but keys and a type. */
static int commands_start_plain(struct prhelper *helper, int device, uint8_t service_action,
                                uint64_t key, uint64_t sa_key, unsigned type,
                                struct prhelper_result *ret_result)
{
    return commands_start_out(helper, device, service_action, type,
                              &(struct prout){.key = key, .sa_key = sa_key}, NULL, 0, ret_result);
}

int prhelper_start_reserve(struct prhelper *helper, int device, uint64_t key, unsigned type,
                           struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_RESERVE, key, 0, type, ret_result);
}

int prhelper_start_release(struct prhelper *helper, int device, uint64_t key, unsigned type,
                           struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_RELEASE, key, 0, type, ret_result);
}

int prhelper_start_clear(struct prhelper *helper, int device, uint64_t key,
                         struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_CLEAR, key, 0, 0, ret_result);
}

int prhelper_start_preempt(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                           unsigned type, struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_PREEMPT, key, victim_key, type,
                                ret_result);
}

int prhelper_start_preempt_abort(struct prhelper *helper, int device, uint64_t key,
                                 uint64_t victim_key, unsigned type,
                                 struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_PREEMPT_AND_ABORT, key, victim_key, type,
                                ret_result);
}

int prhelper_start_replace_lost(struct prhelper *helper, int device, uint64_t new_key,
                                unsigned type, struct prhelper_result *ret_result)
{
    return commands_start_plain(helper, device, SPC_PROUT_REPLACE_LOST_RESERVATION, 0, new_key,
                                type, ret_result);
}

int prhelper_start_cleanup(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    int r = execute_claim(helper, device, ret_result);

    if (r != 0)
        return r;
    memset(helper->message, 0, WIRE_CDB_SIZE);
    helper->message[0] = WIRE_CLEANUP;
    return execute_start(helper, device, 0, PRHELPER_FEATURE_CLEANUP, ret_result);
}
