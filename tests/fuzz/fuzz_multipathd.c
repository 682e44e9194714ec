// SPDX-License-Identifier: LGPL-2.1-or-later
/* What multipathd says to the worker. Input: all that it says. */
#include "multipathd/multipathd.h"
#include "said.h"

#define ANSWER_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char question[] = "getprkey map dm-0";
    uint8_t asked[sizeof(size_t) + sizeof(question) + 1];
    char expected[ANSWER_MAX + 1] = "", *answer = NULL;
    size_t length = 0, n;
    bool whole;
    int fd, r;

    said_set(data, size);
    fd = multipathd_connect("@one", 1000);
    fuzz_check(fd >= 0);
    r = multipathd_exchange(fd, question, 1000, ANSWER_MAX, &answer);
    close(fd);

    if (size >= sizeof(length))
        memcpy(&length, data, sizeof(length));
    whole = size >= sizeof(length) && length <= ANSWER_MAX && size - sizeof(length) >= length;
    fuzz_check(r == 0 || r < 0);
    fuzz_check((r == 0) == whole);
    if (whole) {
        memcpy(expected, data + sizeof(length), length);
        for (n = strlen(expected); n > 0 && expected[n - 1] == '\n';)
            expected[--n] = '\0';
        fuzz_check(strcmp(answer, expected) == 0);
    }
    free(answer);

    n = said_asked(asked, sizeof(asked));
    memcpy(&length, asked, sizeof(length));
    fuzz_check(n == sizeof(length) + sizeof(question) && length == sizeof(question));
    fuzz_check(memcmp(asked + sizeof(length), question, sizeof(question)) == 0);
    return 0;
}
