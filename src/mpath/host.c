// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * User 0 is not for the kernel's sake: multipathd takes changes only from a peer of that user, and
 * the paths' nodes are opened by their owner's rights.
 */
#include "mpath/host.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const char host_sysfs[] = "/sys/dev/block";
const char host_class[] = "/sys/class";
const char host_landlock_sys[] = "/sys";
const char host_dev[] = "/dev";
const char host_journal[] = "/run/qemu-pr-mpath";
const char *const host_multipathd[] = {"/run/multipathd.socket",
                                       "@/org/kernel/linux/storage/multipathd"};

bool host_is_disk(const struct stat *status)
{
    return S_ISBLK(status->st_mode);
}

static int host_set_capabilities(uint32_t wanted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.permitted = wanted, .effective = wanted},
    };

    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int host_take_rights(char *ret_error, size_t error_size)
{
    int r;

    if (getuid() != 0 || geteuid() != 0) {
        snprintf(ret_error, error_size,
                 "the helper was not started as root: multipathd would accept no change from it");
        return -EPERM;
    }
    r = host_set_capabilities(1u << CAP_SYS_RAWIO);
    if (r < 0) {
        snprintf(ret_error, error_size, "the helper was started without CAP_SYS_RAWIO");
        return r;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        r = -errno;
        snprintf(ret_error, error_size, "cannot set no_new_privs: %s", strerror(-r));
        return r;
    }
    return 0;
}

int host_drop_rights(void)
{
    return host_set_capabilities(0);
}
