// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

/*
 * What the fuzz targets share. Each fuzz_NAME.c is a libFuzzer entry point; built with
 * -fsanitize=fuzzer it searches for inputs, with replay.c it goes through those of corpus/NAME.
 *
 * A target that only looked for crashes would miss wrong answers. So each one checks what must
 * hold for every input, against a second, simple-minded computation where there is one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The longest input that replay.c takes and that the fuzzer is to make. */
#define FUZZ_INPUT_MAX 16384

/* A property does not hold. Told and aborted, which is a finding in either build. */
#define fuzz_check(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What is left of the input, on the heap and not a byte longer, NUL-terminated if `text`. */
static inline uint8_t *fuzz_rest(struct reader *input, bool text, size_t *ret_size)
{
    size_t size = reader_left(input);
    uint8_t *copy = calloc(1, size + text + (size + text == 0));

    fuzz_check(copy);
    memcpy(copy, reader_take(input, size), size);
    if (text)
        copy[size] = '\0';
    *ret_size = size;
    return copy;
}

/* Is it a text of printable characters that ends with its NUL at `length`? */
static inline bool fuzz_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return text[length] == '\0';
}

#endif
