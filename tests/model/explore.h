// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef MODEL_EXPLORE_H
#define MODEL_EXPLORE_H

#include "world.h"

#define KINDS_MAX 64
#define STORY_MAX 400

/* Faults of one kind and one class of what no rule keeps ("": they must not be). */
struct kind {
    const char *class;
    enum fault fault;
    uint64_t count;
    uint16_t story[STORY_MAX]; /* the shortest, as choices */
    unsigned length;
};

struct found {
    uint64_t states, expanded, steps;
    uint64_t crowded; /* steps that were not followed, for more than IDEALS_MAX ideal states */
    bool complete;    /* all of the setting's states, not only the first `limit` */
    unsigned kinds;
    struct kind kind[KINDS_MAX];
};

/* Whether the run ends with it: a wrong access may yet be put right. */
bool fault_is_grave(enum fault fault);
struct kind *found_kind(struct found *found, const char *class, enum fault fault);

void explore(const struct setting *chosen, uint64_t limit, struct found *ret);

/* Print a story step by step. */
void replay(const struct setting *chosen, const uint16_t *story, unsigned length);

#endif
