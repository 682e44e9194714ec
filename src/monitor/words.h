// SPDX-License-Identifier: LGPL-2.1-or-later
/* How parts of the status document are put for people. */
#ifndef MONITOR_WORDS_H
#define MONITOR_WORDS_H

#include <json.h>
#include <stddef.h>
#include <stdint.h>

#define WORDS_MAX     512 /* of what makes a line, escaped */
#define WORDS_AGE_MAX 32

/* "47 s", "12 min", "5 h", "3 d": as exact as matters. Both return `text`. */
const char *words_age(double seconds, char text[WORDS_AGE_MAX]);
const char *words_latency(int64_t us, char text[WORDS_AGE_MAX]);

/* A member that is a text, or what to say otherwise. */
const char *words_text(struct json_object *object, const char *name, const char *otherwise);

/* A client by name; an unknown one is called that. */
const char *words_vm(struct json_object *object);

/*
 * What there is to say of a key, in one word: registered; unverified: it may be gone; left: its
 * client has gone, and was no virtual machine, so its end may be intended; stale: a virtual machine
 * that has gone has left it, and the device has it on a nexus of this host; replaced.
 */
const char *words_key_state(struct json_object *key);

/* "8:16 sdb", with the map's name for a map. */
void words_device(struct json_object *device, char *text, size_t size);

#endif
