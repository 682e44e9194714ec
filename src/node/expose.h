// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a node's helpers say, as numbers for Prometheus: in its classic text format, or as
 * OpenMetrics 1.0. All of a helper is labelled by its name, all of a logical unit by its WWN and,
 * as far as it is one helper's, the helper's name; which map, disk and machines belong to a WWN is
 * the label of one sample of its own. Of a unit there are at most EXPOSE_LUN_SERIES series for each
 * helper that uses it.
 */
#ifndef NODE_EXPOSE_H
#define NODE_EXPOSE_H

#include <stdio.h>

#include "node/lun.h"

#define EXPOSE_LUN_SERIES 12

enum expose_format { EXPOSE_CLASSIC, EXPOSE_OPENMETRICS };

/* A family's head. A counter's `name` is without _total, an info's without _info. */
struct expose_family {
    const char *name; /* without EXPOSE_PREFIX if it begins with no "qemu_" */
    const char *type; /* "counter", "gauge", "histogram", "summary", "info" */
    const char *unit; /* NULL: none */
    const char *help; /* without a full stop */
};

/* Labels as they stand between braces; what does not fit is left out, never cut. */
struct expose_labels {
    char text[1536];
    size_t used;
};

void expose_head(FILE *file, enum expose_format format, const struct expose_family *family);
void expose_label(struct expose_labels *labels, const char *name, const char *value);

/* One sample of the family; `suffix` is what follows the name that expose_head has made. */
void expose_sample(FILE *file, const struct expose_family *family, const char *suffix,
                   const struct expose_labels *labels, double value);

/* All families of helpers and of logical units. Without OpenMetrics' last line. */
void expose_helpers(FILE *file, enum expose_format format, const struct crowd *crowd);
void expose_luns(FILE *file, enum expose_format format, const struct lun_list *list);

/* OpenMetrics' last line, if it is that. */
void expose_end(FILE *file, enum expose_format format);

#endif
