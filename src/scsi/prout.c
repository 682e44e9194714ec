// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One list for seven service actions and another for REGISTER AND MOVE; both begin with the two
 * keys. Byte 20 holds flags in the first and the upper part of a length in the second, so the
 * service action must be known before anything but the keys is looked at.
 *
 * Decoding walks the TransportIDs once to judge them. The standard wants all or nothing: a list
 * with one bad TransportID registers no initiator (SPC-4 6.16.3). The caller's own walk can then
 * not fail.
 */
#include "scsi/prout.h"

/* Byte 20 of the basic list. */
#define FLAG_APTPL     0x01
#define FLAG_ALL_TG_PT 0x04
#define FLAG_SPEC_I_PT 0x08

/* Byte 17 of the list for REGISTER AND MOVE. */
#define MOVE_APTPL 0x01
#define MOVE_UNREG 0x02

/* The least TRANSPORTID LENGTH of REGISTER AND MOVE. Any TransportID is a multiple of four. */
#define MOVE_TRANSPORTID_MIN 24

/* The next TransportID of a list with nothing else in it; false at its end, `*ret_bad` at a bad
 * one. */
static bool prout_next_id(struct reader *ids, struct transportid *ret, bool *ret_bad)
{
    *ret_bad = false;
    if (reader_left(ids) == 0)
        return false;
    *ret_bad = transportid_read(ids, ret) != TRANSPORTID_OK;
    return !*ret_bad;
}

static enum prout_result prout_decode_move(const uint8_t *list, size_t length, struct prout *prout)
{
    struct transportid id;
    struct reader walk;
    uint32_t id_length = load_be32(list + 20);
    bool bad;

    prout->unreg = list[17] & MOVE_UNREG;
    prout->aptpl = list[17] & MOVE_APTPL;
    prout->relative_target_port = load_be16(list + 18);

    if (id_length < MOVE_TRANSPORTID_MIN || id_length != length - PROUT_SIZE)
        return PROUT_BAD_FIELD;
    prout->transportids = reader_over(list + PROUT_SIZE, id_length);

    walk = prout->transportids;
    if (!prout_next_id(&walk, &id, &bad) || reader_left(&walk) > 0)
        return PROUT_BAD_FIELD;
    /* A reservation moves to one initiator port; format 00b names any number of them. 7.6.4.6. */
    if (id.kind == TRANSPORTID_ISCSI_DEVICE)
        return PROUT_BAD_FIELD;
    return PROUT_OK;
}

static enum prout_result prout_decode_spec_i_pt(const uint8_t *list, size_t length,
                                                struct prout *prout)
{
    struct transportid id;
    struct reader walk;
    uint32_t ids_length;
    bool bad;

    if (length < PROUT_SPEC_I_PT_SIZE)
        return PROUT_BAD_FIELD;
    ids_length = load_be32(list + PROUT_SIZE);
    if (ids_length != length - PROUT_SPEC_I_PT_SIZE)
        return PROUT_BAD_FIELD;
    prout->transportids = reader_over(list + PROUT_SPEC_I_PT_SIZE, ids_length);

    walk = prout->transportids;
    while (prout_next_id(&walk, &id, &bad))
        continue;
    return bad ? PROUT_BAD_FIELD : PROUT_OK;
}

enum prout_result prout_decode(uint8_t service_action, const uint8_t *list, size_t length,
                               struct prout *ret)
{
    enum prout_result result = PROUT_OK;
    struct prout prout;

    if (length < PROUT_SIZE)
        return PROUT_BAD_LENGTH;
    prout = (struct prout){.key = load_be64(list), .sa_key = load_be64(list + 8)};

    if (service_action == SPC_PROUT_REGISTER_AND_MOVE) {
        result = prout_decode_move(list, length, &prout);
    } else {
        prout.aptpl = list[20] & FLAG_APTPL;
        prout.all_tg_pt = list[20] & FLAG_ALL_TG_PT;
        prout.spec_i_pt = list[20] & FLAG_SPEC_I_PT;
        if (prout.spec_i_pt && service_action != SPC_PROUT_REGISTER)
            result = PROUT_BAD_FIELD;
        else if (prout.spec_i_pt)
            result = prout_decode_spec_i_pt(list, length, &prout);
        else if (length != PROUT_SIZE)
            result = PROUT_BAD_LENGTH;
    }
    if (result == PROUT_OK)
        *ret = prout;
    return result;
}

struct spc_sense prout_sense(enum prout_result result)
{
    return result == PROUT_BAD_LENGTH ? SPC_PARAMETER_LIST_LENGTH_ERROR
                                      : SPC_INVALID_FIELD_IN_PARAMETER_LIST;
}

bool prout_transportid_next(struct prout *prout, struct transportid *ret)
{
    bool bad;

    return prout_next_id(&prout->transportids, ret, &bad);
}

/* Where the length of the TransportIDs is: its four bytes end where they begin. */
static size_t prout_ids_at(uint8_t service_action)
{
    return service_action == SPC_PROUT_REGISTER_AND_MOVE ? PROUT_SIZE : PROUT_SPEC_I_PT_SIZE;
}

size_t prout_append(uint8_t service_action, const struct transportid *id, uint8_t *list,
                    size_t length, size_t size)
{
    size_t ids_at = prout_ids_at(service_action);
    struct writer writer = writer_over(list, size);

    writer.offset = length;
    writer_put(&writer, id->bytes, id->size);
    writer_patch_be32(&writer, ids_at - 4, (uint32_t)(writer.offset - ids_at));
    return writer.offset;
}

size_t prout_encode(uint8_t service_action, const struct prout *prout,
                    const struct transportid *ids, size_t count, uint8_t *list, size_t size)
{
    struct writer writer = writer_over(list, size);
    size_t length;

    writer_be64(&writer, prout->key);
    writer_be64(&writer, prout->sa_key);
    if (service_action == SPC_PROUT_REGISTER_AND_MOVE) {
        writer_u8(&writer, 0);
        writer_u8(&writer,
                  (uint8_t)((prout->unreg ? MOVE_UNREG : 0) | (prout->aptpl ? MOVE_APTPL : 0)));
        writer_be16(&writer, prout->relative_target_port);
        count = count > 0 ? 1 : 0;
    } else {
        writer_zeros(&writer, 4);
        writer_u8(&writer, (uint8_t)((prout->spec_i_pt ? FLAG_SPEC_I_PT : 0) |
                                     (prout->all_tg_pt ? FLAG_ALL_TG_PT : 0) |
                                     (prout->aptpl ? FLAG_APTPL : 0)));
        writer_zeros(&writer, 3);
        if (!prout->spec_i_pt)
            return writer.offset;
    }
    writer_zeros(&writer, 4);
    length = writer.offset;
    for (size_t i = 0; i < count; i++)
        length = prout_append(service_action, &ids[i], list, length, size);
    return length;
}
