// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_UNIT_EXACTLY_H
#define TESTS_UNIT_EXACTLY_H

#include <stdlib.h>
#include <string.h>

#include "cmocka_compat.h"

/*
 * A copy of `size` bytes in memory that ends where they end, so that a sanitizer or valgrind sees
 * any byte read or written behind them. The caller frees it.
 */
static inline uint8_t *exactly(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
