// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_SCHEDULE_ENGINE_H
#define TESTS_SCHEDULE_ENGINE_H

/*
 * Every interleaving of a few threads. The threads are coroutines of this process that stop before
 * each operation that another thread could notice. From each state that the program under test can
 * be in, each thread that can go on is let go on by one operation, and a state that has been seen
 * before (stacks, registers and memory are the same) is not looked at again. So what is explored is
 * the whole graph of states, without a bound on the number of switches; the bounds are those of the
 * scenario: how many threads, events, time-outs.
 *
 * Memory is sequentially consistent here, as seq_cst atomics and locks make it for the program.
 *
 * A program under test keeps all that changes in the one struct that engine_explore is told about,
 * or on the stacks of its coroutines.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_THREADS_MAX 7

/* May thread go on from where it waits? Returns in how many ways: 0 for no. */
typedef unsigned engine_ways_fn(unsigned thread);

struct engine_program {
    void *memory; /* all that changes, but for stacks */
    size_t size;
    engine_ways_fn *ways;
    /* In each new state, with the number of ways in which each thread can go on (their sum in the
     * last one): is all well? It says engine_violation() if not. May add ways. */
    void (*look)(unsigned ways[ENGINE_THREADS_MAX + 1]);
};

struct engine_result {
    uint64_t states, steps;
    unsigned depth;        /* the longest run */
    const char *violation; /* NULL: none */
    bool complete;         /* all states have been looked at */
};

/* Make thread `thread`, which begins with main when it is first let go on. */
void engine_create(unsigned thread, void (*main)(void));

/* The one that runs. */
unsigned engine_self(void);

/*
 * Stop the running thread until it is chosen to go on. `operation` says what it is about to do, for
 * the report. Returns in which of its ways it goes on.
 */
unsigned engine_stop(const char *operation);

/* The running thread is at its end. */
void engine_exit(void) __attribute__((noreturn));

/* Something that must not be. In a thread: it does not return. */
void engine_violation(const char *what);

/* Explore from the present state; at most so many states. */
struct engine_result engine_explore(const struct engine_program *program, uint64_t states_max);

/* Print the run that led to the violation. */
void engine_tell_run(void);

#endif
