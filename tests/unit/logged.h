// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_LOGGED_H
#define TESTS_UNIT_LOGGED_H

/* The log, read back: logged_set_up() sends it to a file in memory. */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "cmocka_compat.h"

static int logged_fd = -1;

static inline int logged_set_up(void **state)
{
    (void)state;
    if (logged_fd < 0)
        logged_fd = memfd_create("log", MFD_CLOEXEC);
    log_set_name("test");
    log_set_level(LOG_LEVEL_CLIENTS);
    log_to_fd(logged_fd);
    return logged_fd < 0 || ftruncate(logged_fd, 0) < 0 || lseek(logged_fd, 0, SEEK_SET) < 0;
}

/* What was logged since the last call, in a buffer that lasts until the next one. */
static inline const char *logged(void)
{
    static char text[65536];
    ssize_t n = pread(logged_fd, text, sizeof(text) - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(logged_fd, 0), 0);
    assert_int_equal(lseek(logged_fd, 0, SEEK_SET), 0);
    return text;
}

#endif
