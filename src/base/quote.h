// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Texts that others chose (a virtual machine's name, a label, a device's name) where they
 * stand among our own words: in the log, the audit, an alarm, a trace.
 *
 * Pure; any thread.
 */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include <stddef.h>

/*
 * Escape a text for standing between double quotes on one line of printable ASCII: a quote and a
 * backslash have a backslash before them, every other byte that is no printable ASCII comes as
 * \xNN. At most `size` bytes with the NUL, of at least 4; what is cut ends in "...". Returns the
 * length.
 */
size_t quote_text(char *to, size_t size, const char *text);

#endif
