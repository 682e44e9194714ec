// SPDX-License-Identifier: LGPL-2.1-or-later
/* A growing array of measured times, and its percentiles by nearest rank. */
#include "samples.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_room(struct samples *samples, size_t more)
{
    if (samples->room - samples->count >= more)
        return;
    size_t room = samples->room ? samples->room * 2 : 4096;
    if (room < samples->count + more)
        room = samples->count + more;
    samples->values = reallocarray(samples->values, room, sizeof *samples->values);
    if (!samples->values)
        err(1, "samples");
    samples->room = room;
}

void samples_add(struct samples *samples, uint64_t value)
{
    make_room(samples, 1);
    samples->values[samples->count++] = value;
}

void samples_merge(struct samples *into, const struct samples *from)
{
    if (from->count == 0)
        return;
    make_room(into, from->count);
    memcpy(into->values + into->count, from->values, from->count * sizeof *from->values);
    into->count += from->count;
}

size_t samples_above(const struct samples *samples, uint64_t bound)
{
    size_t above = 0;

    for (size_t i = 0; i < samples->count; i++)
        above += samples->values[i] > bound;
    return above;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static unsigned long long rank(const struct samples *samples, size_t per_mille)
{
    if (samples->count == 0)
        return 0;
    size_t position = (samples->count * per_mille + 999) / 1000;
    return samples->values[position ? position - 1 : 0];
}

void samples_print(struct samples *samples, const char *name)
{
    if (samples->count)
        qsort(samples->values, samples->count, sizeof *samples->values, compare);
    printf("\"%s_p50\": %llu, \"%s_p99\": %llu, \"%s_p999\": %llu, \"%s_max\": %llu", name,
           rank(samples, 500), name, rank(samples, 990), name, rank(samples, 999), name,
           rank(samples, 1000));
}

void samples_free(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){0};
}
