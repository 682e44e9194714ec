// SPDX-License-Identifier: LGPL-2.1-or-later
/* All cells are kept, the head as first row, since the widths are known only at the end. */
#include "monitor/table.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/escape.h"

void table_init(struct table *table, const char *const *head)
{
    *table = (struct table){.columns = 0};
    while (head[table->columns])
        table->columns++;
    table_add_row(table);
    for (size_t i = 0; i < table->columns; i++)
        table_set(table, i, "%s", head[i]);
}

void table_deinit(struct table *table)
{
    free(table->cells);
    *table = (struct table){.cells = NULL};
}

void table_add_row(struct table *table)
{
    size_t count = (table->rows + 1) * table->columns;
    struct table_cell *cells = realloc(table->cells, count * sizeof(*cells));

    if (!cells)
        return;
    table->cells = cells;
    for (size_t i = table->rows * table->columns; i < count; i++)
        cells[i] = (struct table_cell){.width = 0};
    table->rows++;
}

void table_set(struct table *table, size_t column, const char *format, ...)
{
    char raw[TABLE_CELL_MAX];
    struct table_cell *cell;
    va_list arguments;

    if (table->rows == 0)
        return;
    va_start(arguments, format);
    vsnprintf(raw, sizeof(raw), format, arguments);
    va_end(arguments);
    cell = &table->cells[(table->rows - 1) * table->columns + column];
    cell->width = escape_text(cell->text, sizeof(cell->text), raw);
}

size_t table_count(const struct table *table)
{
    return table->rows > 0 ? table->rows - 1 : 0;
}

void table_print(const struct table *table, FILE *file)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};

    if (table_count(table) == 0)
        return;
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        if (table->cells[i].width > widths[i % table->columns])
            widths[i % table->columns] = table->cells[i].width;
    }
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t column = i % table->columns;
        int fill = (int)(widths[column] - table->cells[i].width);

        if (column + 1 == table->columns)
            fprintf(file, "%s\n", table->cells[i].text);
        else
            fprintf(file, "%s%*s  ", table->cells[i].text, fill, "");
    }
}
