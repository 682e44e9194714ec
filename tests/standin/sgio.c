/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SCSI persistent reservations where there is no SCSI: preloaded into a program, this library
 * answers ioctl(SG_IO) on loop devices the way the kernel answers it on a disk. Every other ioctl,
 * and SG_IO on anything else, goes to the kernel.
 *
 * SGIO_CONTROL=FILE names a control block (sgio.h) through which a test scripts each device and
 * reads back what it was sent. It is mapped before main(), so a program may lock itself up later.
 * To know the device takes an fstat, to record how it was opened an fcntl(F_GETFL).
 *
 * Without SGIO_CONTROL every command is answered GOOD, with the READ KEYS data of one registered
 * key, and costs what it costs on a disk but for the disk: the one real ioctl. The loop driver
 * knows no SG_IO and says so by EINVAL. Any other outcome is of another device and stays as it is.
 *
 * The caller may run under a system call filter, so the path of an SG_IO uses nothing but these
 * calls and futex (and what a test asks for to try that very filter). fds are not remembered:
 * their numbers are reused at once.
 *
 * Built by Meson; by hand: cc -shared -fPIC -o libsgio.so sgio.c
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sgio.h"

#include <linux/futex.h>
#include <scsi/sg.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

#define FOREVER UINT32_MAX
/* The kernel refuses a longer command or transfer: sizeof(scmd->cmnd), and a common disk's
 * max_hw_sectors. */
#define COMMAND_MAX  SGIO_CDB_MAX
#define TRANSFER_MAX (512 * 1024)

#define MIN(a, b) ((a) < (b) ? (a) : (b))

static struct sgio_control *control;

/* PRgeneration 1, additional length 8, the key "standin\0". */
static const uint8_t one_key[16] = {0, 0, 0, 1, 0, 0, 0, 8, 's', 't', 'a', 'n', 'd', 'i', 'n', 0};

__attribute__((constructor)) static void sgio_open(void)
{
    const char *path = getenv("SGIO_CONTROL");

    if (path)
        control = preload_map(path, sizeof(*control), SGIO_MAGIC, "the control block of SG_IO");
}

/* Wait until *word is no longer value, or for us microseconds. Returns as the system call does. */
static long sgio_wait(uint32_t *word, uint32_t value, uint32_t us)
{
    /* The layout that SYS_futex takes on every architecture, no matter what time_t is. */
    long timeout[2] = {us / 1000000, us % 1000000 * 1000L};

    return syscall(SYS_futex, word, FUTEX_WAIT, value, us == FOREVER ? NULL : timeout, NULL, 0);
}

/* No other sleep is sure to be allowed: wait on a word that is not woken. */
static void sgio_delay(uint32_t us)
{
    uint32_t never = 0;

    while (sgio_wait(&never, 0, us) == 0 || errno != ETIMEDOUT)
        ; /* a command in the kernel is not interruptible */
}

static struct sgio_device *sgio_find(uint64_t rdev)
{
    for (unsigned i = 0; i < SGIO_DEVICES && control->device[i].rdev; i++) {
        struct sgio_device *device = &control->device[i];
        if (device->rdev == rdev ||
            (device->rdev == SGIO_EVERY_LOOP && major(rdev) == PRELOAD_LOOP_MAJOR))
            return device;
    }
    return NULL;
}

static void sgio_record(const sg_io_hdr_t *header, uint64_t rdev, int access)
{
    uint32_t number = __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
    struct sgio_call *call = &control->call[(number - 1) % SGIO_CALLS];

    __atomic_store_n(&call->number, 0, __ATOMIC_RELEASE);
    call->rdev = rdev;
    call->interface_id = header->interface_id;
    call->direction = header->dxfer_direction;
    call->command_size = header->cmd_len;
    call->sense_room = header->mx_sb_len;
    call->transfer_size = header->dxfer_len;
    call->has_buffer = header->dxferp != NULL;
    call->timeout_ms = header->timeout;
    call->flags = header->flags;
    call->access = access;
    memset(call->cdb, 0, sizeof(call->cdb));
    if (header->cmdp)
        memcpy(call->cdb, header->cmdp, MIN(header->cmd_len, sizeof(call->cdb)));
    if (header->dxfer_direction == SG_DXFER_TO_DEV && header->dxferp)
        memcpy(control->parameters[(number - 1) % SGIO_PARAMETERS], header->dxferp,
               MIN(header->dxfer_len, SGIO_PARAMETER_MAX));
    __atomic_store_n(&call->number, number, __ATOMIC_RELEASE);
}

/* The checks of the kernel's own SG_IO, in its order. Returns an errno, 0 if it would go on. */
static int sgio_check(const sg_io_hdr_t *header)
{
    if (!header)
        return EFAULT;
    if (header->interface_id != 'S')
        return EINVAL;
    if (header->dxfer_len > TRANSFER_MAX)
        return EIO;
    if (header->dxfer_len != 0 && header->dxfer_direction != SG_DXFER_TO_DEV &&
        header->dxfer_direction != SG_DXFER_FROM_DEV &&
        header->dxfer_direction != SG_DXFER_TO_FROM_DEV)
        return EINVAL;
    if (header->cmd_len > COMMAND_MAX || header->iovec_count != 0)
        return EINVAL;
    if (!header->cmdp || (header->dxfer_len != 0 && !header->dxferp))
        return EFAULT;
    return 0;
}

static void sgio_answer(const struct sgio_device *device, sg_io_hdr_t *header)
{
    const uint8_t *data = device ? device->data : one_key;
    uint32_t data_size = device ? device->data_size : sizeof(one_key);
    uint32_t moved = header->dxfer_len;

    header->status = device ? device->status : 0;
    header->host_status = device ? device->host_status : 0;
    header->driver_status = device ? device->driver_status : 0;
    header->masked_status = (header->status >> 1) & 0x1f;
    header->msg_status = 0;
    header->sb_len_wr = 0;
    header->duration = device ? device->delay_us / 1000 : 0;
    if (header->dxfer_direction == SG_DXFER_FROM_DEV) {
        moved = MIN(header->dxfer_len, data_size);
        memcpy(header->dxferp, data, moved);
    }
    header->resid = device && device->fixed_residual ? device->residual
                                                     : (int)(header->dxfer_len - moved);
    if (device && device->sense_size && header->sbp) {
        header->sb_len_wr = MIN(device->sense_size, header->mx_sb_len);
        memcpy(header->sbp, device->sense, header->sb_len_wr);
    }
    header->info = header->masked_status || header->host_status || header->driver_status
                       ? SG_INFO_CHECK
                       : SG_INFO_OK;
}

static void sgio_probe(struct sgio_device *device)
{
    uint64_t argument[6];
    long r;

    for (unsigned i = 0; i < 6; i++)
        argument[i] = device->probe_pointers & 1u << i ? (uintptr_t)device->probe_text
                                                       : device->probe_argument[i];
    r = syscall(device->probe_number, argument[0], argument[1], argument[2], argument[3],
                argument[4], argument[5]);
    device->probe_result = r < 0 ? -errno : r;
}

/* One SG_IO on a device of ours; device is NULL if nothing is scripted for it. Returns an errno. */
static int sgio_execute(struct sgio_device *device, sg_io_hdr_t *header, uint64_t rdev, int access)
{
    int error = sgio_check(header);
    uint32_t hold;

    if (error)
        return error;
    sgio_record(header, rdev, access);
    if (!device) {
        sgio_answer(NULL, header);
        return 0;
    }

    __atomic_add_fetch(&device->entered, 1, __ATOMIC_RELEASE);
    if (device->delay_us)
        sgio_delay(device->delay_us);
    while ((hold = __atomic_load_n(&device->hold, __ATOMIC_ACQUIRE)) != 0)
        sgio_wait(&device->hold, hold, FOREVER);
    if (device->probe)
        sgio_probe(device);
    if (device->error && __atomic_load_n(&device->error_calls, __ATOMIC_RELAXED) != 0) {
        if (device->error_calls > 0)
            __atomic_sub_fetch(&device->error_calls, 1, __ATOMIC_RELAXED);
        error = device->error;
    } else {
        sgio_answer(device, header);
    }
    __atomic_add_fetch(&device->left, 1, __ATOMIC_RELEASE);
    return error;
}

/* Without a control block. Returns an errno, or 0 with what the ioctl returns in *ret_result. */
static int sgio_plain(int fd, sg_io_hdr_t *header, int *ret_result)
{
    int error = preload_pass(fd, SG_IO, header, ret_result);

    if (error != EINVAL)
        return error;
    error = sgio_check(header); /* a real disk may have meant this */
    if (error)
        return error;
    sgio_answer(NULL, header);
    *ret_result = 0;
    return 0;
}

/* With one. The same. */
static int sgio_scripted(int fd, sg_io_hdr_t *header, int *ret_result)
{
    struct stat status;
    struct sgio_device *device;
    int access;

    *ret_result = 0;
    if (fstat(fd, &status) < 0)
        return errno;
    access = fcntl(fd, F_GETFL);
    if (access >= 0 && access & O_PATH)
        return EBADF; /* it names a file without having it open */
    device = sgio_find(status.st_rdev);
    if (preload_is_loop(&status) || (device && S_ISBLK(status.st_mode)))
        return sgio_execute(device, header, status.st_rdev, access);
    __atomic_add_fetch(&control->foreign, 1, __ATOMIC_RELAXED);
    return preload_pass(fd, SG_IO, header, ret_result);
}

static int preload_ioctl(int fd, unsigned int request, void *argument, int *ret_result)
{
    if (request != SG_IO)
        return preload_pass(fd, request, argument, ret_result);
    return control ? sgio_scripted(fd, argument, ret_result) : sgio_plain(fd, argument, ret_result);
}
