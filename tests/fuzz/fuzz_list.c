// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Parameter lists on their way to libmpathpersist. Input: the service action, the list. What the
 * library is given says the same as the client did.
 */
#include "fuzz.h"
#include "mpath/list.h"
#include "mpath/multipath.h"

static void check_id(const struct transportid *from, const struct multipath_transportid *to)
{
    fuzz_check(to->protocol_id == (from->bytes[0] & 0x0f));
    switch (to->protocol_id) {
    case MPATH_PROTOCOL_ID_FC:
        fuzz_check(memcmp(to->n_port_name, from->bytes + 8, 8) == 0);
        return;
    case MPATH_PROTOCOL_ID_SAS:
        fuzz_check(memcmp(to->sas_address, from->bytes + 4, 8) == 0);
        return;
    default:
        fuzz_check(to->protocol_id == MPATH_PROTOCOL_ID_ISCSI);
        fuzz_check(to->format_code == (from->bytes[0] & 0xc0));
        /* The length, and as much as it says. */
        fuzz_check(from->size == 4 + (size_t)load_be16(from->bytes + 2));
        fuzz_check(memcmp(to->iscsi_name, from->bytes + 2, from->size - 2) == 0);
    }
}

static void check_list(struct prout *prout, const uint8_t *data)
{
    struct prout_param_descriptor *list = list_convert(prout);
    struct transportid id;
    uint32_t n = 0;

    fuzz_check(list);
    fuzz_check(memcmp(list->key, data, 8) == 0 && memcmp(list->sa_key, data + 8, 8) == 0);
    fuzz_check((list->sa_flags & ~0x0d) == 0 && (list->sa_flags & ~data[20]) == 0);
    fuzz_check(list->num_transportid <= MPATH_MX_TIDS);
    fuzz_check(list->num_transportid == 0 || (list->sa_flags & MPATH_F_SPEC_I_PT_MASK));
    while (prout_transportid_next(prout, &id)) {
        fuzz_check(n < list->num_transportid);
        check_id(&id, list->trnptid_list[n++]);
    }
    fuzz_check(n == list->num_transportid);
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    uint8_t service_action = reader_u8(&input) & 0x1f;
    struct spc_sense code = {0};
    struct prout prout = {0};
    size_t list_size;
    uint8_t *list;

    if (!reader_ok(&input))
        return 0;
    list = fuzz_rest(&input, false, &list_size);
    if (list_accept(service_action, list, (uint32_t)list_size, &prout, &code)) {
        fuzz_check(service_action < SPC_PROUT_REGISTER_AND_MOVE && list_size >= PROUT_SIZE);
        check_list(&prout, list);
    } else {
        fuzz_check(code.key == SPC_SENSE_ILLEGAL_REQUEST && code.asc != 0);
    }
    free(list);
    return 0;
}
