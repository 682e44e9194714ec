// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include "scsi/vpd.h"

#define UNTOUCHED 0xabcd

/* Page 83h: its header, then designators: code set, PIV, association and type, reserved, length. */
static void test_target_port(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        uint8_t page[32];
        int expected; /* -1: none */
    } rows[] = {
        {"nothing", 0, {0}, -1},
        {"alone", 12, {0, 0x83, 0, 8, 0x61, 0x94, 0, 4, 0, 0, 0x12, 0x34}, 0x1234},
        {"behind the logical unit's name",
         20,
         {0, 0x83, 0, 16, 1, 3, 0, 4, 9, 9, 9, 9, 0x61, 0x94, 0, 4, 0, 0, 0, 2},
         2},
        {"a target port's name is none", 12, {0, 0x83, 0, 8, 0x61, 0x93, 0, 4, 0, 0, 0, 7}, -1},
        {"of the logical unit, which has none", 12, {0, 0x83, 0, 8, 1, 4, 0, 4, 0, 0, 0, 7}, -1},
        {"another page", 12, {0, 0x80, 0, 8, 0x61, 0x94, 0, 4, 0, 0, 0, 7}, -1},
        {"cut off", 11, {0, 0x83, 0, 8, 0x61, 0x94, 0, 4, 0, 0, 0, 7}, -1},
        {"too short a designator", 10, {0, 0x83, 0, 6, 0x61, 0x94, 0, 2, 0, 7}, -1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t port = UNTOUCHED;
        bool found = vpd_target_port(rows[i].page, rows[i].size, &port);

        if (found != (rows[i].expected >= 0) ||
            port != (found ? (uint16_t)rows[i].expected : UNTOUCHED))
            fail_msg("%s: %d, %#x", rows[i].name, found, port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {table_test(test_target_port)};

    return cmocka_run_group_tests_name("vpd", tests, NULL, NULL);
}
