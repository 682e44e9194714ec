// SPDX-License-Identifier: LGPL-2.1-or-later
/* A table on a terminal: columns as wide as their widest cell. */
#ifndef MONITOR_TABLE_H
#define MONITOR_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12
#define TABLE_CELL_MAX    128

struct table_cell {
    char text[TABLE_CELL_MAX]; /* can do no harm to a terminal */
    size_t width;
};

struct table {
    size_t columns, rows;
    struct table_cell *cells; /* owned; NULL without rows */
};

/* Its head, whose number of texts is that of the columns; ends with NULL. */
void table_init(struct table *table, const char *const *head);
void table_deinit(struct table *table);

/* Begin a row; its cells are empty. Without memory the row is left out. */
void table_add_row(struct table *table);

/* A cell of the row that was begun last. It is escaped. */
__attribute__((format(printf, 3, 4))) void table_set(struct table *table, size_t column,
                                                     const char *format, ...);

/* Rows beside the head. */
size_t table_count(const struct table *table);

/* The last column is not filled up, others are separated by two blanks; nothing without rows. */
void table_print(const struct table *table, FILE *file);

#endif
