// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/quote.h"

#include <stdio.h>
#include <string.h>

static const char quote_cut[] = "...";

static size_t quote_byte(char piece[5], unsigned char byte)
{
    if (byte < ' ' || byte >= 0x7f)
        return (size_t)sprintf(piece, "\\x%02x", byte);
    return (size_t)sprintf(piece, byte == '"' || byte == '\\' ? "\\%c" : "%c", byte);
}

size_t quote_text(char *to, size_t size, const char *text)
{
    size_t length = 0, whole = 0; /* so much fits with the sign of a cut behind it */

    for (; *text; text++) {
        char piece[5];
        size_t n = quote_byte(piece, (unsigned char)*text);

        if (length + n >= size) {
            memcpy(to + whole, quote_cut, sizeof(quote_cut));
            return whole + sizeof(quote_cut) - 1;
        }
        memcpy(to + length, piece, n);
        length += n;
        if (length + sizeof(quote_cut) <= size)
            whole = length;
    }
    to[length] = '\0';
    return length;
}
