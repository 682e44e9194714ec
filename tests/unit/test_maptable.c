// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table that helper and multipath worker share: what a reader sees, and what it does not. */
#include "cmocka_compat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/maptable.h"

static struct maptable *table;
static struct maptable_map map, found;

static int set_up(void **state)
{
    (void)state;
    table = calloc(1, sizeof(*table));
    assert_non_null(table);
    map = (struct maptable_map){.told_us = 17, .major = 253, .minor = 4, .n_paths = 2};
    strcpy(map.uuid, "mpath-3600");
    map.path[0] = (struct maptable_path){8, 16, "sdb", MAPTABLE_UP, MAPTABLE_YES};
    map.path[1] = (struct maptable_path){8, 32, "sdc", MAPTABLE_FAILED, MAPTABLE_UNKNOWN};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(table);
    return 0;
}

static void test_slots(void **state)
{
    (void)state;
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_END);
    maptable_write(table, 0, &map);
    map.minor = 5;
    maptable_write(table, MAPTABLE_SLOTS - 1, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_FOUND);
    assert_uint_equal(found.minor, 4);
    assert_string_equal(found.uuid, "mpath-3600");
    assert_uint_equal(found.n_paths, 2);
    assert_memory_equal(found.path, map.path, sizeof(map.path));
    assert_int_equal(maptable_read(table, 1, &found), MAPTABLE_END);
    assert_int_equal(maptable_read(table, MAPTABLE_SLOTS - 1, &found), MAPTABLE_FOUND);
    assert_uint_equal(found.minor, 5);

    map.n_paths = 0; /* it has gone, and others behind it have not */
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_NOTHING);
}

/* Its writer has died half way, or is not done; and the counter comes round. */
static void test_sequence(void **state)
{
    (void)state;
    maptable_write(table, 0, &map);
    atomic_fetch_add(&table->slot[0].sequence, 1);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_NOTHING);
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_FOUND);
    atomic_store(&table->slot[0].sequence, UINT32_MAX - 1);
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_FOUND);
}

static void test_unsound(void **state)
{
    (void)state;
    map.n_paths = MAPTABLE_PATHS_MAX + 1;
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_NOTHING);
    map.n_paths = 2;
    map.path[1].state = MAPTABLE_STATES;
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_NOTHING);
    map.path[1].state = MAPTABLE_UP;
    map.path[1].registered = MAPTABLE_REGISTERED;
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_NOTHING);

    map.path[1].registered = MAPTABLE_NO;
    memset(map.path[1].name, 'x', sizeof(map.path[1].name));
    memset(map.uuid, '\n', sizeof(map.uuid));
    maptable_write(table, 0, &map);
    assert_int_equal(maptable_read(table, 0, &found), MAPTABLE_FOUND);
    assert_uint_equal(strlen(found.path[1].name), MAPTABLE_NAME_SIZE - 1);
    assert_uint_equal(strlen(found.uuid), MAPTABLE_UUID_SIZE - 1);
    assert_int_equal(found.uuid[0], '?');
}

#define ROUNDS 200000

static void *write_many(void *context)
{
    static struct maptable_map one; /* all of it says the same number */

    (void)context;
    one.n_paths = MAPTABLE_PATHS_MAX;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        one.major = one.minor = i;
        for (unsigned k = 0; k < MAPTABLE_PATHS_MAX; k++)
            one.path[k].major = i;
        maptable_write(table, 0, &one);
    }
    return NULL;
}

/* A reader beside a writer never sees two moments in one. */
static void test_torn(void **state)
{
    unsigned seen = 0;
    pthread_t writer;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* it knows no fence, and takes the copy that is thrown away for a race */
#endif
    assert_int_equal(pthread_create(&writer, NULL, write_many, NULL), 0);
    do {
        if (maptable_read(table, 0, &found) != MAPTABLE_FOUND)
            continue;
        seen++;
        assert_uint_equal(found.minor, found.major);
        for (unsigned k = 0; k < MAPTABLE_PATHS_MAX; k++)
            assert_uint_equal(found.path[k].major, found.major);
    } while (seen == 0 || found.major != ROUNDS);
    assert_int_equal(pthread_join(writer, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sequence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
