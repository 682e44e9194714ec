// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * QEMU's persistent-reservation helper protocol (QEMU docs/interop/pr-helper.rst), on an AF_UNIX
 * stream socket, all integers big-endian:
 *
 *   helper -> client   uint32 supported features
 *   client -> helper   uint32 requested features
 *   then, as often as the client likes:
 *   client -> helper   16-byte CDB with one fd attached; for 5Fh the parameter list
 *   helper -> client   int32 status, int32 size, 96 bytes of sense, `size` bytes of data
 *
 * Pure functions: nothing here reads or writes a socket.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/request.h"

#define WIRE_FEATURES_SIZE 4    /* bytes of a handshake, each way */
#define WIRE_CDB_SIZE      16   /* bytes of a request before its parameter list */
#define WIRE_REPLY_SIZE    104  /* bytes of a reply before its data */
#define WIRE_DATA_MAX      8192 /* bytes of data or of a parameter list */

/* The helper serves WIRE_CLEANUP. Served regardless of what was negotiated: see
 * wire_decode_request. */
#define WIRE_FEATURE_CLEANUP 0x00000001u
#define WIRE_FEATURES        WIRE_FEATURE_CLEANUP

/* Not a SCSI command: "forget the registration that this client made on a multipath map". */
#define WIRE_CLEANUP 0xff

void wire_encode_features(uint8_t bytes[WIRE_FEATURES_SIZE], uint32_t features);

/* Is every feature that the client asks for one that we offered? */
bool wire_accept_features(const uint8_t bytes[WIRE_FEATURES_SIZE]);

/*
 * Look at a request's CDB. On true ret has cdb (borrowed), opcode and length; data is NULL and fd
 * is -1, for the caller to fill in. False: no request of this protocol, and since its length
 * cannot be known the connection has to be closed.
 */
bool wire_decode_request(const uint8_t cdb[WIRE_CDB_SIZE], struct request *ret);

/* Does a parameter list of request->length bytes follow the CDB? */
static inline bool wire_has_parameters(const struct request *request)
{
    return request->opcode == SPC_PERSISTENT_RESERVE_OUT && request->length > 0;
}

/*
 * Write the fixed part of a reply. Returns how many bytes of request->data follow it: never more
 * than the allocation length, and none unless the command is 5Eh and its status GOOD. QEMU's
 * client asserts both, so they are enforced here, for every backend.
 */
uint32_t wire_encode_reply(const struct request *request, const struct reply *reply,
                           uint8_t bytes[WIRE_REPLY_SIZE]);

#endif
