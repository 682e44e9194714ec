// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The library takes at most 32 TransportIDs, of three protocols, and believes what it is given: so
 * it is given nothing that has not been taken apart and built anew before. Its list ends in a
 * flexible array of pointers, for which there is always room for all 32: some versions write to it.
 *
 * FC:    byte 0, then 7 reserved bytes, the name
 * SAS:   byte 0, then 3 reserved bytes, the address
 * iSCSI: byte 0, 1 reserved byte, and from the length on all as it is on the wire
 */
#include "mpath/list.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mpath/multipath.h"

#define LIST_FC_NAME_AT     8
#define LIST_SAS_ADDRESS_AT 4
#define LIST_ISCSI_AT       2

_Static_assert(MPATH_MX_TID_LEN >= TRANSPORTID_SIZE_MAX - LIST_ISCSI_AT, "the longest one fits");

bool list_accept(uint8_t service_action, const uint8_t *data, uint32_t length, struct prout *ret,
                 struct spc_sense *ret_code)
{
    struct transportid id;
    struct prout prout, walk;
    enum prout_result result;
    unsigned n = 0;

    *ret_code = SPC_INVALID_FIELD_IN_CDB;
    if (service_action >= SPC_PROUT_REGISTER_AND_MOVE)
        return false;
    result = prout_decode(service_action, data, length, &prout);
    *ret_code = prout_sense(result);
    if (result != PROUT_OK)
        return false;

    *ret_code = SPC_INVALID_FIELD_IN_PARAMETER_LIST;
    walk = prout;
    while (prout_transportid_next(&walk, &id)) {
        if (id.kind == TRANSPORTID_RAW || id.kind == TRANSPORTID_SRP || ++n > MPATH_MX_TIDS)
            return false;
    }
    *ret = prout;
    return true;
}

static void list_convert_id(const struct transportid *from, struct multipath_transportid *to)
{
    switch (from->kind) {
    case TRANSPORTID_FC:
        to->protocol_id = MPATH_PROTOCOL_ID_FC;
        memcpy(to->n_port_name, from->bytes + LIST_FC_NAME_AT, sizeof(to->n_port_name));
        return;
    case TRANSPORTID_SAS:
        to->protocol_id = MPATH_PROTOCOL_ID_SAS;
        memcpy(to->sas_address, from->bytes + LIST_SAS_ADDRESS_AT, sizeof(to->sas_address));
        return;
    case TRANSPORTID_ISCSI_DEVICE:
    case TRANSPORTID_ISCSI_PORT:
        to->protocol_id = MPATH_PROTOCOL_ID_ISCSI;
        to->format_code = from->kind == TRANSPORTID_ISCSI_PORT ? MPATH_WWUI_PORT_IDENTIFIER
                                                               : MPATH_WWUI_DEVICE_NAME;
        memcpy(to->iscsi_name, from->bytes + LIST_ISCSI_AT, from->size - LIST_ISCSI_AT);
        return;
    case TRANSPORTID_SRP:
    case TRANSPORTID_RAW:
        return; /* list_accept() lets none by */
    }
}

struct prout_param_descriptor *list_convert(const struct prout *prout)
{
    const size_t pointers = MPATH_MX_TIDS * sizeof(struct multipath_transportid *);
    const size_t ids = MPATH_MX_TIDS * sizeof(struct multipath_transportid);
    struct prout_param_descriptor *list = calloc(1, sizeof(*list) + pointers + ids);
    struct prout walk = *prout;
    struct transportid id;

    if (!list)
        return NULL;
    store_be64(list->key, prout->key);
    store_be64(list->sa_key, prout->sa_key);
    list->sa_flags = (uint8_t)((prout->aptpl ? MPATH_F_APTPL_MASK : 0) |
                               (prout->all_tg_pt ? MPATH_F_ALL_TG_PT_MASK : 0) |
                               (prout->spec_i_pt ? MPATH_F_SPEC_I_PT_MASK : 0));
    while (list->num_transportid < MPATH_MX_TIDS && prout_transportid_next(&walk, &id)) {
        uint32_t n = list->num_transportid++;

        list->trnptid_list[n] =
            (struct multipath_transportid *)((char *)list + sizeof(*list) + pointers) + n;
        list_convert_id(&id, list->trnptid_list[n]);
    }
    return list;
}
