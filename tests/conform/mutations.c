// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Faults of the logical unit, each like a departure of LIO, but another one: what departures.c
 * excuses must not excuse these. They are made behind the logical unit's back, once it has executed
 * a command.
 */
#include <string.h>

#include "base/bytes.h"
#include "conform.h"

static bool is_done(const struct comparison *c, uint8_t service_action)
{
    return c->step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT &&
           (c->step->cdb[1] & 0x1f) == service_action && c->unit->status == SPC_STATUS_GOOD;
}

static bool is_preempted(const struct comparison *c)
{
    return is_done(c, SPC_PROUT_PREEMPT) || is_done(c, SPC_PROUT_PREEMPT_AND_ABORT);
}

static bool has_flag(const struct comparison *c, uint8_t flag)
{
    return is_done(c, SPC_PROUT_REGISTER) && c->step->list[20] & flag;
}

static bool is_illegal(const struct answer *answer, struct spc_sense sense)
{
    return answer->status == SPC_STATUS_CHECK_CONDITION && answer->sense.asc == sense.asc &&
           answer->sense.ascq == sense.ascq;
}

static void attention_lost(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    for (unsigned i = 0; is_preempted(c) && i < NEXUS_MAX; i++)
        lu->nexus[i].attentions = c->before->nexus[i].attentions;
}

static void attention_code(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    for (unsigned i = 0; is_preempted(c) && i < NEXUS_MAX; i++) {
        for (unsigned k = c->before->nexus[i].attentions; k < lu->nexus[i].attentions; k++)
            lu->nexus[i].attention[k].ascq = 0x03;
    }
}

/* The same port through the other target port hears of it, too. */
static void attention_through_all_ports(const struct comparison *c, struct lu *lu,
                                        struct answer *answer)
{
    (void)answer;
    for (unsigned i = 0; is_preempted(c) && i < NEXUS_MAX; i++) {
        if (lu->nexus[i].present && c->after->nexus[NAMESAKE(i)].attentions > 0)
            lu->nexus[NAMESAKE(i)].attentions = 0;
        else if (lu->nexus[i].present && i != c->step->nexus)
            lu_attention_raise(lu, i, SPC_REGISTRATIONS_PREEMPTED);
    }
}

static void access_for_all(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)lu;
    if (c->step->cdb[0] == SBC_WRITE_10 && c->before->registrations > 1 &&
        answer->status == SPC_STATUS_RESERVATION_CONFLICT)
        answer->status = SPC_STATUS_GOOD;
}

static void access_for_holder_only(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    const struct nexus *nexus = &c->nexuses->nexus[c->step->nexus];

    if (c->step->cdb[0] == SBC_WRITE_10 && lu->reserved &&
        find_registration(lu, &nexus->initiator, nexus->target_port) !=
            &lu->registration[lu->holder])
        answer->status = SPC_STATUS_RESERVATION_CONFLICT;
}

static void generation_of_unregistering(const struct comparison *c, struct lu *lu,
                                        struct answer *answer)
{
    (void)answer;
    if (lu->registrations < c->before->registrations && is_done(c, SPC_PROUT_REGISTER))
        lu->generation++;
}

static void generation_of_reserving(const struct comparison *c, struct lu *lu,
                                    struct answer *answer)
{
    (void)answer;
    if (is_done(c, SPC_PROUT_RESERVE))
        lu->generation++;
}

static void spec_i_pt_forgets(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (has_flag(c, 0x08) && !(c->step->list[20] & 0x04) &&
        lu->registrations > c->before->registrations + 1)
        lu->registrations--;
}

static void spec_i_pt_key(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (has_flag(c, 0x08) && lu->registrations > c->before->registrations + 1)
        lu->registration[lu->registrations - 1].key = 0x77;
}

static void transportid_code(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)lu;
    if (c->step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT && c->step->list_length > 24 &&
        is_illegal(answer, SPC_INVALID_FIELD_IN_PARAMETER_LIST))
        answer->sense = SPC_INVALID_FIELD_IN_CDB;
}

static void all_tg_pt_ignored(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)lu;
    if (has_flag(c, 0x04))
        answer->status = SPC_STATUS_BUSY;
}

/* A preempted registration that is not the last one stays. */
static void preempt_spares(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (is_preempted(c) && !lu->reserved && c->before->registrations > lu->registrations)
        lu->registration[lu->registrations++] =
            c->before->registration[c->before->registrations - 1];
}

/* Preempting what all registrants hold, by their key: the type changes. */
static void preempt_type(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (is_preempted(c) && lu->reserved && c->before->reserved && lu->type == c->before->type)
        lu->type = lu->type == SPC_TYPE_WRITE_EXCLUSIVE ? SPC_TYPE_EXCLUSIVE_ACCESS
                                                        : SPC_TYPE_WRITE_EXCLUSIVE;
}

static void move_stays(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (is_done(c, SPC_PROUT_REGISTER_AND_MOVE) && lu->registrations >= c->before->registrations)
        lu->holder = c->before->holder;
}

static void release_of_others(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (is_done(c, SPC_PROUT_RELEASE))
        lu->reserved = false;
}

static void release_code(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)c;
    (void)lu;
    if (is_illegal(answer, SPC_INVALID_RELEASE))
        answer->sense = SPC_INVALID_FIELD_IN_CDB;
}

static void clear_keeps(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)answer;
    if (is_done(c, SPC_PROUT_CLEAR))
        lu->registrations = c->before->registrations;
}

static void unregistered_code(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    if (c->step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT && lu->registrations == 0 &&
        answer->status == SPC_STATUS_RESERVATION_CONFLICT) {
        answer->status = SPC_STATUS_CHECK_CONDITION;
        answer->sense = SPC_INVALID_FIELD_IN_PARAMETER_LIST;
    }
}

static void cut_length(const struct comparison *c, struct lu *lu, struct answer *answer)
{
    (void)lu;
    if (c->step->cdb[0] == SPC_PERSISTENT_RESERVE_IN && answer->length > 8 &&
        answer->length < 8 + load_be32(answer->data + 4))
        answer->data[3] ^= 1;
}

const struct mutation mutations[] = {
    {"attention-lost", attention_lost},
    {"attention-code", attention_code},
    {"attention-through-all-ports", attention_through_all_ports},
    {"access-for-all", access_for_all},
    {"access-for-holder-only", access_for_holder_only},
    {"generation-of-unregistering", generation_of_unregistering},
    {"generation-of-reserving", generation_of_reserving},
    {"spec-i-pt-forgets", spec_i_pt_forgets},
    {"spec-i-pt-key", spec_i_pt_key},
    {"transportid-code", transportid_code},
    {"all-tg-pt-ignored", all_tg_pt_ignored},
    {"preempt-spares", preempt_spares},
    {"preempt-type", preempt_type},
    {"move-stays", move_stays},
    {"release-of-others", release_of_others},
    {"release-code", release_code},
    {"clear-keeps", clear_keeps},
    {"unregistered-code", unregistered_code},
    {"cut-length", cut_length},
};
const size_t n_mutations = sizeof(mutations) / sizeof(mutations[0]);
