// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Long random runs, where states are too many to visit all: more commands and events, three paths,
 * targets with every combination of quirks, and noise. Each run has a seed of its own, from which
 * its setting and all its choices follow.
 */
#include "walk.h"

#include <stdio.h>
#include <string.h>

#include "explore.h"

#define RUN_STEPS_MAX 4000

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned below(uint64_t *seed, unsigned limit)
{
    return (unsigned)(next_random(seed) % limit);
}

static struct setting random_setting(uint64_t *seed)
{
    static const uint8_t types[][2] = {{5, 6}, {6, 5}, {1, 3}, {3, 5}, {7, 8}, {8, 7}};
    static const uint8_t groups[][TARGET_NEXUSES] = {
        {0, 1, 2, 3, 4, 5},
        {0, 1, 2, 3, 4, 5},
        {0, 0, 2, 3, 4, 5},
        {0, 0, 0, 3, 4, 5},
    };
    unsigned type = below(seed, 6), group = below(seed, 4);
    struct setting s = {
        .name = "random",
        .guest = "reg,ign,chg,chg2,ignn,unr,unr2,ign0,res,res2,rel,rel2,relt,clr,pre,own,own2,zero",
        .others = "reg,res,rel,pre,pre2,clr,unr",
        .paths = (uint8_t)(2 + below(seed, 2)),
        .nexuses = (uint8_t)(1 + below(seed, 2)),
        .multipathd = (uint8_t)below(seed, 3),
        .guest_commands = 8,
        .other_commands = 6,
        .events = 8,
        .other_key = {(uint8_t)(below(seed, 2) ? 1 : 3), 3},
        .type = types[type][0],
        .type2 = types[type][1],
        .returns = below(seed, 2),
        .blips = below(seed, 2),
        .crashes = below(seed, 4) == 0,
        .forgets = below(seed, 2),
        .deadlines = below(seed, 4) == 0,
        .refuses = below(seed, 8) == 0,
        .silences = below(seed, 4) == 0,
        .noise = true,
    };

    memcpy(s.quirks.group, groups[group], sizeof(s.quirks.group));
    /* A path past the map's own is another host's. */
    for (unsigned i = s.paths; i < TARGET_NEXUSES; i++)
        s.quirks.group[i] = (uint8_t)i;
    s.quirks.no_full_status = below(seed, 4) == 0;
    s.quirks.swapped_keys = !s.quirks.no_full_status && below(seed, 6) == 0;
    return s;
}

/* One successor of all, each as likely as another, noise a tenth as likely. */
struct choice {
    uint64_t *seed;
    double weight;
    struct world world;
    enum fault fault;
    char said[512];
};

static void weigh(const struct world *next, enum fault fault, void *context)
{
    struct choice *choice = context;
    double weight = emitting_noise ? 0.02 : 1.0;

    choice->weight += weight;
    if ((double)(next_random(choice->seed) >> 11) * 0x1p-53 * choice->weight >= weight)
        return;
    choice->world = *next;
    choice->fault = fault;
    memcpy(choice->said, said, sizeof(said));
}

/* Returns the number of steps. */
static uint64_t run(uint64_t seed, struct found *found, bool tell)
{
    static struct setting random;
    static struct choice choice;
    struct world world;
    uint64_t step;
    char text[1024];

    random = random_setting(&seed);
    world_begin(&random);
    choice.seed = &seed;
    choice.weight = 0;
    telling = tell;
    world_roots(weigh, &choice);
    for (step = 0; step < RUN_STEPS_MAX && choice.weight > 0; step++) {
        if (tell) {
            world_describe(&choice.world, text, sizeof(text));
            printf("#   %3llu %s\n#        %s\n", (unsigned long long)step, choice.said, text);
        }
        if (choice.world.crowded)
            break;
        if (choice.fault != FAULT_NONE) {
            const char *class = world_class(&choice.world, choice.fault);
            struct kind *kind = found_kind(found, class, choice.fault);

            kind->count++;
            if (tell)
                printf("#        %s%s%s\n", fault_text(choice.fault),
                       class[0] ? ", of the class " : "", class);
            if (fault_is_grave(choice.fault) || class[0] == '\0')
                break;
        }
        memcpy(&world, &choice.world, sizeof(world));
        choice.weight = 0;
        world_expand(&world, weigh, &choice);
    }
    telling = false;
    return step;
}

int walk(uint64_t steps, uint64_t seed)
{
    static struct found found, before;
    uint64_t taken = 0, runs = 0, failures = 0;
    bool good = true;

    for (; taken < steps; seed++, runs++) {
        bool fault = false;

        before = found;
        taken += run(seed, &found, false);
        for (unsigned i = 0; i < found.kinds; i++)
            fault |= found.kind[i].class[0] == '\0' &&
                     (i >= before.kinds || found.kind[i].count != before.kind[i].count);
        if (fault)
            printf("#   replay: model random-replay %llu\n", (unsigned long long)seed);
        if (fault && good)
            run(seed, &before, true);
        good &= !fault;
        failures += fault;
    }
    for (unsigned i = 0; i < found.kinds; i++)
        printf("# class: random %s/%s %llu\n", fault_text(found.kind[i].fault), found.kind[i].class,
               (unsigned long long)found.kind[i].count);
    printf("%sok 1 - random: %llu steps in %llu runs, %llu with a fault of no class\n1..1\n",
           good ? "" : "not ", (unsigned long long)taken, (unsigned long long)runs,
           (unsigned long long)failures);
    return good ? 0 : 1;
}

int walk_replay(uint64_t seed)
{
    static struct found found;

    run(seed, &found, true);
    return 0;
}
