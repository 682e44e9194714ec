// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_SENSE_H
#define SCSI_SENSE_H

/*
 * Sense data: build it, take the three numbers out of received data, say in words what they mean.
 * Pure functions, safe in any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/spc.h"

/* Bytes of sense in a reply of QEMU's protocol, and what we let the kernel return. */
#define SENSE_SIZE 96

/*
 * Fill all of `sense` with fixed format sense data, current error (response code 70h), that carries
 * `code` and nothing else. SPC-4 4.5.3, Fixed format sense data.
 */
void sense_build(uint8_t sense[SENSE_SIZE], struct spc_sense code);

/*
 * Take the sense code out of `length` bytes of sense data: fixed format (70h, 71h) or descriptor
 * format (72h, 73h), no byte behind `length` nor behind the end that the data itself gives. Codes
 * that the data is too short to hold are 0. False, and `ret` untouched, if there is no usable
 * sense: too short for a sense key, or another response code (all zeros are no sense data; a sense
 * key NO SENSE inside valid sense data is usable). SPC-4 4.5.2, Descriptor format sense data,
 * and 4.5.3.
 */
bool sense_decode(const uint8_t *sense, size_t length, struct spc_sense *ret);

/*
 * Whether the sense data is about a command that had ended before (response code 71h or 73h). The
 * command that it came with was then not carried out. SPC-4 4.5, Deferred errors.
 */
bool sense_is_deferred(const uint8_t *sense, size_t length);

/*
 * Whether a path spoke for itself alone, not for the logical unit: 2/04/0A to 0C (its target port
 * group is transitioning, standby or unavailable; SPC-4 5.15, Target port group access states),
 * 5/25/00 (the logical unit is not mapped to its target port), 5/94/01 (the controller of an array
 * that does not own the logical unit). Nothing was executed, and another path may answer.
 */
bool sense_is_of_path(struct spc_sense code);

/* The standard's name of a sense key, of which the low four bits count. Never NULL. */
const char *sense_key_name(uint8_t key);

/*
 * The standard's name of code's ASC and ASCQ (the key plays no part), or NULL if it is none of the
 * codes around reservations and transport that the table of sense.c lists.
 */
const char *sense_code_name(struct spc_sense code);

/*
 * Write code as "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)", or as "ABORTED COMMAND
 * (B/12/34)" if ASC and ASCQ have no name here. `text` has room for `size` bytes and is always
 * terminated (unless size is 0); the whole text always fits into SENSE_TEXT_SIZE. Returns the
 * length of the whole text without its NUL, which is more than was written if `size` is too small,
 * as snprintf().
 */
size_t sense_describe(char *text, size_t size, struct spc_sense code);
#define SENSE_TEXT_SIZE 96

#endif
