// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A helper sends by the device that it is handed, so two helpers with one device are one I_T nexus,
 * and so are a disk and its SCSI generic device. A simulator's nexuses are its sockets.
 */
#include "validate/second.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/sysfs.h"

static bool second_is_device(mode_t mode)
{
    return S_ISBLK(mode) || S_ISCHR(mode);
}

static bool second_is_same_device(const struct stat *a, const struct stat *b)
{
    char path_a[PATH_MAX], path_b[PATH_MAX];

    if ((a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) && a->st_rdev == b->st_rdev)
        return true;
    return sysfs_scsi_device_of(a->st_mode, a->st_rdev, path_a, sizeof(path_a)) &&
           sysfs_scsi_device_of(b->st_mode, b->st_rdev, path_b, sizeof(path_b)) &&
           strcmp(path_a, path_b) == 0;
}

bool second_is_other(const struct nexus *a, const char *device, const char *socket,
                     struct outcome *outcome)
{
    struct stat file_a, file_b;
    bool same;

    /* What cannot be looked at is said when it is opened. */
    if (fstat(a->session.device_fd, &file_a) < 0 || stat(device, &file_b) < 0)
        return true;
    if (second_is_device(file_a.st_mode) && second_is_device(file_b.st_mode))
        same = second_is_same_device(&file_a, &file_b);
    else
        same = file_a.st_dev == file_b.st_dev && file_a.st_ino == file_b.st_ino &&
               (!socket || strcmp(session_socket(&a->session), socket) == 0);
    if (!same)
        return true;
    outcome_fail(outcome, CTL_REFUSED, "A and B would be one I_T nexus");
    if (second_is_device(file_a.st_mode))
        outcome_hint(outcome,
                     "A helper sends commands through the device that it receives: --second has to "
                     "be a device of another path to the disk. 'lsblk -o NAME,WWN,HCTL' lists "
                     "them. Nothing was changed.");
    else
        outcome_hint(
            outcome,
            "--second has to be the socket of another host of the simulator. Nothing was changed.");
    return false;
}
