// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_OUTCOMES_H
#define SOAK_OUTCOMES_H

/*
 * What can go wrong with a command on its way, as SG_IO tells it, and what the client must then be
 * told. Written down from the protocol's documentation, by hand, and not by what src/sg does.
 */

#include <stdint.h>

#include "dice.h"
#include "scsi/sense.h"

enum outcome_kind {
    OUTCOME_FINAL,
    OUTCOME_SUSPENDED,   /* EAGAIN: nothing was taken, so it comes again */
    OUTCOME_INTERRUPTED, /* EINTR: what only reads comes again, up to OUTCOME_TRIES in all */
};

#define OUTCOME_TRIES 4

/* Sense data that come with it: none, the code below, zeros of a sense's size. */
enum outcome_sense {
    OUTCOME_NO_SENSE,
    OUTCOME_SENSE,
    OUTCOME_ZEROS,
};

struct outcome {
    const char *name;
    enum outcome_kind kind;
    int error; /* errno, 0 for none */
    uint8_t host_status, driver_status, status;
    enum outcome_sense sense;
    struct spc_sense sent; /* OUTCOME_SENSE */
    /* The reply. Of CHECK CONDITION the sense data are as they came if `sent` equals `code`. */
    uint8_t wanted;
    struct spc_sense code;
};

extern const struct outcome outcomes[];
extern const unsigned n_outcomes;

/* The dice decide; never NULL. */
const struct outcome *outcome_pick(struct dice *dice);

#endif
