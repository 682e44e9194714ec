// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A PERSISTENT RESERVE IN costs one fstat(2) before it is issued. What else there is to know of an
 * fd is asked only for the commands whose fate depends on it.
 */
#include "helper/route.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/log.h"
#include "helper/backend_mpath.h"
#include "helper/backend_sg.h"
#include "helper/policy.h"
#include "ledger/audit.h"
#include "serve/tracepoints.h"

void route_init(struct route *route, unsigned io_timeout_ms, struct mpath *mpath)
{
    route->io_timeout_ms = io_timeout_ms;
    route->mpath = mpath;
    route->ledger = NULL;
    route->records_reads = false;
    route->audit = false;
    if (!device_sources_init(&route->sources))
        log_warning("/sys or /proc is not there: partitions and device-mapper maps cannot be told "
                    "from other devices");
}

void route_set_ledger(struct route *route, struct ledger *ledger, bool audit)
{
    route->ledger = ledger;
    route->records_reads = ledger->reads;
    route->audit = audit;
}

void route_deinit(struct route *route)
{
    device_sources_deinit(&route->sources);
}

static bool route_is_writable(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    /* With O_PATH the access mode reads as O_RDONLY. */
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static const char *const route_verdict_word[] = {
    [POLICY_ISSUE] = "issue",
    [POLICY_MULTIPATH] = "multipath",
    [POLICY_DONE] = "done",
    [POLICY_REFUSE] = "refuse",
};

static void route_refuse(const struct request *request, enum device_kind kind, dev_t number,
                         const char *reason, struct reply *reply)
{
    log_client("%s on a %s (%u:%u) refused: %s", ledger_command_name(request->opcode),
               device_kind_name(kind), major(number), minor(number), reason);
    reply_sense(reply, SPC_INVALID_OPERATION_CODE);
}

/* What has been found out about a request. */
struct route_target {
    enum device_kind kind;
    dev_t number;
    enum policy_verdict verdict;
    const char *reason; /* for POLICY_REFUSE */
};

/*
 * By SG_IO on the fd. Of a multipath map that is one path of the kernel's choice: if that one fails
 * a command that only reads, the worker tries the others.
 */
static void route_issue(const struct route *route, const struct request *request,
                        enum device_kind kind, dev_t number, struct reply *reply)
{
    if (sg_execute(request, number, route->io_timeout_ms, reply) || kind != DEVICE_BLOCK ||
        request->opcode != SPC_PERSISTENT_RESERVE_IN)
        return;
    if (device_refine_block(&route->sources, number) == DEVICE_DM_MULTIPATH)
        mpath_execute(route->mpath, request, number, reply);
}

/* Do it. Returns NULL, or why it was refused. */
static const char *route_carry_out(const struct route *route, const struct request *request,
                                   const struct route_target *target, struct reply *reply)
{
    const char *reason = target->reason;

    switch (target->verdict) {
    case POLICY_ISSUE:
        route_issue(route, request, target->kind, target->number, reply);
        return NULL;
    case POLICY_DONE:
        reply_status(reply, SPC_STATUS_GOOD, 0);
        return NULL;
    case POLICY_MULTIPATH:
        if (mpath_execute(route->mpath, request, target->number, reply))
            return NULL;
        /* Never by SG_IO: that would register one path and leave the others unregistered. */
        reason = "the multipath worker is not available";
        break;
    case POLICY_REFUSE:
        break;
    }
    route_refuse(request, target->kind, target->number, reason, reply);
    return reason;
}

/* Do it, with a record in the ledger and in the audit. */
static void route_execute_recorded(const struct route *route, const struct request *request,
                                   const struct route_target *target, struct reply *reply)
{
    struct audit_event event = {
        .request = request, .reply = reply, .kind = target->kind, .number = target->number};
    struct ledger_command command;
    bool allowed = ledger_begin(route->ledger, &command, request, target->kind, target->number);

    if (allowed) {
        event.refused = route_carry_out(route, request, target, reply);
    } else {
        event.refused = "another VM holds a key by the same I_T nexus (--exclusive)";
        log_client("%s of VM \"%s\" on device %u:%u answered RESERVATION CONFLICT: %s",
                   ledger_command_name(request->opcode), request->peer->vm, major(target->number),
                   minor(target->number), event.refused);
        reply_status(reply, SPC_STATUS_RESERVATION_CONFLICT, 0);
    }
    if (route->audit && request->opcode != SPC_PERSISTENT_RESERVE_IN) {
        event.names = command.device ? &command.device->names : NULL;
        event.duration_us = (uint64_t)(clock_now_us() - command.started_us);
        audit_write(&event);
    }
    ledger_end(route->ledger, &command, reply, allowed && event.refused);
}

void route_execute(void *context, const struct request *request, struct reply *reply)
{
    struct route *route = context;
    const char *reason = "";
    bool writable = false;
    enum policy_verdict verdict;
    struct route_target target;
    enum device_kind kind;
    dev_t number;
    bool recorded;

    kind = device_classify(request->fd, &number);
    if (policy_needs_details(request->opcode)) {
        writable = route_is_writable(request->fd);
        if (writable && kind == DEVICE_BLOCK)
            kind = device_refine_block(&route->sources, number);
    }
    verdict = policy_judge(request->opcode, kind, writable, &reason);
    trace_route(request->connection, number, device_kind_word[kind], route_verdict_word[verdict]);
    recorded = request->opcode == SPC_PERSISTENT_RESERVE_IN ? route->records_reads
                                                            : route->ledger != NULL;
    if (!recorded && verdict == POLICY_ISSUE) { /* the way of nearly all: a short one */
        route_issue(route, request, kind, number, reply);
        return;
    }
    target = (struct route_target){kind, number, verdict, reason};
    if (recorded)
        route_execute_recorded(route, request, &target, reply);
    else
        route_carry_out(route, request, &target, reply);
}
