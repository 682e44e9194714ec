// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Data goes past the helper, by the device node itself. The kernel reports RESERVATION CONFLICT of
 * a read or a write as EBADE (block/blk-core.c, blk_errors). O_DIRECT, since the page cache would
 * answer in the device's place.
 */
#include "validate/nexus.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "ctl/device.h"
#include "ctl/exit_status.h"
#include "ctl/sysfs.h"
#include "scsi/spc.h"
#include "validate/identity.h"

#define NEXUS_BLOCK_SIZE   4096
#define NEXUS_BLOCK_OFFSET (1 << 20)
#define NEXUS_TIMEOUT_MS   30000

static int nexus_fail(char *ret_error, size_t size, int status, const char *device,
                      const char *what)
{
    snprintf(ret_error, size, "%s: %s", device, what);
    return status;
}

static int nexus_fail_open(char *ret_error, size_t size, int r, const char *device)
{
    if (r == -EROFS)
        return nexus_fail(ret_error, size, CTL_REFUSED, device,
                          "it is read-only, but a cluster writes; 'blockdev --setrw' may change "
                          "that");
    return nexus_fail(ret_error, size, CTL_DEVICE, device, strerror(-r));
}

/* In use, and if that can be seen, by what. */
static int nexus_fail_busy(char *ret_error, size_t size, const char *device, dev_t number)
{
    char block[32], name[128], map[512], text[2048];

    if (sysfs_block_name(number, block, sizeof(block)) &&
        sysfs_map_above(block, name, sizeof(name))) {
        escape_text(map, sizeof(map), name);
        snprintf(text, sizeof(text),
                 "it is a path of the multipath map %s: name /dev/mapper/%s, which combines all "
                 "paths in one nexus",
                 map, map);
        return nexus_fail(ret_error, size, CTL_REFUSED, device, text);
    }
    return nexus_fail(ret_error, size, CTL_REFUSED, device,
                      "it is in use on this host: mounted, or part of a volume or another device");
}

/*
 * No process of this host may use it: O_EXCL of a block device fails if a file system, a volume or
 * a map has it (open(2)). It is kept for as long as the validation lasts.
 */
static int nexus_open_data(struct nexus *nexus, const char *device)
{
    int read_only = 0;
    void *block;
    int fd = open(device, O_RDWR | O_EXCL | O_DIRECT | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    nexus->data_fd = fd;
    /* A disk that was made read-only is opened for writing all the same (ioctl BLKROSET). */
    if (ioctl(fd, BLKROGET, &read_only) == 0 && read_only)
        return -EROFS;
    /* What is there now is what will be written; and room to read to. */
    if (posix_memalign(&block, NEXUS_BLOCK_SIZE, 2 * NEXUS_BLOCK_SIZE) != 0)
        return -ENOMEM;
    if (pread(fd, block, NEXUS_BLOCK_SIZE, NEXUS_BLOCK_OFFSET) == NEXUS_BLOCK_SIZE)
        nexus->block = block;
    else
        free(block);
    return 0;
}

int nexus_open(struct nexus *nexus, const char *name, const struct options *options,
               const char *device, const char *socket, char *ret_error, size_t size)
{
    struct device_facts facts;
    char text[PRHELPER_TEXT_MAX];
    const char *objection;
    struct stat file;
    int r;

    *nexus = (struct nexus){.name = name, .options = *options, .data_fd = -1};
    nexus->options.device = device;
    nexus->options.socket = socket;
    if (nexus->options.timeout_ms < 0)
        nexus->options.timeout_ms = NEXUS_TIMEOUT_MS;
    r = session_open_device(&nexus->session, &nexus->options);
    if (r < 0)
        return nexus_fail_open(ret_error, size, r, device);
    facts = device_examine(nexus->session.device_fd);
    nexus->is_file = facts.is_file;
    nexus->is_map = facts.kind == DEVICE_DM_MULTIPATH;
    objection = device_objection(&facts, true);
    /* A helper takes maps; regular files are for the simulator to judge. */
    if (objection && !(facts.kind == DEVICE_DM_MULTIPATH && !options->direct) &&
        !(facts.is_file && !options->direct)) {
        snprintf(text, sizeof(text), "it is %s", objection);
        return nexus_fail(ret_error, size, CTL_REFUSED, device, text);
    }
    if (facts.kind == DEVICE_SG && !options->force)
        return nexus_fail(ret_error, size, CTL_REFUSED, device,
                          "a SCSI generic device does not show whether the disk is in use; name "
                          "the disk, or use --force");
    if (fstat(nexus->session.device_fd, &file) == 0 && S_ISBLK(file.st_mode)) {
        r = nexus_open_data(nexus, device);
        if (r == -EBUSY)
            return nexus_fail_busy(ret_error, size, device, file.st_rdev);
        if (r < 0)
            return nexus_fail_open(ret_error, size, r, device);
    }
    identity_find(nexus->session.device_fd, nexus->identity, sizeof(nexus->identity), nexus->device,
                  sizeof(nexus->device));
    r = session_connect(&nexus->session);
    if (r == 0) {
        prhelper_set_timeout(nexus->session.helper, nexus->options.timeout_ms);
        return 0;
    }
    prhelper_describe(text, sizeof(text), r, NULL);
    return nexus_fail(ret_error, size, CTL_HELPER, session_socket(&nexus->session), text);
}

void nexus_close(struct nexus *nexus)
{
    session_close(&nexus->session);
    if (nexus->data_fd >= 0)
        close(nexus->data_fd);
    nexus->data_fd = -1;
    free(nexus->block);
    nexus->block = NULL;
}

static int nexus_start(struct nexus *nexus, const struct nexus_call *call,
                       struct prhelper_result *result)
{
    struct prhelper *helper = nexus->session.helper;
    int fd = nexus->session.device_fd;

    switch (call->action) {
    case NEXUS_REGISTER:
        return prhelper_start_register(helper, fd, call->key, call->other, call->flags, result);
    case NEXUS_REGISTER_IGNORE:
        return prhelper_start_register_ignore(helper, fd, call->other, call->flags, result);
    case NEXUS_RESERVE:
        return prhelper_start_reserve(helper, fd, call->key, call->type, result);
    case NEXUS_RELEASE:
        return prhelper_start_release(helper, fd, call->key, call->type, result);
    case NEXUS_CLEAR:
        return prhelper_start_clear(helper, fd, call->key, result);
    case NEXUS_PREEMPT:
        return prhelper_start_preempt(helper, fd, call->key, call->other, call->type, result);
    case NEXUS_PREEMPT_ABORT:
        return prhelper_start_preempt_abort(helper, fd, call->key, call->other, call->type, result);
    case NEXUS_READ_KEYS:
        return prhelper_start_read_keys(helper, fd, result);
    case NEXUS_READ_RESERVATION:
        return prhelper_start_read_reservation(helper, fd, result);
    case NEXUS_REPORT_CAPABILITIES:
        return prhelper_start_report_capabilities(helper, fd, result);
    case NEXUS_READ_FULL_STATUS:
        return prhelper_start_read_full_status(helper, fd, result);
    }
    return PRHELPER_BAD_ARGUMENT;
}

/* News in place of the command; not after those that leave open what became of one that changes. */
static bool nexus_is_attention(const struct nexus_call *call, struct nexus_answer *answer)
{
    struct prhelper_sense sense;

    if (call->action < NEXUS_READ_KEYS &&
        prhelper_outcome(answer->r, &answer->result) == PRHELPER_OUTCOME_UNKNOWN)
        return false;
    if (answer->r != 0 || answer->result.status != PRHELPER_CHECK_CONDITION ||
        prhelper_sense_decode(answer->result.sense, sizeof(answer->result.sense), &sense) != 0 ||
        sense.key != SPC_SENSE_UNIT_ATTENTION)
        return false;
    if (answer->n_attentions++ == 0)
        answer->attention = sense;
    return true;
}

static void nexus_name_answer(struct nexus_answer *answer)
{
    struct prhelper_sense sense;

    if (answer->r == -ETIMEDOUT)
        snprintf(answer->got, NEXUS_GOT_MAX, "no answer in time");
    else if (answer->r != 0)
        snprintf(answer->got, NEXUS_GOT_MAX, "no answer");
    else if (answer->result.status == PRHELPER_GOOD)
        snprintf(answer->got, NEXUS_GOT_MAX, "good");
    else if (answer->result.status == PRHELPER_RESERVATION_CONFLICT)
        snprintf(answer->got, NEXUS_GOT_MAX, "conflict");
    else if (answer->n_attentions > NEXUS_ATTENTIONS_MAX)
        snprintf(answer->got, NEXUS_GOT_MAX, "attentions");
    else if (answer->result.status == PRHELPER_CHECK_CONDITION &&
             prhelper_sense_decode(answer->result.sense, sizeof(answer->result.sense), &sense) == 0)
        snprintf(answer->got, NEXUS_GOT_MAX, "sense %X/%02X/%02X", sense.key, sense.asc,
                 sense.ascq);
    else
        snprintf(answer->got, NEXUS_GOT_MAX, "status %02X", answer->result.status);
}

/* One that is dead is connected anew, so that what follows, tidying up above all, can be sent. */
static void nexus_revive(struct nexus *nexus)
{
    if (nexus->session.helper && prhelper_continue(nexus->session.helper) == 0)
        return;
    prhelper_close(nexus->session.helper);
    nexus->session.helper = NULL;
    session_connect(&nexus->session);
}

/* Go on with one that is under way; true: it is over. */
static bool nexus_go_on(struct nexus *nexus, const struct nexus_call *call,
                        struct nexus_answer *answer)
{
    while (answer->r != PRHELPER_PENDING) {
        if (!nexus_is_attention(call, answer) || answer->n_attentions > NEXUS_ATTENTIONS_MAX)
            return true;
        answer->r = nexus_start(nexus, call, &answer->result);
    }
    return false;
}

static void nexus_run(struct nexus *const *nexus, const struct nexus_call *call,
                      struct nexus_answer *answer, unsigned n)
{
    int64_t began = clock_now_us();
    struct pollfd poller[2];
    unsigned left = n;

    for (unsigned i = 0; i < n; i++) {
        memset(&answer[i], 0, sizeof(answer[i]));
        nexus_revive(nexus[i]);
        answer[i].r = nexus[i]->session.helper ? nexus_start(nexus[i], &call[i], &answer[i].result)
                                               : PRHELPER_DEAD;
    }
    for (;;) {
        int wait_ms = -1;

        for (unsigned i = 0; i < n; i++) {
            struct prhelper *helper = nexus[i]->session.helper;

            poller[i] = (struct pollfd){.fd = -1};
            if (answer[i].got[0])
                continue;
            if (nexus_go_on(nexus[i], &call[i], &answer[i])) {
                answer[i].us = clock_now_us() - began;
                nexus_name_answer(&answer[i]);
                left--;
                continue;
            }
            poller[i].fd = prhelper_fd(helper);
            poller[i].events = (short)prhelper_events(helper);
            if (prhelper_timeout(helper) >= 0 &&
                (wait_ms < 0 || prhelper_timeout(helper) < wait_ms))
                wait_ms = prhelper_timeout(helper);
        }
        if (left == 0)
            return;
        poll(poller, n, wait_ms);
        for (unsigned i = 0; i < n; i++) {
            if (!answer[i].got[0])
                answer[i].r = prhelper_continue(nexus[i]->session.helper);
        }
    }
}

void nexus_send(struct nexus *nexus, const struct nexus_call *call, struct nexus_answer *ret)
{
    nexus_run(&nexus, call, ret, 1);
}

void nexus_send_both(struct nexus *const nexus[2], const struct nexus_call call[2],
                     struct nexus_answer ret[2])
{
    nexus_run(nexus, call, ret, 2);
}

void nexus_transfer(struct nexus *nexus, bool write, struct nexus_answer *ret)
{
    int64_t began = clock_now_us();
    ssize_t n;

    memset(ret, 0, sizeof(*ret));
    if (!nexus->block) {
        snprintf(ret->got, NEXUS_GOT_MAX, "skipped");
        return;
    }
    n = write ? pwrite(nexus->data_fd, nexus->block, NEXUS_BLOCK_SIZE, NEXUS_BLOCK_OFFSET)
              : pread(nexus->data_fd, nexus->block + NEXUS_BLOCK_SIZE, NEXUS_BLOCK_SIZE,
                      NEXUS_BLOCK_OFFSET);
    ret->us = clock_now_us() - began;
    if (n == NEXUS_BLOCK_SIZE)
        snprintf(ret->got, NEXUS_GOT_MAX, "good");
    else if (n < 0 && errno == EBADE)
        snprintf(ret->got, NEXUS_GOT_MAX, "conflict");
    else if (n < 0 && (errno == ENODEV || errno == ENXIO || errno == ENOLINK || errno == ETIMEDOUT))
        snprintf(ret->got, NEXUS_GOT_MAX, "device gone");
    else
        snprintf(ret->got, NEXUS_GOT_MAX, "errno %d", n < 0 ? errno : EIO);
}
