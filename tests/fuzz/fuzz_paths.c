// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The engine of multipath maps against a target and a multipathd that say anything. Input: number
 * of paths, kind of multipathd, memory and command; then for each step how it ended: a byte, for an
 * answer also status, sense and data.
 */
#include "fuzz.h"
#include "paths/paths.h"

/* No command on so few paths takes more steps, no matter what comes back. */
#define STEPS_MAX 20000

static struct paths_map map;

static void take_map(struct reader *input)
{
    memset(&map, 0, sizeof(map));
    map.count = reader_u8(input) % 6;
    map.multipathd = (enum paths_multipathd)(reader_u8(input) % 3);
    for (unsigned path = 0; path < map.count; path++) {
        map.path[path].initiator = transportid_sas(0x5000c50000000000 + path / 2);
        map.path[path].target_port = (uint16_t)(1 + path % 2);
        map.path[path].id = paths_nexus_id(&map.path[path].initiator, map.path[path].target_port);
    }
}

/* Every set that is kept over a command is one of paths of this map. */
static uint64_t all_paths(void)
{
    return ((uint64_t)1 << map.count) - 1;
}

/* Two sets of paths with one registration each, at most: the number is that of their lowest. */
static void take_twins(struct paths_memory *memory, uint8_t bits)
{
    uint64_t sets[2] = {bits & all_paths(), bits & 0x80 ? ~(uint64_t)bits & all_paths() : 0};

    for (unsigned i = 0; i < 2; i++)
        for (uint64_t left = sets[i]; (sets[i] & (sets[i] - 1)) != 0 && left != 0; left &= left - 1)
            memory->twin[__builtin_ctzll(left)] = (uint8_t)(__builtin_ctzll(sets[i]) + 1);
}

static void take_memory(struct reader *input, struct paths_memory *memory)
{
    uint8_t bytes[PATHS_JOURNAL_MAX], again[PATHS_JOURNAL_MAX];
    struct paths_memory decoded;
    size_t size;

    memset(memory, 0, sizeof(*memory));
    memory->key = reader_u8(input) % 4;
    memory->old_key = reader_u8(input) % 4;
    memory->aim = reader_u8(input) % 3;
    memory->had = reader_u8(input) & all_paths();
    memory->expected = reader_u8(input) & all_paths();
    memory->failed = reader_u8(input) & all_paths();
    take_twins(memory, reader_u8(input));
    memory->plain = reader_u8(input) & 1;

    /* What is written is what is read. */
    size = paths_journal_encode(memory, &map, bytes);
    fuzz_check(size <= PATHS_JOURNAL_MAX);
    fuzz_check(paths_journal_decode(bytes, size, &map, &decoded));
    fuzz_check(paths_journal_encode(&decoded, &map, again) == size);
    fuzz_check(memcmp(bytes, again, size) == 0);
    fuzz_check(memcmp(decoded.twin, memory->twin, sizeof(decoded.twin)) == 0);
    fuzz_check(decoded.had == memory->had && decoded.expected == memory->expected);
    fuzz_check(decoded.key == memory->key && decoded.aim == memory->aim);
    fuzz_check(size == 0 || !paths_journal_decode(bytes, size - 1, &map, &decoded));
}

static void take_command(struct reader *input, struct paths_command *command)
{
    uint8_t flags = reader_u8(input);

    memset(command, 0, sizeof(*command));
    command->repair = flags & 0x01;
    command->aptpl = flags & 0x02;
    command->all_tg_pt = (flags & 0x0c) == 0x0c;
    command->spec_i_pt = (flags & 0x30) == 0x30;
    command->scope = (flags & 0xc0) == 0xc0;
    command->service_action = reader_u8(input) % 10;
    command->type = reader_u8(input) % 10;
    command->key = reader_u8(input) % 4;
    command->sa_key = reader_u8(input) % 4;
}

/* A step is one that a caller can carry out, no matter what came before it. */
static void check_step(const struct paths *engine, const struct paths_step *step, uint64_t lost)
{
    switch (step->kind) {
    case PATHS_STEP_ASK:
        fuzz_check(step->paths != 0 && (step->paths & ~all_paths()) == 0);
        fuzz_check((step->paths & lost) == 0);
        break;
    case PATHS_STEP_SEND:
        fuzz_check(step->path < map.count);
        /* A path that gave no answer is not used again. */
        fuzz_check(!(lost >> step->path & 1));
        fuzz_check(step->parameters_length == 0 || step->parameters_length == PROUT_SIZE);
        fuzz_check(step->cdb[0] == (step->parameters_length ? SPC_PERSISTENT_RESERVE_OUT
                                                            : SPC_PERSISTENT_RESERVE_IN));
        /* Never AND IGNORE, and never a service action that a map does not serve. */
        fuzz_check(step->parameters_length == 0 ||
                   (step->cdb[1] & 0x1f) <= SPC_PROUT_PREEMPT_AND_ABORT);
        break;
    case PATHS_STEP_TELL:
        fuzz_check(map.multipathd != PATHS_MULTIPATHD_NONE);
        fuzz_check((step->paths & ~all_paths()) == 0);
        break;
    case PATHS_STEP_DRAIN:
        fuzz_check(step->paths != 0 && (step->paths & ~all_paths()) == 0);
        break;
    case PATHS_STEP_JOURNAL:
        fuzz_check(((engine->memory.had | engine->memory.failed) & ~all_paths()) == 0);
        break;
    case PATHS_STEP_REPLY:
        fuzz_check((step->reply.status == SPC_STATUS_CHECK_CONDITION) ==
                   (step->reply.sense.key != 0));
        fuzz_check(!step->reply.unknown || step->reply.sense.key == SPC_SENSE_ABORTED_COMMAND);
        fuzz_check(paths_reason_text(step->reply.reason));
        break;
    }
}

/* `data` is a copy of its own, so that reading past it is noticed. */
static void take_outcome(struct reader *input, const struct paths_step *step,
                         struct paths_outcome *outcome, uint8_t **ret_data)
{
    uint8_t how = reader_u8(input);
    size_t size;

    memset(outcome, 0, sizeof(*outcome));
    *ret_data = NULL;
    outcome->end = how % 8 == 7 ? PATHS_LOST : how % 8 == 6 ? PATHS_REFUSED : PATHS_DONE;
    outcome->set = how & 0x08;
    outcome->answered = step->kind == PATHS_STEP_ASK ? ~(uint64_t)(how >> 3) : reader_u8(input);
    if (outcome->end != PATHS_DONE ||
        (step->kind != PATHS_STEP_SEND && step->kind != PATHS_STEP_ASK))
        return;
    if (how & 0x10) {
        outcome->status = reader_u8(input);
        outcome->sense.key = reader_u8(input) & 0xf;
        outcome->sense.asc = reader_u8(input);
        outcome->sense.ascq = reader_u8(input);
    }
    if (step->parameters_length != 0 || step->kind != PATHS_STEP_SEND)
        return;
    size = reader_be16(input) % 512;
    if (size > reader_left(input))
        size = reader_left(input);
    *ret_data = malloc(size + 1);
    fuzz_check(*ret_data);
    memcpy(*ret_data, reader_take(input, size), size);
    outcome->data = *ret_data;
    outcome->length = size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    static struct paths engine;
    struct paths_memory memory;
    struct paths_command command;
    struct paths_outcome outcome;
    const struct paths_step *step;
    uint64_t lost = 0;
    unsigned steps = 0;
    bool changed = false;

    take_map(&input);
    take_memory(&input, &memory);
    take_command(&input, &command);
    paths_begin(&engine, &map, &memory, &command);
    for (step = paths_step(&engine); step->kind != PATHS_STEP_REPLY; step = paths_step(&engine)) {
        uint8_t *copy;

        fuzz_check(++steps < STEPS_MAX);
        check_step(&engine, step, lost);
        take_outcome(&input, step, &outcome, &copy);
        if (step->kind == PATHS_STEP_SEND && outcome.end == PATHS_LOST)
            lost |= (uint64_t)1 << step->path;
        changed |= step->kind == PATHS_STEP_SEND && step->parameters_length != 0;
        changed |= step->kind == PATHS_STEP_TELL && step->tell >= PATHS_TELL_SETPRKEY &&
                   step->tell <= PATHS_TELL_UNSETPRSTATUS;
        if (reader_left(&input) == 0 && steps % 64 == 63) {
            free(copy);
            paths_give_up(&engine);
            continue;
        }
        paths_feed(&engine, &outcome);
        free(copy);
    }
    check_step(&engine, step, lost);
    fuzz_check((engine.memory.had & ~all_paths()) == 0);
    /* Nothing changed: nothing is unknown. */
    fuzz_check(changed || !step->reply.unknown);
    return 0;
}
