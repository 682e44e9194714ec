// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The events as functions, one for each. Where <sys/sdt.h> was there at build time each is a USDT
 * probe as well: provider qemu_pr_helper, the event's name, the same arguments.
 *
 * Each event has a counter of those who want to know: a tracer counts itself in when it attaches
 * (what sys/sdt.h calls a semaphore), and so do we when -T enables the event. So while no tracer
 * does, an event costs a comparison and a branch.
 *
 * Thread rule: any.
 */
#ifndef SERVE_TRACEPOINTS_H
#define SERVE_TRACEPOINTS_H

#include <stdint.h>
#include <sys/sysmacros.h>

#include "base/quote.h"
#include "serve/trace.h"

#if __has_include(<sys/sdt.h>)
#define _SDT_HAS_SEMAPHORES 1
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define TRACE_PROBE(...) STAP_PROBEV(qemu_pr_helper, __VA_ARGS__)
#else
#define TRACE_PROBE(...) ((void)0)
#endif

#define TRACE_ENABLED(name)                                                                        \
    __builtin_expect(*(const volatile unsigned short *)&TRACE_SEMAPHORE(name) != 0, 0)

/* A client has connected. Connections are named by their number, as in the log. */
static inline void trace_connect(uint64_t connection)
{
    if (TRACE_ENABLED(connect)) {
        TRACE_PROBE(connect, connection);
        trace_line(trace_id_connect, "connection=%llu", (unsigned long long)connection);
    }
}

/* Its handshake is complete; features: what it asks for. */
static inline void trace_handshake(uint64_t connection, uint32_t features)
{
    if (TRACE_ENABLED(handshake)) {
        TRACE_PROBE(handshake, connection, features);
        trace_line(trace_id_handshake, "connection=%llu features=0x%x",
                   (unsigned long long)connection, features);
    }
}

/* It has been identified; pid: 0 if unknown; vm: "" if unknown. */
static inline void trace_peer(uint64_t connection, int pid, uint32_t uid, const char *vm)
{
    if (TRACE_ENABLED(peer)) {
        char quoted[256];

        (void)quote_text(quoted, sizeof(quoted), vm);
        TRACE_PROBE(peer, connection, pid, uid, vm);
        trace_line(trace_id_peer, "connection=%llu pid=%d uid=%u vm=\"%s\"",
                   (unsigned long long)connection, pid, uid, quoted);
    }
}

/* A whole request is there. */
static inline void trace_request(uint64_t connection, uint8_t opcode, uint8_t action,
                                 uint32_t length)
{
    if (TRACE_ENABLED(request)) {
        TRACE_PROBE(request, connection, opcode, action, length);
        trace_line(trace_id_request, "connection=%llu opcode=0x%02x action=0x%02x length=%u",
                   (unsigned long long)connection, opcode, action, length);
    }
}

/* Its device has been classified: dev_t, kind, and the verdict. */
static inline void trace_route(uint64_t connection, uint64_t device, const char *kind,
                               const char *verdict)
{
    if (TRACE_ENABLED(route)) {
        TRACE_PROBE(route, connection, device, kind, verdict);
        trace_line(trace_id_route, "connection=%llu device=%u:%u kind=%s verdict=%s",
                   (unsigned long long)connection, major(device), minor(device), kind, verdict);
    }
}

/* SG_IO has returned: 0 or an errno, and if 0 the three results of <scsi/sg.h>. */
static inline void trace_device_result(uint64_t connection, int error, uint8_t status,
                                       uint16_t host, uint16_t driver)
{
    if (TRACE_ENABLED(device_result)) {
        TRACE_PROBE(device_result, connection, error, status, host, driver);
        trace_line(trace_id_device_result,
                   "connection=%llu errno=%d status=0x%02x host=0x%02x driver=0x%02x",
                   (unsigned long long)connection, error, status, host, driver);
    }
}

/* The answer, before it is sent. */
static inline void trace_reply(uint64_t connection, uint8_t status, uint32_t size)
{
    if (TRACE_ENABLED(reply)) {
        TRACE_PROBE(reply, connection, status, size);
        trace_line(trace_id_reply, "connection=%llu status=0x%02x size=%u",
                   (unsigned long long)connection, status, size);
    }
}

static inline void trace_disconnect(uint64_t connection)
{
    if (TRACE_ENABLED(disconnect)) {
        TRACE_PROBE(disconnect, connection);
        trace_line(trace_id_disconnect, "connection=%llu", (unsigned long long)connection);
    }
}

/* A thread of the pool comes or goes; threads: how many there are then. */
static inline void trace_thread_start(unsigned threads)
{
    if (TRACE_ENABLED(thread_start)) {
        TRACE_PROBE(thread_start, threads);
        trace_line(trace_id_thread_start, "threads=%u", threads);
    }
}

static inline void trace_thread_end(unsigned threads)
{
    if (TRACE_ENABLED(thread_end)) {
        TRACE_PROBE(thread_end, threads);
        trace_line(trace_id_thread_end, "threads=%u", threads);
    }
}

/* The multipath worker takes commands from now on; pid: its process. */
static inline void trace_worker_start(uint32_t pid)
{
    if (TRACE_ENABLED(worker_start)) {
        TRACE_PROBE(worker_start, pid);
        trace_line(trace_id_worker_start, "pid=%u", pid);
    }
}

/* It was found to have ended; error: of what was tried. */
static inline void trace_worker_end(int error)
{
    if (TRACE_ENABLED(worker_end)) {
        TRACE_PROBE(worker_end, error);
        trace_line(trace_id_worker_end, "errno=%d", error);
    }
}

/* A limit was hit; connection: 0 if it concerns none in particular; what: a static text. */
static inline void trace_limit(uint64_t connection, const char *what)
{
    if (TRACE_ENABLED(limit)) {
        TRACE_PROBE(limit, connection, what);
        trace_line(trace_id_limit, "connection=%llu what=%s", (unsigned long long)connection, what);
    }
}

#endif
