// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>

#include "vm/name.h"

static void test_cgroup(void **state)
{
    static const struct {
        const char *text, *vm; /* NULL: none */
    } rows[] = {
        {"0::/machine.slice/machine-qemu\\x2d1\\x2dnode\\x2da.scope/libvirt/emulator\n", "node-a"},
        {"0::/machine.slice/machine-qemu\\x2d17\\x2dweb.scope", "web"},
        {"11:cpu:/\n1:name=systemd:/machine.slice/machine-qemu\\x2d3\\x2dold.scope\n0::/\n", "old"},
        {"0::/machine.slice/machine-plain.scope", "plain"},
        {"0::/machine.slice/machine-a-b.scope", "a/b"},
        {"0::/machine.slice/machine-\\x0a\\x22.scope", "\n\""},
        {"0::/machine.slice/machine-qemu\\x2d1\\x2d.scope", "qemu-1-"}, /* no name behind the id */
        {"0::/machine.slice/machine-qemu\\x2dx\\x2dy.scope", "qemu-x-y"},
        {"0::/machine/qemu-5-guest.libvirt-qemu/emulator", "guest"},
        {"0::/machine.slice/machine-\\x2.scope", "\\x2"}, /* no escape */
        {"0::/machine.slice/machine-eu.slice/machine-eu-west.slice/machine-deep.scope/x", "deep"},
        /* Made by whom? Not by the system's service manager. */
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
         "machine-qemu\\x2d1\\x2da.scope",
         NULL},
        {"0::/user.slice/user-1000.slice/user@1000.service/machine.slice/machine-a.scope", NULL},
        {"0::/a/machine.slice/machine-a.scope", NULL},
        {"0::/machine.slice/system.slice/machine-a.scope", NULL},
        {"0::/machine.slice/machine-a.service/machine-a.scope", NULL},
        {"0::/machine.slice/libvirt-a.scope/machine-a.scope", NULL},
        {"0::/machine-a.scope", NULL},
        {"0::/../machine.slice/machine-a.scope", NULL},
        {"0::/system.slice/evil.libvirt-qemu/x", NULL},
        {"0::/machine/x/evil.libvirt-qemu", NULL},
        {"0::/machine.slice/evil.libvirt-qemu", NULL},
        {"1:name=/machine.slice/machine-a.scope:/x\n0::/y", NULL},
        {"/machine.slice/machine-a.scope", NULL},
        {"0::/machine.slice/machine-.scope", NULL},
        {"0::/machine.slice/machine-x.service", NULL},
        {"0::/user.slice/user-1000.slice/session-3.scope", NULL},
        {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-0123.scope", NULL},
        {"0::/amachine-x.scope", NULL},
        {"0::/machine-x.scope.d", NULL},
        {"0::/", NULL},
        {"", NULL},
        {"\n/\n//", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char vm[32] = "";

        table_row = rows[i].text;
        assert_int_equal(vm_name_from_cgroup(rows[i].text, vm, sizeof(vm)), rows[i].vm != NULL);
        if (rows[i].vm)
            assert_string_equal(vm, rows[i].vm);
    }
    table_row = NULL;
}

/* What is too long is cut, and what is behind it stays as it was. */
static void test_cgroup_that_is_long(void **state)
{
    char vm[9];

    (void)state;
    memset(vm, '#', sizeof(vm));
    assert_true(vm_name_from_cgroup("0::/machine.slice/machine-0123456789.scope", vm, 8));
    assert_memory_equal(vm, "0123456\0#", 9);
}

static void parse(const char *arguments, size_t n, size_t piece, char *vm, size_t size)
{
    struct vm_arguments parser = {.vm = vm, .size = size};

    *vm = '\0';
    for (size_t done = 0; done < n; done += piece) {
        if (!vm_arguments_feed(&parser, arguments + done, n - done < piece ? n - done : piece))
            break;
    }
}

static void test_arguments(void **state)
{
#define ROW(text) text, sizeof(text)
    static const struct {
        const char *arguments;
        size_t n;
        const char *vm;
    } rows[] = {
        {ROW("qemu\0-name\0web"), "web"},
        {ROW("qemu\0--name\0web\0-m\0001024"), "web"},
        {ROW("qemu\0-name\0guest=web,debug-threads=on"), "web"},
        {ROW("qemu\0-name\0debug-threads=on,guest=web"), "web"},
        {ROW("qemu\0-name\0web,process=qemu:web"), "web"},
        {ROW("qemu\0-name\0guest=a,,b,process=c"), "a,b"},
        {ROW("qemu\0-name\0a,,b"), "a,b"},
        {ROW("qemu\0-name\0process=x"), ""},
        {ROW("qemu\0-name\0first\0-name\0second"), "first"},
        {ROW("qemu\0-name\0"), ""},
        {ROW("qemu\0-name"), ""},
        {ROW("qemu\0-names\0web"), ""},
        {ROW("-name\0web"), "web"},
        {ROW("qemu\0-name\0guest=\"; x"), "\"; x"},
        {ROW(""), ""},
        {ROW("\0\0\0"), ""},
    };
#undef ROW

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char vm[32];

        table_row = rows[i].vm;
        for (size_t piece = 1; piece < 9; piece++) {
            parse(rows[i].arguments, rows[i].n, piece, vm, sizeof(vm));
            assert_string_equal(vm, rows[i].vm);
        }
    }
    table_row = NULL;
}

/* Arguments, and names, of any length. */
static void test_arguments_that_are_long(void **state)
{
    static char arguments[10000];
    char vm[VM_NAME_SIZE + 1];

    (void)state;
    memset(arguments, 'x', sizeof(arguments));
    memcpy(arguments + 5000, "\0-name\0guest=", 13);
    arguments[sizeof(arguments) - 1] = '\0';
    memset(vm, '#', sizeof(vm));
    parse(arguments, sizeof(arguments), 1024, vm, VM_NAME_SIZE);
    assert_int_equal(strlen(vm), VM_NAME_SIZE - 1);
    assert_int_equal(strspn(vm, "x"), VM_NAME_SIZE - 1);
    assert_int_equal(vm[VM_NAME_SIZE], '#');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_cgroup),
        cmocka_unit_test(test_cgroup_that_is_long),
        table_test(test_arguments),
        cmocka_unit_test(test_arguments_that_are_long),
    };

    return cmocka_run_group_tests_name("vm_name", tests, NULL, NULL);
}
