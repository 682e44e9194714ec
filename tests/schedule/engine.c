// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A depth-first search over states. A state is put back by copying memory, registers and the used
 * part of each stack to where they were: coroutines make that possible, threads of the system do
 * not. Registers are those that setjmp keeps. Seen states are known by 64 bits of hash: with ten
 * million states two of them are taken for one with a probability of some 10^-6.
 *
 * A state that is met again while it is still being explored is a run that can go on for ever, and
 * so a violation: nothing that is tested here may spin.
 */

/* longjmp between stacks is what its checks are there to prevent. */
#undef _FORTIFY_SOURCE

#include "engine.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_SIZE 16384
#define DEPTH_MAX  20000
#define WAYS_MAX   64

/* What belongs to a coroutine, beside its stack. */
struct registers {
    jmp_buf at;
    char *low; /* the lowest byte of its stack that counts */
    const char *operation;
    bool alive;
};

struct node {
    uint64_t hash;
    char *copy; /* of memory, registers, used stacks */
    size_t copy_size, copy_room;
    uint8_t thread[WAYS_MAX], way[WAYS_MAX];
    unsigned n_ways, next;
    const char *operation; /* of the thread that was let go on last */
};

static _Alignas(64) char stacks[ENGINE_THREADS_MAX][STACK_SIZE];
static struct registers registers[ENGINE_THREADS_MAX];
static const struct engine_program *program;
static struct engine_result result;
static struct node nodes[DEPTH_MAX];
static unsigned depth;

static jmp_buf explorer, creator;
static unsigned self, chosen_way;
static void (*first)(void);

/* Hashes of states, open addressing; the lowest bit says that the state is being explored. */
static uint64_t *seen;
static size_t seen_size;

static __attribute__((noinline)) char *stack_low(void)
{
    return __builtin_frame_address(0);
}

static void coroutine(void)
{
    void (*main)(void) = first;

    registers[self].low = stack_low();
    if (_setjmp(registers[self].at) == 0)
        _longjmp(creator, 1);
    main();
    engine_exit();
}

void engine_create(unsigned thread, void (*main)(void))
{
    static ucontext_t context;
    unsigned before = self;

    memset(stacks[thread], 0, STACK_SIZE);
    memset(&registers[thread], 0, sizeof(registers[thread]));
    registers[thread].alive = true;
    registers[thread].operation = "begin";
    getcontext(&context);
    context.uc_stack.ss_sp = stacks[thread];
    context.uc_stack.ss_size = STACK_SIZE;
    context.uc_link = NULL;
    makecontext(&context, coroutine, 0);
    self = thread;
    first = main;
    if (_setjmp(creator) == 0)
        setcontext(&context);
    self = before;
}

unsigned engine_self(void)
{
    return self;
}

unsigned engine_stop(const char *operation)
{
    registers[self].operation = operation;
    registers[self].low = stack_low();
    if (_setjmp(registers[self].at) == 0)
        _longjmp(explorer, 1);
    return chosen_way;
}

void engine_exit(void)
{
    memset(&registers[self], 0, sizeof(registers[self]));
    registers[self].operation = "end";
    _longjmp(explorer, 1);
}

void engine_violation(const char *what)
{
    if (!result.violation)
        result.violation = what;
    if (self < ENGINE_THREADS_MAX)
        _longjmp(explorer, 1);
}

static size_t used(unsigned thread)
{
    return registers[thread].alive ? (size_t)(stacks[thread] + STACK_SIZE - registers[thread].low)
                                   : 0;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const char *at = bytes;

    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0x9fb21c651e98df25;
        hash ^= hash >> 29;
    }
    for (; size > 0; at++, size--)
        hash = (hash ^ (uint8_t)*at) * 0x9fb21c651e98df25;
    return hash ^ hash >> 32;
}

static uint64_t hash_state(void)
{
    uint64_t hash = hash_bytes(0x243f6a8885a308d3, program->memory, program->size);

    hash = hash_bytes(hash, registers, sizeof(registers));
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++) {
        if (registers[i].alive)
            hash = hash_bytes(hash, registers[i].low, used(i));
    }
    return hash & ~1ull ? hash & ~1ull : 2; /* 0 is an empty place, the lowest bit is taken */
}

static uint64_t *seen_find(uint64_t hash)
{
    size_t at = (size_t)(hash >> 1) & (seen_size - 1);

    while (seen[at] && (seen[at] & ~1ull) != hash)
        at = (at + 1) & (seen_size - 1);
    return &seen[at];
}

static void seen_grow(void)
{
    uint64_t *old = seen;
    size_t old_size = seen_size;

    if (seen_size && result.states * 2 < seen_size)
        return;
    seen_size = old_size ? old_size * 2 : 1 << 16;
    seen = calloc(seen_size, sizeof(*seen));
    if (!seen)
        abort();
    for (size_t i = 0; i < old_size; i++) {
        if (old[i])
            *seen_find(old[i] & ~1ull) = old[i];
    }
    free(old);
}

static void node_save(struct node *node)
{
    size_t size = program->size + sizeof(registers);
    char *to;

    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++)
        size += used(i);
    if (size > node->copy_room) {
        node->copy_room = size + 2048;
        node->copy = realloc(node->copy, node->copy_room);
        if (!node->copy)
            abort();
    }
    to = node->copy;
    memcpy(to, program->memory, program->size);
    to += program->size;
    memcpy(to, registers, sizeof(registers));
    to += sizeof(registers);
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; to += used(i), i++) {
        if (registers[i].alive)
            memcpy(to, registers[i].low, used(i));
    }
}

static void node_restore(const struct node *node)
{
    const char *from = node->copy;

    memcpy(program->memory, from, program->size);
    from += program->size;
    memcpy(registers, from, sizeof(registers));
    from += sizeof(registers);
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; from += used(i), i++) {
        if (registers[i].alive)
            memcpy(registers[i].low, from, used(i));
    }
}

/* The state that was just reached is new: look at it, and list how it may go on. */
static void node_open(uint64_t hash)
{
    struct node *node = &nodes[depth];
    unsigned ways[ENGINE_THREADS_MAX + 1] = {0};

    if (depth > result.depth)
        result.depth = depth;
    result.states++;
    seen_grow();
    *seen_find(hash) = hash | 1;
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++) {
        ways[i] = registers[i].alive ? program->ways(i) : 0;
        ways[ENGINE_THREADS_MAX] += ways[i];
    }
    self = ENGINE_THREADS_MAX;
    program->look(ways);
    node->hash = hash;
    node->n_ways = node->next = 0;
    for (unsigned i = 0; i < ENGINE_THREADS_MAX; i++) {
        for (unsigned way = 0; way < ways[i] && node->n_ways < WAYS_MAX; way++) {
            node->thread[node->n_ways] = (uint8_t)i;
            node->way[node->n_ways++] = (uint8_t)way;
        }
    }
    node_save(node);
}

static void let_go_on(unsigned thread, unsigned way)
{
    self = thread;
    chosen_way = way;
    if (_setjmp(explorer) == 0)
        _longjmp(registers[thread].at, 1);
    self = ENGINE_THREADS_MAX;
}

struct engine_result engine_explore(const struct engine_program *which, uint64_t states_max)
{
    program = which;
    result = (struct engine_result){0};
    free(seen);
    seen = NULL;
    seen_size = 0;
    depth = 0;
    seen_grow();
    node_open(hash_state());
    while (!result.violation) {
        struct node *node = &nodes[depth];
        uint64_t hash, *place;

        if (node->next == node->n_ways) {
            *seen_find(node->hash) &= ~1ull;
            if (depth == 0) {
                result.complete = true;
                break;
            }
            depth--;
            continue;
        }
        if (result.states >= states_max || depth + 1 == DEPTH_MAX)
            break;
        node_restore(node);
        node->operation = registers[node->thread[node->next]].operation;
        let_go_on(node->thread[node->next], node->way[node->next]);
        node->next++;
        result.steps++;
        if (result.violation)
            break;
        hash = hash_state();
        place = seen_find(hash);
        if (*place & 1)
            result.violation = "a run that never ends";
        if (*place)
            continue;
        depth++;
        node_open(hash);
    }
    return result;
}

void engine_tell_run(void)
{
    for (unsigned i = 0; i <= depth; i++) {
        const struct node *node = &nodes[i];

        if (node->next > 0)
            printf("# %3u  thread %u: %s%s\n", i, node->thread[node->next - 1], node->operation,
                   node->way[node->next - 1] ? " (another way)" : "");
    }
}
