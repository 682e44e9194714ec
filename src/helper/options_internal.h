// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the parts of the options have in common: options_table.c has a row for each of them,
 * options.c knows where they come from. */
#ifndef HELPER_OPTIONS_INTERNAL_H
#define HELPER_OPTIONS_INTERNAL_H

#include "base/option_table.h"
#include "helper/options.h"

/* What the rows are about: the result, and what parsing has to remember beside it. */
struct options_parser {
    struct options options;
    gid_t user_gid;   /* group of -u */
    unsigned verbose; /* count of -v */
    bool quiet;
    bool log_given;
    bool audit_given;
    const char *config; /* NULL: the default */
};

extern const struct option_table options_table;

#endif
