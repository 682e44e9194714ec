// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Both PERSISTENT RESERVE commands have ten-byte CDBs and are sent as such: a host adapter with a
 * limit of twelve bytes refuses sixteen, and bytes 10 to 15 of the client's request have no
 * business with the device.
 *
 * What is lost on the way is never repeated if it could have had an effect: a PERSISTENT RESERVE
 * OUT goes out once.
 */
#include "sg/issue.h"

#include <errno.h>
#include <scsi/sg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/clock.h"
#include "scsi/cdb.h"

#define SG_INTERRUPTED_TRIES 4
#define SG_SUSPENDED_WAIT_MS 20
#define SG_CDB_SIZE_GROUP_0  6

/* How it went so far, of one that has failed. */
struct sg_trial {
    bool is_out;
    unsigned interrupted;
    int64_t deadline; /* of waiting for a suspended map; 0: not begun */
};

static bool sg_try_again(struct sg_trial *trial, int error, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = SG_SUSPENDED_WAIT_MS * 1000000L};

    if (error == EINTR)
        return !trial->is_out && ++trial->interrupted < SG_INTERRUPTED_TRIES;
    if (error != EAGAIN)
        return false;
    /* A map that is being suspended took nothing: asking again is safe for every command. */
    if (!trial->deadline)
        trial->deadline = clock_now_ms() + timeout_ms;
    else if (clock_now_ms() >= trial->deadline)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

int sg_issue(const struct request *request, unsigned timeout_ms, struct sg_result *ret)
{
    struct sg_trial trial = {.is_out = request->opcode == SPC_PERSISTENT_RESERVE_OUT};
    uint8_t cdb[CDB_SIZE];
    struct sg_io_hdr io = {
        .interface_id = 'S',
        .dxfer_direction = SG_DXFER_NONE,
        .cmd_len = request->opcode >> 5 == 0 ? SG_CDB_SIZE_GROUP_0 : sizeof(cdb),
        .mx_sb_len = sizeof(ret->sense),
        .cmdp = cdb,
        .sbp = ret->sense,
        .timeout = timeout_ms,
    };
    int error;

    memcpy(cdb, request->cdb, sizeof(cdb));
    if (request->length > 0) {
        io.dxfer_direction = trial.is_out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
        io.dxfer_len = request->length;
        io.dxferp = request->data;
    }
    do
        error = ioctl(request->fd, SG_IO, &io) < 0 ? errno : 0;
    while (error && sg_try_again(&trial, error, timeout_ms));

    ret->status = io.status;
    ret->host_status = io.host_status;
    ret->driver_status = io.driver_status;
    ret->sense_size = io.sb_len_wr < sizeof(ret->sense) ? io.sb_len_wr : sizeof(ret->sense);
    if (ret->sense_size > 0)
        memset(ret->sense + ret->sense_size, 0, sizeof(ret->sense) - ret->sense_size);
    ret->residual = io.resid;
    return -error;
}
