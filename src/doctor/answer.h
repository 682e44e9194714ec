// SPDX-License-Identifier: LGPL-2.1-or-later
/* A list that the device answers with: READ KEYS, READ FULL STATUS. */
#ifndef DOCTOR_ANSWER_H
#define DOCTOR_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/outcome.h"
#include "ctl/session.h"
#include "scsi/spc.h"

#define ANSWER_MAX 65535 /* bytes that an allocation length can ask for, SPC-4 6.15.1 */

struct answer {
    bool good;
    size_t size;
    uint8_t data[ANSWER_MAX];
};

/*
 * Ask through the helper, and where its protocol has no room for all of the list, root the kernel.
 * False: the outcome, which may be NULL, says what came instead.
 */
bool answer_read(struct session *session, enum spc_prin action, struct answer *ret,
                 struct outcome *outcome);

/* PRGENERATION, or 0. */
uint32_t answer_generation(const struct answer *answer);

#endif
