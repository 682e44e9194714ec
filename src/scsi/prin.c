// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Three of the four answers start with PRGENERATION and ADDITIONAL LENGTH, the number of bytes that
 * follow in the full answer. The number of bytes that came may be smaller (allocation length) or
 * greater (not counted); the walk covers the smaller of the two and remembers which it was: a
 * list that stops in the middle of an entry is TRUNCATED if the bytes ran out, and MALFORMED if the
 * device server's own length did.
 */
#include "scsi/prin.h"

/* Full status descriptor, SPC-4 6.15.5. */
#define DESCRIPTOR_SIZE      24
#define DESCRIPTOR_R_HOLDER  0x01
#define DESCRIPTOR_ALL_TG_PT 0x02

/* READ RESERVATION: bytes that follow the header while there is a reservation. */
#define RESERVATION_LENGTH (PRIN_RESERVATION_SIZE - PRIN_HEADER_SIZE)

/* REPORT CAPABILITIES, bytes 2 and 3. */
#define CAPABILITY_RLR_C     0x80
#define CAPABILITY_CRH       0x10
#define CAPABILITY_SIP_C     0x08
#define CAPABILITY_ATP_C     0x04
#define CAPABILITY_PTPL_C    0x01
#define CAPABILITY_TMV       0x80
#define CAPABILITY_PTPL_A    0x01
#define ALLOW_COMMANDS_SHIFT 4
#define ALLOW_COMMANDS_MASK  0x07

enum prin_result prin_list_decode(const uint8_t *data, size_t length, struct prin_list *ret)
{
    struct reader reader = reader_over(data, length);
    uint32_t generation = reader_be32(&reader);
    uint32_t additional = reader_be32(&reader);

    if (!reader_ok(&reader))
        return PRIN_TRUNCATED;

    *ret = (struct prin_list){
        .generation = generation,
        .needed = (uint64_t)PRIN_HEADER_SIZE + additional,
        .reader = reader,
        .cut = additional > reader_left(&reader),
    };
    if (!ret->cut)
        ret->reader.size = PRIN_HEADER_SIZE + additional;
    return PRIN_OK;
}

/* What it means that the list has ended inside an entry. */
static enum prin_result prin_list_broken(const struct prin_list *list)
{
    return list->cut ? PRIN_TRUNCATED : PRIN_MALFORMED;
}

/* PRIN_OK if there is at least one byte more. */
static enum prin_result prin_list_more(const struct prin_list *list)
{
    if (!reader_ok(&list->reader))
        return prin_list_broken(list);
    if (reader_left(&list->reader) > 0)
        return PRIN_OK;
    return list->cut ? PRIN_TRUNCATED : PRIN_END;
}

enum prin_result prin_key_next(struct prin_list *list, uint64_t *ret)
{
    enum prin_result more = prin_list_more(list);
    uint64_t key;

    if (more != PRIN_OK)
        return more;
    key = reader_be64(&list->reader);
    if (!reader_ok(&list->reader))
        return prin_list_broken(list);
    *ret = key;
    return PRIN_OK;
}

enum prin_result prin_registrant_next(struct prin_list *list, struct prin_registrant *ret)
{
    enum prin_result more = prin_list_more(list);
    struct prin_registrant registrant;
    const uint8_t *fixed, *transportid;
    uint32_t length;

    if (more != PRIN_OK)
        return more;
    fixed = reader_take(&list->reader, DESCRIPTOR_SIZE);
    if (!fixed)
        return prin_list_broken(list);
    length = load_be32(fixed + 20);
    transportid = reader_take(&list->reader, length);
    if (!transportid)
        return prin_list_broken(list);

    registrant = (struct prin_registrant){
        .key = load_be64(fixed),
        .all_tg_pt = fixed[12] & DESCRIPTOR_ALL_TG_PT,
        .holder = fixed[12] & DESCRIPTOR_R_HOLDER,
        .scope = fixed[13] >> 4,
        .type = fixed[13] & 0x0f,
        .relative_target_port = load_be16(fixed + 18),
    };
    if (!transportid_decode(transportid, length, &registrant.transportid)) {
        /* No TransportID is that long: the length is wrong, and nothing behind it is right. */
        reader_take(&list->reader, SIZE_MAX);
        list->cut = false;
        return PRIN_MALFORMED;
    }
    *ret = registrant;
    return PRIN_OK;
}

enum prin_result prin_reservation_decode(const uint8_t *data, size_t length,
                                         struct prin_reservation *ret)
{
    struct reader reader = reader_over(data, length);
    struct prin_reservation reservation = {.generation = reader_be32(&reader)};
    uint32_t additional = reader_be32(&reader);

    if (!reader_ok(&reader))
        return PRIN_TRUNCATED;
    if (additional > 0 && additional < RESERVATION_LENGTH)
        return PRIN_MALFORMED;
    if (additional > 0) {
        uint8_t scope_type;

        reservation.held = true;
        reservation.key = reader_be64(&reader);
        reader_take(&reader, 5); /* obsolete scope-specific address, reserved */
        scope_type = reader_u8(&reader);
        reader_take(&reader, 2); /* obsolete extent length */
        reservation.scope = scope_type >> 4;
        reservation.type = scope_type & 0x0f;
        if (!reader_ok(&reader))
            return PRIN_TRUNCATED;
    }
    *ret = reservation;
    return PRIN_OK;
}

enum prin_result prin_capabilities_decode(const uint8_t *data, size_t length,
                                          struct prin_capabilities *ret)
{
    if (length < PRIN_CAPABILITIES_SIZE)
        return PRIN_TRUNCATED;
    if (load_be16(data) < PRIN_CAPABILITIES_SIZE)
        return PRIN_MALFORMED;

    *ret = (struct prin_capabilities){
        .replace_lost = data[2] & CAPABILITY_RLR_C,
        .compatible = data[2] & CAPABILITY_CRH,
        .spec_i_pt = data[2] & CAPABILITY_SIP_C,
        .all_tg_pt = data[2] & CAPABILITY_ATP_C,
        .persistent = data[2] & CAPABILITY_PTPL_C,
        .persistent_active = data[3] & CAPABILITY_PTPL_A,
        .allow_commands = data[3] >> ALLOW_COMMANDS_SHIFT & ALLOW_COMMANDS_MASK,
        .types_valid = data[3] & CAPABILITY_TMV,
        /* The mask's first byte has bit n for type n, its second goes on from type 8. */
        .types = (uint16_t)(data[4] | data[5] << 8),
    };
    return PRIN_OK;
}

void prin_capabilities_mask(uint8_t *data, size_t length)
{
    if (length > 2)
        data[2] &= (uint8_t) ~(CAPABILITY_RLR_C | CAPABILITY_SIP_C | CAPABILITY_ATP_C);
}

struct writer prin_list_begin(uint8_t *data, size_t size, uint32_t generation)
{
    struct writer writer = writer_over(data, size);

    writer_be32(&writer, generation);
    writer_zeros(&writer, 4);
    return writer;
}

void prin_key_add(struct writer *writer, uint64_t key)
{
    writer_be64(writer, key);
}

void prin_registrant_add(struct writer *writer, const struct prin_registrant *registrant)
{
    const struct transportid *id = &registrant->transportid;
    uint8_t scope_type = (uint8_t)(registrant->scope << 4 | (registrant->type & 0x0f));

    writer_be64(writer, registrant->key);
    writer_zeros(writer, 4);
    writer_u8(writer, (uint8_t)((registrant->all_tg_pt ? DESCRIPTOR_ALL_TG_PT : 0) |
                                (registrant->holder ? DESCRIPTOR_R_HOLDER : 0)));
    writer_u8(writer, scope_type);
    writer_zeros(writer, 4);
    writer_be16(writer, registrant->relative_target_port);
    writer_be32(writer, id->size);
    writer_put(writer, id->bytes, id->size);
}

size_t prin_list_end(struct writer *writer)
{
    writer_patch_be32(writer, 4, (uint32_t)(writer->offset - PRIN_HEADER_SIZE));
    return writer_stored(writer);
}

size_t prin_reservation_encode(uint8_t *data, size_t size,
                               const struct prin_reservation *reservation)
{
    struct writer writer = writer_over(data, size);

    writer_be32(&writer, reservation->generation);
    writer_be32(&writer, reservation->held ? RESERVATION_LENGTH : 0);
    if (reservation->held) {
        writer_be64(&writer, reservation->key);
        writer_zeros(&writer, 5);
        writer_u8(&writer, (uint8_t)(reservation->scope << 4 | (reservation->type & 0x0f)));
        writer_zeros(&writer, 2);
    }
    return writer_stored(&writer);
}

size_t prin_capabilities_encode(uint8_t *data, size_t size,
                                const struct prin_capabilities *capabilities)
{
    struct writer writer = writer_over(data, size);

    writer_be16(&writer, PRIN_CAPABILITIES_SIZE);
    writer_u8(&writer, (uint8_t)((capabilities->replace_lost ? CAPABILITY_RLR_C : 0) |
                                 (capabilities->compatible ? CAPABILITY_CRH : 0) |
                                 (capabilities->spec_i_pt ? CAPABILITY_SIP_C : 0) |
                                 (capabilities->all_tg_pt ? CAPABILITY_ATP_C : 0) |
                                 (capabilities->persistent ? CAPABILITY_PTPL_C : 0)));
    writer_u8(&writer, (uint8_t)((capabilities->types_valid ? CAPABILITY_TMV : 0) |
                                 (capabilities->allow_commands & ALLOW_COMMANDS_MASK)
                                     << ALLOW_COMMANDS_SHIFT |
                                 (capabilities->persistent_active ? CAPABILITY_PTPL_A : 0)));
    writer_u8(&writer, (uint8_t)capabilities->types);
    writer_u8(&writer, (uint8_t)(capabilities->types >> 8));
    writer_zeros(&writer, 2);
    return writer_stored(&writer);
}
