// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include "ledger/wwn.h"

static void test_same(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"naa.6001405abc", "naa.6001405abc", true},
        {"naa.6001405abc", "naa.6001405abd", false},
        {"naa.6001405abc", "mpath-36001405abc", true},
        {"mpath-36001405abc", "mpath-36001405abc", true},
        {"naa.6001405abc", "mpath-26001405abc", false},
        {"eui.0025385b", "mpath-20025385b", true},
        {"naa.0025385b", "eui.0025385b", false},
        {"t10.ATA     QEMU HARDDISK   QM00001   ", "mpath-1ATA_QEMU_HARDDISK_QM00001", true},
        {"t10.ATA     QEMU HARDDISK   QM00001", "mpath-1ATA_QEMU_HARDDISK_QM00002", false},
        {"t10.ATA QEMU", "mpath-1ATAQEMU", false},
        {"t10.ATA QEMU", "mpath-1ATA_QEMU_X", false},
        {"", "", false},
        {"mpath-", "naa.", false},
        {"mpath-3", "naa.", false},
        {"mpath-3", "naa. ", false},
        {"", "naa.1", false},
        {"LVM-x", "mpath-3x", false},
        {"uuid.x", "uuid.x", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].b;
        assert_int_equal(wwn_is_same(rows[i].a, rows[i].b), rows[i].same);
        assert_int_equal(wwn_is_same(rows[i].b, rows[i].a), rows[i].same);
    }
    table_row = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
    };

    return cmocka_run_group_tests_name("wwn", tests, NULL, NULL);
}
