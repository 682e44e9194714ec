/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into qemu-pr-mpath by tests/mpath: SG_IO on the devices that TARGET_CONTROL's file
 * names goes to the target in that file. Every other ioctl goes to the kernel. The caller may run
 * under a system call filter: an SG_IO makes no other calls than fstat(2) and futex(2).
 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "scsi/sense.h"

#define TARGET_INQUIRY 0x12

static struct target *target_control;

static struct target *target_map(int fd)
{
    void *map = fd < 0
                    ? MAP_FAILED
                    : mmap(NULL, sizeof(struct target), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

struct target *target_open(const char *file)
{
    struct target *target = target_map(open(file, O_RDWR | O_CLOEXEC));

    return target && target->magic == TARGET_MAGIC ? target : NULL;
}

struct target *target_new(const char *file, unsigned ports)
{
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct target *target;

    if (fd >= 0 && ftruncate(fd, sizeof(*target)) < 0)
        return NULL;
    target = target_map(fd);
    if (!target)
        return NULL;
    lu_init(&target->lu, (uint16_t)ports);
    target->magic = TARGET_MAGIC;
    return target;
}

__attribute__((constructor)) static void target_begin(void)
{
    const char *file = getenv("TARGET_CONTROL");

    if (!file)
        return;
    target_control = target_open(file);
    if (!target_control) {
        fprintf(stderr, "target: %s: no target\n", file);
        _exit(127);
    }
}

static void target_wait(uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void target_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* A process that is killed here would keep it: nothing in between waits, so that is unlikely. */
static void target_lock(struct target *target)
{
    while (__atomic_exchange_n(&target->lock, 1, __ATOMIC_ACQUIRE))
        target_wait(&target->lock, 1);
}

static void target_unlock(struct target *target)
{
    __atomic_store_n(&target->lock, 0, __ATOMIC_RELEASE);
    target_wake(&target->lock);
}

int target_login(struct target *target, unsigned nexus, const char *initiator, unsigned port)
{
    struct transportid id;
    bool good;

    target_lock(target);
    good = transportid_parse(initiator, &id) &&
           lu_nexus_add(&target->lu, nexus, &id, (uint16_t)port);
    target_unlock(target);
    return good ? (int)nexus : -1;
}

bool target_may_write(struct target *target, unsigned nexus)
{
    return lu_may_write(&target->lu, nexus);
}

void target_set_hang(struct target *target, unsigned path, uint32_t how, uint32_t only_out)
{
    target->path[path].only_out = only_out;
    __atomic_store_n(&target->path[path].hang, how, __ATOMIC_SEQ_CST);
    target_wake(&target->path[path].hang);
}

/* Keys the wrong way round, as some targets have them. */
static void target_swap(uint8_t *data, size_t size)
{
    for (size_t at = 8; at + 24 <= size; at += 24 + load_be32(data + at + 20)) {
        uint64_t key;

        memcpy(&key, data + at, sizeof(key));
        key = __builtin_bswap64(key);
        memcpy(data + at, &key, sizeof(key));
    }
}

unsigned target_execute(struct target *target, unsigned nexus, const uint8_t *cdb,
                        const uint8_t *parameters, unsigned length, uint8_t *data, unsigned size,
                        uint32_t *ret_sense, uint32_t *ret_size)
{
    bool full = cdb[0] == SPC_PERSISTENT_RESERVE_IN && (cdb[1] & 0x1f) == SPC_PRIN_READ_FULL_STATUS;
    struct lu_result result = {.status = SPC_STATUS_CHECK_CONDITION,
                               .sense = SPC_INVALID_FIELD_IN_CDB};

    target_lock(target);
    if (!full || !target->no_full_status)
        lu_execute(&target->lu, nexus, cdb, parameters, length, data, size, &result);
    target_unlock(target);
    if (full && target->swapped && result.status == SPC_STATUS_GOOD)
        target_swap(data, result.length);
    *ret_sense = (uint32_t)result.sense.key << 16 | (uint32_t)result.sense.asc << 8 |
                 result.sense.ascq;
    *ret_size = (uint32_t)result.length;
    return result.status;
}

static void target_record(struct target *target, unsigned path, const uint8_t *cdb, uint32_t status)
{
    uint32_t at = __atomic_fetch_add(&target->logged, 1, __ATOMIC_SEQ_CST) % TARGET_LOG_MAX;

    target->log[at] = (struct target_record){path, cdb[0], cdb[1] & 0x1f, status};
}

static void target_answer_sense(sg_io_hdr_t *io, struct spc_sense sense)
{
    uint8_t bytes[SENSE_SIZE];

    sense_build(bytes, sense);
    io->status = SPC_STATUS_CHECK_CONDITION;
    io->driver_status = 8;
    io->sb_len_wr = io->mx_sb_len < 18 ? io->mx_sb_len : 18;
    memcpy(io->sbp, bytes, io->sb_len_wr);
}

/* VPD page 83h with one designator: the relative target port identifier. */
static void target_inquire(const struct target_path *path, sg_io_hdr_t *io)
{
    const uint8_t page[12] = {0, 0x83, 0, 8, 0x01, 0x94, 0, 4, 0, 0, 0, (uint8_t)path->target_port};
    unsigned size = path->target_port ? sizeof(page) : 0;

    memcpy(io->dxferp, page, size);
    io->resid = (int)(io->dxfer_len - size);
}

static void target_carry_out(struct target *target, const struct target_path *path, sg_io_hdr_t *io)
{
    bool out = io->dxfer_direction == SG_DXFER_TO_DEV;
    uint8_t cdb[CDB_SIZE] = {0};
    uint32_t sense = 0, size = 0;

    if (io->cmdp[0] == TARGET_INQUIRY) {
        target_inquire(path, io);
        return;
    }
    memcpy(cdb, io->cmdp, io->cmd_len < sizeof(cdb) ? io->cmd_len : sizeof(cdb));
    io->status = (uint8_t)target_execute(target, path->nexus, cdb, out ? io->dxferp : NULL,
                                         out ? io->dxfer_len : 0, out ? NULL : io->dxferp,
                                         out ? 0 : io->dxfer_len, &sense, &size);
    io->resid = out ? 0 : (int)(io->dxfer_len - size);
    if (io->status == SPC_STATUS_CHECK_CONDITION)
        target_answer_sense(
            io, SPC_SENSE((uint8_t)(sense >> 16), (uint8_t)(sense >> 8), (uint8_t)sense));
}

/* What the test has ordered for this path. Returns whether that is the answer. */
static bool target_interfere(struct target_path *path, sg_io_hdr_t *io, int *ret_error)
{
    if (!path->error && !path->host_status && !path->status)
        return false;
    *ret_error = (int)path->error;
    io->host_status = (uint16_t)path->host_status;
    io->status = (uint8_t)path->status;
    if (path->status == SPC_STATUS_CHECK_CONDITION)
        target_answer_sense(io, path->sense);
    if (path->times && --path->times == 0)
        path->error = path->host_status = path->status = 0;
    return true;
}

static void target_hang(struct target_path *path, uint32_t how, uint8_t opcode)
{
    if (path->only_out && opcode != SPC_PERSISTENT_RESERVE_OUT)
        return;
    while (__atomic_load_n(&path->hang, __ATOMIC_SEQ_CST) == how)
        target_wait(&path->hang, how);
}

static int target_issue(struct target *target, unsigned at, sg_io_hdr_t *io)
{
    struct target_path *path = &target->path[at];
    int error = 0;

    io->status = io->masked_status = 0;
    io->host_status = io->driver_status = 0;
    io->sb_len_wr = 0;
    io->resid = 0;
    target_hang(path, TARGET_HANG, io->cmdp[0]);
    if (!target_interfere(path, io, &error))
        target_carry_out(target, path, io);
    target_record(target, at, io->cmdp, error ? 0x100u : io->status);
    target_hang(path, TARGET_LATE, io->cmdp[0]);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    struct target *target = target_control;
    struct stat status;
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == SG_IO && target && fstat(fd, &status) == 0) {
        for (unsigned i = 0; i < target->n_paths; i++) {
            if (target->path[i].rdev == status.st_rdev)
                return target_issue(target, i, argument);
        }
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}
