// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A PERSISTENT RESERVE IN costs one fstat(2) before it is issued. What else there is to know of an
 * fd is asked only for the commands whose fate depends on it.
 */
#include "helper/route.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/log.h"
#include "helper/backend_mpath.h"
#include "helper/backend_sg.h"
#include "helper/policy.h"
#include "ledger/audit.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "serve/tracepoints.h"

int route_init(struct route *route, unsigned io_timeout_ms, struct mpath *mpath)
{
    int r;

    route->io_timeout_ms = io_timeout_ms;
    route->mpath = mpath;
    route->ledger = NULL;
    route->records_reads = false;
    route->audit = false;
    r = device_sources_init(&route->sources);
    if (r == 0 || device_is_shortage(-r))
        return r;
    log_warning("cannot open /sys/dev/block: %s; block devices cannot be identified, and "
                "PERSISTENT RESERVE OUT on them will be refused",
                strerror(-r));
    return 0;
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

/* Returns 0 or a negative errno. */
static int route_is_writable(int fd, bool *ret)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    *ret = (flags & O_ACCMODE) != O_RDONLY; /* with O_PATH it reads as O_RDONLY */
    return 0;
}

static const char *const route_verdict_word[] = {
    [POLICY_ISSUE] = "issue",   [POLICY_MULTIPATH] = "multipath", [POLICY_DONE] = "done",
    [POLICY_REFUSE] = "refuse", [POLICY_BUSY] = "busy",
};

/* What has been found out about a request. */
struct route_target {
    enum device_kind kind;
    enum device_kind known; /* the same, or as far as it could be found out, for the ledger */
    dev_t number;
    enum policy_verdict verdict;
    const char *reason; /* for POLICY_REFUSE and POLICY_BUSY */
    int error;          /* errno, why the kind could not be found out; 0: it was */
};

static void route_examine(const struct route *route, const struct request *request,
                          struct route_target *ret)
{
    enum device_kind kind = DEVICE_OTHER;
    bool writable = false;
    int r;

    ret->number = 0;
    ret->reason = "";
    r = device_classify(request->fd, &kind, &ret->number);
    if (r == 0 && policy_needs_details(request->opcode)) {
        r = route_is_writable(request->fd, &writable);
        if (r == 0 && writable && kind == DEVICE_BLOCK)
            r = device_refine_block(&route->sources, ret->number, &kind);
    }
    ret->error = -r;
    ret->known = kind;
    ret->kind = r < 0 ? DEVICE_UNKNOWN : kind;
    ret->verdict = r < 0 ? policy_judge_unknown(-r, &ret->reason)
                         : policy_judge(request->opcode, kind, writable, &ret->reason);
}

static void route_refuse(const struct request *request, const struct route_target *target,
                         const char *reason, struct reply *reply)
{
    bool is_busy = target->verdict == POLICY_BUSY;

    log_client("%s on a %s (%u:%u) %s: %s%s%s", ledger_command_name(request->opcode),
               device_kind_name(target->kind), major(target->number), minor(target->number),
               is_busy ? "answered BUSY" : "refused", reason, target->error ? ": " : "",
               target->error ? strerror(target->error) : "");
    if (is_busy)
        reply_status(reply, SPC_STATUS_BUSY, 0);
    else
        reply_sense(reply, SPC_INVALID_OPERATION_CODE);
}

/*
 * Is it a multipath map? 1, 0, or a negative errno if that cannot be told. Not part of its caller,
 * which nearly all requests go through and which very rarely calls it.
 */
__attribute__((noinline)) static int route_is_multipath(const struct route *route, dev_t number)
{
    enum device_kind kind;
    int r = device_refine_block(&route->sources, number, &kind);

    return r < 0 ? r : kind == DEVICE_DM_MULTIPATH;
}

static bool route_asks_capabilities(const struct request *request)
{
    return request->opcode == SPC_PERSISTENT_RESERVE_IN &&
           (request->cdb[1] & CDB_SERVICE_ACTION_MASK) == SPC_PRIN_REPORT_CAPABILITIES;
}

/*
 * By SG_IO on the fd. Of a multipath map that is one path of the kernel's choice: if that one fails
 * a command that only reads, the worker tries the others. And a map can do less than its target;
 * what is perhaps a map is not told to do more.
 */
__attribute__((always_inline)) static inline void route_issue(const struct route *route,
                                                              const struct request *request,
                                                              enum device_kind kind, dev_t number,
                                                              struct reply *reply)
{
    bool done = sg_execute(request, number, route->io_timeout_ms, reply);
    int r;

    if ((done && !route_asks_capabilities(request)) || kind != DEVICE_BLOCK ||
        request->opcode != SPC_PERSISTENT_RESERVE_IN)
        return;
    r = route_is_multipath(route, number);
    if (r < 0 && device_is_shortage(-r)) {
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return;
    }
    if (r > 0 && !done)
        mpath_execute(route->mpath, request, number, reply);
    if (r != 0 && route_asks_capabilities(request) && reply->status == SPC_STATUS_GOOD)
        prin_capabilities_mask(request->data, reply->size);
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
    case POLICY_BUSY:
        break;
    }
    route_refuse(request, target, reason, reply);
    return reason;
}

/* Do it, with a record in the ledger and in the audit. */
static void route_execute_recorded(const struct route *route, const struct request *request,
                                   const struct route_target *target, struct reply *reply)
{
    struct audit_event event = {.request = request,
                                .reply = reply,
                                .kind = target->kind,
                                .number = target->number,
                                .has_no_effect = target->verdict == POLICY_DONE};
    struct ledger_command command;

    ledger_begin(route->ledger, &command, request, target->known, target->number);
    event.refused = route_carry_out(route, request, target, reply);
    if (route->audit && request->opcode != SPC_PERSISTENT_RESERVE_IN) {
        event.names = command.device ? &command.device->names : NULL;
        event.duration_us = (uint64_t)(clock_now_us() - command.started_us);
        audit_write(&event);
    }
    ledger_end(route->ledger, &command, reply, event.refused != NULL);
}

void route_execute(void *context, const struct request *request, struct reply *reply)
{
    struct route *route = context;
    struct route_target target;
    int64_t started_us = 0;

    route_examine(route, request, &target);
    trace_route(request->connection, target.number, device_kind_word[target.kind],
                route_verdict_word[target.verdict]);
    if (request->opcode == SPC_PERSISTENT_RESERVE_IN && target.verdict == POLICY_ISSUE) {
        /* The way of nearly all: a short one. What is issued has a kind that the ledger takes. */
        if (route->records_reads)
            started_us = ledger_begin_read(route->ledger, request, target.known, target.number);
        route_issue(route, request, target.kind, target.number, reply);
        if (route->records_reads)
            ledger_end_read(route->ledger, request, target.known, target.number, started_us, reply);
    } else if (request->opcode != SPC_PERSISTENT_RESERVE_IN && route->ledger) {
        route_execute_recorded(route, request, &target, reply);
    } else {
        route_carry_out(route, request, &target, reply);
    }
}

void route_forget(void *context, int slot)
{
    const struct route *route = context;

    mpath_forget(route->mpath, slot);
}
