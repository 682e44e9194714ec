// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading is given back below /sys (what kind of device is it?), and below /proc (who is the
 * client?) if there is no keeper to open that: with CAP_SYS_RAWIO user 0 could read /proc/kcore.
 * The fds that clients and keeper pass are not concerned: a file carries the rights of the process
 * that opened it.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/landlock.h"
#include "base/log.h"

int sandbox_enter_landlock(bool needs_proc, int *ret_version, char *ret_error, size_t error_size)
{
    struct landlock landlock;
    int r = landlock_begin(&landlock);

    *ret_version = 0;
    /* EPERM: a container's filter */
    if (r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM) {
        log_info("Landlock is not available: %s", strerror(-r));
        return 0;
    }
    if (r == 0)
        r = landlock_allow(&landlock, "/sys", LANDLOCK_READ);
    if (r == 0 && needs_proc)
        r = landlock_allow(&landlock, "/proc", LANDLOCK_READ);
    if (r == 0)
        r = landlock_enter(&landlock);
    if (r < 0) {
        snprintf(ret_error, error_size, "cannot enter the Landlock sandbox: %s", strerror(-r));
        return r;
    }
    *ret_version = landlock.version;
    log_debug("Landlock: ABI version %d", landlock.version);
    return 0;
}
