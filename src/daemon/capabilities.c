// SPDX-License-Identifier: LGPL-2.1-or-later
/* capabilities(7), capget(2): version 3 of the interface has two words for each set. */
#include "daemon/capabilities.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t capabilities_permitted(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    return syscall(SYS_capget, &header, sets) < 0 ? 0 : sets[0].permitted;
}

int capabilities_set(uint32_t permitted, uint32_t effective)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.permitted = permitted, .effective = effective},
    };

    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int capabilities_bound(uint32_t keep)
{
    /* The kernel returns EINVAL for the first number that it does not know. */
    for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++) {
        if (number < 32 && (keep & CAPABILITY(number)))
            continue;
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
            return -errno;
    }
    return 0;
}
