// SPDX-License-Identifier: LGPL-2.1-or-later
#include "vm/name.h"

#include <stdio.h>
#include <string.h>

static int vm_hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Undo systemd's escaping of unit names (systemd.unit(5)): \x2d for a byte, - for a slash. */
static void vm_unescape(const char *text, size_t length, char *name, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < length && n + 1 < size; i++) {
        if (text[i] == '\\' && i + 3 < length && text[i + 1] == 'x' &&
            vm_hex_digit(text[i + 2]) >= 0 && vm_hex_digit(text[i + 3]) >= 0) {
            name[n++] = (char)(vm_hex_digit(text[i + 2]) * 16 + vm_hex_digit(text[i + 3]));
            i += 3;
        } else {
            name[n++] = text[i] == '-' ? '/' : text[i];
        }
    }
    name[n] = '\0';
}

/* libvirt calls a machine qemu-ID-NAME; the id changes whenever it starts. */
static void vm_strip_id(char *name)
{
    size_t digits;

    if (strncmp(name, "qemu-", 5))
        return;
    digits = strspn(name + 5, "0123456789");
    if (digits && name[5 + digits] == '-' && name[6 + digits])
        memmove(name, name + 6 + digits, strlen(name + 6 + digits) + 1);
}

/* One component of a path. */
static bool vm_name_from_group(const char *group, size_t length, char *vm, size_t size)
{
    static const char scope[] = ".scope", machine[] = "machine-", libvirt[] = ".libvirt-qemu";
    const size_t n_scope = sizeof(scope) - 1, n_machine = sizeof(machine) - 1,
                 n_libvirt = sizeof(libvirt) - 1;

    if (length > n_machine + n_scope && !strncmp(group, machine, n_machine) &&
        !strncmp(group + length - n_scope, scope, n_scope)) {
        vm_unescape(group + n_machine, length - n_machine - n_scope, vm, size);
    } else if (length > n_libvirt && !strncmp(group + length - n_libvirt, libvirt, n_libvirt)) {
        snprintf(vm, size, "%.*s", (int)(length - n_libvirt), group);
    } else {
        return false;
    }
    vm_strip_id(vm);
    return *vm;
}

bool vm_name_from_cgroup(const char *text, char *ret_vm, size_t size)
{
    while (*text) {
        size_t length = strcspn(text, "/\n");

        if (vm_name_from_group(text, length, ret_vm, size))
            return true;
        text += length + (text[length] != '\0');
    }
    return false;
}

/* The value of -name: NAME[,OPTION=...] or guest=NAME among options; ,, is a comma. */
static void vm_parse_name(const char *value, char *vm, size_t size)
{
    bool is_first = true;

    for (; *value; is_first = false) {
        bool is_guest = !strncmp(value, "guest=", 6);
        bool is_wanted = is_guest || (is_first && strcspn(value, ",") <= strcspn(value, "="));
        size_t n = 0;

        value += is_guest ? 6 : 0;
        for (; *value && (value[0] != ',' || value[1] == ','); value++) {
            value += *value == ',';
            if (is_wanted && n + 1 < size)
                vm[n++] = *value;
        }
        if (is_wanted)
            vm[n] = '\0';
        value += *value == ',';
    }
}

bool vm_arguments_feed(struct vm_arguments *arguments, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i]) {
            if (arguments->length + 1 < sizeof(arguments->argument))
                arguments->argument[arguments->length++] = bytes[i];
            continue;
        }
        arguments->argument[arguments->length] = '\0';
        arguments->length = 0;
        if (arguments->is_name) {
            vm_parse_name(arguments->argument, arguments->vm, arguments->size);
            return false;
        }
        arguments->is_name = !strcmp(arguments->argument, "-name") ||
                             !strcmp(arguments->argument, "--name");
    }
    return true;
}
