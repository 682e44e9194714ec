// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The order matters. The bounding set and the groups need capabilities that go with the user, so
 * they come first; PR_SET_KEEPCAPS carries the permitted set over the change of user; the final set
 * is applied last.
 */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/capabilities.h"

static int privileges_change_ids(uid_t uid, gid_t gid, char *ret_error, size_t error_size)
{
    if (setgroups(0, NULL) < 0) {
        if (uid != (uid_t)-1 || gid != (gid_t)-1) {
            snprintf(ret_error, error_size, "cannot drop supplementary groups: %s",
                     strerror(errno));
            return -errno;
        }
        log_info("supplementary groups stay: not permitted to drop them");
    }
    if (gid != (gid_t)-1 && setresgid(gid, gid, gid) < 0) {
        snprintf(ret_error, error_size, "cannot change to group %ld: %s", (long)gid,
                 strerror(errno));
        return -errno;
    }
    if (uid != (uid_t)-1 &&
        (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(uid, uid, uid) < 0)) {
        snprintf(ret_error, error_size, "cannot change to user %ld: %s", (long)uid,
                 strerror(errno));
        return -errno;
    }
    return 0;
}

int privileges_drop(uid_t uid, gid_t gid, char *ret_error, size_t error_size)
{
    const uint32_t keep = capabilities_permitted() & CAPABILITY(CAP_SYS_RAWIO);
    int r;

    if (capabilities_bound(0) < 0)
        log_info("the bounding set of capabilities stays: not permitted to change it");
    r = privileges_change_ids(uid, gid, ret_error, error_size);
    if (r < 0)
        return r;

    if (!keep)
        log_warning("no CAP_SYS_RAWIO: the kernel will refuse every persistent reservation "
                    "command; start the helper as root or with that capability");
    r = capabilities_set(keep, keep);
    if (r < 0) {
        snprintf(ret_error, error_size, "cannot drop capabilities: %s", strerror(-r));
        return r;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        snprintf(ret_error, error_size, "cannot set no_new_privs: %s", strerror(errno));
        return -errno;
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return 0;
}
