// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_BOOKS_H
#define SOAK_BOOKS_H

/*
 * Who sent what, what became of it on its disk, and so what its sender must be told. Clients open
 * an entry for each request and judge each reply by it; the disks find the entry of each command
 * that reaches them by the tag that its CDB carries, and write into it what they answer.
 *
 * Thread rule: any thread, at any time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counts.h"
#include "mailbox.h"
#include "outcomes.h"
#include "request.h"
#include "scsi/sense.h"

#define BOOKS_CLIENTS 256

/* A reply as the protocol has it. */
struct books_reply {
    uint32_t status;
    uint32_t size;
    uint8_t sense[SENSE_SIZE];
    uint8_t data[REQUEST_DATA_MAX];
};

/* Say what is wrong, once for each of the first few, and count it. */
__attribute__((format(printf, 2, 3))) void books_wrong(enum count kind, const char *format, ...);

/* -- the clients' side */

/* Open an entry for a client's next request to a host; puts its tag into the CDB. Returns it. */
uint16_t books_open(unsigned client, unsigned host, struct request *request);

/* The next byte to be sent makes it whole. */
void books_complete(unsigned client, uint16_t number);

/* That byte could not be sent. */
void books_cut_off(unsigned client, uint16_t number);

/* Its reply. `few_threads`: the helper may say BUSY of its own. */
void books_judge(unsigned client, uint16_t number, const struct books_reply *reply,
                 bool few_threads);

/* The connection ended where its reply should have been, and what had befallen the helper since it
 * was made. */
struct books_excuse {
    bool killed;
    int64_t stopped_ms; /* when it was told to stop, 0 if it was not */
};
void books_unanswered(unsigned client, uint16_t number, const struct books_excuse *excuse);

/* Microseconds that it spent on its disk. */
int64_t books_disk_us(unsigned client, uint16_t number);

/* -- the disks' side */

/* The entry of a command. */
struct books_command {
    unsigned client;
    uint16_t number;
};

/* A command has reached a disk. False if it is none that has to be executed; that is noted. */
bool books_enter(unsigned host, unsigned disk, const struct mailbox_slot *slot,
                 struct books_command *ret);

/* How often it has come back with EINTR so far. */
unsigned books_interruptions(const struct books_command *command);

/* What it came to: the reply that its client must get. */
void books_settle(const struct books_command *command, const struct books_reply *reply);

/* It will come again. */
void books_expect_again(const struct books_command *command, bool interrupted);

/* The disk lets go of it. */
void books_leave(const struct books_command *command);

#endif
