// SPDX-License-Identifier: LGPL-2.1-or-later
/* The value of one of QEMU's options, in either of its two forms. */
#ifndef DOCTOR_QEMU_OPTION_H
#define DOCTOR_QEMU_OPTION_H

#include <json.h>

/*
 * "driver=raw,file.filename=/dev/sda" and {"driver":"raw","file":{"filename":"/dev/sda"}} are the
 * same: an object of texts by their dotted names, with "on" and "off" for true and false. A file
 * name that is "json:{...}" stands for what it contains. `implied` is the name of a first member
 * without one ("scsi-block,drive=d"), or NULL. The caller puts it; NULL: no JSON, or no memory.
 */
struct json_object *qemu_option_parse(const char *value, const char *implied);

/* A member by its dotted name, or NULL. The object's. */
const char *qemu_option_get(struct json_object *option, const char *name);

#endif
