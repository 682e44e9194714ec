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

/* Does the text begin and end like this, with something between? */
static bool vm_is_between(const char *text, size_t length, const char *begin, const char *end)
{
    size_t n_begin = strlen(begin), n_end = strlen(end);

    return length > n_begin + n_end && !strncmp(text, begin, n_begin) &&
           !strncmp(text + length - n_end, end, n_end);
}

/* From the component of a path that is right below machine.slice or one of its slices. */
static bool vm_name_from_scope(const char *group, size_t length, char *vm, size_t size)
{
    static const char machine[] = "machine-", scope[] = ".scope";

    if (!vm_is_between(group, length, machine, scope))
        return false;
    vm_unescape(group + sizeof(machine) - 1, length - (sizeof(machine) - 1) - (sizeof(scope) - 1),
                vm, size);
    vm_strip_id(vm);
    return *vm;
}

/* From the component right below libvirt's own group, which it makes where there is no systemd. */
static bool vm_name_from_libvirt(const char *group, size_t length, char *vm, size_t size)
{
    static const char libvirt[] = ".libvirt-qemu";

    if (!vm_is_between(group, length, "", libvirt))
        return false;
    snprintf(vm, size, "%.*s", (int)(length - (sizeof(libvirt) - 1)), group);
    vm_strip_id(vm);
    return *vm;
}

/* The length of a path's first component, without the slash before it. */
static size_t vm_component(const char *path)
{
    return *path == '/' ? strcspn(path + 1, "/\n") : 0;
}

static bool vm_name_from_path(const char *path, char *vm, size_t size)
{
    static const char slice[] = "/machine.slice/", libvirt[] = "/machine/";
    size_t length;

    if (!strncmp(path, libvirt, sizeof(libvirt) - 1)) {
        path += sizeof(libvirt) - 2;
        return vm_name_from_libvirt(path + 1, vm_component(path), vm, size);
    }
    if (strncmp(path, slice, sizeof(slice) - 1))
        return false;
    path += sizeof(slice) - 2;
    length = vm_component(path);
    while (vm_is_between(path + 1, length, "machine-", ".slice")) {
        path += 1 + length;
        length = vm_component(path);
    }
    return vm_name_from_scope(path + 1, length, vm, size);
}

bool vm_name_from_cgroup(const char *text, char *ret_vm, size_t size)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        const char *path = memchr(text, ':', length); /* HIERARCHY:CONTROLLERS:PATH (cgroups(7)) */

        path = path ? memchr(path + 1, ':', length - (size_t)(path + 1 - text)) : NULL;
        if (path && vm_name_from_path(path + 1, ret_vm, size))
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
