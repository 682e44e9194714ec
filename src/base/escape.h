// SPDX-License-Identifier: LGPL-2.1-or-later
/* Texts that others have chosen, such as names of virtual machines, on a terminal. */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>

/*
 * Copy `raw` so that it cannot do anything to a terminal, nor look like another text: control
 * characters, those that are not seen or turn the direction of writing, and what is no UTF-8 become
 * \xNN, byte by byte. What does not fit is cut, between characters. Returns how many columns it
 * has (one for each character).
 */
size_t escape_text(char *text, size_t size, const char *raw);

/* How many bytes the character of UTF-8 at `text` has; 0 if there is none. */
size_t escape_character(const char *text);

#endif
