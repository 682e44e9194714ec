// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A PERSISTENT RESERVE IN costs one fstat(2) before it is issued. What else there is to know of an
 * fd is asked only for the commands whose fate depends on it.
 */
#include "helper/route.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "helper/backend_mpath.h"
#include "helper/backend_sg.h"
#include "helper/policy.h"
#include "serve/tracepoints.h"

void route_init(struct route *route, unsigned io_timeout_ms, struct mpath *mpath)
{
    route->io_timeout_ms = io_timeout_ms;
    route->mpath = mpath;
    if (!device_sources_init(&route->sources))
        log_warning("/sys or /proc is not there: partitions and device-mapper maps cannot be told "
                    "from other devices");
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

static const char *route_command_name(uint8_t opcode)
{
    switch (opcode) {
    case SPC_PERSISTENT_RESERVE_IN:
        return "PERSISTENT RESERVE IN";
    case SPC_PERSISTENT_RESERVE_OUT:
        return "PERSISTENT RESERVE OUT";
    default:
        return "CLEANUP";
    }
}

static void route_refuse(const struct request *request, enum device_kind kind, dev_t number,
                         const char *reason, struct reply *reply)
{
    log_client("%s on a %s (%u:%u) refused: %s", route_command_name(request->opcode),
               device_kind_name(kind), major(number), minor(number), reason);
    reply_sense(reply, SPC_INVALID_OPERATION_CODE);
}

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

void route_execute(void *context, const struct request *request, struct reply *reply)
{
    struct route *route = context;
    const char *reason = "";
    bool writable = false;
    enum policy_verdict verdict;
    enum device_kind kind;
    dev_t number;

    kind = device_classify(request->fd, &number);
    if (policy_needs_details(request->opcode)) {
        writable = route_is_writable(request->fd);
        if (writable && kind == DEVICE_BLOCK)
            kind = device_refine_block(&route->sources, number);
    }

    verdict = policy_judge(request->opcode, kind, writable, &reason);
    tell_route(request->connection, number, device_kind_word[kind], route_verdict_word[verdict]);
    switch (verdict) {
    case POLICY_ISSUE:
        route_issue(route, request, kind, number, reply);
        return;
    case POLICY_DONE:
        reply_status(reply, SPC_STATUS_GOOD, 0);
        return;
    case POLICY_MULTIPATH:
        if (mpath_execute(route->mpath, request, number, reply))
            return;
        /* Never by SG_IO: that would register one path and leave the others unregistered. */
        reason = "the multipath worker is not available";
        break;
    case POLICY_REFUSE:
        break;
    }
    route_refuse(request, kind, number, reason, reply);
}
