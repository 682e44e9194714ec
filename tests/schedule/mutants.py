#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes to src/serve/pool.c, each of which breaks it: what the scheduler is worth is how many of
them it notices.

    tests/schedule/mutants.py list
    tests/schedule/mutants.py write NAME POOL_C OUTPUT

Each has the scenario of test_pool.c that notices it, a piece of text that is in the source exactly
once, and what takes its place. One that
does not fit any more is an error, and wants a look at whether the defect can still be made.
"""
import sys
from typing import Dict, Tuple

MUTANTS: Dict[str, Tuple[str, str, str]] = {
    "no-wake": (
        "one client, two commands",
        "    atomic_store(&self->unparked, 1);\n    futex_wake(&self->unparked);",
        "    atomic_store(&self->unparked, 1);"),
    "wake-before-word": (
        "one client, two commands",
        "    atomic_store(&self->unparked, 1);\n    futex_wake(&self->unparked);",
        "    futex_wake(&self->unparked);\n    atomic_store(&self->unparked, 1);"),
    "not-once": (
        "one client, two commands",
        "{.events = events | EPOLLONESHOT, .data.fd = fd};\n\n"
        "    return epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD",
        "{.events = events, .data.fd = fd};\n\n"
        "    return epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD"),
    "promise-not-kept": (
        "all threads asked to block",
        "    return atomic_fetch_sub(&pool->idle, 1) > 1;",
        "    atomic_fetch_sub(&pool->idle, 1);\n    return true;"),
    "promise-not-taken-back": (
        "one client, two commands",
        "    return atomic_fetch_sub(&pool->idle, 1) > 1;",
        "    return false;"),
    "promise-too-early": (
        "no thread to be had",
        "    return pool_spawn(pool, false) == 0 || atomic_load(&pool->idle) > 0;",
        "    atomic_fetch_add(&pool->idle, 1);\n"
        "    return pool_spawn(pool, true) == 0 ||\n"
        "           atomic_fetch_sub(&pool->idle, 1) > 1;"),
    "look-then-take": (
        "one client, two commands",
        "    do {\n        if (idle > 0)\n            return true;\n"
        "    } while (!atomic_compare_exchange_weak(&pool->idle, &idle, 1));",
        "    if (idle > 0)\n        return true;\n"
        "    atomic_store(&pool->idle, 1);"),
    "last-one-leaves": (
        "threads leave while others come",
        "    while (idle > 1) {", "    while (idle > 0) {"),
    "park-while-stopping": (
        "stop with parked threads",
        "    if (pool->stopping) {\n        pthread_mutex_unlock(&pool->lock);\n"
        "        return false;", "    if (0) {\n        return false;"),
    "left-though-taken": (
        "threads leave",
        "        if (expired)\n            return false;",
        "        return expired && false;"),
    "no-word-at-leaving": (
        "stop",
        "== 2;\n    pthread_cond_broadcast(&pool->changed);", "== 2;"),
    "none-reaped": (
        "stop",
        "    if (before)\n        thread_reap(&before->thread);", "    (void)before;"),
    "reap-oneself": (
        "threads leave",
        "    before = pool->left;\n    pool->left = self;",
        "    pool->left = self;\n    before = pool->left;"),
    "parked-not-told-of-stop": (
        "stop with parked threads",
        "    while ((parked = pool_pop_parked(pool)))\n"
        "        pool_take_up(pool, parked);",
        "    (void)parked;"),
    "idle-not-told-of-stop": (
        "stop",
        "    fdio_write_full(pool->stop_fd, &one, sizeof(one));",
        "    (void)one;"),
    "no-second-look": (
        "closing where threads are scarce",
        "        if (!atomic_load(&pool->n_discard) || !pool_quit_idle_to_close(pool))",
        "        if (1)"),
    "held-up-for-ever": (
        "closing where threads are scarce",
        "        pthread_cond_broadcast(&pool->changed);\n"
        "        pthread_mutex_unlock(&pool->lock);\n        for (unsigned i",
        "        pthread_mutex_unlock(&pool->lock);\n        for (unsigned i"),
    "none-relieves": (
        "closing where threads are scarce",
        "        if (relieve)\n            break;", "        relieve = false;"),
    "closed-twice": (
        "closing where threads are scarce",
        "        atomic_fetch_sub(&pool->n_discard, n);\n        memcpy",
        "        memcpy"),
    "spawned-too-many": (
        "two clients, two threads",
        ">= pool->max_threads || pool->stopping)", "> 1000 || pool->stopping)"),
    "serving-counts-as-idle": (
        "one client, two commands",
        "        atomic_fetch_sub(&pool->idle, 1);\n"
        "        if (n < 0 ||", "        if (n < 0 ||"),
    "lingers-for-ever-counted": (
        "lingering",
        "    atomic_fetch_sub(&pool->lingering, 1);\n    return false;",
        "    return false;"),
}


def write(name: str, source: str, output: str) -> None:
    _, old, new = MUTANTS[name]
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        sys.exit(f"mutants.py: {name}: {source} has its text {text.count(old)} times, not once")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


if __name__ == "__main__":
    if sys.argv[1] == "list":
        for mutant, (scenario, _, _) in MUTANTS.items():
            print(f"{mutant}\t{scenario}")
    else:
        write(*sys.argv[2:5])
