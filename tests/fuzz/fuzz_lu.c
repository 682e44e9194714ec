// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The simulator's logical unit: a saved state, then commands. Input: size of the state (2 bytes),
 * the state; then for each command nexus, flags, ten bytes of CDB, size of its parameter list, the
 * list.
 */
#include "fuzz.h"
#include "lu/lu.h"

#define NEXUSES      4
#define TARGET_PORTS 2
#define COMMANDS_MAX 64

#define FLAG_LEAVE 0x01 /* first the nexus goes and comes back */
#define FLAG_ROOM  0x02 /* there is little room for the answer */

static struct lu lu, lu_again;
static uint8_t saved[LU_SAVE_MAX], saved_again[LU_SAVE_MAX];

static struct transportid initiator(unsigned nexus)
{
    return transportid_sas(0x5000c50000000000 + nexus / TARGET_PORTS);
}

static void check_invariants(void)
{
    size_t size;

    fuzz_check(lu.registrations <= LU_REGISTRATION_MAX);
    fuzz_check(!lu.reserved || (lu.registrations > 0 && spc_type_is_valid(lu.type)));
    fuzz_check(!lu.reserved || lu.holder < lu.registrations);
    fuzz_check(!lu.reserved || lu.holder == 0 || !spc_type_is_all_registrants(lu.type));
    for (size_t i = 0; i < lu.registrations; i++) {
        const struct lu_registration *one = &lu.registration[i];

        fuzz_check(one->key != 0 && one->target_port >= 1 && one->target_port <= TARGET_PORTS);
        for (size_t j = 0; j < i; j++)
            fuzz_check(one->target_port != lu.registration[j].target_port ||
                       !transportid_equal(&one->initiator, &lu.registration[j].initiator));
    }

    /* What is saved is what comes back. */
    size = lu_save(&lu, saved, sizeof(saved));
    fuzz_check(size <= LU_SAVE_MAX);
    lu_init(&lu_again, TARGET_PORTS);
    fuzz_check(lu_load(&lu_again, saved, size) == LU_LOAD_OK);
    fuzz_check(lu_again.aptpl == lu.aptpl);
    if (lu.aptpl)
        fuzz_check(lu_again.registrations == lu.registrations && lu_again.reserved == lu.reserved);
    fuzz_check(lu_save(&lu_again, saved_again, sizeof(saved_again)) == size);
    fuzz_check(memcmp(saved, saved_again, size) == 0);
}

/* Only one nexus may write with an exclusive type, of any kind; the holder always may. */
static void check_access(void)
{
    unsigned writers = 0;

    for (unsigned nexus = 0; nexus < NEXUSES; nexus++) {
        bool reads = lu_may_read(&lu, nexus), writes = lu_may_write(&lu, nexus);

        fuzz_check(reads || !writes);
        writers += writes;
    }
    if (!lu.reserved)
        fuzz_check(writers == NEXUSES);
    else if (!spc_type_is_registrants_only(lu.type) && !spc_type_is_all_registrants(lu.type))
        fuzz_check(writers <= 1);
}

static void execute(struct reader *input)
{
    unsigned nexus = reader_u8(input) % NEXUSES;
    uint8_t flags = reader_u8(input);
    uint8_t cdb[CDB_SIZE], data[512];
    size_t room = flags & FLAG_ROOM ? 5 : sizeof(data) - 1;
    struct transportid id = initiator(nexus);
    struct lu_result result;
    size_t param_size;
    uint8_t *param;
    uint32_t generation = lu.generation;

    for (size_t i = 0; i < sizeof(cdb); i++)
        cdb[i] = reader_u8(input);
    param_size = reader_u8(input);
    if (param_size > reader_left(input))
        param_size = reader_left(input);
    param = malloc(param_size + 1);
    fuzz_check(param);
    memcpy(param, reader_take(input, param_size), param_size);
    if (flags & FLAG_LEAVE) {
        lu_nexus_remove(&lu, nexus);
        fuzz_check(lu_nexus_add(&lu, nexus, &id, (uint16_t)(1 + nexus % TARGET_PORTS)));
    }

    memset(data, 0xc3, sizeof(data));
    lu_execute(&lu, nexus, cdb, param, param_size, data, room, &result);
    for (size_t i = result.length; i < sizeof(data); i++)
        fuzz_check(data[i] == 0xc3);
    fuzz_check(result.length <= room);
    fuzz_check(result.length == 0 ||
               (result.status == SPC_STATUS_GOOD && cdb[0] == SPC_PERSISTENT_RESERVE_IN));
    fuzz_check(result.status == SPC_STATUS_GOOD || !result.changed);
    fuzz_check((result.status == SPC_STATUS_CHECK_CONDITION) == (result.sense.key != 0));
    fuzz_check(result.status == SPC_STATUS_GOOD || lu.generation == generation);
    free(param);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    size_t state_size = reader_be16(&input);
    uint8_t *state;

    if (state_size > reader_left(&input))
        state_size = reader_left(&input);
    state = malloc(state_size + 1);
    fuzz_check(state);
    memcpy(state, reader_take(&input, state_size), state_size);

    lu_init(&lu, TARGET_PORTS);
    if (lu_load(&lu, state, state_size) == LU_LOAD_OK) {
        /* It takes what it would have saved and nothing else. */
        fuzz_check(lu_save(&lu, saved, sizeof(saved)) == state_size);
        fuzz_check(memcmp(saved, state, state_size) == 0);
    } else {
        fuzz_check(lu.registrations == 0 && !lu.reserved && !lu.aptpl);
    }
    free(state);
    check_invariants();

    for (unsigned nexus = 0; nexus < NEXUSES; nexus++) {
        struct transportid id = initiator(nexus);

        fuzz_check(lu_nexus_add(&lu, nexus, &id, (uint16_t)(1 + nexus % TARGET_PORTS)));
    }
    for (unsigned i = 0; i < COMMANDS_MAX && reader_left(&input) > 0; i++) {
        execute(&input);
        check_invariants();
        check_access();
    }
    return 0;
}
