// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a connection is, for the files of the library.
 *
 * It is a state machine that goes on as far as it can without waiting, each time that
 * prhelper_continue() is called. Everything that it needs while it waits is in struct prhelper, so
 * nothing is allocated for a command, and little of it lies on the stack.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "client/prhelper.h"
#include "proto/wire.h"
#include "scsi/transportid.h"

enum connection_state {
    CONNECTION_DEAD, /* no socket; the next command connects again if that is wanted */
    CONNECTION_IDLE,

    /* Something is under way: connecting, or a command, which may have to connect first. */
    CONNECTION_PAUSED,    /* without a socket until `wake`, then it is tried to connect */
    CONNECTION_GREETING,  /* waits for the features that the helper offers */
    CONNECTION_ANSWERING, /* sends those that are wanted */
    CONNECTION_SENDING,   /* sends the command */
    CONNECTION_RECEIVING, /* waits for its answer */
};

struct prhelper {
    enum connection_state state;
    int sock;      /* -1: none. Always -1 when DEAD or PAUSED */
    bool borrowed; /* the socket is the caller's still, and must not be closed */
    uint32_t wanted, features;
    prhelper_execute_function *execute; /* instead of a socket, if not NULL */
    void *context;

    /* Reconnecting. */
    struct sockaddr_un address; /* of the helper; sun_path "" if it is not known */
    unsigned tries, tries_left; /* for each command, and for this one */
    int interval_ms, backlog_ms;

    /* What is under way. Times are in ms of clock_now_ms(), see stream.h. */
    int timeout_ms;
    int64_t deadline, wake;
    uint8_t handshake[WIRE_FEATURES_SIZE];
    size_t handshaken; /* bytes of it */

    struct transportid port; /* for the encoder of a parameter list */

    /* The command that is under way. */
    struct prhelper_result *result; /* NULL: none */
    int device;                     /* its fd, until all has been sent; else -1 */
    bool device_is_ours;
    uint32_t needs;    /* features without which it must not be sent */
    uint8_t opcode;    /* what may come as an answer: see data_limit() */
    uint32_t length;   /* likewise */
    size_t sent, size; /* bytes of `message` */
    size_t received;   /* bytes of the answer, of both parts */
    uint8_t head[WIRE_REPLY_SIZE];

    uint8_t
        message[WIRE_CDB_SIZE + WIRE_DATA_MAX]; /* the last member: most of it stays untouched */
};

/*
 * Go on with what is under way: PENDING, or what came of it. Nothing but connect.c and execute.c
 * needs this.
 */
int connection_advance(struct prhelper *helper);

/* Wait until something that returned `r` is over, and return what came of it. */
int connection_wait(struct prhelper *helper, int r);

/* Give up the socket. The state is DEAD. */
void connection_drop(struct prhelper *helper);

/*
 * The parts of connection_advance(), for a state each. 0: done, the state is the next one. PENDING:
 * there is something to wait for. Otherwise it has failed; unless the state is IDLE then, the
 * connection is not fit for anything any more.
 */
int connect_dial(struct prhelper *helper);
int connect_receive_greeting(struct prhelper *helper);
int connect_answer(struct prhelper *helper);
int execute_send(struct prhelper *helper);
int execute_receive(struct prhelper *helper);

/*
 * The first step of every command: 0 if the connection is free and the device a number. Fills in
 * the result in any case but for that of the command that is under way.
 */
int execute_claim(struct prhelper *helper, int device, struct prhelper_result *ret_result);

/*
 * The second step: the message has a CDB of WIRE_CDB_SIZE bytes and, behind it, `out_size` bytes.
 * needs: features. Returns as the functions of prhelper.h do that start a command.
 */
int execute_start(struct prhelper *helper, int device, size_t out_size, uint32_t needs,
                  struct prhelper_result *ret_result);

/* The last one: `r` is what came of it. */
int execute_end(struct prhelper *helper, int r);

#endif
