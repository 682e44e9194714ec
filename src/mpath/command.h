// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One command, in the child that executes it, and what becomes of it. The parts below each have a
 * file of their own: execute.c, read.c, out.c, release.c, preempt.c, confirm.c.
 *
 * Thread rule: a child has one thread until the library starts its own, which see none of this.
 */
#ifndef MPATH_COMMAND_H
#define MPATH_COMMAND_H

#include <stdbool.h>

#include "mpath/map.h"
#include "proto/worker.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"

struct command {
    struct map map;
    struct cdb cdb;
    struct request request; /* its fd is the map, its data the parameter list or zeroed room */
    unsigned io_timeout_ms; /* of each SG_IO */
    int output;             /* fd: what the library has printed; not owned */

    struct worker_reply answer; /* its data, for PERSISTENT RESERVE IN, in request.data */
};

/* Fill in command->answer. May block for as long as a device does. */
void command_execute(struct command *command);

/*
 * Add a sentence for the administrator; the first one names the map. Sentences beyond
 * WORKER_TEXT_SIZE are cut.
 */
void command_say(struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* CHECK CONDITION, or any other status, as the answer. */
void command_answer_sense(struct command *command, struct spc_sense code);
void command_answer_status(struct command *command, uint8_t status);

/* PERSISTENT RESERVE IN: on one path after the other, until one answers. */
void command_read(struct command *command);

/* PERSISTENT RESERVE OUT of every kind. */
void command_out(struct command *command);

/* RELEASE, without the library. */
void command_release(struct command *command, const struct prout *prout);

/* After a PREEMPT that was GOOD and may have hit paths of our own: put them back. */
void command_repair_preempt(struct command *command, const struct prout *prout);

/* After a REGISTER with TransportIDs that was GOOD: are they registered? */
void command_confirm_transportids(struct command *command, const struct prout *prout);

/* QEMU's CLEANUP: the client of this map is gone, forget its registration. */
void command_cleanup(struct command *command);

#endif
