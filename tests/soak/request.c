// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands at random, but not blindly: few keys that come again and again, the host's own one more
 * often than not, so that reservations are taken, fought for and lost.
 */
#include "request.h"

#include <string.h>

#include "base/bytes.h"
#include "mailbox.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "scsi/spc.h"

#define CLEANUP 0xff
#define KEYS    4 /* 1 to 4 */

struct transportid request_initiator(unsigned host)
{
    return transportid_sas(0x5000000000000000 + host);
}

static void request_make_in(struct dice *dice, struct request *request)
{
    static const uint16_t lengths[] = {0, 4, 8, 16, 24, 96, 255, 1024, REQUEST_DATA_MAX};
    uint8_t action = (uint8_t)dice_below(dice, dice_chance(dice, 97) ? 4 : 32);
    uint16_t length = dice_chance(dice, 70) ? lengths[dice_below(dice, 9)]
                                            : (uint16_t)dice_below(dice, REQUEST_DATA_MAX + 1);

    cdb_encode_prin(request->cdb, action, length);
    if (dice_chance(dice, 10))
        request->fd = REQUEST_FD_READ_ONLY; /* good enough to read */
}

static uint8_t request_action(struct dice *dice)
{
    static const uint8_t often[] = {
        SPC_PROUT_REGISTER,
        SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY,
        SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY,
        SPC_PROUT_RESERVE,
        SPC_PROUT_RESERVE,
        SPC_PROUT_RELEASE,
        SPC_PROUT_PREEMPT,
        SPC_PROUT_PREEMPT_AND_ABORT,
        SPC_PROUT_REGISTER_AND_MOVE,
    };

    if (dice_chance(dice, 4))
        return (uint8_t)dice_below(dice, 32);
    return dice_chance(dice, 3) ? SPC_PROUT_CLEAR : often[dice_below(dice, sizeof(often))];
}

static void request_make_out(struct dice *dice, uint64_t own_key, struct request *request)
{
    static const uint8_t types[] = {1, 3, 5, 6, 7, 8, 2};
    uint8_t action = request_action(dice);
    struct prout prout = {
        .key = dice_chance(dice, 85) ? own_key : dice_below(dice, KEYS + 1),
        .sa_key = dice_chance(dice, 15) ? 0 : dice_between(dice, 1, KEYS),
        .aptpl = dice_chance(dice, 20),
        .all_tg_pt = dice_chance(dice, 10),
        .spec_i_pt = action == SPC_PROUT_REGISTER && dice_chance(dice, 20),
        .unreg = dice_chance(dice, 30),
        .relative_target_port = (uint16_t)dice_between(dice, 1, 2),
    };
    struct transportid ids[2];

    for (unsigned i = 0; i < 2; i++)
        ids[i] = request_initiator(dice_below(dice, MAILBOX_HOSTS + 1));
    request->list_size = prout_encode(action, &prout, ids, dice_between(dice, 1, 2), request->list,
                                      sizeof(request->list));
    if (dice_chance(dice, 5)) { /* anything, of any length */
        request->list_size = dice_chance(dice, 50) ? dice_below(dice, 64)
                                                   : dice_below(dice, REQUEST_DATA_MAX + 1);
        for (size_t i = 0; i < request->list_size; i++)
            request->list[i] = (uint8_t)dice_roll(dice);
    }
    cdb_encode_prout(request->cdb, action, dice_chance(dice, 3), types[dice_below(dice, 7)],
                     (uint32_t)request->list_size);
    if (dice_chance(dice, 3)) {
        request->fd = REQUEST_FD_READ_ONLY;
        request->fate = REQUEST_REFUSED;
    }
}

/* One that has to be answered by closing the connection. */
static void request_spoil(struct dice *dice, struct request *request)
{
    request->fate = REQUEST_CLOSED;
    switch (dice_below(dice, 4)) {
    case 0:
        request->fd = REQUEST_FD_NONE;
        break;
    case 1:
        request->fd = REQUEST_FD_TWO;
        break;
    case 2:
        request->cdb[0] = (uint8_t)dice_below(dice, SPC_PERSISTENT_RESERVE_IN);
        break;
    default:
        store_be16(request->cdb + 7, (uint16_t)dice_between(dice, REQUEST_DATA_MAX + 1, 65535));
        break;
    }
}

void request_make(struct dice *dice, unsigned disk, uint64_t own_key, struct request *ret)
{
    memset(ret->cdb, 0, sizeof(ret->cdb));
    ret->list_size = 0;
    ret->disk = disk;
    ret->fd = REQUEST_FD_DISK;
    ret->fate = REQUEST_EXECUTED;

    if (dice_chance(dice, 2)) {
        ret->cdb[0] = CLEANUP;
        ret->fate = REQUEST_NOTHING;
        if (dice_chance(dice, 20)) {
            ret->fd = REQUEST_FD_READ_ONLY;
            ret->fate = REQUEST_REFUSED;
        }
        return;
    }
    if (dice_chance(dice, 50))
        request_make_in(dice, ret);
    else
        request_make_out(dice, own_key, ret);
    for (unsigned i = CDB_SIZE; i < REQUEST_CDB_SIZE; i++)
        ret->cdb[i] = (uint8_t)dice_roll(dice); /* no part of the command */
    if (dice_chance(dice, 2)) {
        ret->fd = REQUEST_FD_NO_DISK;
        ret->fate = REQUEST_REFUSED;
    } else if (dice_chance(dice, 2)) {
        request_spoil(dice, ret);
    }
}
