// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_CMOCKA_COMPAT_H
#define TESTS_UNIT_CMOCKA_COMPAT_H

/*
 * The one way to include cmocka, version 1.1 or 2.0: the headers that either wants to see before
 * its own, and the assertions that only the newer one has. Unsigned values are compared with
 * assert_uint_equal(): in 2.0 assert_int_equal() is for signed ones.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#ifndef assert_uint_equal
#define assert_uint_equal(a, b) assert_int_equal((uintmax_t)(a), (uintmax_t)(b))
#endif
/* The older one compares unsigned values here: one below 0 is in no range. */
#ifndef assert_int_in_range
#define assert_int_in_range(value, from, to) assert_in_range(value, from, to)
#endif
#ifndef assert_uint_in_range
#define assert_uint_in_range(value, from, to) assert_in_range(value, from, to)
#endif

/*
 * Tests that walk a table say which row they are at; if an assertion ends the test there, the row
 * is printed as a TAP comment. Set NULL behind the loop.
 */
static const char *table_row;

static inline int table_report(void **state)
{
    (void)state;
    if (table_row)
        printf("# failed at row: %s\n", table_row);
    table_row = NULL;
    return 0;
}

/* A test for the list that is given to cmocka_run_group_tests(). */
#define table_test(function) cmocka_unit_test_teardown(function, table_report)

#endif
