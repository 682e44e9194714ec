// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_PROUT_H
#define SCSI_PROUT_H

/*
 * Parameter list of PERSISTENT RESERVE OUT, both ways. SPC-4 6.16.3, PERSISTENT RESERVE OUT
 * parameter list (24 bytes, with SPEC_I_PT a list of TransportIDs behind them), and 6.16.4,
 * Parameter list for REGISTER AND MOVE.
 *
 * Pure functions, safe in any thread. All values are in host byte order.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "scsi/spc.h"
#include "scsi/transportid.h"

/* The basic list; and where the TransportIDs of SPEC_I_PT begin, behind their length. */
#define PROUT_SIZE           24
#define PROUT_SPEC_I_PT_SIZE 28

enum prout_result {
    PROUT_OK,
    PROUT_BAD_LENGTH, /* a parameter list length that the service action does not take: 5/1A/00 */
    PROUT_BAD_FIELD,  /* a flag, length or TransportID inside that is not allowed: 5/26/00 */
};

struct prout {
    uint64_t key;                  /* RESERVATION KEY */
    uint64_t sa_key;               /* SERVICE ACTION RESERVATION KEY */
    bool aptpl;                    /* APTPL: persist through power loss */
    bool all_tg_pt;                /* ALL_TG_PT: register through every target port */
    bool spec_i_pt;                /* SPEC_I_PT: register the ports of the TransportIDs as well */
    bool unreg;                    /* UNREG, REGISTER AND MOVE only */
    uint16_t relative_target_port; /* REGISTER AND MOVE only */
    struct reader transportids;    /* prout_decode() fills it in, prout_encode() ignores it */
};

/*
 * Take the parameter list of `service_action` out of `length` bytes. On OK every TransportID in it
 * has been looked at, and prout_transportid_next() hands them out; `ret` then holds a pointer into
 * `list`. Otherwise `ret` is untouched. A list with bytes behind its TransportIDs is refused, as
 * LIO does; the standard only forbids a shorter one. Only REGISTER has SPEC_I_PT, only REGISTER AND
 * MOVE has the other layout; a service action that does not exist is treated as one of the rest.
 */
enum prout_result prout_decode(uint8_t service_action, const uint8_t *list, size_t length,
                               struct prout *ret);

/* The sense code for a result other than OK. */
struct spc_sense prout_sense(enum prout_result result);

/*
 * The next TransportID: with SPEC_I_PT none, one or more, for REGISTER AND MOVE exactly one,
 * otherwise none. False when there is none left.
 */
bool prout_transportid_next(struct prout *prout, struct transportid *ret);

/*
 * Write the parameter list of `service_action`, with `count` TransportIDs from `ids` if it has
 * SPEC_I_PT, or with the first of one if it is REGISTER AND MOVE. Returns the parameter list length
 * in bytes; if that is above `size`, what did not fit is missing and the list must not be sent.
 */
size_t prout_encode(uint8_t service_action, const struct prout *prout,
                    const struct transportid *ids, size_t count, uint8_t *list, size_t size);

/*
 * Append one more TransportID to a list of `length` bytes that prout_encode() has made for the same
 * service action, and that takes one: with SPEC_I_PT any number, for REGISTER AND MOVE one. Returns
 * the new length; if that is above `size` the list must not be sent, as above.
 */
size_t prout_append(uint8_t service_action, const struct transportid *id, uint8_t *list,
                    size_t length, size_t size);

#endif
