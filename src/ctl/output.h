// SPDX-License-Identifier: LGPL-2.1-or-later
/* Output, as text and as JSON. */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <json.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/outcome.h"

/* Keys have 64 bits, which JSON's numbers have not: OUTCOME_KEY. The caller owns it. */
struct json_object *output_key(uint64_t key);

/* Each line of a text, further in than the one that they belong to. */
void output_print_lines(FILE *file, const char *text);

/* An optional member: a NULL text leaves it out. */
void output_add_text(struct json_object *json, const char *name, const char *text);

/*
 * For commands with a way of their own: print `json`, which is consumed, with what every object
 * has. Both return the exit status: `status`, unless standard output could not be written.
 */
int output_json(const struct options *options, int status, struct json_object *json);
int output_flush(int status);

/*
 * Tell what came of it: on standard error what went wrong, and on standard output, if it is not
 * NULL, `json`, to which the command has added its part; it is consumed. Returns the exit status.
 */
int output_finish(const struct options *options, const struct outcome *outcome,
                  struct json_object *json);

#endif
