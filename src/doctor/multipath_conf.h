// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which key multipathd has for a map. */
#ifndef DOCTOR_MULTIPATH_CONF_H
#define DOCTOR_MULTIPATH_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "multipathd/multipathd.h"

/* Where a map's key comes from, as multipathd has it. */
enum key_source { KEY_UNKNOWN, KEY_NONE, KEY_FILE, KEY_FIXED };

/*
 * From multipathd's answer to "show config local": the reservation_key for the map with this kernel
 * name. A map's own in section multipaths goes before that of the defaults. *ret_key is set for
 * KEY_FIXED only.
 */
enum key_source multipath_conf_key(const char *configuration, const char *block, uint64_t *ret_key);

/*
 * From the same answer: whether all_tg_pt is set for a disk of this vendor and product. It says
 * that the device keeps a registration for all target ports.
 */
bool multipath_conf_all_tg_pt(const char *configuration, const char *vendor, const char *product);

/* The key that multipathd keeps for the map; untouched if it has none or does not tell. */
void multipath_conf_ask_key(enum multipathd_socket where, const char *block, uint64_t *ret_key);

#endif
