// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where LIO, as of Linux 6.1, departs from the standard: one entry each, with the clause, and a
 * predicate that lets through nothing but that.
 *
 * Where LIO registers others than the sender it is not enough to see that it differs: what it then
 * has registered must be, byte for byte, what these rules of its own come to (struct outcome).
 * Nexuses that LIO cannot tell apart are seen with the help of namesakes: see conform.h.
 *
 * All in one file, however long, so that the list and what it excuses can be read in one go.
 */
#include <string.h>

#include "base/bytes.h"
#include "conform.h"

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

    return find_registration(c->before, &nexus->initiator, nexus->target_port);
}

static bool all_registrants(const struct comparison *c)
{
    return c->before->reserved && spc_type_is_all_registrants(c->before->type);
}

static bool holds(const struct comparison *c, size_t registration)
{
    return c->before->reserved && (all_registrants(c) || registration == c->before->holder);
}

static bool is_holder(const struct comparison *c)
{
    const struct lu_registration *own = sender(c);

    return own && holds(c, (size_t)(own - c->before->registration));
}

static bool is_register(const struct comparison *c)
{
    return is_out(c) && (action(c) == SPC_PROUT_REGISTER ||
                         action(c) == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY);
}

static bool is_move(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_REGISTER_AND_MOVE;
}

static bool is_bad_scope(const struct comparison *c)
{
    return (is_preempt(c) || (is_out(c) && action(c) == SPC_PROUT_RESERVE)) && c->step->cdb[2] >> 4;
}

static bool is_bad_type(const struct comparison *c)
{
    return (is_preempt(c) || (is_out(c) && action(c) == SPC_PROUT_RESERVE)) &&
           !spc_type_is_valid(c->step->cdb[2] & 0x0f);
}

/*
 * Whether the target did what the standard asks of another command: `edited`, executed in the state
 * `before`. PRGENERATION plays no part.
 */
static bool is_as_if(const struct comparison *c, const struct lu *before, const struct step *edited)
{
    static struct lu scratch;
    static uint8_t data[8192];
    uint8_t cdb[CDB_SIZE];
    struct lu_result result;

    scratch = *before;
    lu_execute(&scratch, edited->nexus, edited->cdb, edited->list, edited->list_length, NULL, 0,
               &result);
    if (result.status == SPC_STATUS_CHECK_CONDITION)
        return says(c->target, result.sense);
    if (result.status != SPC_STATUS_GOOD)
        return is(c->target, result.status);
    if (!is(c->target, SPC_STATUS_GOOD))
        return false;
    cdb_encode_prin(cdb, SPC_PRIN_READ_FULL_STATUS, sizeof(data));
    lu_execute(&scratch, edited->nexus, cdb, NULL, 0, data, sizeof(data), &result);
    return result.length == c->target_state->length &&
           memcmp(data + 4, c->target_state->data + 4, result.length - 4) == 0;
}

/* -- commands that end otherwise */

static bool unregistered(const struct comparison *c)
{
    return is_out(c) && !sender(c) && says(c->target, SPC_LU_COMMUNICATION_FAILURE_NOT_READY) &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT) &&
           (action(c) == SPC_PROUT_RESERVE || action(c) == SPC_PROUT_RELEASE ||
            action(c) == SPC_PROUT_CLEAR || action(c) == SPC_PROUT_REGISTER_AND_MOVE);
}

static bool release_type(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_RELEASE && is_holder(c) &&
           sender(c)->key == key(c) && c->step->cdb[2] != c->before->type &&
           is(c->target, SPC_STATUS_RESERVATION_CONFLICT) && says(c->unit, SPC_INVALID_RELEASE);
}

static bool release_key(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_RELEASE && sender(c) && !is_holder(c) &&
           sender(c)->key != key(c) && is(c->target, SPC_STATUS_GOOD) &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
}

static bool replace_lost(const struct comparison *c)
{
    return is_out(c) && action(c) == SPC_PROUT_REPLACE_LOST_RESERVATION && c->before->reserved &&
           sender(c) && !is_holder(c) && is(c->target, SPC_STATUS_RESERVATION_CONFLICT) &&
           says(c->unit, SPC_INVALID_FIELD_IN_CDB);
}

static bool preempt_nothing(const struct comparison *c)
{
    return is_preempt(c) && !c->before->reserved && sender(c) && sender(c)->key == key(c) &&
           action_key(c) == 0 && says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
}

static bool scope_code(const struct comparison *c)
{
    return is_bad_scope(c) && sender(c) && sender(c)->key == key(c) &&
           says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) &&
           says(c->unit, SPC_INVALID_FIELD_IN_CDB);
}

/* Not where it takes a reservation: then the logical unit judges them too. */
static bool preempt_scope(const struct comparison *c)
{
    bool takes = c->before->reserved && sender(c) && sender(c)->key == key(c) &&
                 action_key(c) ==
                     (all_registrants(c) ? 0 : c->before->registration[c->before->holder].key);

    return is_preempt(c) && !takes && c->unit->sense.key != SPC_SENSE_UNIT_ATTENTION &&
           ((is_bad_type(c) && says(c->target, SPC_INVALID_FIELD_IN_CDB)) ||
            (is_bad_scope(c) && sender(c) && sender(c)->key == key(c) &&
             says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST)));
}

/* Whether another port of the sender's name holds the reservation; LIO takes it for the sender. */
static bool namesake_holds(const struct comparison *c)
{
    const struct lu_nexus *other = &c->before->nexus[NAMESAKE(c->step->nexus)];
    const struct lu_registration *namesake = find_registration(c->before, &other->initiator,
                                                               other->target_port);

    return namesake && holds(c, (size_t)(namesake - c->before->registration));
}

/* The list or the type is so wrong that LIO says it without looking at the key. */
static bool is_malformed(const struct comparison *c)
{
    uint32_t length = c->step->list_length;

    if (says(c->target, SPC_PARAMETER_LIST_LENGTH_ERROR))
        return length < PROUT_SIZE || (length != PROUT_SIZE && !is_move(c) && !has_spec_i_pt(c));
    if (says(c->target, SPC_INVALID_FIELD_IN_CDB))
        return is_bad_type(c) || action(c) > SPC_PROUT_REGISTER_AND_MOVE;
    return says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) && has_spec_i_pt(c);
}

/* What is wrong with the command of one whose key is right, but whom the reservation excludes. */
static bool is_refused(const struct comparison *c)
{
    return sender(c) && sender(c)->key == key(c) &&
           says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST) && (is_bad_scope(c) || is_move(c));
}

/*
 * The reservation excludes a command, and LIO lets it get further: of a registrant, if the type
 * lets it write; of one of whose name another port is registered or holds the reservation.
 */
static bool conflict_last(const struct comparison *c)
{
    bool further = namesake_holds(c) || (!sender(c) && c->registered_by_name) ||
                   (sender(c) && c->before->type > SPC_TYPE_EXCLUSIVE_ACCESS &&
                    (action(c) == SPC_PROUT_RESERVE || is_move(c)));

    return is_out(c) && c->before->reserved && further &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT) && (is_malformed(c) || is_refused(c));
}

static bool attention_first(const struct comparison *c)
{
    const struct lu_nexus *nexus = &c->before->nexus[c->step->nexus];

    return !is_in(c) && nexus->attentions > 0 && says(c->target, nexus->attention[0]) &&
           is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
}

static bool precedence(const struct comparison *c)
{
    return attention_first(c) || conflict_last(c);
}

/* -- PRGENERATION */

/* After a PERSISTENT RESERVE OUT that both executed: the same registrations and reservation. */
static bool generation(const struct comparison *c)
{
    size_t length = c->unit_state->length;
    size_t added = c->after->registrations > c->before->registrations
                       ? c->after->registrations - c->before->registrations
                       : 0;

    return is_register(c) && c->same_answer && !c->same_state &&
           c->after->registrations != c->before->registrations &&
           c->target_state->length == length &&
           memcmp(c->target_state->data + 4, c->unit_state->data + 4, length - 4) == 0 &&
           load_be32(c->target_state->data) == c->before->generation + added &&
           load_be32(c->unit_state->data) == c->before->generation + 1;
}

/* -- reservations of all registrants */

/* As if one with the key that is preempted held the reservation alone. */
static bool preempt_alone(const struct comparison *c)
{
    static struct lu alone;

    if (action_key(c) == 0)
        return false;
    alone = *c->before;
    alone.type = SPC_TYPE_WRITE_EXCLUSIVE;
    while (alone.holder < alone.registrations &&
           alone.registration[alone.holder].key != action_key(c))
        alone.holder++;
    return alone.holder < alone.registrations && is_as_if(c, &alone, c->step);
}

static bool one_of_all(const struct comparison *c)
{
    if (!all_registrants(c))
        return false;
    if (is_preempt(c))
        return is(c->target, SPC_STATUS_GOOD) && is(c->unit, SPC_STATUS_GOOD) && !c->same_state &&
               ((sender(c)->key == action_key(c) && lio_preempted_others(c)) || preempt_alone(c));
    return is_out(c) && action(c) > SPC_PROUT_REGISTER_AND_MOVE && sender(c) &&
           c->before->registrations > 1 && is(c->target, SPC_STATUS_RESERVATION_CONFLICT) &&
           c->unit->sense.key == SPC_SENSE_ILLEGAL_REQUEST;
}

/* -- registering others */

static bool has_device(const struct comparison *c)
{
    struct transportid id;
    struct prout prout;

    if (prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK)
        return false;
    while (prout_transportid_next(&prout, &id)) {
        if (id.kind == TRANSPORTID_ISCSI_DEVICE)
            return true;
    }
    return false;
}

/* Whether the list has a TransportID that is malformed, or one without ISID. */
static bool has_odd_transportid(const struct comparison *c)
{
    struct prout prout;

    if (!(has_spec_i_pt(c) && action(c) == SPC_PROUT_REGISTER) && !is_move(c))
        return false;
    return has_device(c) ||
           prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK;
}

/* The sender's own TransportID is in the list, or the same one twice. */
static bool is_listed_twice(const struct comparison *c)
{
    struct transportid ids[LIST_MAX / TRANSPORTID_SIZE + 1];
    struct prout prout;
    size_t count = 1;

    if (prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK)
        return false;
    ids[0] = c->nexuses->nexus[c->step->nexus].initiator;
    for (; prout_transportid_next(&prout, &ids[count]); count++) {
        for (size_t i = 0; i < count; i++) {
            if (transportid_equal(&ids[i], &ids[count]))
                return true;
        }
    }
    return false;
}

/* Whether it registers whom LIO's own rules say. */
static bool is_registered_so(const struct comparison *c)
{
    return is_register(c) && !sender(c) && action_key(c) != 0 &&
           (key(c) == 0 || action(c) != SPC_PROUT_REGISTER) && is(c->target, SPC_STATUS_GOOD) &&
           lio_registered(c, has_all_tg_pt(c), has_spec_i_pt(c));
}

static bool transportids(const struct comparison *c)
{
    const struct lu_registration *own = sender(c);

    if (!has_odd_transportid(c))
        return false;
    if (is_move(c))
        return own && own->key == key(c) && says(c->unit, SPC_INVALID_FIELD_IN_PARAMETER_LIST) &&
               (c->before->reserved ? is(c->target, SPC_STATUS_GOOD) && is_holder(c) && lio_moved(c)
                                    : says(c->target, SPC_INVALID_FIELD_IN_CDB));
    if (is(c->unit, SPC_STATUS_GOOD))
        return has_device(c) && says(c->target, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
    /* Of one who is not registered and registers nothing they are not looked at. */
    return says(c->unit, SPC_INVALID_FIELD_IN_PARAMETER_LIST) && is(c->target, SPC_STATUS_GOOD) &&
           (!own && key(c) == 0 && action_key(c) == 0 ? c->same_state : is_registered_so(c));
}

/* A port in the list is registered already, through a target port that the command is about. */
static bool is_listed_registered(const struct comparison *c)
{
    uint16_t own = c->nexuses->nexus[c->step->nexus].target_port;
    struct transportid id;
    struct prout prout;

    if (prout_decode(action(c), c->step->list, c->step->list_length, &prout) != PROUT_OK)
        return false;
    while (prout_transportid_next(&prout, &id)) {
        for (uint16_t port = 1; port <= c->before->target_ports; port++) {
            if ((port == own || has_all_tg_pt(c)) && find_registration(c->before, &id, port))
                return true;
        }
    }
    return false;
}

static bool spec_i_pt(const struct comparison *c)
{
    if (!has_spec_i_pt(c) || has_all_tg_pt(c) || !is_registered_so(c))
        return false;
    if (says(c->unit, SPC_INVALID_FIELD_IN_PARAMETER_LIST))
        return is_listed_registered(c);
    return is(c->unit, SPC_STATUS_GOOD) &&
           (c->nexuses->nexus[c->step->nexus].target_port != 1 || is_listed_twice(c));
}

static bool all_tg_pt(const struct comparison *c)
{
    struct step edited = *c->step;

    if (!is_register(c) || !has_all_tg_pt(c))
        return false;
    if (!is(c->unit, SPC_STATUS_GOOD) && !is(c->unit, SPC_STATUS_RESERVATION_CONFLICT) &&
        !(says(c->unit, SPC_INVALID_FIELD_IN_PARAMETER_LIST) && has_spec_i_pt(c) &&
          is_listed_registered(c)))
        return false;
    if (is_registered_so(c))
        return true;
    edited.list[20] &= (uint8_t)~0x04;
    return is_as_if(c, c->before, &edited);
}

/* -- ports of one name */

static bool attention_by_name(const struct comparison *c)
{
    const struct lu_nexus *namesake = &c->before->nexus[NAMESAKE(c->step->nexus)];

    for (unsigned i = 0; i < namesake->attentions; i++) {
        if (says(c->target, namesake->attention[i]))
            return !is_in(c) || !is(c->unit, SPC_STATUS_RESERVATION_CONFLICT);
    }
    return false;
}

/*
 * LIO keeps in mind for each name and target port whether it is registered: what was said last of
 * any of its ports. Of the holder's ISID it compares the first eight digits.
 */
static bool lets(const struct comparison *c)
{
    uint8_t type = c->before->type;

    if (c->registered_by_name && type > SPC_TYPE_EXCLUSIVE_ACCESS)
        return true;
    return !spc_type_is_exclusive_access(type) && c->step->cdb[0] == SBC_READ_10;
}

static bool access_by_name(const struct comparison *c)
{
    bool good = is(c->target, SPC_STATUS_GOOD);

    if (!c->before->reserved || is_in(c) || is_out(c) || good == is(c->unit, SPC_STATUS_GOOD) ||
        (!good && !is(c->target, SPC_STATUS_RESERVATION_CONFLICT)))
        return false;
    if (good && namesake_holds(c))
        return true;
    return c->registered_by_name != !!sender(c) && good == lets(c);
}

/* A registrant whose namesake was unregistered is none any more. */
static bool excluded_by_name(const struct comparison *c)
{
    return is_out(c) && !is_register(c) && c->before->reserved && sender(c) &&
           !c->registered_by_name && (!is_holder(c) || all_registrants(c)) &&
           is(c->target, SPC_STATUS_RESERVATION_CONFLICT) &&
           c->unit->sense.key != SPC_SENSE_UNIT_ATTENTION;
}

static bool by_name(const struct comparison *c)
{
    return attention_by_name(c) || access_by_name(c) || excluded_by_name(c);
}

/* -- PERSISTENT RESERVE IN */

static bool clear_aptpl(const struct comparison *c)
{
    return is_in(c) && action(c) == SPC_PRIN_REPORT_CAPABILITIES && c->before->aptpl &&
           c->before->registrations == 0 && c->target->length >= 4 &&
           c->target->length == c->unit->length && memcmp(c->target->data, c->unit->data, 3) == 0 &&
           (c->target->data[3] ^ c->unit->data[3]) == 0x01 &&
           memcmp(c->target->data + 4, c->unit->data + 4, c->unit->length - 4) == 0;
}

/* The unit's data was cut: the target's agrees up to where it leaves something out, or zeros. */
static bool is_cut(const struct comparison *c)
{
    size_t i = 8, length = c->target->length;

    if (!is(c->target, SPC_STATUS_GOOD) || !is(c->unit, SPC_STATUS_GOOD) || length < 8 ||
        length > c->unit->length || c->unit->length >= 8 + load_be32(c->unit->data + 4) ||
        memcmp(c->target->data, c->unit->data, 4) != 0)
        return false;
    while (i < length && c->target->data[i] == c->unit->data[i])
        i++;
    while (i < length && c->target->data[i] == 0)
        i++;
    return i == length;
}

static bool allocation_length(const struct comparison *c)
{
    if (!is_in(c) || action(c) > SPC_PRIN_READ_FULL_STATUS)
        return false;
    if (load_be16(c->step->cdb + 7) < 8)
        return says(c->target, SPC_INVALID_FIELD_IN_CDB) && is(c->unit, SPC_STATUS_GOOD);
    if (!is_cut(c))
        return false;
    return action(c) == SPC_PRIN_READ_FULL_STATUS
               ? load_be32(c->target->data + 4) < load_be32(c->unit->data + 4)
               : load_be32(c->target->data + 4) == load_be32(c->unit->data + 4);
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
    [DEPARTURE_NAMES] = {"SPC-4 5.13.1, I_T nexuses",
                         "who has access and who is told is a name: its ports are not told apart",
                         by_name, false},
    {"SAM-5 5.3, Status precedence",
     "RESERVATION CONFLICT comes last: after unit attentions; for registrants after other errors",
     precedence, false},
    {"SPC-4 5.13.1, unregistered I_T nexuses",
     "RESERVE, RELEASE, CLEAR, REGISTER AND MOVE without a registration end with 2/08/00",
     unregistered, false},
    {"SPC-4 5.13.5, APTPL", "CLEAR deactivates persistence", clear_aptpl, false},
    {"SPC-4 5.13.11.2.2, Releasing",
     "RELEASE with another scope or type than the reservation's: a conflict, not 5/26/04",
     release_type, false},
    {"SPC-4 5.13.11.2.2, Releasing", "RELEASE does not look at the key of one who is no holder",
     release_key, false},
    {"SPC-4 5.13.10, all registrants",
     "only one of them counts as the holder, and PREEMPT spares its sender", one_of_all, false},
    {"SPC-4 5.13.1, REPLACE LOST RESERVATION",
     "conflicts with a reservation that another one holds", replace_lost, false},
    {"SPC-4 5.13.11.2.4, Preempting",
     "PREEMPT of key 0 without a reservation: 5/26/00, not a conflict", preempt_nothing, false},
    {"SPC-4 5.13.11.2.5, Removing registrations",
     "PREEMPT judges scope and type also where it takes no reservation", preempt_scope, false},
    {"SPC-4 6.15.2, PRGENERATION", "counts registrations that are made, not commands", generation,
     true},
    {"SPC-4 6.16.2, SCOPE", "an unknown scope, which is in the CDB: 5/26/00, not 5/24/00",
     scope_code, false},
    {"SPC-4 7.6.4.6, iSCSI", "malformed TransportIDs are taken, those without ISID refused",
     transportids, false},
    {"SPC-4 6.16.3, SPEC_I_PT",
     "registers through the first target port, not the command's own; some of them twice, and some "
     "that are registered",
     spec_i_pt, false},
    {"SPC-4 6.16.3, ALL_TG_PT",
     "through other ports the name is registered, and what is there not judged or changed",
     all_tg_pt, false},
    {"SPC-4 4.2.5.6, ALLOCATION LENGTH",
     "too short a one is an error (below 8), or changes what is sent", allocation_length, false},
};
const size_t n_departures = sizeof(departures) / sizeof(departures[0]);

size_t departure_find(const struct comparison *comparison)
{
    size_t i = 0;

    while (i < n_departures && !departures[i].explains(comparison))
        i++;
    return i;
}
