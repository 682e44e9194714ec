// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Quirks: logical units that do one thing otherwise than SPC-4 says, as some arrays do, or that are
 * unusual within what it allows. For trying out what a cluster makes of it.
 */
#ifndef SIMULATOR_QUIRK_H
#define SIMULATOR_QUIRK_H

#include <stdbool.h>

#include "lu/lu.h"
#include "proto/request.h"

enum quirk {
    QUIRK_NONE,
    /* Against the standard, or short of what clusters need. */
    QUIRK_ONE_REGISTRATION,
    QUIRK_NO_FULL_STATUS,
    QUIRK_NO_CAPABILITIES,
    QUIRK_NO_APTPL,
    QUIRK_NO_PREEMPT_ABORT,
    QUIRK_NO_TYPE_5,
    QUIRK_NO_TYPE_7_LISTED,
    QUIRK_PREEMPT_DOES_NOTHING,
    QUIRK_RESERVE_DOES_NOTHING,
    QUIRK_STALE_PREEMPT_GOOD,
    QUIRK_STRANGERS_MAY_CLEAR,
    QUIRK_TWO_HOLDERS,
    QUIRK_SENSE_FOR_CONFLICT,
    QUIRK_NEW_KEY_RELEASES,
    QUIRK_SELF_PREEMPT_REMOVES,
    QUIRK_KEYS_SWAPPED,
    QUIRK_SLOW_PREEMPT,
    QUIRK_ATTENTIONS,
    QUIRK_JOINING_CONFLICTS,
    QUIRK_RELEASE_UNREGISTERS,
    /* Within it, or harmless. */
    QUIRK_SENSE_FOR_STRANGERS,
    QUIRK_ATTENTION_FIRST,
    QUIRK_KEYS_REVERSED,
    QUIRK_NO_TRANSPORT_IDS,
    QUIRK_ALL_TYPES_LISTED,
    QUIRK_GENERATION_JUMPS,
    QUIRK_KEYS_TWICE,
    QUIRK_APTPL_ALWAYS,
    QUIRK_PREEMPT_ATTENTION,
    QUIRK_NEW_KEY_ATTENTION,
};

/* Its name, as the file of faults has it: "one-registration". False and untouched if it is none. */
bool quirk_parse(const char *name, enum quirk *ret_quirk);

/* All names, in the order above: by number from 1; NULL behind the last one. */
const char *quirk_name(unsigned number);

/*
 * Execute a command as a unit with this quirk does. turn: the unit's own, for what comes every
 * second time; 0 at first. The caller holds the unit's lock. May sleep.
 */
void quirk_execute(enum quirk quirk, unsigned *turn, struct lu *lu, unsigned nexus,
                   const struct request *request, struct lu_result *ret);

#endif
