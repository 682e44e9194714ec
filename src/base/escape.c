// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A small decoder of UTF-8 that takes only the shortest form, no surrogates and nothing above
 * U+10FFFF (RFC 3629). What it does not accept is escaped one byte at a time.
 */
#include "base/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One character at `bytes`: how many bytes it has, 0 if that is none. */
static size_t escape_decode(const unsigned char *bytes, uint32_t *ret_character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t character = bytes[0];
    size_t length = 1;

    if (character >= 0x80) {
        length = character >= 0xf0 ? 4 : character >= 0xe0 ? 3 : 2;
        if (character < 0xc0 || character > 0xf4)
            return 0;
        character &= 0x7fu >> length;
    }
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3f);
    }
    if (character < least[length] || character > 0x10ffff ||
        (character >= 0xd800 && character <= 0xdfff))
        return 0;
    *ret_character = character;
    return length;
}

size_t escape_character(const char *text)
{
    uint32_t character;

    return escape_decode((const unsigned char *)text, &character);
}

/* Controls, and what Unicode has for format and direction (Bidi_Control, zero width). */
static bool escape_is_harmless(uint32_t character)
{
    return character >= 0x20 && character != '\\' && !(character >= 0x7f && character <= 0x9f) &&
           character != 0xad && character != 0x61c &&
           !(character >= 0x200b && character <= 0x200f) &&
           !(character >= 0x2028 && character <= 0x202e) &&
           !(character >= 0x2060 && character <= 0x206f) && character != 0xfeff &&
           !(character >= 0xfff9 && character <= 0xfffb) &&
           !(character >= 0xe0000 && character <= 0xe0fff);
}

size_t escape_text(char *text, size_t size, const char *raw)
{
    const unsigned char *bytes = (const unsigned char *)raw;
    size_t columns = 0, used = 0;

    while (*bytes) {
        uint32_t character;
        size_t length = escape_decode(bytes, &character);
        bool plain = length > 0 && escape_is_harmless(character);

        length = length > 0 ? length : 1;
        if (used + (plain ? length : 4 * length) >= size)
            break;
        for (size_t i = 0; i < length; i++) {
            if (plain)
                text[used++] = (char)bytes[i];
            else
                used += (size_t)sprintf(text + used, "\\x%02x", bytes[i]);
        }
        columns += plain ? 1 : 4 * length;
        bytes += length;
    }
    text[used] = '\0';
    return columns;
}
