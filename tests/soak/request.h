// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_REQUEST_H
#define SOAK_REQUEST_H

/* Requests as a client may send them, good ones and bad ones. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dice.h"

#define REQUEST_CDB_SIZE 16
#define REQUEST_DATA_MAX 8192

/* What has to become of it. */
enum request_fate {
    REQUEST_EXECUTED, /* the disk decides */
    REQUEST_REFUSED,  /* INVALID COMMAND OPERATION CODE, and nothing reaches a disk */
    REQUEST_NOTHING,  /* GOOD, and nothing reaches a disk */
    REQUEST_CLOSED,   /* the connection is closed without a reply, nothing reaches a disk */
};

/* What it comes with. */
enum request_fd {
    REQUEST_FD_DISK,
    REQUEST_FD_READ_ONLY,
    REQUEST_FD_NO_DISK,
    REQUEST_FD_NONE,
    REQUEST_FD_TWO,
};

struct request {
    uint8_t cdb[REQUEST_CDB_SIZE];
    uint8_t list[REQUEST_DATA_MAX]; /* parameter list */
    size_t list_size;
    unsigned disk;
    enum request_fd fd;
    enum request_fate fate;
};

/* The initiator port of a host. */
struct transportid request_initiator(unsigned host);

/* A request to a disk whose host's own key is own_key, 0 if it is not registered. */
void request_make(struct dice *dice, unsigned disk, uint64_t own_key, struct request *ret);

#endif
