// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For getopt_long(3) a row is its number, beyond all letters. An option's letter is looked up in
 * the table as its name is, so that both lead to the same row.
 */
#include "base/option_table.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/parse.h"

#define OPTION_HELP_INDENT 30 /* where --help's second column begins */
#define OPTION_HELP_WIDTH  92
#define OPTION_NUMBER_BASE 256 /* of a row, as getopt_long returns it */

static void *option_field(const struct option_use *use)
{
    return (char *)use->target + use->row->field;
}

int option_reject(struct option_use *use, const char *wanted)
{
    snprintf(use->error, sizeof(use->error), "--%s=%s: not %s", use->row->name, use->value, wanted);
    return -EINVAL;
}

int option_set_flag(struct option_use *use)
{
    *(bool *)option_field(use) = true;
    return 0;
}

int option_set_count(struct option_use *use)
{
    ++*(unsigned *)option_field(use);
    return 0;
}

int option_set_text(struct option_use *use)
{
    *(const char **)option_field(use) = use->value;
    return 0;
}

int option_set_path(struct option_use *use)
{
    if (use->value[0] != '/')
        return option_reject(use, "an absolute path");
    return option_set_text(use);
}

int option_set_number(struct option_use *use)
{
    const struct option_row *row = use->row;
    char wanted[96];
    uint64_t number;

    if (!parse_number(use->value, row->max, &number) || number < row->min) {
        snprintf(wanted, sizeof(wanted), "a number%s%s from %u to %u", row->unit ? " of " : "",
                 row->unit ? row->unit : "", row->min, row->max);
        return option_reject(use, wanted);
    }
    *(unsigned *)option_field(use) = (unsigned)number;
    return 0;
}

int option_set_choice(struct option_use *use)
{
    const char *const *choice = use->row->choice;
    char wanted[64];

    if (strcmp(use->value, choice[0]) && strcmp(use->value, choice[1])) {
        snprintf(wanted, sizeof(wanted), "%s or %s", choice[0], choice[1]);
        return option_reject(use, wanted);
    }
    *(bool *)option_field(use) = strcmp(use->value, choice[1]) == 0;
    return 0;
}

int option_set_mode(struct option_use *use)
{
    if (!parse_mode(use->value, option_field(use)))
        return option_reject(use, "an octal mode from 0 to 777");
    return 0;
}

int option_set_user(struct option_use *use)
{
    gid_t unused;

    if (!parse_user(use->value, option_field(use), &unused))
        return option_reject(use, "a user");
    return 0;
}

int option_set_group(struct option_use *use)
{
    if (!parse_group(use->value, option_field(use)))
        return option_reject(use, "a group");
    return 0;
}

void option_table_init(const struct option_table *table, void *target)
{
    for (const struct option_row *row = table->rows; row < table->rows + table->n_rows; row++) {
        struct option_use use;

        if (!row->initial)
            continue;
        use.row = row;
        use.value = row->initial;
        use.target = target;
        row->set(&use);
    }
}

const struct option_row *option_table_find(const struct option_table *table, const char *name)
{
    for (const struct option_row *row = table->rows; row < table->rows + table->n_rows; row++) {
        if (row->name && strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}

/* What getopt_long(3) is to accept. names: OPTION_TABLE_ROWS_MAX + 1; letters: twice as many. */
static void option_table_names(const struct option_table *table, struct option *names,
                               char *letters)
{
    for (size_t i = 0; i < table->n_rows && i < OPTION_TABLE_ROWS_MAX; i++) {
        const struct option_row *row = &table->rows[i];

        if (!row->name)
            continue;
        *names++ = (struct option){row->name, row->argument ? required_argument : no_argument, NULL,
                                   OPTION_NUMBER_BASE + (int)i};
        if (!row->letter)
            continue;
        *letters++ = row->letter;
        if (row->argument)
            *letters++ = ':';
    }
    *names = (struct option){0};
    *letters = '\0';
}

int option_walk_next(struct option_walk *walk, const struct option_row **ret_row,
                     const char **ret_value)
{
    const struct option_table *table = walk->table;
    struct option names[OPTION_TABLE_ROWS_MAX + 1];
    char letters[2 * OPTION_TABLE_ROWS_MAX + 1];
    int found;

    if (!walk->begun)
        optind = 0; /* from the start, even if another walk has ended inside of -abc */
    walk->begun = true;
    option_table_names(table, names, letters);
    found = getopt_long(walk->argc, walk->argv, letters, names, NULL);
    if (found == -1)
        return 0;
    for (size_t i = 0; i < table->n_rows && found != '?'; i++) {
        const struct option_row *row = &table->rows[i];

        if (found != OPTION_NUMBER_BASE + (int)i && found != row->letter)
            continue;
        *ret_row = row;
        *ret_value = row->argument ? optarg : NULL;
        return 1;
    }
    return -EINVAL;
}

/* The end of an option's text; on a line of its own if the last one is too long for it. */
static void option_print_initial(const struct option_row *row, FILE *file)
{
    const char *newline = strrchr(row->help, '\n');
    size_t used = strlen(newline ? newline + 1 : row->help);
    size_t more = strlen(row->initial) + strlen(" (default )");

    if (OPTION_HELP_INDENT + used + more > OPTION_HELP_WIDTH)
        fprintf(file, "\n%*s", OPTION_HELP_INDENT, "");
    else
        fputc(' ', file);
    fprintf(file, "(default %s)", row->initial);
}

static void option_print(const struct option_row *row, FILE *file)
{
    int used = row->letter ? fprintf(file, "  -%c, --%s", row->letter, row->name)
                           : fprintf(file, "      --%s", row->name);

    if (row->argument)
        used += fprintf(file, "=%s", row->argument);
    if (used >= OPTION_HELP_INDENT) {
        fputc('\n', file);
        used = 0;
    }
    fprintf(file, "%*s", OPTION_HELP_INDENT - used, "");
    for (const char *text = row->help; *text; text++) {
        fputc(*text, file);
        if (*text == '\n')
            fprintf(file, "%*s", OPTION_HELP_INDENT, "");
    }
    if (row->initial)
        option_print_initial(row, file);
    fputc('\n', file);
}

void option_table_print(const struct option_table *table, FILE *file)
{
    for (const struct option_row *row = table->rows; row < table->rows + table->n_rows; row++) {
        if (!row->name)
            fputc('\n', file);
        else if (row->help)
            option_print(row, file);
    }
}
