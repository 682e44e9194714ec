// SPDX-License-Identifier: LGPL-2.1-or-later
/* Strict parsing of what people type: all of the text counts, or none of it. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Decimal digits and nothing else (no sign, no blank), at most `max`. */
bool parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* Hexadecimal digits of either case, with or without 0x before them, at most `max`. */
bool parse_hex(const char *text, uint64_t max, uint64_t *ret_number);

/* An octal file mode, at most 0777. */
bool parse_mode(const char *text, mode_t *ret_mode);

/*
 * A user: a name of the user database first, else a decimal number. The number that means "no
 * change" to setuid(2), (uid_t)-1, is no user. ret_gid: the group that belongs to the user, or
 * (gid_t)-1 where the database does not know the number. May block in a name service.
 */
bool parse_user(const char *text, uid_t *ret_uid, gid_t *ret_gid);

/* A group, in the same way. */
bool parse_group(const char *text, gid_t *ret_gid);

#endif
