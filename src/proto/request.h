// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One command and its answer, as they travel from a connection to a backend and back. Neither
 * struct owns anything: the connection owns the fd and the buffer, for the time of the call.
 */
#ifndef PROTO_REQUEST_H
#define PROTO_REQUEST_H

#include <stdint.h>
#include <string.h>

#include "scsi/sense.h"
#include "scsi/spc.h"

struct budget_account;
struct peer;

struct request {
    const uint8_t *cdb;  /* 16 bytes as the client sent them */
    uint8_t opcode;      /* 5Eh, 5Fh or FFh */
    uint32_t length;     /* allocation length (5Eh) or parameter list length (5Fh) in bytes */
    uint8_t *data;       /* `length` bytes: the parameter list, or zeroed room for the answer */
    int fd;              /* the device, as the client passed it */
    uint64_t connection; /* number of the client's connection, for messages */
    int slot;            /* its place, which another connection has once it has ended */
    struct peer *peer;   /* who the client is (serve/peer.h); NULL: not asked for */
    struct budget_account *account; /* what its process may have (serve/budget.h); NULL: none */
};

struct reply {
    uint8_t status;            /* SAM status code */
    uint32_t size;             /* bytes of the answer in request.data */
    uint8_t sense[SENSE_SIZE]; /* zeroed, but for CHECK CONDITION */
};

/* An answer without sense: GOOD, RESERVATION CONFLICT, BUSY ... */
static inline void reply_status(struct reply *reply, uint8_t status, uint32_t size)
{
    reply->status = status;
    reply->size = size;
    memset(reply->sense, 0, sizeof(reply->sense));
}

/* CHECK CONDITION with sense data of our own (SPC-4 4.5.3, fixed format). */
static inline void reply_sense(struct reply *reply, struct spc_sense code)
{
    reply->status = SPC_STATUS_CHECK_CONDITION;
    reply->size = 0;
    sense_build(reply->sense, code);
}

#endif
