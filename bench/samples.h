// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* Every measured time, kept: the tail of a distribution must not go through a histogram. */
struct samples {
    uint64_t *values;
    size_t count, room;
};

/* Ends the program when memory runs out; a measurement with holes is worth nothing. */
void samples_add(struct samples *samples, uint64_t value);

void samples_merge(struct samples *into, const struct samples *from);

size_t samples_above(const struct samples *samples, uint64_t bound);

/* Print the members "NAME_p50", "NAME_p99", "NAME_p999" and "NAME_max" of a JSON object; sorts. */
void samples_print(struct samples *samples, const char *name);

void samples_free(struct samples *samples);

#endif
