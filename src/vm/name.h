// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The name of a virtual machine, from what /proc tells about its QEMU. The name is for people to
 * read: a process chooses its own arguments.
 *
 * Pure; any thread.
 */
#ifndef VM_NAME_H
#define VM_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a name with its NUL; longer ones are cut. */
#define VM_NAME_SIZE 128

/*
 * From the text of /proc/PID/cgroup: systemd's machine scopes, and libvirt's groups where there is
 * no systemd. Only where the service manager of the system made the group: right below
 * machine.slice or a slice of it, at the root of the hierarchy, where only root can make one.
 * A group of that name elsewhere may belong to any user (a user's own manager, a service with
 * Delegate=). At most `size` bytes, with the NUL. False, with ret_vm undefined: there is none.
 */
bool vm_name_from_cgroup(const char *text, char *ret_vm, size_t size);

/* Takes /proc/PID/cmdline piece by piece. Zeros at first, but for `vm` and `size`. */
struct vm_arguments {
    char *vm; /* the caller's; what QEMU's -name said; untouched without one */
    size_t size;
    char argument[VM_NAME_SIZE + 16]; /* so far; what is longer is cut */
    size_t length;
    bool is_name; /* it is the value of -name */
};

/* Takes the next `n` bytes. False: the name is known, no more is needed. */
bool vm_arguments_feed(struct vm_arguments *arguments, const char *bytes, size_t n);

#endif
