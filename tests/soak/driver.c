// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Preloaded into the helpers: SG_IO on a loop device goes into the mailbox that SOAK_MAILBOX names,
 * as a command of host SOAK_HOST, and waits there for its answer as one in the kernel does. Every
 * other ioctl goes to the kernel. No call but fstat and futex is made while the helper serves, so
 * its system call filter is in force as ever.
 *
 * It can also lie (enum mailbox_mutant), which is how the soak shows that it would notice.
 */
#include <limits.h>
#include <linux/futex.h>
#include <scsi/sg.h>
#include <stdlib.h>
#include <string.h>

#include "mailbox.h"
#include "preload.h"

#define PR_OUT   0x5f
#define CONFLICT 0x18
#define TIME_OUT 0x03

static struct mailbox *mailbox;
static struct mailbox_host *host;
static _Atomic unsigned calls;

__attribute__((constructor)) static void driver_open(void)
{
    const char *path = getenv("SOAK_MAILBOX"), *number = getenv("SOAK_HOST");
    unsigned long index;

    if (!path || !number)
        return;
    index = strtoul(number, NULL, 10);
    if (index >= MAILBOX_HOSTS) {
        fprintf(stderr, "soak: there is no host %s\n", number);
        _exit(127);
    }
    mailbox = preload_map(path, sizeof(*mailbox), MAILBOX_MAGIC, "the mailbox of the soak");
    host = &mailbox->host[index];
}

static void driver_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static unsigned driver_take_slot(void)
{
    for (unsigned i = atomic_fetch_add(&calls, 1);; i++) {
        uint32_t is_free = MAILBOX_FREE;

        if (atomic_compare_exchange_strong(&host->state[i % MAILBOX_SLOTS], &is_free,
                                           MAILBOX_TAKEN))
            return i % MAILBOX_SLOTS;
    }
}

static void driver_send(struct mailbox_slot *slot, const sg_io_hdr_t *header, uint64_t rdev)
{
    slot->rdev = rdev;
    slot->interface_id = header->interface_id;
    slot->direction = header->dxfer_direction;
    slot->command_size = header->cmd_len;
    slot->sense_room = header->mx_sb_len;
    slot->transfer_size = header->dxfer_len;
    slot->has_buffer = header->dxferp != NULL;
    slot->timeout_ms = header->timeout;
    slot->flags = header->flags;
    memset(slot->cdb, 0, sizeof(slot->cdb));
    memcpy(slot->cdb, header->cmdp, header->cmd_len);
    if (header->dxfer_direction == SG_DXFER_TO_DEV)
        memcpy(slot->data, header->dxferp, header->dxfer_len);
}

/* Returns an errno. */
static int driver_take_answer(const struct mailbox_slot *slot, sg_io_hdr_t *header)
{
    if (slot->error)
        return slot->error;
    header->status = (unsigned char)slot->status;
    header->host_status = (unsigned short)slot->host_status;
    header->driver_status = (unsigned short)slot->driver_status;
    header->masked_status = (header->status >> 1) & 0x1f;
    header->resid = slot->residual;
    header->sb_len_wr = (unsigned char)slot->sense_size;
    if (header->sbp)
        memcpy(header->sbp, slot->sense, slot->sense_size);
    if (header->dxfer_direction == SG_DXFER_FROM_DEV)
        memcpy(header->dxferp, slot->data, slot->data_size);
    return 0;
}

static int driver_execute(sg_io_hdr_t *header, uint64_t rdev)
{
    unsigned index = driver_take_slot();
    _Atomic uint32_t *state = &host->state[index];
    int error;

    driver_send(&host->slot[index], header, rdev);
    atomic_store(state, MAILBOX_SENT);
    atomic_fetch_add(&mailbox->bell, 1);
    syscall(SYS_futex, &mailbox->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
    while (atomic_load(state) == MAILBOX_SENT)
        driver_wait(state, MAILBOX_SENT);
    error = driver_take_answer(&host->slot[index], header);
    atomic_store(state, MAILBOX_FREE);
    return error;
}

/* -- lies */

/* Before the command: true if it shall not be sent at all. */
static bool driver_lie_before(sg_io_hdr_t *header, uint64_t *rdev)
{
    bool is_out = header->cmdp[0] == PR_OUT;
    _Atomic uint32_t never = 0;

    switch (mailbox->mutant) {
    case MUTANT_FORGET:
        header->status = header->host_status = header->driver_status = 0;
        return is_out;
    case MUTANT_TWICE:
        if (is_out)
            driver_execute(header, *rdev);
        return false;
    case MUTANT_ALTER:
        if (is_out && header->dxfer_len)
            ((uint8_t *)header->dxferp)[header->dxfer_len - 1] ^= 1;
        return false;
    case MUTANT_DISK:
        *rdev = mailbox->wrong_disk;
        return false;
    case MUTANT_STUCK:
        for (;;)
            driver_wait(&never, 0);
    case MUTANT_DIE:
        abort();
    case MUTANT_LEAK:
        open("/sys/dev/block", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the filter allows that */
        return false;
    default:
        return false;
    }
}

/* After it. Returns the errno that the helper gets. */
static int driver_lie_after(sg_io_hdr_t *header, uint64_t rdev, int error)
{
    bool is_out = header->cmdp[0] == PR_OUT;

    switch (mailbox->mutant) {
    case MUTANT_GOOD:
        if (!error && header->status == CONFLICT)
            header->status = 0;
        return error;
    case MUTANT_REPEAT:
        return is_out && !error && header->host_status == TIME_OUT ? driver_execute(header, rdev)
                                                                   : error;
    case MUTANT_DATA:
        if (!is_out && header->dxfer_len)
            ((uint8_t *)header->dxferp)[0] ^= 1;
        return error;
    case MUTANT_SENSE:
        header->sb_len_wr = 0;
        return error;
    case MUTANT_RESIDUE:
        header->resid = 0;
        return error;
    default:
        return error;
    }
}

static int driver_ioctl(sg_io_hdr_t *header, uint64_t rdev)
{
    /* Conflicts, time-outs and sense data are rare enough by themselves. */
    bool rare = mailbox->mutant == MUTANT_GOOD || mailbox->mutant == MUTANT_REPEAT ||
                mailbox->mutant == MUTANT_SENSE;
    bool lie = mailbox->mutant != MUTANT_NONE &&
               (rare || atomic_load(&calls) % mailbox->rarely == mailbox->rarely - 1);
    int error;

    if (header->cmd_len > MAILBOX_CDB_MAX || header->dxfer_len > MAILBOX_DATA_MAX)
        return EINVAL;
    if (lie && driver_lie_before(header, &rdev)) {
        atomic_fetch_add(&calls, 1);
        return 0;
    }
    error = driver_execute(header, rdev);
    return lie ? driver_lie_after(header, rdev, error) : error;
}

static int preload_ioctl(int fd, unsigned int request, void *argument, int *ret_result)
{
    struct stat status;

    if (request != SG_IO || !host || fstat(fd, &status) < 0 || !preload_is_loop(&status))
        return preload_pass(fd, request, argument, ret_result);
    *ret_result = 0;
    return driver_ioctl(argument, status.st_rdev);
}
