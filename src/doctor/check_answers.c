// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Do the device's answers agree? READ KEYS, READ RESERVATION and READ FULL STATUS say the same in
 * part. Where they differ one of them is wrong, and what is concluded from it is, too. Between two
 * questions a host may change something, so what differs is asked again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/command.h"
#include "doctor/doctor.h"
#include "scsi/prin.h"

#define ANSWERS_TRIES 3

/* What READ FULL STATUS says, as far as the other two say it. */
struct summary {
    uint64_t *keys; /* sorted */
    unsigned count;
    unsigned holders;
    uint64_t holder; /* the key of one of them */
    uint8_t type;
    uint64_t all; /* of READ KEYS: that there are, shown or not */
    bool cut;
};

static int answers_compare(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

static bool answers_read_keys(const struct answer *answer, struct summary *ret)
{
    struct prin_list list;
    enum prin_result r;

    *ret = (struct summary){.keys = calloc(answer->size / 8 + 1, sizeof(*ret->keys))};
    if (!ret->keys || prin_list_decode(answer->data, answer->size, &list) != PRIN_OK)
        return false;
    while ((r = prin_key_next(&list, &ret->keys[ret->count])) == PRIN_OK)
        ret->count++;
    qsort(ret->keys, ret->count, sizeof(*ret->keys), answers_compare);
    ret->all = (list.needed - PRIN_HEADER_SIZE) / 8;
    ret->cut = r == PRIN_TRUNCATED;
    return r == PRIN_END || r == PRIN_TRUNCATED;
}

static bool answers_read_registrants(const struct answer *answer, bool reversed,
                                     struct summary *ret)
{
    struct prin_registrant one;
    struct prin_list list;
    enum prin_result r;

    *ret = (struct summary){.keys = calloc(answer->size / 8 + 1, sizeof(*ret->keys))};
    if (!ret->keys || prin_list_decode(answer->data, answer->size, &list) != PRIN_OK)
        return false;
    while ((r = prin_registrant_next(&list, &one)) == PRIN_OK) {
        uint64_t key = reversed ? __builtin_bswap64(one.key) : one.key;

        ret->keys[ret->count++] = key;
        if (!one.holder)
            continue;
        ret->holders++;
        ret->holder = key;
        ret->type = one.type;
    }
    qsort(ret->keys, ret->count, sizeof(*ret->keys), answers_compare);
    ret->cut = r == PRIN_TRUNCATED;
    return r == PRIN_END || r == PRIN_TRUNCATED;
}

static bool answers_have_same_keys(const struct summary *a, const struct summary *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        if (a->keys[i] != b->keys[i])
            return false;
    }
    return true;
}

/* The first key of `a` that is not in `b`, or NULL. */
static const uint64_t *answers_find_missing(const struct summary *a, const struct summary *b)
{
    for (unsigned i = 0; i < a->count; i++) {
        if (!bsearch(&a->keys[i], b->keys, b->count, sizeof(*b->keys), answers_compare))
            return &a->keys[i];
    }
    return NULL;
}

/* True, with a finding, if the keys differ. */
static bool answers_judge_keys(struct doctor *doctor, const struct summary *keys,
                               const struct summary *full, struct finding *finding)
{
    struct summary reversed = {.keys = NULL};
    const uint64_t *missing, *added;
    bool is_reversed;

    if (answers_have_same_keys(keys, full))
        return false;
    is_reversed = answers_read_registrants(&doctor->full_status, true, &reversed) &&
                  answers_have_same_keys(keys, &reversed);
    free(reversed.keys);
    if (is_reversed) {
        doctor->reversed = true;
        finding_warn(finding,
                     "READ FULL STATUS shows keys with their bytes reversed: 0x%016" PRIx64
                     " for 0x%016" PRIx64,
                     __builtin_bswap64(keys->keys[0]), keys->keys[0]);
        finding_remedy(finding,
                       "This is a bug in the storage's firmware. Keys are as READ KEYS shows them "
                       "('qemu-pr-ctl keys %s'); do not use those of 'qemu-pr-ctl full-status'.",
                       doctor->options->device);
        return true;
    }
    missing = answers_find_missing(keys, full);
    added = answers_find_missing(full, keys);
    if (missing)
        finding_warn(finding, "READ KEYS has %#" PRIx64 ", which READ FULL STATUS does not have",
                     *missing);
    else if (added)
        finding_warn(finding, "READ FULL STATUS has %#" PRIx64 ", which READ KEYS does not have",
                     *added);
    else
        finding_warn(finding, "READ KEYS lists %u registrations, READ FULL STATUS %u", keys->count,
                     full->count);
    finding_remedy(
        finding,
        "One of the two is wrong, which is a bug in the storage's firmware. This report "
        "uses READ FULL STATUS; compare 'qemu-pr-ctl keys %s' with 'qemu-pr-ctl full-status %s'.",
        doctor->options->device, doctor->options->device);
    return true;
}

/* The same of the reservation: its type, and whose it is. */
static bool answers_judge_reservation(struct doctor *doctor, const struct summary *full,
                                      struct finding *finding)
{
    struct prhelper_reservation held;
    struct outcome outcome;
    char remedy[] = "One of the two is wrong, which is a bug in the storage's firmware: the holder "
                    "of the reservation is not known for certain.";
    bool is_all;

    session_send(&doctor->session, &cmd_reservation, &outcome);
    if (!prhelper_is_good(outcome.r, &outcome.result) ||
        prhelper_reservation_decode(outcome.result.data, outcome.result.size, &held) != 0)
        return false;
    is_all = held.type == PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
             held.type == PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
    if (!held.held && full->holders > 0)
        finding_warn(finding,
                     "READ FULL STATUS names a holder, key %#" PRIx64
                     ", but READ RESERVATION shows no reservation",
                     full->holder);
    else if (held.held && full->holders == 0)
        finding_warn(
            finding,
            "READ RESERVATION shows a reservation of type %u, but READ FULL STATUS names no holder",
            held.type);
    else if (held.held && full->type != held.type)
        finding_warn(
            finding,
            "READ RESERVATION shows a reservation of type %u, but READ FULL STATUS one of type %u",
            held.type, full->type);
    else if (held.held && !is_all && full->holder != held.key)
        finding_warn(finding,
                     "READ RESERVATION shows a reservation of key %#" PRIx64
                     ", but READ FULL STATUS one of key %#" PRIx64,
                     held.key, full->holder);
    else
        return false;
    finding_remedy(finding, "%s", remedy);
    return true;
}

/* Read again what may have changed between the first question and the last. */
static bool answers_read(struct doctor *doctor)
{
    return answer_read(&doctor->session, SPC_PRIN_READ_FULL_STATUS, &doctor->full_status, NULL) &&
           (answer_generation(&doctor->full_status) == answer_generation(&doctor->keys) ||
            answer_read(&doctor->session, SPC_PRIN_READ_KEYS, &doctor->keys, NULL));
}

/* True if they agree, or nothing can be said; the finding tells. */
static bool answers_judge(struct doctor *doctor, struct finding *finding)
{
    struct summary keys = {.keys = NULL}, full = {.keys = NULL};
    bool agree = true;

    doctor->reversed = false;
    if (!answers_read_keys(&doctor->keys, &keys) ||
        !answers_read_registrants(&doctor->full_status, false, &full)) {
        doctor->full_status.good = false;
        finding_warn(finding, "the answer to READ KEYS or READ FULL STATUS is malformed");
        finding_remedy(finding, "Lengths in the answer contradict each other, which is a bug in "
                                "the storage's firmware.");
        agree = false;
    } else if (keys.cut || full.cut) {
        finding_unknown(finding, "%u of %" PRIu64 " registrations are shown", full.count, keys.all);
        finding_remedy(finding,
                       "The helper's protocol carries 8192 bytes. Root sees more without it: 'sudo "
                       "qemu-pr-ctl doctor %s'.",
                       doctor->options->device);
    } else if (answers_judge_keys(doctor, &keys, &full, finding) ||
               answers_judge_reservation(doctor, &full, finding)) {
        agree = false;
    } else {
        finding_good(finding, "READ KEYS and READ FULL STATUS agree: %u registration%s", keys.count,
                     keys.count == 1 ? "" : "s");
    }
    free(keys.keys);
    free(full.keys);
    return agree;
}

void doctor_answers(struct doctor *doctor, struct finding *finding)
{
    if (!doctor->serves)
        return;
    for (unsigned i = 0; i < ANSWERS_TRIES; i++) {
        if (!answers_read(doctor)) {
            finding_unknown(finding,
                            "the device does not list its registrations (READ FULL STATUS)");
            finding_remedy(finding,
                           "Its keys are known, but not which host has which: 'qemu-pr-ctl keys "
                           "%s'. Guests do not need it.",
                           doctor->options->device);
            return;
        }
        if (answers_judge(doctor, finding))
            return;
    }
}
