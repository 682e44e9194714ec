// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the target is asked beside the steps: to begin anew, and what its nexuses are called. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "conform.h"
#include "scsi/prin.h"

#define RESET_KEY 0x1000

static struct answer answer; /* to the last command of this file's */

struct step step_read(unsigned nexus, uint8_t service_action)
{
    struct step step = {.nexus = nexus};

    cdb_encode_prin(step.cdb, service_action, 8192);
    return step;
}

struct step step_out(unsigned nexus, uint8_t service_action, uint64_t key, uint64_t sa_key)
{
    struct prout prout = {.key = key, .sa_key = sa_key};
    struct step step = {.nexus = nexus};

    step.list_length = (uint32_t)prout_encode(service_action, &prout, NULL, 0, step.list,
                                              sizeof(step.list));
    cdb_encode_prout(step.cdb, service_action, 0, 0, step.list_length);
    return step;
}

void target_fatal(const char *what, const struct answer *got)
{
    printf("# the target: %s: status %02x, sense %x/%02x/%02x\n", what, got->status, got->sense.key,
           got->sense.asc, got->sense.ascq);
    exit(EXIT_FAILURE);
}

static void send(const struct nexuses *nexuses, const struct step *step)
{
    target_execute(&nexuses->nexus[step->nexus], step, &answer);
}

/* A command of our own that must succeed. */
static void target_must(const struct nexuses *nexuses, const char *what, const struct step *step)
{
    send(nexuses, step);
    if (answer.status != SPC_STATUS_GOOD)
        target_fatal(what, &answer);
}

static void drain(const struct nexuses *nexuses)
{
    for (unsigned i = 0; i < nexuses->count; i++) {
        const struct step step = {.nexus = i};

        for (unsigned tries = 0;; tries++) {
            send(nexuses, &step);
            if (answer.status == SPC_STATUS_GOOD)
                break;
            if (tries == 16 || answer.sense.key != SPC_SENSE_UNIT_ATTENTION)
                target_fatal("TEST UNIT READY", &answer);
        }
    }
}

/* Register this nexus, and clear. */
static bool clear(const struct nexuses *nexuses, unsigned nexus)
{
    struct step step = step_out(nexus, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, RESET_KEY);

    send(nexuses, &step);
    if (answer.status != SPC_STATUS_GOOD) {
        step.list[20] = 0x04; /* LIO: who registered with ALL_TG_PT must go on with it */
        send(nexuses, &step);
    }
    step = step_out(nexus, SPC_PROUT_CLEAR, RESET_KEY, 0);
    send(nexuses, &step);
    return answer.status == SPC_STATUS_GOOD;
}

uint32_t target_reset(const struct nexuses *nexuses)
{
    const struct step step = step_read(0, SPC_PRIN_READ_KEYS);
    unsigned nexus = 0;

    drain(nexuses);
    while (!clear(nexuses, nexus)) {
        if (++nexus == nexuses->count)
            target_fatal("CLEAR", &answer);
    }
    drain(nexuses);
    target_must(nexuses, "READ KEYS", &step);
    return load_be32(answer.data);
}

void target_learn(struct nexuses *nexuses)
{
    struct prin_registrant registrant;
    struct prin_list list;
    struct step step;
    unsigned found = 0;

    target_reset(nexuses);
    for (unsigned i = 0; i < nexuses->count; i++) {
        step = step_out(i, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, RESET_KEY + i);
        target_must(nexuses, "REGISTER AND IGNORE EXISTING KEY", &step);
    }
    step = step_read(0, SPC_PRIN_READ_FULL_STATUS);
    target_must(nexuses, "READ FULL STATUS", &step);
    if (prin_list_decode(answer.data, answer.length, &list) != PRIN_OK)
        target_fatal("READ FULL STATUS", &answer);
    while (prin_registrant_next(&list, &registrant) == PRIN_OK) {
        struct nexus *nexus = &nexuses->nexus[(registrant.key - RESET_KEY) % NEXUS_MAX];

        nexus->initiator = registrant.transportid;
        nexus->target_port = registrant.relative_target_port;
        if (nexus->target_port > nexuses->target_ports)
            nexuses->target_ports = nexus->target_port;
        found++;
    }
    if (found != nexuses->count || nexuses->target_ports > LU_TARGET_PORT_MAX) {
        printf("# %u nexuses registered, %u found\n", nexuses->count, found);
        exit(EXIT_FAILURE);
    }
    for (unsigned i = 0; i < nexuses->count; i++) {
        char text[TRANSPORTID_TEXT_SIZE];

        transportid_format(text, sizeof(text), &nexuses->nexus[i].initiator);
        printf("# nexus %u: %s, %s, target port %u\n", i, nexuses->nexus[i].path, text,
               nexuses->nexus[i].target_port);
    }
}
