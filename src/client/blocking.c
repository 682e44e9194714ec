// SPDX-License-Identifier: LGPL-2.1-or-later
/* The calls that wait: each starts its command, and waits for what comes of it. */
#include "client/connection.h"

int prhelper_execute(struct prhelper *helper, int device, const void *cdb, size_t cdb_size,
                     const void *out, size_t out_size, struct prhelper_result *ret_result)
{
    return connection_wait(
        helper, prhelper_start_execute(helper, device, cdb, cdb_size, out, out_size, ret_result));
}

int prhelper_read_keys(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_read_keys(helper, device, ret_result));
}

int prhelper_read_reservation(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_read_reservation(helper, device, ret_result));
}

int prhelper_report_capabilities(struct prhelper *helper, int device,
                                 struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_report_capabilities(helper, device, ret_result));
}

int prhelper_read_full_status(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_read_full_status(helper, device, ret_result));
}

int prhelper_register(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                      unsigned flags, struct prhelper_result *ret_result)
{
    return connection_wait(
        helper, prhelper_start_register(helper, device, key, new_key, flags, ret_result));
}

int prhelper_register_ports(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                            unsigned flags, const struct prhelper_transportid *ports, size_t count,
                            struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_register_ports(helper, device, key, new_key,
                                                                 flags, ports, count, ret_result));
}

int prhelper_register_ignore(struct prhelper *helper, int device, uint64_t new_key, unsigned flags,
                             struct prhelper_result *ret_result)
{
    return connection_wait(
        helper, prhelper_start_register_ignore(helper, device, new_key, flags, ret_result));
}

int prhelper_register_move(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                           unsigned type, unsigned flags, uint16_t target_port,
                           const struct prhelper_transportid *port,
                           struct prhelper_result *ret_result)
{
    return connection_wait(helper,
                           prhelper_start_register_move(helper, device, key, new_key, type, flags,
                                                        target_port, port, ret_result));
}

int prhelper_reserve(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_reserve(helper, device, key, type, ret_result));
}

int prhelper_release(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_release(helper, device, key, type, ret_result));
}

int prhelper_clear(struct prhelper *helper, int device, uint64_t key,
                   struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_clear(helper, device, key, ret_result));
}

int prhelper_preempt(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                     unsigned type, struct prhelper_result *ret_result)
{
    return connection_wait(
        helper, prhelper_start_preempt(helper, device, key, victim_key, type, ret_result));
}

int prhelper_preempt_abort(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                           unsigned type, struct prhelper_result *ret_result)
{
    return connection_wait(
        helper, prhelper_start_preempt_abort(helper, device, key, victim_key, type, ret_result));
}

int prhelper_replace_lost(struct prhelper *helper, int device, uint64_t new_key, unsigned type,
                          struct prhelper_result *ret_result)
{
    return connection_wait(helper,
                           prhelper_start_replace_lost(helper, device, new_key, type, ret_result));
}

int prhelper_cleanup(struct prhelper *helper, int device, struct prhelper_result *ret_result)
{
    return connection_wait(helper, prhelper_start_cleanup(helper, device, ret_result));
}
