// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where LIO, as of Linux 6.1, departs from the standard: one entry each, with the clause, and a
 * predicate that lets through nothing but that. All in one file, however long, so that the list and
 * what it excuses can be read in one go.
 */
#include <string.h>

#include "base/bytes.h"
#include "conform.h"
#include "scsi/prin.h"

/* -- words for the predicates */

static bool is_in(const struct comparison *c)
{
    return c->step->cdb[0] == SPC_PERSISTENT_RESERVE_IN;
}

static bool is_out(const struct comparison *c)
{
    return c->step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
}

static uint8_t action(const struct comparison *c)
{
    return c->step->cdb[1] & 0x1f;
}

static bool is(const struct answer *answer, uint8_t status)
{
    return answer->status == status;
}

static bool says(const struct answer *answer, struct spc_sense sense)
{
    return answer->status == SPC_STATUS_CHECK_CONDITION && answer->sense.key == sense.key &&
           answer->sense.asc == sense.asc && answer->sense.ascq == sense.ascq;
}

static uint64_t key(const struct comparison *c)
{
    return c->step->list_length < 8 ? 0 : load_be64(c->step->list);
}

static uint64_t action_key(const struct comparison *c)
{
    return c->step->list_length < 16 ? 0 : load_be64(c->step->list + 8);
}

static bool flag(const struct comparison *c, uint8_t bit)
{
    return is_out(c) && action(c) != SPC_PROUT_REGISTER_AND_MOVE && c->step->list_length > 20 &&
           c->step->list[20] & bit;
}

static bool has_spec_i_pt(const struct comparison *c)
{
    return flag(c, 0x08);
}

static bool has_all_tg_pt(const struct comparison *c)
{
    return flag(c, 0x04);
}

static bool is_preempt(const struct comparison *c)
{
    return is_out(c) &&
           (action(c) == SPC_PROUT_PREEMPT || action(c) == SPC_PROUT_PREEMPT_AND_ABORT);
}

/* The registration of the nexus that sent the command, or NULL. */
static const struct lu_registration *sender(const struct comparison *c)
{
    const struct nexus *nexus = &c->nexuses->nexus[c->step->nexus];

    for (size_t i = 0; i < c->before->registrations; i++) {
        const struct lu_registration *registration = &c->before->registration[i];

        if (registration->target_port == nexus->target_port &&
            transportid_equal(&registration->initiator, &nexus->initiator))
            return registration;
    }
    return NULL;
}

static bool all_registrants(const struct comparison *c)
{
    return c->before->reserved && spc_type_is_all_registrants(c->before->type);
}

static bool is_holder(const struct comparison *c)
{
    const struct lu_registration *own = sender(c);

    return own && c->before->reserved &&
           (all_registrants(c) || own == &c->before->registration[c->before->holder]);
}

/* -- the departures */

static bool unregistered(const struct comparison *c)
{
    return is_out(c) && !sender(c) && says(c->target, SPC_LU_COMMUNICATION_FAILURE_NOT_READY) &&
           !is(c->unit, SPC_STATUS_GOOD) &&
           (action(c) == SPC_PROUT_RESERVE || action(c) == SPC_PROUT_RELEASE ||
            action(c) == SPC_PROUT_CLEAR || action(c) == SPC_PROUT_REGISTER_AND_MOVE);
}

static bool release_type(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_RELEASE && is_holder(c) &&
           is(c->target, SPC_STATUS_RESERVATION_CONFLICT) && says(c->unit, SPC_INVALID_RELEASE);
}

static bool release_key(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_RELEASE && sender(c) && !is_holder(c) &&
           sender(c)->key != key(c) && is(c->target, SPC_STATUS_GOOD) &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
}

/* The unit's data was cut: the target's agrees up to where it leaves something out, or zeros. */
static bool is_cut(const struct comparison *c)
{
    size_t i = 8, length = c->target->length;

    if (!is_in(c) || !is(c->target, SPC_STATUS_GOOD) || !is(c->unit, SPC_STATUS_GOOD) ||
        length < 8 || length > c->unit->length ||
        c->unit->length >= 8 + load_be32(c->unit->data + 4) ||
        memcmp(c->target->data, c->unit->data, 4) != 0)
        return false;
    while (i < length && c->target->data[i] == c->unit->data[i])
        i++;
    while (i < length && c->target->data[i] == 0)
        i++;
    return i == length;
}

static bool cut_full_status(const struct comparison *c)
{
    return is_cut(c) && action(c) == SPC_PRIN_READ_FULL_STATUS &&
           load_be32(c->target->data + 4) < load_be32(c->unit->data + 4);
}

static bool cut_others(const struct comparison *c)
{
    return is_cut(c) && action(c) != SPC_PRIN_READ_FULL_STATUS &&
           load_be32(c->target->data + 4) == load_be32(c->unit->data + 4);
}

static bool short_allocation(const struct comparison *c)
{
    return is_in(c) && action(c) <= SPC_PRIN_READ_FULL_STATUS && load_be16(c->step->cdb + 7) < 8 &&
           says(c->target, SPC_INVALID_FIELD_IN_CDB) && is(c->unit, SPC_STATUS_GOOD);
}

/* After a PERSISTENT RESERVE OUT that both executed: the same registrations and reservation. */
static bool only_generation(const struct comparison *c)
{
    size_t length = c->unit->length;

    return !c->same_state && length >= 8 && c->target->length >= length &&
           memcmp(c->target->data, c->unit->data, 4) != 0 &&
           memcmp(c->target->data + 4, c->unit->data + 4, length - 4) == 0;
}

static bool is_register(const struct comparison *c)
{
    return is_out(c) && (action(c) == SPC_PROUT_REGISTER ||
                         action(c) == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY);
}

static bool unregister_generation(const struct comparison *c)
{
    return is_register(c) && only_generation(c) && sender(c) && action_key(c) == 0 &&
           load_be32(c->target->data) + 1 == load_be32(c->unit->data);
}

static bool many_generation(const struct comparison *c)
{
    return is_register(c) && only_generation(c) && !sender(c) && action_key(c) != 0 &&
           (has_spec_i_pt(c) || has_all_tg_pt(c)) &&
           load_be32(c->target->data) > load_be32(c->unit->data);
}

static bool is_bad_scope(const struct comparison *c)
{
    return (is_preempt(c) || action(c) == SPC_PROUT_RESERVE) && is_out(c) && c->step->cdb[2] >> 4;
}

static bool is_bad_type(const struct comparison *c)
{
    return (is_preempt(c) || action(c) == SPC_PROUT_RESERVE) && is_out(c) &&
           !spc_type_is_valid(c->step->cdb[2] & 0x0f);
}

static bool scope_code(const struct comparison *c)
{
    return is_bad_scope(c) && says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) &&
           !is(c->unit, SPC_STATUS_GOOD);
}

static bool preempt_scope(const struct comparison *c)
{
    return is_preempt(c) && is(c->unit, SPC_STATUS_GOOD) &&
           ((is_bad_scope(c) && says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST)) ||
            (is_bad_type(c) && says(c->target, SPC_INVALID_FIELD_IN_CDB)));
}

static bool unknown_action(const struct comparison *c)
{
    return is_out(c) && action(c) > SPC_PROUT_REGISTER_AND_MOVE && c->before->reserved &&
           (!is_holder(c) || all_registrants(c)) &&
           is(c->target, SPC_STATUS_RESERVATION_CONFLICT) &&
           says(c->unit, SPC_INVALID_FIELD_IN_CDB);
}

/* Whether it is one of the initiator names that LIO has an ACL for. */
static bool is_known(const struct comparison *c, const struct transportid *id)
{
    const char *name = (const char *)id->bytes + 4;

    if (id->kind != TRANSPORTID_ISCSI_PORT && id->kind != TRANSPORTID_ISCSI_DEVICE)
        return false;
    for (unsigned i = 0; i < c->nexuses->count; i++) {
        const char *initiator = (const char *)c->nexuses->nexus[i].initiator.bytes + 4;

        if (strcspn(name, ",") == strcspn(initiator, ",") &&
            strncmp(name, initiator, strcspn(name, ",")) == 0)
            return true;
    }
    return false;
}

/* Decode the parameter list; whether it is well formed and all of its initiators are known. */
static enum prout_result decode(const struct comparison *c, bool *ret_known, bool *ret_self)
{
    struct prout prout;
    struct transportid id;
    enum prout_result result = prout_decode(action(c), c->step->list, c->step->list_length, &prout);

    *ret_known = true;
    *ret_self = false;
    while (result == PROUT_OK && prout_transportid_next(&prout, &id)) {
        if (!is_known(c, &id))
            *ret_known = false;
        if (transportid_covers(&id, &c->nexuses->nexus[c->step->nexus].initiator))
            *ret_self = true;
    }
    return result;
}

static bool unknown_initiator(const struct comparison *c)
{
    bool known, self;

    return is_out(c) && decode(c, &known, &self) == PROUT_OK && !known &&
           says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) && is(c->unit, SPC_STATUS_GOOD);
}

/* More bytes than the length of the TransportIDs accounts for. */
static bool is_long(const struct comparison *c)
{
    const uint8_t *list = c->step->list;

    if (is_out(c) && action(c) == SPC_PROUT_REGISTER_AND_MOVE)
        return c->step->list_length > PROUT_SIZE + (uint64_t)load_be32(list + 20);
    return has_spec_i_pt(c) &&
           c->step->list_length > PROUT_SPEC_I_PT_SIZE + (uint64_t)load_be32(list + 24);
}

static bool long_list(const struct comparison *c)
{
    return is_long(c) && says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) &&
           is(c->unit, SPC_STATUS_GOOD);
}

/* Whether the target's error is one that this command deserves. */
static bool is_deserved(const struct comparison *c)
{
    uint32_t length = c->step->list_length;
    bool known, self, move = action(c) == SPC_PROUT_REGISTER_AND_MOVE;
    enum prout_result decoded = decode(c, &known, &self);

    if (is(c->target, SPC_STATUS_RESERVATION_CONFLICT))
        return !sender(c) || sender(c)->key != key(c) || (move && !is_holder(c));
    if (says(c->target, SPC_PARAMETER_LIST_LENGTH_ERROR))
        return length < PROUT_SIZE || (!move && !has_spec_i_pt(c) && length != PROUT_SIZE);
    if (says(c->target, SPC_INVALID_FIELD_IN_CDB))
        return is_bad_type(c) || action(c) > SPC_PROUT_REGISTER_AND_MOVE ||
               (move && !c->before->reserved);
    if (!says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST))
        return false;
    if (decoded == PROUT_BAD_FIELD || !known || is_long(c))
        return true;
    if (move)
        return action_key(c) == 0 || self || load_be16(c->step->list + 18) == 0 ||
               load_be16(c->step->list + 18) > c->nexuses->target_ports;
    return has_spec_i_pt(c) && (action(c) != SPC_PROUT_REGISTER || sender(c));
}

static bool several_faults(const struct comparison *c)
{
    return is_out(c) && !is(c->unit, SPC_STATUS_GOOD) &&
           c->unit->sense.key != SPC_SENSE_UNIT_ATTENTION && is_deserved(c);
}

static bool attention_first(const struct comparison *c)
{
    return !is_in(c) && c->before->nexus[c->step->nexus].attentions > 0 &&
           c->target->sense.key == SPC_SENSE_UNIT_ATTENTION &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
}

/*
 * Whether the target did what the standard asks of another command: `edited`, executed in the state
 * before. PRGENERATION plays no part.
 */
static bool is_as_if(const struct comparison *c, const struct step *edited)
{
    static struct lu scratch;
    static uint8_t data[8192];
    uint8_t cdb[CDB_SIZE];
    struct lu_result result;

    scratch = *c->before;
    lu_execute(&scratch, edited->nexus, edited->cdb, edited->list, edited->list_length, NULL, 0,
               &result);
    if (result.status != SPC_STATUS_GOOD || c->same_state)
        return result.status == c->target->status && c->same_state;
    cdb_encode_prin(cdb, SPC_PRIN_READ_FULL_STATUS, sizeof(data));
    lu_execute(&scratch, edited->nexus, cdb, NULL, 0, data, sizeof(data), &result);
    return result.length == c->target->length &&
           memcmp(data + 4, c->target->data + 4, result.length - 4) == 0;
}

/*
 * Behind the registrations that there were: the sender's, marked as one for all target ports, and
 * for the other ports its name, without ISID.
 */
static bool is_registered_by_name(const struct comparison *c)
{
    const struct transportid *own = &c->nexuses->nexus[c->step->nexus].initiator;
    struct prin_registrant registrant;
    struct prin_list list;
    size_t i = 0;

    if (c->same_state || prin_list_decode(c->target->data, c->target->length, &list) != PRIN_OK)
        return false;
    for (; prin_registrant_next(&list, &registrant) == PRIN_OK; i++) {
        const struct lu_registration *before = &c->before->registration[i];
        bool by_name = registrant.transportid.kind == TRANSPORTID_ISCSI_DEVICE;

        if (i < c->before->registrations) {
            if (registrant.key != before->key ||
                !transportid_equal(&registrant.transportid, &before->initiator))
                return false;
        } else if (registrant.key != action_key(c) || !registrant.all_tg_pt) {
            return false;
        } else if (!has_spec_i_pt(c) && (!transportid_covers(&registrant.transportid, own) ||
                                         by_name != (i > c->before->registrations))) {
            return false;
        }
    }
    return i > c->before->registrations;
}

static bool all_tg_pt_name(const struct comparison *c)
{
    return is_register(c) && has_all_tg_pt(c) && !sender(c) && is(c->target, SPC_STATUS_GOOD) &&
           (is(c->unit, SPC_STATUS_RESERVATION_CONFLICT) || is_registered_by_name(c));
}

static bool all_tg_pt_own(const struct comparison *c)
{
    struct step edited = *c->step;

    if (!is_register(c) || !has_all_tg_pt(c) || !is(c->target, SPC_STATUS_GOOD))
        return false;
    edited.list[20] &= (uint8_t)~0x04;
    return is_as_if(c, &edited);
}

/* The sender is still registered with the key that it preempted. */
static bool preempt_self(const struct comparison *c)
{
    struct prin_registrant registrant;
    struct prin_list list;

    if (!is_preempt(c) || !all_registrants(c) || !sender(c) || sender(c)->key != action_key(c) ||
        c->same_state || prin_list_decode(c->target->data, c->target->length, &list) != PRIN_OK)
        return false;
    while (prin_registrant_next(&list, &registrant) == PRIN_OK) {
        if (registrant.key == sender(c)->key &&
            registrant.relative_target_port == sender(c)->target_port &&
            transportid_equal(&registrant.transportid, &sender(c)->initiator))
            return true;
    }
    return false;
}

/* As if one with the key that is preempted held the reservation alone. */
static bool preempt_all_registrants(const struct comparison *c)
{
    static struct lu alone;
    struct comparison edited = *c;

    if (!is_preempt(c) || !all_registrants(c) || action_key(c) == 0 || c->same_state)
        return false;
    alone = *c->before;
    alone.type = SPC_TYPE_WRITE_EXCLUSIVE;
    while (alone.holder < alone.registrations &&
           alone.registration[alone.holder].key != action_key(c))
        alone.holder++;
    edited.before = &alone;
    return alone.holder < alone.registrations && is_as_if(&edited, c->step);
}

static bool scope_of_moved(const struct comparison *c)
{
    return c->moved && says(c->target, SPC_RESERVATIONS_RELEASED) &&
           c->unit->sense.key != SPC_SENSE_UNIT_ATTENTION;
}

static bool clear_aptpl(const struct comparison *c)
{
    return is_in(c) && action(c) == SPC_PRIN_REPORT_CAPABILITIES && c->before->aptpl &&
           c->before->registrations == 0 && c->target->length >= 4 && c->unit->length >= 4 &&
           (c->target->data[3] ^ c->unit->data[3]) == 0x01;
}

static bool spec_i_pt_port(const struct comparison *c)
{
    return has_spec_i_pt(c) && action(c) == SPC_PROUT_REGISTER && !c->same_state &&
           c->nexuses->nexus[c->step->nexus].target_port != 1;
}

/* A TransportID of format 00b is among those given. */
static bool device_format(const struct comparison *c)
{
    struct prout prout;
    struct transportid id;

    if (!is(c->target, SPC_STATUS_GOOD) && !says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST))
        return false;
    if (is_out(c) && action(c) == SPC_PROUT_REGISTER_AND_MOVE)
        return c->step->list_length > PROUT_SIZE && (c->step->list[24] & 0xc0) == 0;
    if (!has_spec_i_pt(c) || action(c) != SPC_PROUT_REGISTER ||
        prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK)
        return false;
    while (prout_transportid_next(&prout, &id)) {
        if (id.kind == TRANSPORTID_ISCSI_DEVICE)
            return true;
    }
    return false;
}

/* The sender's own TransportID is in the list, or the same one twice. */
static bool spec_i_pt_twice(const struct comparison *c)
{
    struct transportid ids[LIST_MAX / TRANSPORTID_SIZE];
    struct prout prout;
    size_t count = 1;

    if (!has_spec_i_pt(c) || action(c) != SPC_PROUT_REGISTER || c->same_state ||
        prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK)
        return false;
    ids[0] = c->nexuses->nexus[c->step->nexus].initiator;
    while (prout_transportid_next(&prout, &ids[count])) {
        for (size_t i = 0; i < count; i++) {
            if (transportid_equal(&ids[i], &ids[count]))
                return true;
        }
        count++;
    }
    return false;
}

static bool malformed_transportid(const struct comparison *c)
{
    struct prout prout;

    return ((has_spec_i_pt(c) && action(c) == SPC_PROUT_REGISTER) ||
            (is_out(c) && action(c) == SPC_PROUT_REGISTER_AND_MOVE)) &&
           prout_decode(action(c), c->step->list, c->step->list_length, &prout) ==
               PROUT_BAD_FIELD &&
           is(c->target, SPC_STATUS_GOOD) && says(c->unit, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
}

static bool attention_by_name(const struct comparison *c)
{
    return c->namesake && c->target->sense.key == SPC_SENSE_UNIT_ATTENTION;
}

static bool access_by_name(const struct comparison *c)
{
    return c->namesake && (c->step->cdb[0] == SBC_READ_10 || c->step->cdb[0] == SBC_WRITE_10);
}

/* Not seen in an answer of the same command: main.c looks for it. */
static bool never(const struct comparison *c)
{
    (void)c;
    return false;
}

const struct departure departures[] = {
    [DEPARTURE_ATTENTIONS] = {"SAM-5 5.14, Unit attention conditions",
                              "with the first unit attention reported, all others are forgotten",
                              never, false},
    {"SPC-4 5.13.1, unregistered I_T nexuses",
     "RESERVE, RELEASE, CLEAR, REGISTER AND MOVE without a registration end with 2/08/00",
     unregistered, false},
    {"SPC-4 5.13.11.2, Releasing",
     "RELEASE with another scope or type than the reservation's: a conflict, not 5/26/04",
     release_type, false},
    {"SPC-4 5.13.11.2, Releasing", "RELEASE does not look at the key of one who is no holder",
     release_key, false},
    {"SPC-4 6.15.2, PRGENERATION", "unregistering is not counted", unregister_generation, true},
    {"SPC-4 6.15.2, PRGENERATION", "SPEC_I_PT and ALL_TG_PT count once for each registration",
     many_generation, true},
    {"SPC-4 5.13.11.4.4, Removing registrations",
     "PREEMPT judges scope and type also where it takes no reservation", preempt_scope, false},
    {"SPC-4 5.13.11.4.4, Removing registrations",
     "PREEMPT of the own key, all registrants: the own registration stays", preempt_self, false},
    {"SPC-4 5.13.11.4.1, table of PREEMPT",
     "one of all registrants counts as the only holder, whose key preempts the reservation",
     preempt_all_registrants, false},
    {"SPC-4 6.16.2, SCOPE", "an unknown scope, which is in the CDB: 5/26/00, not 5/24/00",
     scope_code, false},
    {"SPC-4 6.16.2, SERVICE ACTION",
     "an unknown service action of one who is no holder: a conflict, not 5/24/00", unknown_action,
     false},
    {"SPC-4 6.16.3, SPEC_I_PT; 6.16.4",
     "initiators that it has no ACL for cannot be registered: 5/26/00", unknown_initiator, false},
    {"none: SPC-4 6.16.3, 6.16.4 only forbid a shorter list",
     "a list longer than its TransportIDs: 5/26/00", long_list, false},
    {"SPC-4 6.16.3, SPEC_I_PT", "registers through the first target port, not the command's own",
     spec_i_pt_port, false},
    {"SPC-4 7.6.4.6, iSCSI", "a TransportID without ISID is taken for a port, or refused",
     device_format, false},
    {"SPC-4 7.6.4.6, iSCSI", "malformed TransportIDs are taken, or not looked at",
     malformed_transportid, false},
    {"SPC-4 6.16.3, ALL_TG_PT", "through other ports the name is registered, without ISID",
     all_tg_pt_name, false},
    {"SPC-4 6.16.3, ALL_TG_PT", "the registrations through other ports are not judged or changed",
     all_tg_pt_own, false},
    {"SPC-4 6.16.3, SPEC_I_PT", "who is listed twice, or sent it and is listed, is there twice",
     spec_i_pt_twice, false},
    {"SPC-4 5.13.11, unit attentions", "another port of a registered initiator's name is told",
     attention_by_name, false},
    {"SPC-4 5.13.8, Registering and moving",
     "who moved a reservation away and gets it back has another scope: PREEMPT tells of a change",
     scope_of_moved, false},
    {"SPC-4 5.13.1, access", "another port of a registered initiator's name has access",
     access_by_name, false},
    {"SPC-4 5.13.5, APTPL", "CLEAR deactivates persistence", clear_aptpl, false},
    {"SAM-5 5.3, Status precedence", "a unit attention comes before RESERVATION CONFLICT",
     attention_first, false},
    {"none: SPC leaves the order open", "of several faults another one is reported", several_faults,
     false},
    {"SPC-4 4.2.5.6, ALLOCATION LENGTH",
     "READ FULL STATUS: a short allocation length changes the ADDITIONAL LENGTH", cut_full_status,
     false},
    {"SPC-4 4.2.5.6, ALLOCATION LENGTH",
     "READ KEYS, READ RESERVATION: what does not fit whole is left out", cut_others, false},
    {"SPC-4 4.2.5.6, ALLOCATION LENGTH", "PERSISTENT RESERVE IN: below 8 an error",
     short_allocation, false},
};
const size_t n_departures = sizeof(departures) / sizeof(departures[0]);

size_t departure_find(const struct comparison *comparison)
{
    size_t i = 0;

    while (i < n_departures && !departures[i].explains(comparison))
        i++;
    return i;
}
