// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * strtoul(3) skips blanks, takes signs and stops at what it does not know; an administrator who
 * typed one of these has made a mistake that is better said than guessed at.
 */
#include "base/parse.h"

#include <grp.h>
#include <pwd.h>
#include <stddef.h>

/* Its value as a digit, of either case; 16 if it is none. */
static unsigned parse_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0');
    if (digit >= 'a' && digit <= 'f')
        return (unsigned)(digit - 'a') + 10;
    if (digit >= 'A' && digit <= 'F')
        return (unsigned)(digit - 'A') + 10;
    return 16;
}

static bool parse_digits(const char *text, unsigned base, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = parse_digit(*text);

        if (digit >= base || digit > max || number > (max - digit) / base)
            return false;
        number = number * base + digit;
    }
    *ret_number = number;
    return true;
}

bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    return parse_digits(text, 10, max, ret_number);
}

bool parse_hex(const char *text, uint64_t max, uint64_t *ret_number)
{
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    return parse_digits(text, 16, max, ret_number);
}

bool parse_mode(const char *text, mode_t *ret_mode)
{
    uint64_t mode;

    if (!parse_digits(text, 8, 0777, &mode))
        return false;
    *ret_mode = (mode_t)mode;
    return true;
}

bool parse_user(const char *text, uid_t *ret_uid, gid_t *ret_gid)
{
    const struct passwd *entry = getpwnam(text);
    uint64_t number;

    if (!entry) {
        if (!parse_number(text, (uid_t)-1 - 1, &number))
            return false;
        entry = getpwuid((uid_t)number);
        *ret_uid = (uid_t)number;
    } else {
        *ret_uid = entry->pw_uid;
    }
    *ret_gid = entry ? entry->pw_gid : (gid_t)-1;
    return true;
}

bool parse_group(const char *text, gid_t *ret_gid)
{
    const struct group *entry = getgrnam(text);
    uint64_t number;

    if (!entry) {
        if (!parse_number(text, (gid_t)-1 - 1, &number))
            return false;
        *ret_gid = (gid_t)number;
        return true;
    }
    *ret_gid = entry->gr_gid;
    return true;
}
