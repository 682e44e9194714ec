// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The order matters. The bounding set and the groups need capabilities that go with the user, so
 * they come first; PR_SET_KEEPCAPS carries the permitted set over the change of user; the final set
 * is applied last.
 *
 * User 0 needs no capability to read root's files or to stop root's processes; /proc/kcore takes
 * only CAP_SYS_RAWIO besides. So the helper drops user 0 whenever it can.
 */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/account.h"
#include "daemon/capabilities.h"

#define PRIVILEGES_NOBODY 65534 /* the kernel's overflow user id (sysctl overflowuid) */

static void privileges_choose(struct privileges_ids *ids)
{
    gid_t gid;

    if (ids->uid != (uid_t)-1 || geteuid() != 0)
        return;
    ids->is_default = true;
    if (account_find(PRIVILEGES_USER, &ids->uid, &gid) < 0) {
        snprintf(ids->note, sizeof(ids->note),
                 "runs as user nobody, whose other processes can stop it: there is no user "
                 "named " PRIVILEGES_USER);
        if (account_find("nobody", &ids->uid, &gid) < 0)
            ids->uid = gid = PRIVILEGES_NOBODY;
    }
    if (ids->gid == (gid_t)-1)
        ids->gid = gid;
}

static int privileges_change_ids(uid_t uid, gid_t gid, char *ret_error, size_t error_size)
{
    if (setgroups(0, NULL) < 0) {
        if (uid != (uid_t)-1 || gid != (gid_t)-1) {
            snprintf(ret_error, error_size, "cannot drop supplementary groups: %s",
                     strerror(errno));
            return -errno;
        }
        log_info("supplementary groups kept: not permitted to drop them");
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

/*
 * The same for ids that were not asked for. What is missing is looked for before: a filter of the
 * process that started us may end processes that try. A group that was requested has to be set in
 * any case.
 */
static int privileges_change_default(struct privileges_ids *ids, bool group_was_asked,
                                     char *ret_error, size_t error_size)
{
    const uint32_t needed = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID);
    int r = -EPERM;

    snprintf(ret_error, error_size, "no CAP_SETUID or CAP_SETGID");
    if ((capabilities_permitted() & needed) == needed)
        r = privileges_change_ids(ids->uid, ids->gid, ret_error, error_size);
    if (r == 0)
        return 0;
    snprintf(ids->note, sizeof(ids->note), "still runs as root: %.200s", ret_error);
    ids->uid = (uid_t)-1;
    if (!group_was_asked)
        ids->gid = (gid_t)-1;
    return privileges_change_ids(ids->uid, ids->gid, ret_error, error_size);
}

int privileges_drop(struct privileges_ids *ids, char *ret_error, size_t error_size)
{
    const uint32_t keep = capabilities_permitted() & CAPABILITY(CAP_SYS_RAWIO);
    bool group_was_asked = ids->gid != (gid_t)-1;
    int r;

    privileges_choose(ids);

    if (capabilities_bound(0) < 0)
        log_info("capability bounding set kept: not permitted to change it");
    if (ids->is_default)
        r = privileges_change_default(ids, group_was_asked, ret_error, error_size);
    else
        r = privileges_change_ids(ids->uid, ids->gid, ret_error, error_size);
    if (r < 0)
        return r;
    if (ids->note[0] && ids->uid == (uid_t)-1)
        log_warning("the helper %s", ids->note);
    else if (ids->note[0])
        log_at(LOG_LEVEL_CLIENTS, LOG_WARNING, "the helper %s", ids->note);

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
