// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Between the helper and the multipath worker, both of the same build: messages of fixed size on
 * SOCK_SEQPACKET sockets, so that each is whole or not there.
 *
 *   worker -> helper   hello, once, on the channel: can it work?
 *                      with an fd of the table of its maps (proto/maptable.h), if it has one
 *   helper -> worker   request, on the channel, with two fds: device, and a socket for the reply
 *   worker -> helper   reply, on that socket; end of file instead: its process is dead
 *   helper -> worker   farewell, on the channel: a client that has sent requests is gone
 *
 * A socket for each reply means that replies need not be told apart, and that the death of the
 * one process that worked on a request ends the wait of the one thread that waits for it.
 *
 * Pure functions: nothing here reads or writes a socket. Thread rule: any.
 */
#ifndef PROTO_WORKER_H
#define PROTO_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/request.h"
#include "proto/wire.h"

#define WORKER_TEXT_SIZE 512 /* bytes of a text, with its NUL */

/* Bytes of each message; all begin with its kind and the version of this description. */
#define WORKER_HELLO_SIZE    (12 + WORKER_TEXT_SIZE)
#define WORKER_REQUEST_SIZE  (16 + WIRE_CDB_SIZE + WIRE_DATA_MAX)
#define WORKER_FAREWELL_SIZE 8
#define WORKER_REPLY_SIZE    (12 + SENSE_SIZE + WORKER_TEXT_SIZE + WIRE_DATA_MAX)

/*
 * The worker's argument if one before it may still be at a command: two at work on one map could
 * undo each other's work, so it needs what tells of which maps that are.
 */
#define WORKER_BESIDE "beside"

#define WORKER_REQUEST_FDS 2 /* the device, the socket for the reply */

/* The worker's first words. */
struct worker_hello {
    bool ready;                  /* it takes requests; else it ends */
    bool later;                  /* not ready, but may be soon */
    uint32_t pid;                /* its own; 0: it could not be executed */
    char text[WORKER_TEXT_SIZE]; /* not ready: what is missing; else "" */
};

/* What to do, beside what struct request says: CDB, length, parameter list, slot. */
struct worker_request {
    struct request request; /* its fd travels beside the message and is -1 here */
    uint32_t deadline_ms;   /* from now on; then the answer is a time-out in any case */
    uint32_t io_timeout_ms; /* for the kernel's error handling, of each SG_IO */
};

struct worker_reply {
    struct reply reply;
    char
        text[WORKER_TEXT_SIZE]; /* for the administrator, one line; "" if there is nothing to say */
};

void worker_encode_hello(uint8_t bytes[WORKER_HELLO_SIZE], const struct worker_hello *hello);
void worker_encode_request(uint8_t bytes[WORKER_REQUEST_SIZE],
                           const struct worker_request *request);
void worker_encode_farewell(uint8_t bytes[WORKER_FAREWELL_SIZE], int slot);

/* data: reply->reply.size bytes, of which WIRE_DATA_MAX at most are taken. */
void worker_encode_reply(uint8_t bytes[WORKER_REPLY_SIZE], const struct worker_reply *reply,
                         const uint8_t *data);

/*
 * All false for what the other side, being of the same build, would not have sent. Texts end with
 * a NUL and have no control characters in them, regardless of the message.
 */
bool worker_decode_hello(const uint8_t *bytes, size_t size, struct worker_hello *ret);

/* ret->request borrows cdb and data from the message. */
bool worker_decode_request(uint8_t *bytes, size_t size, struct worker_request *ret);

bool worker_decode_farewell(const uint8_t *bytes, size_t size, int *ret_slot);

/* *ret_data: ret->reply.size bytes within the message, at most WIRE_DATA_MAX. */
bool worker_decode_reply(const uint8_t *bytes, size_t size, struct worker_reply *ret,
                         const uint8_t **ret_data);

#endif
