// SPDX-License-Identifier: LGPL-2.1-or-later
/* Random numbers that depend on nothing but the seed; each thread has dice of its own. */
#ifndef SOAK_DICE_H
#define SOAK_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

/* splitmix64. */
static inline uint64_t dice_roll(struct dice *dice)
{
    uint64_t value = dice->state += 0x9e3779b97f4a7c15;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* Dice for thread `number` of a run. */
static inline struct dice dice_make(uint64_t seed, unsigned number)
{
    struct dice dice = {.state = seed ^ (uint64_t)number << 32};

    dice_roll(&dice);
    return dice;
}

/* 0 to below - 1. */
static inline unsigned dice_below(struct dice *dice, unsigned below)
{
    return (unsigned)(dice_roll(dice) % below);
}

static inline unsigned dice_between(struct dice *dice, unsigned first, unsigned last)
{
    return first + dice_below(dice, last - first + 1);
}

static inline bool dice_chance(struct dice *dice, unsigned percent)
{
    return dice_below(dice, 100) < percent;
}

#endif
