// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How long something took, in buckets of fixed bounds: four to each power of two, from 1 us to two
 * minutes. The memory is always the same, and a percentile is right to a fifth.
 */
#ifndef LEDGER_LATENCY_H
#define LEDGER_LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 104

struct latency {
    uint32_t counts[LATENCY_BUCKETS];
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
};

/* The bucket of a time; what is longer than all bounds is in the last one. */
static inline unsigned latency_bucket(uint64_t us)
{
    uint64_t below = us ? us - 1 : 0; /* so that a bound belongs to the bucket that it ends */
    unsigned octave, bucket;

    if (below < 4)
        return (unsigned)below;
    octave = 63 - (unsigned)__builtin_clzll(below);
    bucket = 4 * (octave - 1) + (unsigned)(below >> (octave - 2) & 3);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The longest time that belongs to a bucket (but for the last). */
static inline uint64_t latency_bound(unsigned bucket)
{
    if (bucket < 4)
        return bucket + 1;
    return (uint64_t)(bucket % 4 + 5) << (bucket / 4 - 1);
}

static inline void latency_add(struct latency *latency, uint64_t us)
{
    latency->counts[latency_bucket(us)]++;
    latency->count++;
    latency->sum_us += us;
    if (us > latency->max_us)
        latency->max_us = us;
}

/* The bound below which so many percent of them were. 0 if there were none. */
static inline uint64_t latency_percentile(const struct latency *latency, unsigned percent)
{
    uint64_t wanted = (latency->count * percent + 99) / 100, seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS && latency->count; i++) {
        seen += latency->counts[i];
        if (seen >= wanted)
            return i + 1 < LATENCY_BUCKETS ? latency_bound(i) : latency->max_us;
    }
    return 0;
}

/* How many took at most `us`, which has to be a bound. */
static inline uint64_t latency_count_up_to(const struct latency *latency, uint64_t us)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS - 1 && latency_bound(i) <= us; i++)
        seen += latency->counts[i];
    return seen;
}

#endif
