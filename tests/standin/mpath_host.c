// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * In the place of src/mpath/host.c: a machine made of files in the working directory, for the
 * worker of the tests. There a map is any device, such as /dev/zero, that "sys" calls one.
 */
#include "mpath/host.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

const char host_sysfs[] = "sys";
const char host_class[] = "class";
const char host_landlock_sys[] = ".";
const char host_dev[] = "/dev/pts"; /* a path is a pseudo-terminal */
const char host_journal[] = "journal";
const char *const host_multipathd[] = {"multipathd", "@test/multipathd without a listener"};

bool host_is_disk(const struct stat *status)
{
    return S_ISBLK(status->st_mode) || S_ISCHR(status->st_mode);
}

int host_take_rights(char *ret_error, size_t error_size)
{
    if (access("no-rights", F_OK) < 0)
        return 0;
    snprintf(ret_error, error_size, "no rights");
    return -EPERM;
}

int host_drop_rights(void)
{
    return 0;
}
