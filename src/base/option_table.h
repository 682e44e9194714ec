// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Options of a program as one table: what getopt_long(3) accepts, what --help says, what the values
 * are before anything is given, and how a value is checked and stored all come from the same row.
 * Rows have pointers, which the dynamic linker fills in, so their pages are private memory: they
 * are kept small.
 */
#ifndef BASE_OPTION_TABLE_H
#define BASE_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTION_TABLE_ROWS_MAX 64
#define OPTION_ERROR_SIZE     1024

struct option_row;

/* One option with its value, on the way into the program's struct. */
struct option_use {
    const struct option_row *row;
    const char *value;             /* NULL if the option takes none */
    void *target;                  /* the struct that the rows' offsets refer to */
    char error[OPTION_ERROR_SIZE]; /* why it was rejected; "": that has been said already */
};

struct option_row {
    char letter;          /* 0: it has none */
    const char *name;     /* NULL: not an option, but an empty line of --help */
    const char *argument; /* what --help calls it; NULL: it takes none */
    const char *help;     /* one line or several; NULL: not shown */
    const char *initial;  /* as if given first, and shown as the default; NULL: there is none */

    /*
     * Check use->value and store it. 0, or -EINVAL with use->error. NULL: the program handles it
     * itself, and only on the command line.
     */
    int (*set)(struct option_use *use);

    const char *unit;      /* of a number, in the plural, or NULL */
    const char *choice[2]; /* the words that mean false and true */
    unsigned max;          /* of a number */
    uint16_t min;          /* the same */
    uint16_t field;        /* offset in the target of what `set` stores */
};

struct option_table {
    const struct option_row *rows;
    size_t n_rows; /* at most OPTION_TABLE_ROWS_MAX */
};

/* Ready-made `set` functions; each names the type of the field. */
int option_set_flag(struct option_use *use);   /* bool, becomes true */
int option_set_count(struct option_use *use);  /* unsigned, how often it was given */
int option_set_text(struct option_use *use);   /* const char *, borrowed */
int option_set_path(struct option_use *use);   /* const char *, borrowed; absolute */
int option_set_number(struct option_use *use); /* unsigned, min to max */
int option_set_choice(struct option_use *use); /* bool, one of the two words of `choice` */
int option_set_mode(struct option_use *use);   /* mode_t, octal, at most 777 */
int option_set_user(struct option_use *use);   /* uid_t, by name or number */
int option_set_group(struct option_use *use);  /* gid_t, the same */

/* For a `set` function: it is not `wanted`, for instance "an absolute path". Returns -EINVAL. */
int option_reject(struct option_use *use, const char *wanted);

/* Store every row's initial value. These are correct: use->error is for what people type. */
void option_table_init(const struct option_table *table, void *target);

/* The row of this long name, in full; NULL if there is none. */
const struct option_row *option_table_find(const struct option_table *table, const char *name);

/* A walk through a command line. */
struct option_walk {
    const struct option_table *table;
    int argc;
    char **argv;
    bool begun; /* ours; false at first */
};

/*
 * The next option, in getopt_long's order, with its value or NULL. Returns 1; 0 at the end; or
 * -EINVAL for what is no option of the table or lacks its value, which getopt_long has reported on
 * standard error unless opterr is 0. The arguments that are no options begin at optind then. Not
 * for two threads at once.
 */
int option_walk_next(struct option_walk *walk, const struct option_row **ret_row,
                     const char **ret_value);

/* The rows as --help shows them. */
void option_table_print(const struct option_table *table, FILE *file);

#endif
