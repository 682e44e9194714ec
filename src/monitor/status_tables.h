// SPDX-License-Identifier: LGPL-2.1-or-later
/* The tables of `qemu-pr-ctl status`. */
#ifndef MONITOR_STATUS_TABLES_H
#define MONITOR_STATUS_TABLES_H

#include <json.h>
#include <stdio.h>

/* A status document, for people. */
void status_print(struct json_object *document, FILE *file);

/* The part of it that comes first, if there is any: what needs attention. */
void status_print_alarms(struct json_object *document, FILE *file);

#endif
