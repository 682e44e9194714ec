// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A sequence that has failed is not gone on with: what follows builds on what did not happen. What
 * it leaves is removed by nexus A, which may always register and CLEAR, or by B if A gets no
 * answer; where a device does not obey that either, each nexus unregisters itself.
 */
#include "validate/run.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/output.h"
#include "node/document.h"
#include "validate/profile.h"
#include "validate/step.h"

#define RUN_TIDY_KEY    0x7072766c7469e400u /* "prvl", and not one that is drawn, which are odd */
#define RUN_SENDERS_MAX 16
#define RUN_TRIES       3
#define RUN_PAUSE_MS    200

const char *const run_verdict_word[] = {
    [RUN_PASS] = "pass",
    [RUN_PARTLY] = "partly",
    [RUN_UNKNOWN] = "unknown",
    [RUN_FAIL] = "fail",
};

static bool run_send(struct nexus *nexus, enum nexus_action action, uint64_t key, uint64_t other,
                     struct nexus_answer *answer)
{
    const struct nexus_call call = {.action = action, .key = key, .other = other};

    nexus_send(nexus, &call, answer);
    return strcmp(answer->got, "good") == 0;
}

/*
 * READ KEYS; again after an answer that is not the last word, such as BUSY. A device that gives
 * none has had its time.
 */
static bool run_read_keys(struct nexus *nexus, struct nexus_answer *answer)
{
    for (unsigned i = 0; i < RUN_TRIES; i++) {
        if (run_send(nexus, NEXUS_READ_KEYS, 0, 0, answer))
            return true;
        if (answer->r != 0)
            return false;
        poll(NULL, 0, RUN_PAUSE_MS);
    }
    return false;
}

/*
 * As this nexus sees it. 1: it is; 0: it is not; -1: that could not be determined, and why stands
 * in run->left.
 */
static int run_is_empty(struct run *run, struct nexus *nexus)
{
    struct prhelper_reservation reservation;
    struct nexus_answer answer;
    struct prhelper_list list;
    uint64_t key;

    if (!run_read_keys(nexus, &answer) ||
        prhelper_list_decode(answer.result.data, answer.result.size, &list) != 0) {
        snprintf(run->left, sizeof(run->left), "READ KEYS: %s", answer.got);
        return -1;
    }
    if (list.needed > 8) {
        while (!run->force && !run->foreign && prhelper_key_next(&list, &key) == 0) {
            run->foreign = !keys_is_own(&run->keys, key);
            if (run->foreign)
                snprintf(run->left, sizeof(run->left),
                         "another host has registered meanwhile, with key %#" PRIx64, key);
        }
        if (run->foreign)
            return 0;
        snprintf(run->left, sizeof(run->left), "%u registrations are left",
                 (unsigned)(list.needed - 8) / 8);
        return 0;
    }
    if (!run_send(nexus, NEXUS_READ_RESERVATION, 0, 0, &answer) ||
        prhelper_reservation_decode(answer.result.data, answer.result.size, &reservation) != 0) {
        snprintf(run->left, sizeof(run->left), "READ RESERVATION: %s", answer.got);
        return -1;
    }
    snprintf(run->left, sizeof(run->left), "%s", reservation.held ? "a reservation is left" : "");
    return !reservation.held;
}

/* Remove what is ours, by its key, and nothing of others. */
static void run_leave(struct run *run)
{
    struct nexus_answer answer;

    for (unsigned i = 0; i < run->n_nexuses; i++) {
        for (size_t k = 0; k < run->keys.count; k++)
            run_send(&run->nexus[i], NEXUS_REGISTER, run->keys.one[k].value, 0, &answer);
        run_send(&run->nexus[i], NEXUS_REGISTER, RUN_TIDY_KEY, 0, &answer);
    }
}

bool run_tidy(struct run *run)
{
    struct nexus *nexus = run->nexus, *lead = NULL;
    struct nexus_answer answer;
    int empty = -1;

    /* The way of one may be what has failed. */
    for (unsigned i = 0; i < run->n_nexuses && empty < 0; i++) {
        lead = &nexus[i];
        empty = run_is_empty(run, lead);
    }
    if (empty < 0)
        return false;
    if (run->foreign) {
        run_leave(run);
        return false;
    }
    if (!empty) {
        run_send(lead, NEXUS_REGISTER_IGNORE, 0, RUN_TIDY_KEY, &answer);
        run_send(lead, NEXUS_CLEAR, RUN_TIDY_KEY, 0, &answer);
        empty = run_is_empty(run, lead);
    }
    for (unsigned i = 0; i < run->n_nexuses && empty == 0; i++) {
        run_send(&nexus[i], NEXUS_REGISTER_IGNORE, 0, 0, &answer);
        empty = run_is_empty(run, lead);
    }
    /* Nexus B may have news of all that, which are not to come in the middle of something else. */
    for (unsigned i = 1; i < run->n_nexuses; i++)
        run_send(&nexus[i], NEXUS_READ_KEYS, 0, 0, &answer);
    return empty == 1;
}

static struct step_context run_context(struct run *run, int64_t beat_ms)
{
    return (struct step_context){
        .nexus = run->nexus,
        .n_nexuses = run->n_nexuses,
        .keys = &run->keys,
        .quirks = run->quirks,
        .beat_ms = beat_ms,
        .past = {.holder = -1, .seen = run->seen},
    };
}

void run_begin(struct run *run)
{
    struct json_object *step = json_object_new_object(), *record;
    struct step_context context;

    run->seen = json_object_new_object();
    context = run_context(run, 0);
    output_add_text(step, "id", "0");
    output_add_text(step, "nexus", "A");
    output_add_text(step, "do", "keys");
    output_add_text(step, "why", "all of its steps read the keys");
    if (step_run(&context, step, &record) == STEP_PASS)
        json_object_put(record);
    else
        run->first = record;
    json_object_put(step);
}

static enum step_verdict run_steps(struct run *run, struct json_object *sequence, int64_t beat_ms,
                                   struct json_object *records, int *untried)
{
    struct step_context context = run_context(run, beat_ms);
    enum step_verdict worst = STEP_PASS, verdict;

    for (size_t i = 0; i < document_count(sequence, "steps"); i++) {
        struct json_object *step = document_item(sequence, "steps", i), *record;

        if (interrupt_came())
            return STEP_UNKNOWN;
        if (!step_applies(&context, step))
            continue;
        verdict = step_run(&context, step, &record);
        json_object_array_add(records, record);
        worst = verdict > worst ? verdict : worst;
        *untried += verdict == STEP_SKIPPED;
        if (verdict >= STEP_UNKNOWN && !document_flag(step, "go_on"))
            break;
    }
    return worst;
}

static enum step_verdict run_sequence(struct run *run, struct json_object *sequence,
                                      int64_t beat_ms, struct json_object *records, int *untried)
{
    struct json_object *record = json_object_new_object(), *steps = json_object_new_array();
    enum step_verdict verdict = STEP_SKIPPED;
    bool applies = !(document_flag(sequence, "disk_only") && run->nexus[0].is_map);

    output_add_text(record, "name", document_text(sequence, "name"));
    output_add_text(record, "title", document_text(sequence, "title"));
    output_add_text(record, "sent_by", document_text(sequence, "sent_by"));
    if (run->first) {
        verdict = strcmp(document_text(run->first, "verdict"), "fail") == 0 ? STEP_FAIL
                                                                            : STEP_UNKNOWN;
        json_object_array_add(steps, json_object_get(run->first));
    } else if (run->stopped || interrupt_came()) {
        verdict = STEP_UNKNOWN;
        output_add_text(record, "why", "the run had already ended");
    } else if (document_number(sequence, "nexuses") > run->n_nexuses) {
        output_add_text(record, "why", "needs a second I_T nexus: --second");
    } else if (!applies) {
        output_add_text(record, "why", "this software does not do it on a multipath map");
    } else if (!run_tidy(run)) {
        run->stopped = true;
        verdict = STEP_UNKNOWN;
        output_add_text(record, "why", run->left);
    } else {
        verdict = run_steps(run, sequence, beat_ms, steps, untried);
        if (verdict == STEP_SKIPPED) /* single steps of it, which say so */
            verdict = STEP_PASS;
        if (document_flag(sequence, "report") && verdict == STEP_FAIL)
            verdict = STEP_NOTE;
        run->stopped = !run_tidy(run) || interrupt_came();
    }
    output_add_text(record, "verdict", step_verdict_word[verdict]);
    json_object_object_add(record, "steps", steps);
    json_object_array_add(records, record);
    return applies || verdict != STEP_SKIPPED ? verdict : STEP_PASS;
}

static enum run_verdict run_means(enum step_verdict sequence)
{
    return sequence == STEP_FAIL      ? RUN_FAIL
           : sequence == STEP_UNKNOWN ? RUN_UNKNOWN
           : sequence == STEP_SKIPPED ? RUN_PARTLY
                                      : RUN_PASS;
}

/* A profile may be of several programs, or versions of one: each has a verdict of its own. */
struct run_sender {
    const char *name; /* the sequences' "sent_by" */
    enum run_verdict verdict;
};

static void run_add_sender(struct run_sender *senders, size_t *count, const char *name,
                           enum run_verdict verdict)
{
    size_t i = 0;

    while (i < *count && strcmp(senders[i].name, name) != 0)
        i++;
    if (i == RUN_SENDERS_MAX)
        return;
    if (i == *count)
        senders[(*count)++] = (struct run_sender){name, RUN_PASS};
    senders[i].verdict = verdict > senders[i].verdict ? verdict : senders[i].verdict;
}

static void run_add_senders(struct json_object *record, const struct run_sender *senders,
                            size_t count)
{
    struct json_object *array = count > 0 ? json_object_new_array() : NULL;

    for (size_t i = 0; i < count; i++) {
        struct json_object *sender = json_object_new_object();

        output_add_text(sender, "name", senders[i].name);
        output_add_text(sender, "verdict", run_verdict_word[senders[i].verdict]);
        json_object_array_add(array, sender);
    }
    if (array)
        json_object_object_add(record, "senders", array);
}

enum run_verdict run_profile(struct run *run, struct json_object *profile,
                             struct json_object **ret_record)
{
    static const char *const copied[] = {"name", "title", "note"};
    struct json_object *record = json_object_new_object(), *records = json_object_new_array();
    struct run_sender senders[RUN_SENDERS_MAX];
    enum run_verdict verdict = RUN_PASS;
    size_t n_senders = 0;
    int untried = 0;

    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
        output_add_text(record, copied[i], document_text(profile, copied[i]));
    if (document_object(profile, "sources"))
        json_object_object_add(record, "sources",
                               json_object_get(document_object(profile, "sources")));
    profile_keys(profile, &run->keys);
    /* Where there are no reservations, what uses none is well off. */
    if (run->first && document_flag(profile, "unreserved"))
        profile = NULL;
    for (size_t i = 0; i < document_count(profile, "sequences"); i++) {
        struct json_object *sequence = document_item(profile, "sequences", i);
        enum run_verdict means = run_means(
            run_sequence(run, sequence, document_number(profile, "beat_ms"), records, &untried));

        verdict = means > verdict ? means : verdict;
        if (document_text(sequence, "sent_by"))
            run_add_sender(senders, &n_senders, document_text(sequence, "sent_by"), means);
    }
    output_add_text(record, "verdict", run_verdict_word[verdict]);
    run_add_senders(record, senders, n_senders);
    json_object_object_add(record, "untried", json_object_new_int(untried));
    json_object_object_add(record, "sequences", records);
    *ret_record = record;
    return verdict;
}
