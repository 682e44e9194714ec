// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The engine of multipath maps against every small world. See README.md.
 *
 *     model list [--full]
 *     model [--full] [--limit STATES] [--stories] [SETTING...]
 *     model replay SETTING CHOICE,CHOICE,...
 *     model random STEPS [SEED]
 *     model random-replay SEED
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "settings.h"
#include "walk.h"

static const struct setting *find_setting(const char *name)
{
    for (unsigned i = 0; i < settings_count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    fprintf(stderr, "model: no setting \"%s\"\n", name);
    exit(2);
}

static void print_choices(const struct kind *kind)
{
    for (unsigned i = 0; i < kind->length; i++)
        printf("%s%d", i ? "," : "", kind->story[i]);
}

/* A fault that belongs to no class must not be; the others are for tests/model/run to judge. */
static bool report(const struct setting *chosen, const struct found *found, bool stories,
                   unsigned number)
{
    bool good = found->crowded == 0;

    for (unsigned i = 0; i < found->kinds; i++)
        good &= found->kind[i].class[0] != '\0';
    for (unsigned i = 0; i < found->kinds; i++) {
        const struct kind *kind = &found->kind[i];

        printf("# class: %s %s/%s %llu\n", chosen->name, fault_text(kind->fault), kind->class,
               (unsigned long long)kind->count);
        if (kind->class[0] == '\0' || stories) {
            printf("#   replay: model replay %s ", chosen->name);
            print_choices(kind);
            printf("\n");
            fflush(stdout);
            replay(chosen, kind->story, kind->length);
        }
    }
    if (found->crowded)
        printf("# %llu steps with more than %d ideal states\n", (unsigned long long)found->crowded,
               IDEALS_MAX);
    printf("%sok %u - %s: %llu states, %llu steps%s\n", good ? "" : "not ", number, chosen->name,
           (unsigned long long)found->states, (unsigned long long)found->steps,
           found->complete ? ", all of them" : ", the first of them");
    fflush(stdout);
    return good;
}

static int replay_choices(const struct setting *chosen, char *text)
{
    uint16_t story[STORY_MAX];
    unsigned length = 0;

    for (char *word = strtok(text, ","); word && length < STORY_MAX; word = strtok(NULL, ","))
        story[length++] = (uint16_t)strtoul(word, NULL, 10);
    replay(chosen, story, length);
    return 0;
}

int main(int argc, char **argv)
{
    bool full = false, stories = false, good = true, any = false;
    uint64_t limit = 0, states = 0, steps = 0;
    unsigned number = 0;
    static struct found found;

    if (argc >= 2 && strcmp(argv[1], "list") == 0) {
        for (unsigned i = 0; i < settings_count; i++)
            if (argc > 2 || !settings[i].full)
                printf("%s\n", settings[i].name);
        return 0;
    }
    if (argc >= 3 && strcmp(argv[1], "random") == 0)
        return walk(strtoull(argv[2], NULL, 10), argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
    if (argc == 3 && strcmp(argv[1], "random-replay") == 0)
        return walk_replay(strtoull(argv[2], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "replay") == 0)
        return replay_choices(find_setting(argv[2]), argv[3]);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            full = true;
        else if (strcmp(argv[i], "--stories") == 0)
            stories = true;
        else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc)
            limit = strtoull(argv[++i], NULL, 10);
        else
            find_setting(argv[i]), any = true;
    }
    for (unsigned s = 0; s < settings_count; s++) {
        bool chosen = !any && (full || !settings[s].full);

        for (int i = 1; i < argc; i++)
            chosen |= strcmp(argv[i], settings[s].name) == 0;
        if (!chosen)
            continue;
        explore(&settings[s], limit, &found);
        states += found.states;
        steps += found.steps;
        good &= report(&settings[s], &found, stories, ++number);
    }
    printf("# %llu states, %llu steps in all\n", (unsigned long long)states,
           (unsigned long long)steps);
    for (unsigned row = 1; row < ROWS; row++)
        if (row_text[row])
            printf("# row: %s: %llu GOOD, %llu other, %llu BUSY, %llu unknown\n", row_text[row],
                   (unsigned long long)row_count[row][0], (unsigned long long)row_count[row][1],
                   (unsigned long long)row_count[row][2], (unsigned long long)row_count[row][3]);
    printf("1..%u\n", number);
    return good ? 0 : 1;
}
