// SPDX-License-Identifier: LGPL-2.1-or-later
/* passwd(5): NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL, a line each. */
#include "daemon/account.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"

#define ACCOUNT_LINE_MAX 4096

/* Is this line, which is taken apart, the user's? */
static bool account_is_line_of(char *line, const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    const char *found = strsep(&line, ":");
    const char *password = strsep(&line, ":");
    const char *uid_text = strsep(&line, ":");
    const char *gid_text = strsep(&line, ":");
    uint64_t uid, gid;

    if (!password || !uid_text || !gid_text || strcmp(found, name) != 0)
        return false;
    if (!parse_number(uid_text, (uid_t)-1 - 1, &uid) ||
        !parse_number(gid_text, (gid_t)-1 - 1, &gid) || uid == 0 || gid == 0)
        return false;
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return true;
}

/*
 * Go through the whole lines in `text`, of which there are *used bytes, and move what is left to
 * its beginning. *skip: the first line is the rest of one that was too long.
 */
static bool account_take_lines(char *text, size_t *used, bool *skip, const char *name,
                               uid_t *ret_uid, gid_t *ret_gid)
{
    char *line = text, *end;

    while ((end = memchr(line, '\n', *used - (size_t)(line - text)))) {
        *end = '\0';
        if (!*skip && account_is_line_of(line, name, ret_uid, ret_gid))
            return true;
        *skip = false;
        line = end + 1;
    }
    *used -= (size_t)(line - text);
    memmove(text, line, *used);
    if (*used == ACCOUNT_LINE_MAX) {
        *skip = true;
        *used = 0;
    }
    return false;
}

int account_find_in(const char *path, const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char text[ACCOUNT_LINE_MAX + 1];
    size_t used = 0, total = 0;
    bool skip = false;

    if (fd < 0)
        return -errno;
    while (total < ACCOUNT_FILE_MAX) {
        ssize_t n = read(fd, text + used, ACCOUNT_LINE_MAX - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) { /* perhaps without a newline at the end */
            text[used] = '\0';
            return !skip && account_is_line_of(text, name, ret_uid, ret_gid) ? 0 : -ENOENT;
        }
        used += (size_t)n;
        total += (size_t)n;
        if (account_take_lines(text, &used, &skip, name, ret_uid, ret_gid))
            return 0;
    }
    return -EFBIG;
}

int account_find(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    int r = account_find_in("/etc/passwd", name, ret_uid, ret_gid);

    return r == -ENOENT ? account_find_in("/usr/lib/passwd", name, ret_uid, ret_gid) : r;
}
