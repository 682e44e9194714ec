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
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/clock.h"
#include "scsi/cdb.h"

#define SG_INTERRUPTED_TRIES 4
#define SG_SUSPENDED_WAIT_MS 20
#define SG_CDB_SIZE_GROUP_0  6

int sg_issue(const struct request *request, unsigned timeout_ms, struct sg_result *ret)
{
    const struct timespec pause = {.tv_nsec = SG_SUSPENDED_WAIT_MS * 1000000L};
    bool is_out = request->opcode == SPC_PERSISTENT_RESERVE_OUT;
    uint8_t cdb[CDB_SIZE];
    int64_t deadline = 0;
    struct sg_io_hdr io;
    int error;

    memcpy(cdb, request->cdb, sizeof(cdb));
    for (unsigned tries = 1;; tries++) {
        memset(ret, 0, sizeof(*ret));
        memset(&io, 0, sizeof(io));
        io.interface_id = 'S';
        io.cmd_len = request->opcode >> 5 == 0 ? SG_CDB_SIZE_GROUP_0 : sizeof(cdb);
        io.cmdp = cdb;
        io.mx_sb_len = sizeof(ret->sense);
        io.sbp = ret->sense;
        io.timeout = timeout_ms;
        io.dxfer_direction = SG_DXFER_NONE;
        if (request->length > 0) {
            io.dxfer_direction = is_out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;
            io.dxfer_len = request->length;
            io.dxferp = request->data;
        }
        error = ioctl(request->fd, SG_IO, &io) < 0 ? errno : 0;

        if (error == EINTR && !is_out && tries < SG_INTERRUPTED_TRIES)
            continue;
        if (error != EAGAIN)
            break;
        /* A map that is being suspended took nothing: asking again is safe for every command. */
        if (!deadline)
            deadline = clock_now_ms() + timeout_ms;
        else if (clock_now_ms() >= deadline)
            break;
        nanosleep(&pause, NULL);
    }

    ret->status = io.status;
    ret->host_status = io.host_status;
    ret->driver_status = io.driver_status;
    ret->sense_size = io.sb_len_wr;
    ret->residual = io.resid;
    return -error;
}
