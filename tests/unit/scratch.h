// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

/*
 * A directory of the test's own, with short paths: it may hold sockets. The setup and teardown
 * functions are for cmocka_unit_test_setup_teardown().
 */

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "cmocka_compat.h"

static char scratch[32];

static inline int scratch_set_up(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/pr-helper-test.XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int type,
                                     struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

static inline int scratch_tear_down(void **state)
{
    table_report(state);
    return nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A test that has a scratch directory, and may walk a table. */
#define scratch_test(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, scratch_set_up, scratch_tear_down)

/* The path of `name` below the scratch directory, in a buffer that lasts for four calls. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", scratch, name);
    return path;
}

/* Make a file below the scratch directory, and the directories that it takes. */
static inline const char *scratch_write_bytes(const char *name, const void *bytes, size_t size)
{
    const char *path = scratch_path(name);
    char copy[PATH_MAX];
    int fd;

    strcpy(copy, path);
    for (char *slash = copy + strlen(scratch) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(copy, 0755);
        *slash = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fdio_write_full(fd, bytes, size), 0);
    close(fd);
    return path;
}

static inline const char *scratch_write(const char *name, const char *text)
{
    return scratch_write_bytes(name, text, strlen(text));
}

/* How many entries the scratch directory has. */
static inline unsigned scratch_count(void)
{
    DIR *directory = opendir(scratch);
    unsigned n = 0;

    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n - 2; /* . and .. */
}

#endif
