// SPDX-License-Identifier: LGPL-2.1-or-later
/* Virtual machines of this host that have a device open, from /proc. */
#ifndef DOCTOR_VMS_H
#define DOCTOR_VMS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "doctor/qemu_disk.h"
#include "vm/name.h"

#define VMS_MAX 32

struct vm {
    pid_t pid;
    uid_t uid;               /* its effective one */
    char name[VM_NAME_SIZE]; /* of -name, or "" */
    bool writes;             /* has it open for writing */
    bool rawio;              /* has CAP_SYS_RAWIO, so that the kernel takes reservations from it */
    struct qemu_disk disk;   /* how the guest has it */
};

/* Whether all virtual machines of the host were looked at. */
enum vms_seen {
    VMS_ALL,
    VMS_OF_NAMESPACE, /* those of this PID namespace, which is not the host's */
    VMS_SOME,         /* this user may not see what the others have open, or there was a failure */
};

struct vms {
    enum vms_seen seen;
    unsigned count, left_out;
    struct vm list[VMS_MAX];
    char helper[QEMU_HELPER_MAX]; /* of some virtual machine's pr-manager, or "" */
};

/*
 * Find those that have this device open: the same node, or one that has an I_T nexus in common
 * with it, as a map and its path; none if it is NULL. In any case `helper`, of one with the device
 * if there is one. Whose files may not be seen, as for who is not root, is not in the list.
 */
void vms_find(const struct stat *device, struct vms *vms);

/*
 * "a (pid 12), b (pid 13)", of those for whom `which` is true or NULL; what does not fit is cut.
 * Returns how many they are.
 */
unsigned vms_list(const struct vms *vms, bool (*which)(const struct vm *vm), char *text,
                  size_t size);

#endif
