// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_CONFORM_CONFORM_H
#define TESTS_CONFORM_CONFORM_H

/*
 * pr-conform: the same commands to a real target and to the simulator's logical unit, and every
 * difference between their answers.
 *
 *   main.c        options, a run, comparing, making a failing sequence shorter
 *   setup.c       the target's nexuses, and beginning anew
 *   generate.c    random commands
 *   target.c      SG_IO to the target
 *   report.c      what a difference looks like
 *   departures.c  where the target is known to depart from the standard
 *   lio.c         what its own rules come to
 *   mutations.c   faults of the logical unit, made on purpose: they must not be excused
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lu/lu.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "scsi/spc.h"

#define NEXUS_MAX 8
#define LIST_MAX  1024
#define DATA_MAX  65536

/* READ(10) and WRITE(10) of one block. SBC-3 5.8 and 5.27. */
#define SBC_READ_10  0x28
#define SBC_WRITE_10 0x2a
#define BLOCK_SIZE   512

/* A command of one nexus. */
struct step {
    unsigned nexus;
    uint8_t cdb[CDB_SIZE]; /* TEST UNIT READY uses six bytes of it */
    uint32_t list_length;  /* data-out: exactly as many bytes as the CDB says */
    uint8_t list[LIST_MAX];
};

struct answer {
    uint8_t status;
    struct spc_sense sense; /* for CHECK CONDITION, else 0/00/00 */
    size_t length;
    uint8_t data[DATA_MAX];
};

/* An I_T nexus of the target, as the target itself names it. */
struct nexus {
    const char *path; /* /dev/sgN */
    int fd;
    struct transportid initiator;
    uint16_t target_port;
};

struct nexuses {
    struct nexus nexus[NEXUS_MAX];
    unsigned count;
    uint16_t target_ports;
};

/* Random numbers: the same for the same seed everywhere (SplitMix64). */
struct dice {
    uint64_t state;
};

uint64_t dice_roll(struct dice *dice);
/* 0 to below. */
unsigned dice_below(struct dice *dice, unsigned below);
/* True in `percent` of all cases. */
bool dice_chance(struct dice *dice, unsigned percent);

/*
 * A command that may do something interesting in the state that the logical unit is in: keys and
 * types are mostly the right ones.
 */
void generate_step(struct dice *dice, const struct nexuses *nexuses, const struct lu *lu,
                   struct step *ret);

/* PERSISTENT RESERVE IN with room for all; PERSISTENT RESERVE OUT of type 0. */
struct step step_read(unsigned nexus, uint8_t service_action);
struct step step_out(unsigned nexus, uint8_t service_action, uint64_t key, uint64_t sa_key);

/* Send it to the target. Ends the program if the transport fails: then there is no answer. */
void target_execute(const struct nexus *nexus, const struct step *step, struct answer *ret);

/* This must not be the answer: ends the program. */
void target_fatal(const char *what, const struct answer *answer);

/*
 * No registrations, no unit attentions, APTPL off; PRGENERATION. After a departure LIO may not know
 * a nexus from a namesake, so that the first one tried does not succeed.
 */
uint32_t target_reset(const struct nexuses *nexuses);

/* Register every nexus with a key of its own, and see under which names they come back. */
void target_learn(struct nexuses *nexuses);

void report_step(const struct step *step);
void report_answer(const char *who, const struct answer *answer);

/* The registration of an I_T nexus, or NULL. */
const struct lu_registration *find_registration(const struct lu *lu, const struct transportid *id,
                                                uint16_t target_port);

/*
 * The logical unit has, beside each nexus, a second one that never sends a command: another port of
 * the same initiator name through the same target port. So it can be seen who would be told if the
 * ports of a name were not told apart.
 */
#define NAMESAKE(nexus) (NEXUS_MAX + (nexus))

/* One comparison, for departure_find(). */
struct comparison {
    const struct nexuses *nexuses;
    const struct step *step;
    const struct lu *before; /* the logical unit when the command came */
    const struct lu *after;
    const struct answer *target, *unit; /* their answers */
    const struct answer *target_state,
        *unit_state; /* READ FULL STATUS afterwards, see same_state */
    bool same_answer;
    bool same_state; /* true, or the target has executed a PERSISTENT RESERVE OUT and they differ */
    bool registered_by_name; /* what LIO has in mind of the nexus's name: see access_by_name() */
};

struct departure {
    const char *clause;
    const char *text;
    bool (*explains)(const struct comparison *comparison);
    bool generation; /* only PRGENERATION differs: the logical unit's is set to the target's */
};

/* The two that main.c counts by itself. */
#define DEPARTURE_ATTENTIONS 0
#define DEPARTURE_NAMES      1

extern const struct departure departures[];
extern const size_t n_departures;

/* What LIO, by its own rules, has registered after a REGISTER of one who was not. */
bool lio_registered(const struct comparison *comparison, bool all_tg_pt, bool spec_i_pt);
/* After a REGISTER AND MOVE of the holder. */
bool lio_moved(const struct comparison *comparison);
/* After a PREEMPT that spares its sender. */
bool lio_preempted_others(const struct comparison *comparison);

/* A fault of the logical unit: what it does to state and answer once a command was executed. */
struct mutation {
    const char *name;
    void (*apply)(const struct comparison *comparison, struct lu *lu, struct answer *answer);
};

extern const struct mutation mutations[];
extern const size_t n_mutations;

/* The departure that explains a difference, as an index; n_departures if none does. */
size_t departure_find(const struct comparison *comparison);

#endif
