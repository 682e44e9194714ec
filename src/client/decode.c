// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The decoders of src/scsi in the clothes of the public header. Structs are copied member by
 * member: theirs may change with the code, ours may not change at all.
 */
#include <string.h>

#include "client/prhelper.h"
#include "client/transport_ids.h"
#include "scsi/prin.h"
#include "scsi/sense.h"

#define LIST_EXHAUSTED 1u
#define LIST_CUT       2u

static int decode_result(enum prin_result result)
{
    switch (result) {
    case PRIN_OK:
        return 0;
    case PRIN_END:
        return PRHELPER_END;
    case PRIN_TRUNCATED:
        return PRHELPER_TRUNCATED;
    case PRIN_MALFORMED:
        break;
    }
    return PRHELPER_MALFORMED;
}

static struct prin_list decode_take_list(const struct prhelper_list *list)
{
    return (struct prin_list){
        .generation = list->generation,
        .needed = list->needed,
        .reader =
            {
                .bytes = list->bytes,
                .size = list->size,
                .offset = list->offset,
                .exhausted = list->state & LIST_EXHAUSTED,
            },
        .cut = list->state & LIST_CUT,
    };
}

static void decode_give_list(const struct prin_list *list, struct prhelper_list *ret_list)
{
    *ret_list = (struct prhelper_list){
        .needed = list->needed,
        .generation = list->generation,
        .state = (list->reader.exhausted ? LIST_EXHAUSTED : 0) | (list->cut ? LIST_CUT : 0),
        .bytes = list->reader.bytes,
        .size = list->reader.size,
        .offset = list->reader.offset,
    };
}

int prhelper_list_decode(const void *data, size_t size, struct prhelper_list *ret_list)
{
    struct prin_list list;
    enum prin_result result = prin_list_decode(data, size, &list);

    if (result == PRIN_OK)
        decode_give_list(&list, ret_list);
    return decode_result(result);
}

int prhelper_key_next(struct prhelper_list *list, uint64_t *ret_key)
{
    struct prin_list taken = decode_take_list(list);
    enum prin_result result = prin_key_next(&taken, ret_key);

    decode_give_list(&taken, list);
    return decode_result(result);
}

int prhelper_registrant_next(struct prhelper_list *list, struct prhelper_registrant *ret_registrant)
{
    struct prin_list taken = decode_take_list(list);
    struct prin_registrant registrant;
    enum prin_result result = prin_registrant_next(&taken, &registrant);

    decode_give_list(&taken, list);
    if (result == PRIN_OK) {
        *ret_registrant = (struct prhelper_registrant){
            .key = registrant.key,
            .all_tg_pt = registrant.all_tg_pt,
            .holder = registrant.holder,
            .scope = registrant.scope,
            .type = registrant.type,
            .target_port = registrant.relative_target_port,
        };
        transport_id_give(&registrant.transportid, &ret_registrant->port);
    }
    return decode_result(result);
}

int prhelper_reservation_decode(const void *data, size_t size,
                                struct prhelper_reservation *ret_reservation)
{
    struct prin_reservation reservation;
    enum prin_result result = prin_reservation_decode(data, size, &reservation);

    if (result == PRIN_OK)
        *ret_reservation = (struct prhelper_reservation){
            .generation = reservation.generation,
            .held = reservation.held,
            .scope = reservation.scope,
            .type = reservation.type,
            .key = reservation.key,
        };
    return decode_result(result);
}

int prhelper_capabilities_decode(const void *data, size_t size,
                                 struct prhelper_capabilities *ret_capabilities)
{
    struct prin_capabilities capabilities;
    enum prin_result result = prin_capabilities_decode(data, size, &capabilities);

    if (result == PRIN_OK)
        *ret_capabilities = (struct prhelper_capabilities){
            .replace_lost = capabilities.replace_lost,
            .compatible = capabilities.compatible,
            .spec_i_pt = capabilities.spec_i_pt,
            .all_tg_pt = capabilities.all_tg_pt,
            .persistent = capabilities.persistent,
            .persistent_active = capabilities.persistent_active,
            .types_valid = capabilities.types_valid,
            .allow_commands = capabilities.allow_commands,
            .types = capabilities.types,
        };
    return decode_result(result);
}

int prhelper_sense_decode(const void *sense, size_t size, struct prhelper_sense *ret_sense)
{
    struct spc_sense code;

    if (!sense_decode(sense, size, &code))
        return PRHELPER_MALFORMED;
    *ret_sense = (struct prhelper_sense){.key = code.key, .asc = code.asc, .ascq = code.ascq};
    return 0;
}
