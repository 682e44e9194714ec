// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_CLIENTS_H
#define SOAK_CLIENTS_H

/*
 * The clients, a thread each: they connect, send requests in all the ways that there are to send
 * one, judge the replies, and now and then die at the least suitable moment.
 */

#include <stdint.h>

#include "mailbox.h"

struct clients_options {
    uint64_t seed;
    unsigned clients;                                  /* at most BOOKS_CLIENTS */
    unsigned patience_s;                               /* a reply that takes longer is none */
    int disk[MAILBOX_DISKS], read_only[MAILBOX_DISKS]; /* fds of the disks */
    int no_disk;                                       /* of something else */
};

/* Start them. Returns 0 or a negative errno. */
int clients_start(const struct clients_options *options);

/* End them, each after the request that it is at. */
void clients_stop(void);

/* Time that replies took beyond what their disks took, in microseconds: of `percent` of them at
 * most this. */
uint64_t clients_overhead_us(double percent);

#endif
