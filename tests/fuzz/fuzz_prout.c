// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Parameter lists of PERSISTENT RESERVE OUT. Input: service action, how much room there is for the
 * list that is built from what was understood, the list.
 */
#include "fuzz.h"
#include "scsi/prout.h"

/* As many TransportIDs as a list of FUZZ_INPUT_MAX bytes can hold. */
#define IDS_MAX (FUZZ_INPUT_MAX / TRANSPORTID_SIZE + 1)

static struct transportid ids[IDS_MAX], ids_again[IDS_MAX];

static size_t walk(struct prout prout, struct transportid *ret_ids)
{
    size_t count = 0;

    while (count < IDS_MAX && prout_transportid_next(&prout, &ret_ids[count]))
        count++;
    fuzz_check(count < IDS_MAX);
    fuzz_check(reader_left(&prout.transportids) == 0 && reader_ok(&prout.transportids));
    return count;
}

/* Built anew it says the same, is no longer, and is cut to the room that there is. */
static void check_built(uint8_t service_action, const struct prout *prout, size_t count,
                        size_t size, size_t room)
{
    static uint8_t built[FUZZ_INPUT_MAX + PROUT_SPEC_I_PT_SIZE];
    size_t length = prout_encode(service_action, prout, ids, count, built, sizeof(built));
    struct prout again;
    uint8_t *cut;

    fuzz_check(length >= PROUT_SIZE && length <= size);
    fuzz_check(prout_decode(service_action, built, length, &again) == PROUT_OK);
    fuzz_check(again.key == prout->key && again.sa_key == prout->sa_key);
    fuzz_check(again.aptpl == prout->aptpl && again.all_tg_pt == prout->all_tg_pt &&
               again.spec_i_pt == prout->spec_i_pt && again.unreg == prout->unreg &&
               again.relative_target_port == prout->relative_target_port);
    fuzz_check(walk(again, ids_again) == count);
    for (size_t i = 0; i < count; i++)
        fuzz_check(transportid_equal(&ids[i], &ids_again[i]));

    if (room > length)
        room = length;
    cut = malloc(room + 1);
    fuzz_check(cut);
    cut[room] = 0xc3;
    fuzz_check(prout_encode(service_action, prout, ids, count, cut, room) == length);
    fuzz_check(memcmp(cut, built, room) == 0 && cut[room] == 0xc3);
    free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    uint8_t service_action = reader_u8(&input);
    size_t room = reader_u8(&input);
    struct prout prout, untouched;
    enum prout_result result;
    size_t list_size, count;
    uint8_t *list = fuzz_rest(&input, false, &list_size);

    memset(&prout, 0xc3, sizeof(prout));
    untouched = prout;
    result = prout_decode(service_action, list, list_size, &prout);
    if (result != PROUT_OK) {
        fuzz_check(memcmp(&prout, &untouched, sizeof(prout)) == 0);
        fuzz_check(prout_sense(result).key == SPC_SENSE_ILLEGAL_REQUEST);
    } else {
        fuzz_check(list_size >= PROUT_SIZE);
        fuzz_check(list_size == PROUT_SIZE || prout.spec_i_pt ||
                   service_action == SPC_PROUT_REGISTER_AND_MOVE);
        fuzz_check(!prout.spec_i_pt || service_action == SPC_PROUT_REGISTER);
        count = walk(prout, ids);
        fuzz_check(prout.spec_i_pt || count == (service_action == SPC_PROUT_REGISTER_AND_MOVE));
        check_built(service_action, &prout, count, list_size, room);
    }
    free(list);
    return 0;
}
