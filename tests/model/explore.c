// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every state of a setting, breadth first, so that the first story of each fault is a shortest one.
 * A state is remembered as 64 bits of hash; two states with the same would be taken for one, which
 * among 10^8 states has a probability of about 3 in 10^4 for one pair.
 */
#include "explore.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "world.h"

/* The visited set: hashes, 0 is empty. Doubles when it is half full. */
static uint64_t *slots;
static uint64_t slots_size, slots_used;

/* How each state came about: the state before, and which of its successors it is. */
struct node {
    uint32_t parent;
    uint16_t choice;
};
static struct node *nodes;
static uint64_t nodes_size, nodes_used;

/* States that wait to be expanded: runs of bytes that are not 0, in chunks. */
#define CHUNK_SIZE (1u << 22)
struct chunk {
    struct chunk *next;
    size_t used;
    uint8_t bytes[CHUNK_SIZE];
};
static struct chunk *chunk_first, *chunk_last;
static size_t chunk_at;

static void *must(void *pointer)
{
    if (!pointer) {
        fprintf(stderr, "model: out of memory\n");
        exit(2);
    }
    return pointer;
}

/* Four lanes side by side, of whole words; the size is part of it. */
static uint64_t hash_words(const void *data, size_t size)
{
    static const uint64_t factor[4] = {0x9fb21c651e98df25, 0xd6e8feb86659fd93, 0xc2b2ae3d27d4eb4f,
                                       0x9e3779b97f4a7c15};
    uint64_t lane[4] = {size, 0x165667b19e3779f9, 0x27d4eb2f165667c5, 0x85ebca77c2b2ae63};
    const uint8_t *bytes = data;
    uint64_t word, all;

    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t *one = &lane[at / 8 % 4];

        memcpy(&word, bytes + at, 8);
        *one = (*one ^ word) * factor[at / 8 % 4];
        *one ^= *one >> 32;
    }
    all = lane[0];
    for (unsigned i = 1; i < 4; i++) {
        all = (all ^ lane[i]) * 0xbf58476d1ce4e5b9;
        all ^= all >> 29;
    }
    all *= 0x94d049bb133111eb;
    all ^= all >> 32;
    return all ? all : 1;
}

static bool visit(uint64_t hash)
{
    uint64_t at;

    if (slots_used * 2 >= slots_size) {
        uint64_t *old = slots, size = slots_size;

        slots_size = size ? size * 2 : 1u << 16;
        slots = must(calloc(slots_size, sizeof(*slots)));
        for (uint64_t i = 0; i < size; i++) {
            if (old[i] == 0)
                continue;
            for (at = old[i] & (slots_size - 1); slots[at]; at = (at + 1) & (slots_size - 1))
                ;
            slots[at] = old[i];
        }
        free(old);
    }
    for (at = hash & (slots_size - 1); slots[at]; at = (at + 1) & (slots_size - 1))
        if (slots[at] == hash)
            return false;
    slots[at] = hash;
    slots_used++;
    return true;
}

static uint8_t *room(size_t size)
{
    if (!chunk_last || chunk_last->used + size > CHUNK_SIZE) {
        struct chunk *chunk = must(malloc(sizeof(*chunk)));

        chunk->next = NULL;
        chunk->used = 0;
        if (chunk_last)
            chunk_last->next = chunk;
        else
            chunk_first = chunk;
        chunk_last = chunk;
    }
    return chunk_last->bytes + chunk_last->used;
}

/* A world without the ideal states that there are not; these come last. */
static size_t world_size(const struct world *world)
{
    return offsetof(struct world, ideal) + world->ideals * sizeof(world->ideal[0]);
}

/* A bit for each eight bytes, and those that are not 0. */
#define WORDS (sizeof(struct world) / 8)
_Static_assert(sizeof(struct world) % 8 == 0 && sizeof(struct ideal) % 8 == 0 &&
                   offsetof(struct world, ideal) % 8 == 0,
               "a world is whole words");

static void enqueue(const struct world *world)
{
    uint8_t *out = room(sizeof(struct world) + WORDS / 8 + 1), *bits = out;
    const uint8_t *in = (const uint8_t *)world;
    uint64_t value;

    memset(bits, 0, WORDS / 8 + 1);
    out += WORDS / 8 + 1;
    for (size_t word = 0; word * 8 < world_size(world); word++) {
        memcpy(&value, in + word * 8, 8);
        if (value == 0)
            continue;
        bits[word / 8] |= (uint8_t)(1 << word % 8);
        memcpy(out, in + word * 8, 8);
        out += 8;
    }
    chunk_last->used += (size_t)(out - bits);
}

static bool dequeue(struct world *ret)
{
    const uint8_t *bits, *in;
    uint8_t *out = (uint8_t *)ret;

    while (chunk_first && chunk_at == chunk_first->used) {
        struct chunk *done = chunk_first;

        chunk_first = done->next;
        if (!chunk_first)
            chunk_last = NULL;
        chunk_at = 0;
        free(done);
    }
    if (!chunk_first)
        return false;
    bits = chunk_first->bytes + chunk_at;
    in = bits + WORDS / 8 + 1;
    memset(ret, 0, sizeof(*ret));
    for (size_t byte = 0; byte < WORDS / 8 + 1; byte++) {
        for (unsigned left = bits[byte]; left != 0; left &= left - 1) {
            memcpy(out + (byte * 8 + (unsigned)__builtin_ctz(left)) * 8, in, 8);
            in += 8;
        }
    }
    chunk_at += (size_t)(in - bits);
    return true;
}

struct exploration {
    uint32_t parent;
    unsigned choice;
    struct found *found;
    bool full;
};

#define NO_PARENT UINT32_MAX

bool fault_is_grave(enum fault fault)
{
    return fault != FAULT_UNSAFE && fault != FAULT_DENIED && fault != FAULT_UNSAFE_FRESH &&
           fault != FAULT_DENIED_FRESH;
}

struct kind *found_kind(struct found *found, const char *class, enum fault fault)
{
    for (unsigned i = 0; i < found->kinds; i++)
        if (strcmp(found->kind[i].class, class) == 0 && found->kind[i].fault == fault)
            return &found->kind[i];
    if (found->kinds == KINDS_MAX)
        return &found->kind[KINDS_MAX - 1];
    found->kind[found->kinds] = (struct kind){.class = class, .fault = fault};
    return &found->kind[found->kinds++];
}

/* The choices that lead to the state in hand, for a replay. */
static void note_story(struct kind *kind, const struct exploration *exploration)
{
    uint32_t at = exploration->parent;
    unsigned length = 1;

    kind->story[0] = (uint16_t)exploration->choice;
    while (at != NO_PARENT && length < STORY_MAX) {
        kind->story[length++] = nodes[at].choice;
        at = nodes[at].parent;
    }
    kind->length = length;
    for (unsigned i = 0; i < length / 2; i++) {
        uint16_t swap = kind->story[i];

        kind->story[i] = kind->story[length - 1 - i];
        kind->story[length - 1 - i] = swap;
    }
}

static void take(const struct world *next, enum fault fault, void *context)
{
    struct exploration *exploration = context;
    unsigned choice = exploration->choice++;

    exploration->found->steps++;
    if (next->crowded) {
        exploration->found->crowded++;
        return;
    }
    if (fault != FAULT_NONE) {
        struct kind *kind = found_kind(exploration->found, world_class(next, fault), fault);

        if (kind->count++ == 0) {
            exploration->choice--;
            note_story(kind, exploration);
            exploration->choice++;
        }
        /* While something is under way a wrong access may yet be put right. */
        if (fault_is_grave(fault) || kind->class[0] == '\0' || fault == FAULT_UNSAFE_LASTING ||
            fault == FAULT_DENIED_LASTING)
            return;
    }
    if (!visit(hash_words(next, world_size(next))))
        return;
    if (nodes_used == nodes_size) {
        nodes_size = nodes_size ? nodes_size * 2 : 1u << 16;
        nodes = must(realloc(nodes, nodes_size * sizeof(*nodes)));
    }
    nodes[nodes_used++] = (struct node){exploration->parent, (uint16_t)choice};
    enqueue(next);
}

void explore(const struct setting *chosen, uint64_t limit, struct found *ret)
{
    struct exploration exploration = {.parent = NO_PARENT, .found = ret};
    struct world world;
    uint64_t at;

    memset(ret, 0, sizeof(*ret));
    world_begin(chosen);
    world_roots(take, &exploration);
    for (at = 0; dequeue(&world); at++) {
        if (limit && at >= limit)
            break;
        exploration.parent = (uint32_t)at;
        exploration.choice = 0;
        world_expand(&world, take, &exploration);
    }
    ret->states = nodes_used;
    ret->expanded = at;
    ret->complete = at == nodes_used;

    while (dequeue(&world))
        ;
    free(slots);
    free(nodes);
    slots = NULL;
    nodes = NULL;
    slots_size = slots_used = nodes_size = nodes_used = 0;
}

struct replay {
    unsigned want, at;
    struct world world;
    enum fault fault;
    bool found;
    char said[512];
};

static void pick(const struct world *next, enum fault fault, void *context)
{
    struct replay *replay = context;

    if (replay->at++ != replay->want)
        return;
    replay->world = *next;
    replay->fault = fault;
    replay->found = true;
    memcpy(replay->said, said, sizeof(said));
}

void replay(const struct setting *chosen, const uint16_t *story, unsigned length)
{
    static struct replay replay;
    struct world before;
    char text[1024];

    world_begin(chosen);
    telling = true;
    for (unsigned i = 0; i < length; i++) {
        replay.want = story[i];
        replay.at = 0;
        replay.found = false;
        before = replay.world;
        if (i == 0)
            world_roots(pick, &replay);
        else
            world_expand(&before, pick, &replay);
        if (!replay.found) {
            printf("#   no such step: %d\n", story[i]);
            break;
        }
        world_describe(&replay.world, text, sizeof(text));
        printf("#   %2u %s\n#        %s\n", i, replay.said, text);
        if (replay.fault != FAULT_NONE)
            printf("#        %s%s%s\n", fault_text(replay.fault),
                   world_class(&replay.world, replay.fault)[0] ? ", of the class " : "",
                   world_class(&replay.world, replay.fault));
    }
    telling = false;
}
