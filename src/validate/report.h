// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a run has found, for people: from the same object that programs get. */
#ifndef VALIDATE_REPORT_H
#define VALIDATE_REPORT_H

#include <json.h>
#include <stdbool.h>
#include <stdio.h>

/* A profile's record; with `full` every step, otherwise those that are not as expected. */
void report_profile(FILE *file, struct json_object *profile, bool full);

/* All of it: with which versions, on what, each profile in full, and the verdicts. */
void report_all(FILE *file, struct json_object *report);

/* The verdicts alone. */
void report_verdicts(FILE *file, struct json_object *report);

#endif
