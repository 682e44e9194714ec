// SPDX-License-Identifier: LGPL-2.1-or-later
/* Virtual machines of this host that have a device open, by /proc. */
#ifndef DOCTOR_VMS_H
#define DOCTOR_VMS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "vm/name.h"

#define VMS_MAX 32

struct vm {
    pid_t pid;
    char name[VM_NAME_SIZE]; /* of -name, or "" */
    bool writes;             /* has it open for writing */
    bool stops;              /* QEMU stops it upon an error of a disk */
};

struct vms {
    bool complete; /* all processes could be looked at */
    unsigned count, left_out;
    struct vm list[VMS_MAX];
};

/*
 * Find those that have this device open: the same node, or another one of the same I_T nexus.
 * Whose files may not be seen, as for who is not root, is not in the list.
 */
void vms_find(const struct stat *device, struct vms *vms);

#endif
