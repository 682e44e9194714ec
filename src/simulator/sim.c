// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Units are made when a client first passes their file and stay until the end; each has a lock of
 * its own, held while a command is executed and, with --state, while its outcome is saved. Waiting
 * (latency, a LUN that hangs on purpose) is done before, without a lock: as on a real LUN, a
 * command that has not arrived delays no other.
 */
#include "simulator/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "proto/wire.h"
#include "simulator/sim_internal.h"

#define SIM_TARGET_PORTS 1
#define SIM_HANG_LOOK_MS 50 /* how often a command that hangs looks whether it still has to */

static void sim_pause(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&pause, NULL);
}

/* The file's name when it was first seen, without its directories; "" if that cannot be told. */
static void sim_name_unit(struct sim_unit *unit, int fd)
{
    char link[32], path[PATH_MAX];
    const char *name;
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    name = strrchr(path, '/');
    snprintf(unit->name, sizeof(unit->name), "%.*s", SIM_NAME_MAX - 1, name ? name + 1 : path);
}

/* Make the unit of a file that was not seen before. Called under the list's lock. */
static struct sim_unit *sim_make_unit(struct sim *sim, const struct store_lun *lun, int fd)
{
    struct sim_unit *unit = calloc(1, sizeof(*unit));
    int r;

    if (!unit)
        return NULL;
    unit->lun = *lun;
    sim_name_unit(unit, fd);
    pthread_mutex_init(&unit->lock, NULL);
    lu_init(&unit->lu, SIM_TARGET_PORTS);
    r = sim->state_dir >= 0 ? store_load(sim->state_dir, lun, &unit->lu) : 0;
    if (r < 0) {
        log_error("the saved state of a LUN (inode %llu) cannot be used: %s; remove its file from "
                  "the state directory to start without it",
                  (unsigned long long)lun->inode, strerror(-r));
        unit->unreadable = true;
    }
    for (unsigned i = 0; i < sim->n_nexus; i++)
        lu_nexus_add(&unit->lu, i, &sim->nexus[i].initiator, 1);
    unit->next = sim->units;
    sim->units = unit;
    return unit;
}

static struct sim_unit *sim_find_unit(struct sim *sim, const struct store_lun *lun, int fd)
{
    struct sim_unit *unit;

    pthread_mutex_lock(&sim->lock);
    for (unit = sim->units; unit; unit = unit->next) {
        if (unit->lun.device == lun->device && unit->lun.inode == lun->inode &&
            unit->lun.born_s == lun->born_s && unit->lun.born_ns == lun->born_ns)
            break;
    }
    if (!unit)
        unit = sim_make_unit(sim, lun, fd);
    pthread_mutex_unlock(&sim->lock);
    return unit;
}

/* Play the LUN's fault, if it has one. True: that was the answer. */
static bool sim_apply_fault(struct sim *sim, dev_t device, ino_t inode, struct reply *reply,
                            enum quirk *ret_quirk)
{
    struct fault fault = faults_find(&sim->faults, device, inode);

    while (fault.kind == FAULT_HANG) {
        sim_pause(SIM_HANG_LOOK_MS);
        fault = faults_find(&sim->faults, device, inode);
    }
    switch (fault.kind) {
    case FAULT_LATENCY:
        sim_pause(fault.latency_ms);
        return false;
    case FAULT_STATUS:
        reply_status(reply, fault.status, 0);
        return true;
    case FAULT_SENSE:
        reply_sense(reply, fault.sense);
        return true;
    case FAULT_QUIRK:
        *ret_quirk = fault.quirk;
        return false;
    case FAULT_HANG:
    case FAULT_NONE:
        break;
    }
    return false;
}

/*
 * Execute and, if it is to outlive us, save: what cannot be saved has not happened. What may not
 * have been saved has, but no client is told that it did: GOOD would promise that it will survive.
 */
static void sim_execute_on(struct sim *sim, unsigned nexus, struct sim_unit *unit, enum quirk quirk,
                           const struct request *request, struct reply *reply)
{
    bool is_in = request->opcode == SPC_PERSISTENT_RESERVE_IN;
    CLEANUP_FREE struct lu *before = NULL;
    struct lu_result result;
    int r;

    if (sim->state_dir >= 0 && !is_in) {
        before = malloc(sizeof(*before));
        if (!before) {
            reply_status(reply, SPC_STATUS_BUSY, 0);
            return;
        }
        memcpy(before, &unit->lu, sizeof(*before));
    }
    quirk_execute(quirk, &unit->turn, &unit->lu, nexus, request, &result);
    if (before && result.changed) {
        r = store_save(sim->state_dir, &unit->lun, &unit->lu);
        if (r < 0) {
            log_client("cannot save the state of a LUN: %s; the command was not executed",
                       strerror(-r));
            memcpy(&unit->lu, before, sizeof(*before));
        } else if (r == STORE_UNSURE) {
            log_client("cannot sync the state of a LUN: %s; the command was executed, but a loss "
                       "of power may undo it",
                       strerror(errno));
        }
        if (r != 0) {
            reply_sense(reply, SPC_INTERNAL_TARGET_FAILURE);
            return;
        }
    }
    if (result.status == SPC_STATUS_CHECK_CONDITION)
        reply_sense(reply, result.sense);
    else
        reply_status(reply, result.status, (uint32_t)result.length);
}

/* The LUN that the fd stands for: false if it is none. */
static bool sim_find_lun(int fd, struct store_lun *ret)
{
    struct statx status;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_BTIME, &status) < 0 ||
        !S_ISREG(status.stx_mode))
        return false;
    *ret = (struct store_lun){
        .device = makedev(status.stx_dev_major, status.stx_dev_minor),
        .inode = status.stx_ino,
    };
    if (status.stx_mask & STATX_BTIME) {
        ret->born_s = status.stx_btime.tv_sec;
        ret->born_ns = status.stx_btime.tv_nsec;
    }
    return true;
}

static void sim_execute(void *context, const struct request *request, struct reply *reply)
{
    const struct sim_nexus *nexus = context;
    struct sim *sim = nexus->sim;
    int flags = fcntl(request->fd, F_GETFL);
    enum quirk quirk = QUIRK_NONE;
    struct sim_unit *unit;
    struct store_lun lun;

    /* The same rules as the helper has for disks: see its policy. */
    if (flags < 0 || (flags & O_PATH) || !sim_find_lun(request->fd, &lun) ||
        (request->opcode != SPC_PERSISTENT_RESERVE_IN && (flags & O_ACCMODE) == O_RDONLY)) {
        log_client("%s: refused: a simulated LUN is a regular file, open for writing if it is to "
                   "be changed",
                   nexus->name);
        reply_sense(reply, SPC_INVALID_OPERATION_CODE);
        return;
    }
    if (request->opcode == WIRE_CLEANUP) {
        reply_status(reply, SPC_STATUS_GOOD, 0);
        return;
    }
    if (sim->latency_ms)
        sim_pause(sim->latency_ms);
    if (sim_apply_fault(sim, lun.device, lun.inode, reply, &quirk))
        return;

    unit = sim_find_unit(sim, &lun, request->fd);
    if (!unit) {
        reply_status(reply, SPC_STATUS_BUSY, 0);
        return;
    }
    pthread_mutex_lock(&unit->lock);
    if (unit->unreadable)
        reply_sense(reply, SPC_INTERNAL_TARGET_FAILURE);
    else
        sim_execute_on(sim, nexus->index, unit, quirk, request, reply);
    pthread_mutex_unlock(&unit->lock);
}

void sim_init(struct sim *sim, unsigned latency_ms, int state_dir, const char *faults_path)
{
    memset(sim, 0, sizeof(*sim));
    sim->latency_ms = latency_ms;
    sim->state_dir = state_dir;
    faults_init(&sim->faults, faults_path);
    pthread_mutex_init(&sim->lock, NULL);
}

void sim_deinit(struct sim *sim)
{
    struct sim_unit *unit;

    while ((unit = sim->units)) {
        sim->units = unit->next;
        lu_deinit(&unit->lu);
        pthread_mutex_destroy(&unit->lock);
        free(unit);
    }
    pthread_mutex_destroy(&sim->lock);
    faults_deinit(&sim->faults);
    if (sim->state_dir >= 0)
        close(sim->state_dir);
}

struct sim_nexus *sim_add_nexus(struct sim *sim, const char *name)
{
    struct sim_nexus *nexus = &sim->nexus[sim->n_nexus];
    char initiator[256];
    int n;

    if (sim->n_nexus == SIM_NEXUS_MAX)
        return NULL;
    n = snprintf(initiator, sizeof(initiator), "iqn.2026-11.simulator:%s,i,0x000000000001", name);
    if (n < 0 || (size_t)n >= sizeof(initiator) || !transportid_iscsi(initiator, &nexus->initiator))
        return NULL;
    nexus->sim = sim;
    nexus->index = sim->n_nexus++;
    nexus->name = name;
    nexus->backend = (struct backend){"simulator", nexus, sim_execute, NULL};
    return nexus;
}
