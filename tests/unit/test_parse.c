// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/parse.h"

/* A user database of the test's own: a user whose name is a number, and one who has no group. */
static struct passwd users[] = {
    {.pw_name = (char *)"root", .pw_uid = 0, .pw_gid = 0},
    {.pw_name = (char *)"qemu", .pw_uid = 107, .pw_gid = 36},
    {.pw_name = (char *)"1000", .pw_uid = 5, .pw_gid = 6},
};
static struct group groups[] = {
    {.gr_name = (char *)"root", .gr_gid = 0},
    {.gr_name = (char *)"kvm", .gr_gid = 36},
    {.gr_name = (char *)"2000", .gr_gid = 7},
};

struct passwd *__wrap_getpwnam(const char *name);
struct passwd *__wrap_getpwuid(uid_t uid);
struct group *__wrap_getgrnam(const char *name);

struct passwd *__wrap_getpwnam(const char *name)
{
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        if (strcmp(users[i].pw_name, name) == 0)
            return &users[i];
    }
    return NULL;
}

struct passwd *__wrap_getpwuid(uid_t uid)
{
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        if (users[i].pw_uid == uid)
            return &users[i];
    }
    return NULL;
}

struct group *__wrap_getgrnam(const char *name)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].gr_name, name) == 0)
            return &groups[i];
    }
    return NULL;
}

static void test_number(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool valid;
        uint64_t number;
    } rows[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"7", 7, true, 7},
        {"8", 7, false, 0},
        {"9", 8, false, 0},
        {"10", 9, false, 0},
        {"65535", UINT16_MAX, true, 65535},
        {"65536", UINT16_MAX, false, 0},
        {"00065535", UINT16_MAX, true, 65535},
        {"4294967295", UINT32_MAX, true, UINT32_MAX},
        {"4294967296", UINT32_MAX, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"18446744073709551620", UINT64_MAX, false, 0},
        {"184467440737095516150", UINT64_MAX, false, 0},
        {"99999999999999999999999999", UINT64_MAX, false, 0},
        {"", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1\n", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {"0x10", UINT64_MAX, false, 0},
        {"1e3", UINT64_MAX, false, 0},
        {"1.0", UINT64_MAX, false, 0},
        {"1:", UINT64_MAX, false, 0},
        {"/1", UINT64_MAX, false, 0},
        {"\302\262", UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 4711;

        table_row = rows[i].text;
        assert_int_equal(parse_number(rows[i].text, rows[i].max, &number), rows[i].valid);
        assert_true(number == (rows[i].valid ? rows[i].number : 4711));
    }
    table_row = NULL;
}

static void test_hex(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool valid;
        uint64_t number;
    } rows[] = {
        {"0", 0, true, 0},
        {"0x0", 0, true, 0},
        {"1", 0, false, 0},
        {"9", UINT64_MAX, true, 9},
        {"aF", UINT64_MAX, true, 0xaf},
        {"0xAf", UINT64_MAX, true, 0xaf},
        {"0XfA", UINT64_MAX, true, 0xfa},
        {"ffff", UINT16_MAX, true, UINT16_MAX},
        {"0x0000000000ffff", UINT16_MAX, true, UINT16_MAX},
        {"10000", UINT16_MAX, false, 0},
        {"0xffffffffffffffff", UINT64_MAX, true, UINT64_MAX},
        {"10000000000000000", UINT64_MAX, false, 0},
        {"fffffffffffffffff", UINT64_MAX, false, 0},
        {"", UINT64_MAX, false, 0},
        {"0x", UINT64_MAX, false, 0},
        {"x1", UINT64_MAX, false, 0},
        {"0x0x1", UINT64_MAX, false, 0},
        {"g", UINT64_MAX, false, 0},
        {"G", UINT64_MAX, false, 0},
        {"@", UINT64_MAX, false, 0},
        {"`", UINT64_MAX, false, 0},
        {":", UINT64_MAX, false, 0},
        {"/", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1h", UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 4711;

        table_row = rows[i].text;
        assert_int_equal(parse_hex(rows[i].text, rows[i].max, &number), rows[i].valid);
        assert_true(number == (rows[i].valid ? rows[i].number : 4711));
    }
    table_row = NULL;
}

static void test_mode(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        mode_t mode;
    } rows[] = {
        {"0", true, 0},        {"600", true, 0600}, {"0660", true, 0660}, {"777", true, 0777},
        {"00777", true, 0777}, {"1000", false, 0},  {"1777", false, 0},   {"8", false, 0},
        {"698", false, 0},     {"", false, 0},      {"-1", false, 0},     {"0o600", false, 0},
        {"u=rw", false, 0},    {"0x1ff", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mode_t mode = 04711;

        table_row = rows[i].text;
        assert_int_equal(parse_mode(rows[i].text, &mode), rows[i].valid);
        assert_int_equal(mode, rows[i].valid ? rows[i].mode : 04711);
    }
    table_row = NULL;
}

static void test_user(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        uid_t uid;
        gid_t gid;
    } rows[] = {
        {"root", true, 0, 0},
        {"0", true, 0, 0},
        {"qemu", true, 107, 36},
        {"107", true, 107, 36},
        {"1000", true, 5, 6}, /* the name counts before the number */
        {"1001", true, 1001, (gid_t)-1},
        {"4294967294", true, 4294967294, (gid_t)-1},
        {"4294967295", false, 0, 0}, /* "stay who you are", for setuid(2) */
        {"4294967296", false, 0, 0}, /* root, once cut to 32 bits */
        {"-1", false, 0, 0},
        {"+0", false, 0, 0},
        {"nosuch", false, 0, 0},
        {"", false, 0, 0},
        {"root ", false, 0, 0},
        {"0 ", false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uid_t uid = 4711;
        gid_t gid = 4712;

        table_row = rows[i].text;
        assert_int_equal(parse_user(rows[i].text, &uid, &gid), rows[i].valid);
        assert_uint_equal(uid, rows[i].valid ? rows[i].uid : 4711);
        assert_uint_equal(gid, rows[i].valid ? rows[i].gid : 4712);
    }
    table_row = NULL;
}

static void test_group(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        gid_t gid;
    } rows[] = {
        {"root", true, 0},
        {"kvm", true, 36},
        {"36", true, 36},
        {"2000", true, 7},
        {"4294967294", true, 4294967294},
        {"4294967295", false, 0},
        {"4294967296", false, 0},
        {"qemu", false, 0}, /* a user, no group */
        {"", false, 0},
        {"-1", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gid_t gid = 4711;

        table_row = rows[i].text;
        assert_int_equal(parse_group(rows[i].text, &gid), rows[i].valid);
        assert_uint_equal(gid, rows[i].valid ? rows[i].gid : 4711);
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_number), table_test(test_hex),   table_test(test_mode),
        table_test(test_user),   table_test(test_group),
    };

    return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
