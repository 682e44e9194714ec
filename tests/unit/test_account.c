// SPDX-License-Identifier: LGPL-2.1-or-later
/* Accounts by a file of the test's own: what is found, and how far is looked. */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/account.h"
#include "passing.h"
#include "scratch.h"

static void find(const char *text, size_t size, int expected, uid_t uid, gid_t gid)
{
    const char *path = scratch_write_bytes("passwd", text, size);
    uid_t found_uid = 4711;
    gid_t found_gid = 4712;

    assert_int_equal(account_find_in(path, "helper", &found_uid, &found_gid), expected);
    assert_uint_equal(found_uid, expected == 0 ? uid : 4711);
    assert_uint_equal(found_gid, expected == 0 ? gid : 4712);
}

static void test_lines(void **state)
{
    static const struct {
        const char *text;
        int expected;
        uid_t uid;
        gid_t gid;
    } rows[] = {
        {"helper:x:701:702:c:/:/bin/false\n", 0, 701, 702},
        {"root:x:0:0:::\nhelper:x:701:702:::\n", 0, 701, 702},
        {"helper:x:701:702:::", 0, 701, 702},
        {"helper:x:701:702", 0, 701, 702},
        {"helper::701:702:::\n", 0, 701, 702},
        {"helper:x:4294967294:4294967294:::\n", 0, 4294967294, 4294967294},
        {"helper:x:1:1:::\nhelper:x:2:2:::\n", 0, 1, 1},
        {"helper:x:bad:1:::\nhelper:x:2:2:::\n", 0, 2, 2},
        {"", -ENOENT, 0, 0},
        {"\n\n:::\n", -ENOENT, 0, 0},
        {"helper", -ENOENT, 0, 0},
        {"helper:x", -ENOENT, 0, 0},
        {"helper:x:701\n", -ENOENT, 0, 0},
        {"helper:x:701:\n", -ENOENT, 0, 0},
        {"helper:x::702:::\n", -ENOENT, 0, 0},
        {"helper:x:0:702:::\n", -ENOENT, 0, 0},
        {"helper:x:701:0:::\n", -ENOENT, 0, 0},
        {"helper:x:-1:702:::\n", -ENOENT, 0, 0},
        {"helper:x:4294967295:702:::\n", -ENOENT, 0, 0},
        {"helper:x:4294967296:702:::\n", -ENOENT, 0, 0},
        {"helper:x: 701:702:::\n", -ENOENT, 0, 0},
        {" helper:x:701:702:::\n", -ENOENT, 0, 0},
        {"#helper:x:701:702:::\n", -ENOENT, 0, 0},
        {"helper2:x:701:702:::\n", -ENOENT, 0, 0},
        {"Helper:x:701:702:::\n", -ENOENT, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].text;
        find(rows[i].text, strlen(rows[i].text), rows[i].expected, rows[i].uid, rows[i].gid);
    }
    table_row = NULL;
}

/* A line of any length before it, which may end anywhere in a piece that is read. */
static void test_long_lines(void **state)
{
    static const char line[] = "helper:x:701:702:::\n";
    static char text[16384];

    (void)state;
    for (size_t before = 0; before < 9000; before += before < 4000 || before > 4200 ? 97 : 1) {
        memset(text, 'x', before);
        text[before] = '\n';
        memcpy(text + before + 1, line, sizeof(line) - 1);
        find(text, before + sizeof(line), 0, 701, 702);
        /* As the rest of a line that is too long it is no line. */
        memset(text, ':', before + 1);
        find(text, before + sizeof(line), -ENOENT, 0, 0);
    }
}

static void test_large_file(void **state)
{
    static const char line[] = "helper:x:701:702:::\n";
    char *text = malloc(ACCOUNT_FILE_MAX + 8192);

    (void)state;
    assert_non_null(text);
    memset(text, '\n', ACCOUNT_FILE_MAX + 8192);
    memcpy(text + ACCOUNT_FILE_MAX - sizeof(line), line, sizeof(line) - 1);
    find(text, ACCOUNT_FILE_MAX + 8192, 0, 701, 702);
    memset(text, '\n', ACCOUNT_FILE_MAX + 8192);
    memcpy(text + ACCOUNT_FILE_MAX + 4096, line, sizeof(line) - 1);
    find(text, ACCOUNT_FILE_MAX + 8192, -EFBIG, 0, 0);
    free(text);
}

static void test_no_file(void **state)
{
    unsigned before = count_fds();
    uid_t uid;
    gid_t gid;

    (void)state;
    assert_int_equal(account_find_in(scratch_path("none"), "helper", &uid, &gid), -ENOENT);
    assert_int_equal(account_find_in(scratch, "helper", &uid, &gid), -EISDIR);
    assert_int_equal(mkfifo(scratch_path("fifo"), 0600), 0);
    assert_int_equal(account_find_in(scratch_path("fifo"), "helper", &uid, &gid), -ENOENT);
    assert_uint_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_lines),
        scratch_test(test_long_lines),
        scratch_test(test_large_file),
        scratch_test(test_no_file),
    };

    return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
