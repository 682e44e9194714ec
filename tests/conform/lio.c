// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What LIO, as of Linux 6.1, has registered after commands that register others than the sender, by
 * rules of its own, as READ FULL STATUS then tells it:
 *
 * - Of a TransportID it reads protocol, format and text. The length is that of the text, no matter
 * what ADDITIONAL LENGTH says.
 * - SPEC_I_PT registers through the first target port. Who is registered there is left out, but not
 *   who is being registered by the same command: the sender, or one that is listed twice.
 * - ALL_TG_PT registers through the other target ports the name alone, without ISID, whether or not
 *   that or a port of that name is registered there.
 */
#include <string.h>

#include "base/bytes.h"
#include "conform.h"
#include "scsi/prin.h"

#define FORMAT_MASK    0xc0
#define FORMAT_DEVICE  0x00
#define FORMAT_PORT    0x40
#define PROTOCOL_MASK  0x0f
#define PROTOCOL_ISCSI 0x05
#define NAME_AT        4
#define ISID_SEPARATOR ",i,0x"
#define SPEC_I_PT_PORT 1
#define OUTCOME_MAX    (LU_REGISTRATION_MAX + 64)

struct outcome {
    struct prin_registrant registrant[OUTCOME_MAX];
    size_t count;
};

const struct lu_registration *find_registration(const struct lu *lu, const struct transportid *id,
                                                uint16_t target_port)
{
    for (size_t i = 0; i < lu->registrations; i++) {
        const struct lu_registration *registration = &lu->registration[i];

        if (registration->target_port == target_port &&
            transportid_equal(&registration->initiator, id))
            return registration;
    }
    return NULL;
}

static bool holds(const struct lu *lu, size_t registration)
{
    return lu->reserved && (spc_type_is_all_registrants(lu->type) || registration == lu->holder);
}

static void outcome_hold(struct outcome *outcome, size_t at, const struct lu *lu, bool holder)
{
    outcome->registrant[at].holder = holder;
    outcome->registrant[at].type = holder ? lu->type : 0;
}

static struct outcome *outcome_begin(const struct lu *before)
{
    static struct outcome outcome;

    outcome.count = before->registrations;
    for (size_t i = 0; i < before->registrations; i++) {
        outcome.registrant[i] = (struct prin_registrant){
            .key = before->registration[i].key,
            .relative_target_port = before->registration[i].target_port,
            .transportid = before->registration[i].initiator,
        };
        outcome_hold(&outcome, i, before, holds(before, i));
    }
    return &outcome;
}

static size_t outcome_find(const struct outcome *outcome, const struct transportid *id,
                           uint16_t port)
{
    size_t i = 0;

    while (i < outcome->count && (outcome->registrant[i].relative_target_port != port ||
                                  !transportid_equal(&outcome->registrant[i].transportid, id)))
        i++;
    return i;
}

static void outcome_add(struct outcome *outcome, const struct lu *before,
                        const struct transportid *id, uint16_t port, uint64_t key, bool all_tg_pt)
{
    if (outcome->count == OUTCOME_MAX)
        return;
    outcome->registrant[outcome->count] = (struct prin_registrant){
        .key = key,
        .all_tg_pt = all_tg_pt,
        .relative_target_port = all_tg_pt ? 0 : port,
        .transportid = *id,
    };
    outcome_hold(outcome, outcome->count++, before,
                 before->reserved && spc_type_is_all_registrants(before->type));
}

static void outcome_remove(struct outcome *outcome, size_t at)
{
    outcome->count--;
    memmove(&outcome->registrant[at], &outcome->registrant[at + 1],
            (outcome->count - at) * sizeof(outcome->registrant[0]));
}

static bool outcome_is(const struct outcome *outcome, const struct answer *state)
{
    static uint8_t data[DATA_MAX];
    struct writer writer = prin_list_begin(data, sizeof(data), 0);
    size_t length;

    for (size_t i = 0; i < outcome->count; i++)
        prin_registrant_add(&writer, &outcome->registrant[i]);
    length = prin_list_end(&writer);
    return length == state->length && memcmp(data + 4, state->data + 4, length - 4) == 0;
}

/* The next TransportID as LIO reads it; false at the end and for what it refuses. */
static bool read_transportid(struct reader *reader, struct transportid *ret)
{
    const uint8_t *bytes = reader->bytes + reader->offset;
    size_t left = reader_left(reader), size;
    const uint8_t *end = left > NAME_AT ? memchr(bytes + NAME_AT, 0, left - NAME_AT) : NULL;
    bool port;

    if (!end || (bytes[0] & PROTOCOL_MASK) != PROTOCOL_ISCSI)
        return false;
    port = (bytes[0] & FORMAT_MASK) == FORMAT_PORT;
    if (!port && (bytes[0] & FORMAT_MASK) != FORMAT_DEVICE)
        return false;
    if (port != (strstr((const char *)bytes + NAME_AT, ISID_SEPARATOR) != NULL))
        return false;
    size = ((size_t)(end - bytes) + 1 + 3) / 4 * 4;
    return reader_take(reader, size) && transportid_iscsi((const char *)bytes + NAME_AT, ret);
}

static void name_of(const struct transportid *port, struct transportid *ret)
{
    char name[TRANSPORTID_SIZE_MAX];

    memcpy(name, port->bytes + NAME_AT, sizeof(name) - NAME_AT);
    name[strcspn(name, ",")] = '\0';
    transportid_iscsi(name, ret);
}

static void add_all(struct outcome *outcome, const struct comparison *c,
                    const struct transportid *id, uint16_t port, bool all_tg_pt)
{
    uint64_t key = load_be64(c->step->list + 8);
    struct transportid name;

    outcome_add(outcome, c->before, id, port, key, all_tg_pt);
    name_of(id, &name);
    for (uint16_t other = 1; all_tg_pt && other <= c->nexuses->target_ports; other++) {
        if (other != port)
            outcome_add(outcome, c->before, &name, other, key, true);
    }
}

bool lio_registered(const struct comparison *c, bool all_tg_pt, bool spec_i_pt)
{
    const struct nexus *nexus = &c->nexuses->nexus[c->step->nexus];
    struct outcome *outcome = outcome_begin(c->before);
    struct reader reader = reader_over(c->step->list + PROUT_SPEC_I_PT_SIZE,
                                       c->step->list_length - PROUT_SPEC_I_PT_SIZE);
    struct transportid id;

    add_all(outcome, c, &nexus->initiator, nexus->target_port, all_tg_pt);
    while (spec_i_pt && reader_left(&reader) > 0) {
        if (!read_transportid(&reader, &id))
            return false;
        if (!find_registration(c->before, &id, SPEC_I_PT_PORT))
            add_all(outcome, c, &id, SPEC_I_PT_PORT, all_tg_pt);
    }
    return outcome_is(outcome, c->target_state);
}

bool lio_moved(const struct comparison *c)
{
    const struct nexus *nexus = &c->nexuses->nexus[c->step->nexus];
    const uint8_t *list = c->step->list;
    struct outcome *outcome = outcome_begin(c->before);
    struct reader reader = reader_over(list + PROUT_SIZE, c->step->list_length - PROUT_SIZE);
    struct transportid id;
    size_t to;

    if (!read_transportid(&reader, &id))
        return false;
    outcome_hold(outcome, c->before->holder, c->before, false);
    to = outcome_find(outcome, &id, load_be16(list + 18));
    if (to == outcome->count)
        outcome_add(outcome, c->before, &id, load_be16(list + 18), 0, false);
    outcome->registrant[to].key = load_be64(list + 8);
    outcome_hold(outcome, to, c->before, true);
    if (list[17] & 0x02) /* UNREG */
        outcome_remove(outcome, outcome_find(outcome, &nexus->initiator, nexus->target_port));
    return outcome_is(outcome, c->target_state);
}

bool lio_preempted_others(const struct comparison *c)
{
    const struct nexus *nexus = &c->nexuses->nexus[c->step->nexus];
    struct outcome *outcome = outcome_begin(c->before);
    uint64_t key = load_be64(c->step->list + 8);

    for (size_t i = outcome->count; i-- > 0;) {
        if (outcome->registrant[i].key == key &&
            i != outcome_find(outcome, &nexus->initiator, nexus->target_port))
            outcome_remove(outcome, i);
    }
    return outcome_is(outcome, c->target_state);
}
