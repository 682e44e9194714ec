// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_CLIENT_ZOO_H
#define TESTS_CLIENT_ZOO_H

/*
 * Helpers of four kinds for any number of clients, in the thread of their clients: they only act in
 * zoo_turn(). So a client that waits for one would wait for ever. What each command has come to is
 * kept, to be held against what its client was told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prhelper.h"

enum zoo_kind {
    ZOO_GOOD,    /* answers right, in pieces, and is restarted now and then */
    ZOO_HANGING, /* does not greet, or does not answer */
    ZOO_DYING,   /* closes at any point */
    ZOO_LYING,   /* says what no helper may say */
    ZOO_KINDS,
};

/* A command is known by a number that it carries: the service action key of a REGISTER, or bytes 10
 * to 13 of the CDB of a PERSISTENT RESERVE IN. */
struct zoo_command {
    unsigned received; /* how often all of it has come */
    bool answered;     /* with an answer that the protocol allows; then: */
    bool executed;
    uint8_t status;
    enum prhelper_outcome outcome; /* that the answer leaves one with */
};

struct zoo_count {
    unsigned accepted, commands, restarts;
};

struct zoo;

/* Their sockets are named by zoo_path(). commands: room for `count`. Asserts that it works. */
struct zoo *zoo_open(const char *directory, struct zoo_command *commands, size_t count,
                     uint32_t seed);

const char *zoo_path(struct zoo *zoo, enum zoo_kind kind);

/* Readable when there is something to do. */
int zoo_fd(const struct zoo *zoo);

/* Do all that there is to do. */
void zoo_turn(struct zoo *zoo);

struct zoo_count zoo_count(const struct zoo *zoo, enum zoo_kind kind);

void zoo_close(struct zoo *zoo);

/* Dice that are the same for the same seed: 0 to below - 1. */
uint32_t zoo_dice(uint32_t *seed, uint32_t below);

#endif
