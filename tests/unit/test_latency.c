// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "ledger/latency.h"

/* Every time lies between the bounds of its bucket, and these are not far apart. */
static void test_buckets(void **state)
{
    (void)state;
    assert_uint_equal(latency_bucket(0), 0);
    for (unsigned i = 1; i < LATENCY_BUCKETS; i++) {
        assert_true(latency_bound(i) > latency_bound(i - 1));
        assert_true(i < 4 || latency_bound(i) * 4 <= latency_bound(i - 1) * 5);
        assert_uint_equal(latency_bucket(latency_bound(i)), i);
        assert_uint_equal(latency_bucket(latency_bound(i - 1) + 1), i);
    }
    assert_uint_equal(latency_bound(LATENCY_BUCKETS - 1), 1u << 27);
    assert_uint_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

static void test_percentiles(void **state)
{
    struct latency latency;

    (void)state;
    memset(&latency, 0, sizeof(latency));
    assert_uint_equal(latency_percentile(&latency, 50), 0);
    for (unsigned us = 1; us <= 100; us++)
        latency_add(&latency, us);
    assert_uint_equal(latency.count, 100);
    assert_uint_equal(latency.sum_us, 5050);
    assert_uint_equal(latency.max_us, 100);
    assert_uint_equal(latency_percentile(&latency, 50), 56); /* 49 to 56 */
    assert_uint_equal(latency_percentile(&latency, 99), 112);
    assert_uint_equal(latency_percentile(&latency, 0), 1);
    assert_uint_equal(latency_count_up_to(&latency, 16), 16);
    assert_uint_equal(latency_count_up_to(&latency, 64), 64);
    assert_uint_equal(latency_count_up_to(&latency, 256), 100);
    latency_add(&latency, 1ull << 40);
    assert_uint_equal(latency_percentile(&latency, 100), 1ull << 40);
    assert_uint_equal(latency_count_up_to(&latency, 1u << 26), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_percentiles),
    };

    return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
