/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a test (tests/faults/injector.py) and the injector share, in a file that both map. */
#ifndef FAULTS_INJECT_H
#define FAULTS_INJECT_H

#include <stdint.h>

#define INJECT_MAGIC  0x494e4a4543543031ULL
#define INJECT_DEPTHS 4    /* the program, its child, that one's child, and all below */
#define INJECT_CALLS  1024 /* numbers of system calls */

enum inject_state {
    INJECT_OFF,
    INJECT_ARMED, /* written last: everything else of the fault is complete */
};

struct inject_control {
    uint64_t magic;
    uint32_t state; /* enum inject_state */
    /* The fault: from the nth call of this number at this depth on, so many fail with error. */
    uint32_t depth;
    uint32_t number;
    uint32_t nth;
    uint32_t times;
    uint32_t error;
    uint32_t hits;    /* how many have failed */
    uint32_t running; /* 0: all processes have ended */
    /* Calls between an execve and the first one of this number are the loader's. */
    uint32_t begin;
    uint32_t pid[INJECT_DEPTHS];                 /* the latest process */
    uint32_t count[INJECT_DEPTHS][INJECT_CALLS]; /* calls since the test last cleared them */
};

#endif
