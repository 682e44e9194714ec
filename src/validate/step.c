// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The outcome of a step is a word or two (`got`), which is compared with what was expected and
 * identifies a quirk. A command that changes something is verified by reads: GOOD alone proves
 * nothing, since some arrays answer GOOD and do nothing.
 */
#include "validate/step.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/output.h"
#include "node/document.h"
#include "validate/judge.h"
#include "validate/profile.h"
#include "validate/quirks.h"

#define STEP_SENT_MAX 256
#define STEP_DATA_MAX 512 /* bytes of an answer that are kept */

const char *const step_verdict_word[] = {
    [STEP_PASS] = "pass",       [STEP_NOTE] = "note", [STEP_SKIPPED] = "skipped",
    [STEP_UNKNOWN] = "unknown", [STEP_FAIL] = "fail",
};

static unsigned step_nexus_index(const struct step_context *context, struct json_object *step)
{
    const char *name = document_text(step, "nexus");

    return context->n_nexuses > 1 && name && name[0] == 'B';
}

static struct nexus *step_nexus(struct step_context *context, struct json_object *step)
{
    return &context->nexus[step_nexus_index(context, step)];
}

bool step_applies(const struct step_context *context, struct json_object *step)
{
    const char *condition = document_text(step, "if");
    unsigned nexus = step_nexus_index(context, step);
    const char *name = document_text(step, document_text(step, "key") ? "key" : "new");
    uint64_t key = 0;

    if (!condition)
        return true;
    if (strcmp(condition, "no-reservation") == 0)
        return !context->past.held[nexus];
    return !context->past.held[nexus] || !name || !keys_find(context->keys, name, &key) ||
           context->past.held_by[nexus] != key;
}

/* What is sent, in the words of SPC-4. */
static void step_describe(const struct profile_verb *verb, const struct nexus_call *call,
                          char *text, size_t size)
{
    static const char *const names[] = {
        [NEXUS_REGISTER] = "REGISTER",
        [NEXUS_REGISTER_IGNORE] = "REGISTER AND IGNORE EXISTING KEY",
        [NEXUS_RESERVE] = "RESERVE",
        [NEXUS_RELEASE] = "RELEASE",
        [NEXUS_CLEAR] = "CLEAR",
        [NEXUS_PREEMPT] = "PREEMPT",
        [NEXUS_PREEMPT_ABORT] = "PREEMPT AND ABORT",
        [NEXUS_READ_KEYS] = "READ KEYS",
        [NEXUS_READ_RESERVATION] = "READ RESERVATION",
        [NEXUS_REPORT_CAPABILITIES] = "REPORT CAPABILITIES",
        [NEXUS_READ_FULL_STATUS] = "READ FULL STATUS",
    };
    int n = snprintf(text, size, "%s", names[call->action]);

    if (verb->action != PROFILE_COMMAND)
        return;
    if (verb->takes & PROFILE_TAKES_KEY)
        n += snprintf(text + n, size - (size_t)n, ", key %#" PRIx64, call->key);
    if (verb->takes & (PROFILE_TAKES_NEW | PROFILE_TAKES_VICTIM))
        n += snprintf(text + n, size - (size_t)n, ", %s key %#" PRIx64,
                      verb->takes & PROFILE_TAKES_NEW ? "new" : "victim's", call->other);
    if (verb->takes & PROFILE_TAKES_TYPE)
        n += snprintf(text + n, size - (size_t)n, ", type %u", call->type);
    if (call->flags & PRHELPER_APTPL)
        snprintf(text + n, size - (size_t)n, ", APTPL");
}

void step_print(FILE *file, struct json_object *step, struct keys *keys)
{
    const struct profile_verb *verb = profile_find_verb(document_text(step, "do"));
    const char *nexus = document_text(step, "nexus"), *condition = document_text(step, "if");
    struct nexus_call call = profile_call(verb, step, keys);
    char text[STEP_SENT_MAX];

    if (verb->action == PROFILE_RACE) {
        for (size_t i = 0; i < document_count(step, "steps"); i++)
            step_print(file, document_item(step, "steps", i), keys);
        return;
    }
    if (verb->action == PROFILE_READ || verb->action == PROFILE_WRITE ||
        verb->action == PROFILE_DESIGNATOR)
        snprintf(text, sizeof(text), "(%s)", verb->name);
    else
        step_describe(verb, &call, text, sizeof(text));
    fprintf(file, "    %s: %s%s%s%s\n", nexus ? nexus : "A", text, condition ? " (if " : "",
            condition ? condition : "", condition ? ")" : "");
}

static void step_add_data(struct json_object *record, const struct nexus_answer *answer)
{
    char text[2 * STEP_DATA_MAX + 1] = "";

    if (answer->r != 0 || answer->result.size > PRHELPER_DATA_MAX)
        return;
    for (uint32_t i = 0; i < answer->result.size && i < STEP_DATA_MAX; i++)
        snprintf(text + 2 * i, 3, "%02x", answer->result.data[i]);
    output_add_text(record, "data", text);
}

/* The answer itself, good or bad. */
static void step_add_answer(struct json_object *record, const struct nexus_answer *answer)
{
    char text[PRHELPER_TEXT_MAX];

    if (answer->result.status != PRHELPER_STATUS_NONE || answer->r != 0) {
        prhelper_describe(text, sizeof(text), answer->r, &answer->result);
        output_add_text(record, "answer", text);
    }
    if (answer->n_attentions > 0) {
        prhelper_sense_describe(text, sizeof(text), &answer->attention);
        json_object_object_add(record, "attentions",
                               json_object_new_int((int)answer->n_attentions));
        output_add_text(record, "attention", text);
    }
    step_add_data(record, answer);
}

static void step_command(struct step_context *context, const struct profile_verb *verb,
                         struct json_object *step, struct json_object *record,
                         struct nexus_answer *answer)
{
    struct nexus_call call = profile_call(verb, step, context->keys);
    char sent[STEP_SENT_MAX];

    step_describe(verb, &call, sent, sizeof(sent));
    output_add_text(record, "sent", sent);
    nexus_send(step_nexus(context, step), &call, answer);
    step_add_answer(record, answer);
}

/* Two commands at once, of which one is to be carried out and the other to be refused. */
static void step_race(struct step_context *context, struct json_object *step,
                      struct json_object *record, struct nexus_answer *answer)
{
    struct nexus *nexus[2];
    struct nexus_call call[2];
    struct nexus_answer answers[2];
    char sent[2 * STEP_SENT_MAX + 8], one[2][STEP_SENT_MAX], got[2 * NEXUS_GOT_MAX + 8];
    unsigned good = 0, refused = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct json_object *part = document_item(step, "steps", i);
        const struct profile_verb *verb = profile_find_verb(document_text(part, "do"));

        nexus[i] = step_nexus(context, part);
        call[i] = profile_call(verb, part, context->keys);
        step_describe(verb, &call[i], one[i], sizeof(one[i]));
    }
    snprintf(sent, sizeof(sent), "%s: %s; %s: %s", nexus[0]->name, one[0], nexus[1]->name, one[1]);
    output_add_text(record, "sent", sent);
    nexus_send_both(nexus, call, answers);
    for (unsigned i = 0; i < 2; i++) {
        good += strcmp(answers[i].got, "good") == 0;
        refused += strcmp(answers[i].got, "conflict") == 0 ||
                   strncmp(answers[i].got, "sense ", 6) == 0;
    }
    *answer = answers[answers[1].us > answers[0].us];
    snprintf(got, sizeof(got), "%s: %s; %s: %s", nexus[0]->name, answers[0].got, nexus[1]->name,
             answers[1].got);
    output_add_text(record, "answer", got);
    if (answers[0].r == 0 && answers[1].r == 0)
        snprintf(answer->got, NEXUS_GOT_MAX, "%s",
                 good == 1 && refused == 1 ? "one"
                 : good == 2               ? "both"
                                           : "neither");
}

/* Steps after it may depend on it. What was not answered is taken for none, as agents do. */
static void step_read_holder(struct step_context *context, struct json_object *step,
                             const struct nexus_answer *answer)
{
    unsigned nexus = step_nexus_index(context, step);
    struct prhelper_reservation found = {.held = false};

    if (strcmp(answer->got, "good") != 0 ||
        prhelper_reservation_decode(answer->result.data, answer->result.size, &found) != 0)
        found.held = false;
    context->past.held[nexus] = found.held;
    context->past.held_by[nexus] = found.held ? found.key : 0;
}

static void step_act(struct step_context *context, const struct profile_verb *verb,
                     struct json_object *step, struct json_object *record,
                     struct nexus_answer *answer)
{
    switch (verb->action) {
    case PROFILE_READ:
    case PROFILE_WRITE:
        output_add_text(record, "sent", verb->action == PROFILE_WRITE ? "a write" : "a read");
        nexus_transfer(step_nexus(context, step), verb->action == PROFILE_WRITE, answer);
        return;
    case PROFILE_DESIGNATOR:
        output_add_text(record, "sent", "(page 83h, as the kernel has read it)");
        judge_designator(step_nexus(context, step), answer);
        return;
    case PROFILE_RACE:
        step_race(context, step, record, answer);
        return;
    default:
        step_command(context, verb, step, record, answer);
        if (verb->action == PROFILE_RESERVATION)
            step_read_holder(context, step, answer);
        if (strcmp(answer->got, "good") == 0)
            judge_answer(verb->action, step, context->keys, answer);
        return;
    }
}

/* The way to the device is gone, or busy: that is no word of what it can do. */
static bool step_is_unanswered(const struct nexus_answer *answer)
{
    static const char *const without[] = {"no answer*", "status 08", "status 28", "device gone"};

    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        if (fnmatch(without[i], answer->got, 0) == 0)
            return true;
    }
    return false;
}

/* The same of an answer that may not be the device's: what happens on the way has senses, too. */
static bool step_is_lost(const struct nexus_answer *answer)
{
    return answer->r == 0 && answer->result.status != PRHELPER_STATUS_NONE &&
           prhelper_outcome(answer->r, &answer->result) == PRHELPER_OUTCOME_UNKNOWN;
}

static enum step_verdict step_judge(const struct profile_verb *verb, struct json_object *step,
                                    const struct step_context *context,
                                    const struct nexus_answer *answer)
{
    const char *expect = document_text(step, "expect");
    const char *wanted = expect ? expect : verb->action == PROFILE_RACE ? "one" : "good";
    enum step_verdict bad = document_flag(step, "report") ? STEP_NOTE : STEP_FAIL;

    if (strcmp(answer->got, "skipped") == 0)
        return STEP_SKIPPED;
    if (step_is_unanswered(answer))
        return STEP_UNKNOWN;
    if (context->beat_ms > 0 && answer->us > context->beat_ms * 1000)
        return bad;
    if (strcmp(wanted, "any") == 0 || strcmp(answer->got, wanted) == 0)
        return STEP_PASS;
    /* Without a registration, LIO and SPDK say it by sense data: unusual, and of no harm. */
    if (strcmp(wanted, "refused") == 0 &&
        (strcmp(answer->got, "conflict") == 0 || strncmp(answer->got, "sense ", 6) == 0))
        return STEP_PASS;
    return step_is_lost(answer) ? STEP_UNKNOWN : bad;
}

static void step_add_quirk(struct step_context *context, struct json_object *step,
                           struct json_object *record, const char *got)
{
    struct json_object *quirk = quirks_find(context->quirks, step, step_nexus_index(context, step),
                                            &context->past, got);

    if (quirk)
        json_object_object_add(context->past.seen, document_text(quirk, "name"),
                               json_object_new_boolean(1));
    output_add_text(record, "quirk", document_text(quirk, "name"));
    output_add_text(record, "means", document_text(quirk, "means"));
    output_add_text(record, "concerns", document_text(quirk, "concerns"));
    if (document_object(quirk, "known"))
        json_object_object_add(record, "known", json_object_get(document_object(quirk, "known")));
}

/* It was GOOD: later steps are judged with it in mind. */
static void step_remember(struct step_context *context, const struct profile_verb *verb,
                          struct json_object *step)
{
    unsigned nexus = step_nexus_index(context, step);

    if (verb->action != PROFILE_COMMAND)
        return;
    switch (verb->command) {
    case NEXUS_RESERVE:
        context->past.holder = (int)nexus;
        break;
    case NEXUS_RELEASE:
    case NEXUS_CLEAR:
        context->past.holder = -1;
        break;
    case NEXUS_PREEMPT:
    case NEXUS_PREEMPT_ABORT:
        if (context->past.holder >= 0)
            context->past.holder = (int)nexus;
        break;
    default:
        break;
    }
    context->past.last[nexus] = verb->name;
}

enum step_verdict step_run(struct step_context *context, struct json_object *step,
                           struct json_object **ret_record)
{
    static const char *const copied[] = {"id", "nexus", "why", "source", "evidence"};
    const struct profile_verb *verb = profile_find_verb(document_text(step, "do"));
    struct json_object *record = json_object_new_object();
    const char *expect = document_text(step, "expect");
    struct nexus_answer answer = {.r = 0};
    enum step_verdict verdict;
    bool slow;

    answer.result.status = PRHELPER_STATUS_NONE;
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
        output_add_text(record, copied[i], document_text(step, copied[i]));
    step_act(context, verb, step, record, &answer);
    verdict = step_judge(verb, step, context, &answer);
    slow = context->beat_ms > 0 && answer.us > context->beat_ms * 1000;

    judge_expected(verb->action, step, record, expect);
    output_add_text(record, "got", slow ? "slow" : answer.got);
    output_add_text(record, "verdict", step_verdict_word[verdict]);
    json_object_object_add(record, "ms", json_object_new_double((double)answer.us / 1000));
    if (verdict == STEP_NOTE || verdict == STEP_FAIL || verdict == STEP_UNKNOWN)
        step_add_quirk(context, step, record, slow ? "slow" : answer.got);
    if (strcmp(answer.got, "good") == 0)
        step_remember(context, verb, step);
    *ret_record = record;
    return verdict;
}
