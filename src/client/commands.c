// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The typed calls: each fills in a CDB and, for PERSISTENT RESERVE OUT, a parameter list, and
 * leaves the rest to prhelper_execute(). What the fields mean and whether they fit together is the
 * device server's to judge; here only what could not be expressed is refused.
 *
 * SPC-4 6.16.2 has the fields that count for each service action. Those that do not are zero.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "client/connection.h"
#include "client/transport_ids.h"
#include "proto/wire.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

#define TYPE_MAX 0xf /* a field of four bits */

static int commands_read(struct prhelper *helper, int device, uint8_t service_action,
                         uint16_t allocation_length, struct prhelper_result *ret_result)
{
    uint8_t cdb[CDB_SIZE];

    cdb_encode_prin(cdb, service_action, allocation_length);
    return prhelper_execute(helper, device, cdb, sizeof(cdb), NULL, 0, ret_result);
}

int prhelper_read_keys(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    return commands_read(helper, device, SPC_PRIN_READ_KEYS, WIRE_DATA_MAX, ret_result);
}

int prhelper_read_reservation(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result)
{
    return commands_read(helper, device, SPC_PRIN_READ_RESERVATION, PRIN_RESERVATION_SIZE,
                         ret_result);
}

int prhelper_report_capabilities(struct prhelper *helper, int device,
                                 struct prhelper_result *ret_result)
{
    return commands_read(helper, device, SPC_PRIN_REPORT_CAPABILITIES, PRIN_CAPABILITIES_SIZE,
                         ret_result);
}

int prhelper_read_full_status(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result)
{
    return commands_read(helper, device, SPC_PRIN_READ_FULL_STATUS, WIRE_DATA_MAX, ret_result);
}

static int commands_change(struct prhelper *helper, int device, uint8_t service_action,
                           unsigned type, const struct prout *prout, const struct transportid *ids,
                           size_t count, struct prhelper_result *ret_result)
{
    uint8_t cdb[CDB_SIZE], list[WIRE_DATA_MAX];
    size_t size = prout_encode(service_action, prout, ids, count, list, sizeof(list));

    if (size > sizeof(list) || type > TYPE_MAX) {
        result_reset(ret_result);
        return PRHELPER_BAD_ARGUMENT;
    }
    cdb_encode_prout(cdb, service_action, SPC_SCOPE_LOGICAL_UNIT, (uint8_t)type, (uint32_t)size);
    return prhelper_execute(helper, device, cdb, sizeof(cdb), list, size, ret_result);
}

/* One that registers, with flags. allowed: those that this service action has. */
static int commands_register(struct prhelper *helper, int device, uint8_t service_action,
                             unsigned type, struct prout prout, unsigned flags, unsigned allowed,
                             const struct prhelper_transportid *ports, size_t count,
                             struct prhelper_result *ret_result)
{
    CLEANUP_FREE struct transportid *ids = NULL;
    int r = flags & ~allowed ? PRHELPER_BAD_ARGUMENT : 0;

    if (r == 0 && count > 0)
        r = transport_ids_take(ports, count, &ids);
    if (r != 0) {
        result_reset(ret_result);
        return r;
    }
    prout.aptpl = flags & PRHELPER_APTPL;
    prout.all_tg_pt = flags & PRHELPER_ALL_TG_PT;
    prout.unreg = flags & PRHELPER_UNREG;
    return commands_change(helper, device, service_action, type, &prout, ids, count, ret_result);
}

int prhelper_register(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                      unsigned flags, struct prhelper_result *ret_result)
{
    return commands_register(helper, device, SPC_PROUT_REGISTER, 0,
                             (struct prout){.key = key, .sa_key = new_key}, flags,
                             PRHELPER_APTPL | PRHELPER_ALL_TG_PT, NULL, 0, ret_result);
}

int prhelper_register_ports(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                            unsigned flags, const struct prhelper_transportid *ports, size_t count,
                            struct prhelper_result *ret_result)
{
    return commands_register(helper, device, SPC_PROUT_REGISTER, 0,
                             (struct prout){.key = key, .sa_key = new_key, .spec_i_pt = true},
                             flags, PRHELPER_APTPL | PRHELPER_ALL_TG_PT, ports, count, ret_result);
}

int prhelper_register_ignore(struct prhelper *helper, int device, uint64_t new_key, unsigned flags,
                             struct prhelper_result *ret_result)
{
    return commands_register(helper, device, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0,
                             (struct prout){.sa_key = new_key}, flags,
                             PRHELPER_APTPL | PRHELPER_ALL_TG_PT, NULL, 0, ret_result);
}

int prhelper_register_move(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                           unsigned type, unsigned flags, uint16_t target_port,
                           const struct prhelper_transportid *port,
                           struct prhelper_result *ret_result)
{
    return commands_register(
        helper, device, SPC_PROUT_REGISTER_AND_MOVE, type,
        (struct prout){.key = key, .sa_key = new_key, .relative_target_port = target_port}, flags,
        PRHELPER_APTPL | PRHELPER_UNREG, port, 1, ret_result);
}

int prhelper_reserve(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_RESERVE, type, &(struct prout){.key = key},
                           NULL, 0, ret_result);
}

int prhelper_release(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_RELEASE, type, &(struct prout){.key = key},
                           NULL, 0, ret_result);
}

int prhelper_clear(struct prhelper *helper, int device, uint64_t key,
                   struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_CLEAR, 0, &(struct prout){.key = key}, NULL, 0,
                           ret_result);
}

int prhelper_preempt(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                     unsigned type, struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_PREEMPT, type,
                           &(struct prout){.key = key, .sa_key = victim_key}, NULL, 0, ret_result);
}

int prhelper_preempt_abort(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                           unsigned type, struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_PREEMPT_AND_ABORT, type,
                           &(struct prout){.key = key, .sa_key = victim_key}, NULL, 0, ret_result);
}

int prhelper_replace_lost(struct prhelper *helper, int device, uint64_t new_key, unsigned type,
                          struct prhelper_result *ret_result)
{
    return commands_change(helper, device, SPC_PROUT_REPLACE_LOST_RESERVATION, type,
                           &(struct prout){.sa_key = new_key}, NULL, 0, ret_result);
}

int prhelper_cleanup(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    static const uint8_t cdb[WIRE_CDB_SIZE] = {WIRE_CLEANUP};

    if (!(helper->features & PRHELPER_FEATURE_CLEANUP)) {
        result_reset(ret_result);
        return PRHELPER_NO_FEATURE;
    }
    return prhelper_execute(helper, device, cdb, sizeof(cdb), NULL, 0, ret_result);
}
