// SPDX-License-Identifier: LGPL-2.1-or-later
/* What multipathd says to the worker. Input: all that it says. */
#include "mpath/host.h"
#include "mpath/multipathd.h"
#include "said.h"

const char *const host_multipathd[HOST_MULTIPATHD_SOCKETS] = {"@one", "@two"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char question[] = "getprkey map dm-0";
    char reply[MULTIPATHD_REPLY_SIZE], expected[MULTIPATHD_REPLY_SIZE] = "";
    uint8_t asked[sizeof(size_t) + sizeof(question) + 1];
    size_t length = 0, n;
    bool whole;
    int r;

    memset(reply, 0xa5, sizeof(reply));
    said_set(data, size);
    r = multipathd_ask("getprkey", "dm-0", reply);

    if (size >= sizeof(length))
        memcpy(&length, data, sizeof(length));
    whole = length > 0 && length <= sizeof(reply) && size - sizeof(length) >= length;
    fuzz_check(r == 0 || r < 0);
    fuzz_check((r == 0) == whole);
    if (whole) {
        memcpy(expected, data + sizeof(length), length - 1);
        n = strcspn(expected, "\n");
        fuzz_check(memcmp(reply, expected, n) == 0 && reply[n] == '\0');
    } else {
        /* Why not, for the log. */
        n = strnlen(reply, sizeof(reply));
        fuzz_check(n > 0 && n < sizeof(reply) && fuzz_printable(reply, n));
    }

    n = said_asked(asked, sizeof(asked));
    memcpy(&length, asked, sizeof(length));
    fuzz_check(n == sizeof(length) + sizeof(question) && length == sizeof(question));
    fuzz_check(memcmp(asked + sizeof(length), question, sizeof(question)) == 0);
    return 0;
}
