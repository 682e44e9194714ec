// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The two formats differ in the head: a counter's family has its name without _total in OpenMetrics
 * and with it in the classic text; info is a gauge there, and there are no units.
 */
#include "node/expose.h"

#include <string.h>

#define EXPOSE_PREFIX "qemu_pr_helper_"

static const char *expose_prefix(const struct expose_family *family)
{
    return strncmp(family->name, "qemu_", 5) == 0 ? "" : EXPOSE_PREFIX;
}

void expose_head(FILE *file, enum expose_format format, const struct expose_family *family)
{
    bool is_classic = format == EXPOSE_CLASSIC, is_info = strcmp(family->type, "info") == 0;
    const char *prefix = expose_prefix(family), *suffix = "";

    if (is_classic && is_info)
        suffix = "_info";
    else if (is_classic && strcmp(family->type, "counter") == 0)
        suffix = "_total";
    fprintf(file, "# HELP %s%s%s %s.\n", prefix, family->name, suffix, family->help);
    fprintf(file, "# TYPE %s%s%s %s\n", prefix, family->name, suffix,
            is_classic && is_info ? "gauge" : family->type);
    if (!is_classic && family->unit)
        fprintf(file, "# UNIT %s%s %s\n", prefix, family->name, family->unit);
}

void expose_label(struct expose_labels *labels, const char *name, const char *value)
{
    size_t used = labels->used, size = sizeof(labels->text);
    size_t most = strlen(name) + 2 * strlen(value) + 4;

    if (used + most >= size)
        return;
    used += (size_t)snprintf(labels->text + used, size - used, "%s%s=\"", used > 0 ? "," : "",
                             name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            labels->text[used++] = '\\';
        labels->text[used++] = *value == '\n' ? ' ' : *value;
    }
    labels->text[used++] = '"';
    labels->text[used] = '\0';
    labels->used = used;
}

void expose_sample(FILE *file, const struct expose_family *family, const char *suffix,
                   const struct expose_labels *labels, double value)
{
    fprintf(file, "%s%s%s", expose_prefix(family), family->name, suffix);
    if (labels && labels->used > 0)
        fprintf(file, "{%s}", labels->text);
    fprintf(file, " %.15g\n", value);
}

void expose_end(FILE *file, enum expose_format format)
{
    if (format == EXPOSE_OPENMETRICS)
        fputs("# EOF\n", file);
}
