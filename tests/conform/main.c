// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A run: reset target and logical unit to the same state, then a seeded sequence of random commands
 * to both. Compared are status, sense key and code, and data; and after each PERSISTENT RESERVE OUT
 * that succeeded on either side, READ FULL STATUS and READ RESERVATION, so that a difference shows
 * at the command that made it.
 *
 * Before they are compared, two fields of REPORT CAPABILITIES are left out, where SPC leaves the
 * choice: the CRH bit, which says that RESERVE and RELEASE of SPC-2 are there too, and ALLOW
 * COMMANDS. Nothing else: initiator ports, target ports and PRGENERATION are the target's own,
 * learned before the first step.
 *
 * When the answers differ in a way that departures.c explains, that is counted; if one of the two
 * has executed the command and the other has not, both are reset. Any other difference fails the
 * run: the commands since the last reset are tried again with more and more of them left out, and
 * what remains is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "conform.h"
#include "scsi/prin.h"

#define STEPS_MAX 100000

/* A sequence of this many commands begins with a reset, so that replays stay short. */
#define SEQUENCE_MAX 1000

/* How often a failing sequence is tried again with less in it. */
#define REPLAYS_MAX 400

enum outcome {
    OUTCOME_SAME,
    OUTCOME_DEPARTURE, /* explained, and both are still in the same state */
    OUTCOME_RESET,     /* explained; they are not, and have been reset */
    OUTCOME_DIFFERENT,
};

static struct nexuses nexuses;
static struct lu unit, before;
static struct answer target_answer, unit_answer, target_state, unit_state;
static struct step steps[SEQUENCE_MAX]; /* since the last reset */
static size_t n_steps;
static bool by_name[NEXUS_MAX]; /* see struct comparison */
static const struct mutation *mutation;
static unsigned long departed[64], good[32], total[32], resets;

/* -- both sides */

static void unit_execute(const struct step *step, struct answer *ret)
{
    struct lu_result result;
    bool may = true;

    /* Reads and writes are none of the logical unit's commands; it says whether they may pass. */
    if (step->cdb[0] == SBC_READ_10)
        may = lu_may_read(&unit, step->nexus);
    else if (step->cdb[0] == SBC_WRITE_10)
        may = lu_may_write(&unit, step->nexus);
    if (!may) {
        *ret = (struct answer){.status = SPC_STATUS_RESERVATION_CONFLICT};
        return;
    }
    if (step->cdb[0] == SBC_READ_10 || step->cdb[0] == SBC_WRITE_10) {
        static const uint8_t test_unit_ready[CDB_SIZE];

        lu_execute(&unit, step->nexus, test_unit_ready, NULL, 0, NULL, 0, &result);
    } else {
        lu_execute(&unit, step->nexus, step->cdb, step->list, step->list_length, ret->data,
                   sizeof(ret->data), &result);
    }
    ret->status = result.status;
    ret->sense = result.sense;
    ret->length = result.length;
}

static void target_step(const struct step *step, struct answer *ret)
{
    target_execute(&nexuses.nexus[step->nexus], step, ret);
}

static bool same_name(const struct transportid *a, const struct transportid *b)
{
    const char *first = (const char *)a->bytes + 4, *second = (const char *)b->bytes + 4;

    return strncmp(first, second, strcspn(first, ",") + 1) == 0;
}

static void add_namesakes(void)
{
    for (unsigned i = 0; i < nexuses.count; i++) {
        for (unsigned other = 0; other < nexuses.count; other++) {
            const struct transportid *port = &nexuses.nexus[other].initiator;

            if (other != i && same_name(&nexuses.nexus[i].initiator, port))
                lu_nexus_add(&unit, NAMESAKE(i), port, nexuses.nexus[i].target_port);
        }
    }
}

/* The same state, and the same PRGENERATION, on both sides. */
static void reset(void)
{
    uint32_t generation = target_reset(&nexuses);

    lu_init(&unit, nexuses.target_ports);
    for (unsigned i = 0; i < nexuses.count; i++) {
        if (!lu_nexus_add(&unit, i, &nexuses.nexus[i].initiator, nexuses.nexus[i].target_port)) {
            printf("# %s is no nexus of its own\n", nexuses.nexus[i].path);
            exit(EXIT_FAILURE);
        }
    }
    add_namesakes();
    unit.generation = generation;
    memset(by_name, 0, sizeof(by_name));
    n_steps = 0;
    resets++;
}

/* -- comparison */

/* See the head of this file. */
static void normalise(const struct step *step, struct answer *answer)
{
    if (step->cdb[0] == SPC_PERSISTENT_RESERVE_IN && answer->length >= 4 &&
        (step->cdb[1] & 0x1f) == SPC_PRIN_REPORT_CAPABILITIES) {
        answer->data[2] &= (uint8_t)~0x10; /* CRH */
        answer->data[3] &= (uint8_t)~0x70; /* ALLOW COMMANDS */
    }
}

static bool same_answer(const struct answer *target, const struct answer *own)
{
    if (target->status != own->status || target->sense.key != own->sense.key ||
        target->sense.asc != own->sense.asc || target->sense.ascq != own->sense.ascq)
        return false;
    return target->length == own->length && memcmp(target->data, own->data, own->length) == 0;
}

/* A nexus hears of its own command if LIO takes it for its namesake: DEPARTURE_NAMES. */
static void forget_own(unsigned nexus)
{
    struct lu_nexus *namesake = &unit.nexus[NAMESAKE(nexus)];
    const struct step step = {.nexus = nexus};
    static struct answer answer;

    if (namesake->attentions == 0)
        return;
    target_step(&step, &answer);
    if (answer.status == SPC_STATUS_GOOD)
        return;
    for (unsigned i = 0; i < namesake->attentions; i++) {
        if (answer.sense.key == namesake->attention[i].key &&
            answer.sense.asc == namesake->attention[i].asc &&
            answer.sense.ascq == namesake->attention[i].ascq) {
            namesake->attentions = 0;
            departed[DEPARTURE_NAMES]++;
            return;
        }
    }
    target_fatal("a unit attention for the sender", &answer);
}

/* What PERSISTENT RESERVE IN says on either side; whether that is the same. */
static bool same_state(unsigned nexus)
{
    static struct answer target, own;
    struct step step = step_read(nexus, SPC_PRIN_READ_RESERVATION);

    target_step(&step, &target);
    unit_execute(&step, &own);
    step = step_read(nexus, SPC_PRIN_READ_FULL_STATUS);
    target_step(&step, &target_state);
    unit_execute(&step, &unit_state);
    return same_answer(&target, &own) && same_answer(&target_state, &unit_state);
}

/* Registered now and not before, or the other way round: +1, -1; else 0. */
static int change(const struct transportid *id, uint16_t target_port)
{
    return (find_registration(&unit, id, target_port) != NULL) -
           (find_registration(&before, id, target_port) != NULL);
}

/* What LIO has in mind after a command that both executed. */
static void follow(void)
{
    for (unsigned i = 0; i < nexuses.count; i++) {
        const struct nexus *nexus = &nexuses.nexus[i];
        int own = change(&nexus->initiator, nexus->target_port);
        int other = change(&unit.nexus[NAMESAKE(i)].initiator, nexus->target_port);

        if (own > 0 || other > 0)
            by_name[i] = true;
        if (own < 0 || other < 0)
            by_name[i] = false;
    }
}

/*
 * Both have reported the same unit attention. LIO then forgets all others that wait for the nexus,
 * where SAM-5 5.14 has each of them reported: DEPARTURE_ATTENTIONS.
 */
static void forget_attentions(unsigned nexus)
{
    const struct step step = {.nexus = nexus};
    static struct answer answer;

    unit.nexus[NAMESAKE(nexus)].attentions = 0;
    if (unit.nexus[nexus].attentions == 0)
        return;
    target_step(&step, &answer);
    if (answer.status != SPC_STATUS_GOOD)
        target_fatal("a second unit attention", &answer);
    unit.nexus[nexus].attentions = 0;
    departed[DEPARTURE_ATTENTIONS]++;
}

static enum outcome execute(const struct step *step)
{
    struct comparison comparison = {
        .nexuses = &nexuses,
        .step = step,
        .before = &before,
        .after = &unit,
        .target = &target_answer,
        .unit = &unit_answer,
        .target_state = &target_state,
        .unit_state = &unit_state,
        .same_state = true,
        .registered_by_name = by_name[step->nexus],
    };
    bool is_out = step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    bool target_good, unit_good;
    size_t departure;

    before = unit;
    target_step(step, &target_answer);
    unit_execute(step, &unit_answer);
    if (mutation)
        mutation->apply(&comparison, &unit, &unit_answer);
    normalise(step, &target_answer);
    normalise(step, &unit_answer);
    target_good = target_answer.status == SPC_STATUS_GOOD;
    unit_good = unit_answer.status == SPC_STATUS_GOOD;
    if (is_out) {
        total[step->cdb[1] & 0x1f]++;
        good[step->cdb[1] & 0x1f] += target_good && unit_good;
    }
    if (is_out && target_good) {
        forget_own(step->nexus);
        comparison.same_state = same_state(step->nexus);
    }
    comparison.same_answer = same_answer(&target_answer, &unit_answer);
    if (comparison.same_answer && comparison.same_state) {
        if (unit_answer.sense.key == SPC_SENSE_UNIT_ATTENTION)
            forget_attentions(step->nexus);
        if (is_out && unit_good)
            follow();
        return OUTCOME_SAME;
    }
    departure = departure_find(&comparison);
    if (departure == n_departures)
        return OUTCOME_DIFFERENT;
    departed[departure]++;
    if (departures[departure].generation) {
        unit.generation = load_be32(target_state.data);
        follow();
        return same_state(step->nexus) ? OUTCOME_DEPARTURE : OUTCOME_DIFFERENT;
    }
    /* A unit attention that only one of them reported waits on the other side. */
    if (is_out ? target_good || unit_good : target_good != unit_good)
        return OUTCOME_RESET;
    if (target_answer.sense.key == SPC_SENSE_UNIT_ATTENTION ||
        unit_answer.sense.key == SPC_SENSE_UNIT_ATTENTION)
        return OUTCOME_RESET;
    return OUTCOME_DEPARTURE;
}

/* -- a run */

/* Whether the first `count` of these still end in an unexplained difference; at which of them. */
static bool replay(const struct step *sequence, size_t count, size_t *ret_last)
{
    reset();
    for (size_t i = 0; i < count; i++) {
        enum outcome outcome = execute(&sequence[i]);

        if (outcome == OUTCOME_DIFFERENT) {
            *ret_last = i;
            return true;
        }
        if (outcome == OUTCOME_RESET)
            reset();
    }
    return false;
}

/* Leave out as much as can be: halves first, then less and less. */
static void minimise(void)
{
    static struct step shorter[SEQUENCE_MAX];
    size_t count = n_steps, last;
    unsigned replays = 0;

    for (size_t chunk = count / 2; chunk > 0; chunk /= 2) {
        for (size_t at = 0; at + chunk < count && replays < REPLAYS_MAX;) {
            memcpy(shorter, steps, at * sizeof(*steps));
            memcpy(shorter + at, steps + at + chunk, (count - at - chunk) * sizeof(*steps));
            replays++;
            if (replay(shorter, count - chunk, &last)) {
                count = last + 1;
                memcpy(steps, shorter, count * sizeof(*steps));
            } else {
                at += chunk;
            }
        }
    }
    if (!replay(steps, count, &last)) {
        printf("# the same commands again do not differ\n");
        return;
    }
    printf("# %zu commands are enough:\n", count);
    for (size_t i = 0; i < count; i++)
        report_step(&steps[i]);
    report_answer("target", &target_answer);
    report_answer("LU    ", &unit_answer);
}

static bool run(uint64_t seed, uint64_t length)
{
    struct dice dice = {.state = seed};

    reset();
    for (uint64_t number = 0; number < length; number++) {
        struct step *step = &steps[n_steps++];
        enum outcome outcome;

        generate_step(&dice, &nexuses, &unit, step);
        outcome = execute(step);
        if (outcome == OUTCOME_DIFFERENT) {
            printf("# seed %" PRIu64 ", step %" PRIu64 ": the answers differ\n", seed, number);
            report_step(step);
            report_answer("target", &target_answer);
            report_answer("LU    ", &unit_answer);
            fflush(stdout);
            if (!mutation)
                minimise();
            return false;
        }
        if (outcome == OUTCOME_RESET || n_steps == SEQUENCE_MAX)
            reset();
    }
    return true;
}

static void print_counts(uint64_t length)
{
    printf("# %" PRIu64 " steps, %lu resets\n", length, resets);
    for (uint8_t i = 0; i < 8; i++)
        printf("# %s: %lu of %lu succeeded\n", spc_prout_name(i), good[i], total[i]);
    for (size_t i = 0; i < n_departures; i++)
        printf("# %lu times: %s (%s)\n", departed[i], departures[i].text, departures[i].clause);
}

int main(int argc, char **argv)
{
    uint64_t seed, length;
    bool same;

    if (argc > 2 && strcmp(argv[1], "--mutation") == 0) {
        for (size_t i = 0; i < n_mutations; i++) {
            if (strcmp(argv[2], mutations[i].name) == 0)
                mutation = &mutations[i];
        }
        if (!mutation) {
            fprintf(stderr, "%s: there is no such mutation\n", argv[2]);
            return EXIT_FAILURE;
        }
        argc -= 2;
        argv += 2;
    }
    if (argc < 4 || argc - 3 > NEXUS_MAX || !parse_number(argv[1], UINT64_MAX, &seed) ||
        !parse_number(argv[2], STEPS_MAX, &length)) {
        fprintf(stderr, "usage: pr-conform [--mutation NAME] SEED STEPS /dev/sgN...\n");
        return EXIT_FAILURE;
    }
    for (int i = 3; i < argc; i++) {
        struct nexus *nexus = &nexuses.nexus[nexuses.count++];

        nexus->path = argv[i];
        nexus->fd = open(argv[i], O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (nexus->fd < 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return EXIT_FAILURE;
        }
    }
    target_learn(&nexuses);
    same = run(seed, length);
    if (same && mutation)
        printf("# %s: not found out\n", mutation->name);
    if (same)
        print_counts(length);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
