// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SCSI generic, as the helper uses it. The nodes are /dev/sgN: an open of the block device would
 * send commands of its own and take unit attentions away.
 */
#include <errno.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "conform.h"
#include "scsi/sense.h"

#define TARGET_TIMEOUT_MS 20000

void target_execute(const struct nexus *nexus, const struct step *step, struct answer *ret)
{
    static uint8_t block[BLOCK_SIZE];
    uint8_t sense[SENSE_SIZE] = {0};
    struct sg_io_hdr io = {
        .interface_id = 'S',
        .cmd_len = step->cdb[0] == SPC_TEST_UNIT_READY ? 6 : CDB_SIZE,
        .cmdp = (uint8_t *)step->cdb,
        .mx_sb_len = sizeof(sense),
        .sbp = sense,
        .dxfer_direction = SG_DXFER_NONE,
        .timeout = TARGET_TIMEOUT_MS,
    };
    uint32_t room = 0;

    ret->length = 0;
    ret->sense = (struct spc_sense){0};
    switch (step->cdb[0]) {
    case SPC_PERSISTENT_RESERVE_IN:
        room = (uint32_t)(step->cdb[7] << 8 | step->cdb[8]);
        memset(ret->data, 0xee, room);
        io.dxfer_direction = SG_DXFER_FROM_DEV;
        io.dxferp = ret->data;
        break;
    case SPC_PERSISTENT_RESERVE_OUT:
        room = step->list_length;
        io.dxfer_direction = SG_DXFER_TO_DEV;
        io.dxferp = (uint8_t *)step->list;
        break;
    case SBC_READ_10:
    case SBC_WRITE_10:
        room = sizeof(block);
        io.dxfer_direction = step->cdb[0] == SBC_READ_10 ? SG_DXFER_FROM_DEV : SG_DXFER_TO_DEV;
        io.dxferp = block;
        break;
    default:
        break;
    }
    io.dxfer_len = room;
    if (room == 0) {
        io.dxfer_direction = SG_DXFER_NONE;
        io.dxferp = NULL;
    }
    if (ioctl(nexus->fd, SG_IO, &io) < 0) {
        printf("# %s: SG_IO: %s\n", nexus->path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (io.host_status || (io.driver_status & 0xf & ~0x8)) {
        printf("# %s: host_status %#x, driver_status %#x\n", nexus->path, io.host_status,
               io.driver_status);
        exit(EXIT_FAILURE);
    }
    ret->status = io.status;
    if (io.status == SPC_STATUS_CHECK_CONDITION && !sense_decode(sense, io.sb_len_wr, &ret->sense))
        ret->sense = (struct spc_sense){0};
    if (io.status == SPC_STATUS_GOOD && step->cdb[0] == SPC_PERSISTENT_RESERVE_IN)
        ret->length = room - (uint32_t)io.resid;
}
