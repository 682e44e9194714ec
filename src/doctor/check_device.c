// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which device is it, and is it all of one? A reservation is of a LUN. A partition, a volume of LVM
 * or one path of several is a part of that, and the helper refuses to reserve the whole through it.
 * Nothing is opened for writing: even that would make udev look at the disk anew.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ctl/advice.h"
#include "ctl/sysfs.h"
#include "doctor/doctor.h"

/* The devices that a map lies on: "/dev/sda, /dev/sdb". */
static void device_list_below(const char *block, char *text, size_t size)
{
    char path[128];
    struct dirent *entry;
    size_t used = 0;
    DIR *directory;

    text[0] = '\0';
    snprintf(path, sizeof(path), "/sys/block/%s/slaves", block);
    directory = opendir(path);
    if (!directory)
        return;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s/dev/%s", used > 0 ? ", " : "",
                                     entry->d_name);
    }
    closedir(directory);
}

static void device_judge_map(struct doctor *doctor, struct finding *finding)
{
    char below[256], uuid[160];
    bool is_volume;

    sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", doctor->block);
    is_volume = strncmp(uuid, "LVM-", 4) == 0;
    device_list_below(doctor->block, below, sizeof(below));
    finding_fail(finding, "it is %s on %s, and a reservation applies to the whole disk",
                 is_volume ? "a logical volume (LVM)" : "a device-mapper map",
                 below[0] ? below : "other devices");
    finding_remedy(finding, "Give the virtual machine the whole disk, %s, or one of its own.",
                   below[0] ? below : "which 'lsblk -s' shows");
}

static void device_judge_partition(struct doctor *doctor, struct finding *finding)
{
    char link[128], real[4096], *end;

    snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(doctor->file.st_rdev),
             minor(doctor->file.st_rdev));
    /* The directory of a partition is inside of its disk's. */
    end = realpath(link, real) ? strrchr(real, '/') : NULL;
    if (end)
        *end = '\0';
    finding_fail(finding, "it is a partition, and a reservation applies to the whole disk");
    finding_remedy(finding, "Give the virtual machine the whole disk, %s%s.",
                   end ? "/dev/" : "of which this is a part", end ? strrchr(real, '/') + 1 : "");
}

static void device_judge_disk(struct doctor *doctor, struct finding *finding)
{
    char where[4096], map[128], vendor[16], model[32];

    if (!sysfs_scsi_device_of(doctor->file.st_mode, doctor->file.st_rdev, where, sizeof(where))) {
        finding_good(finding, "it is a SCSI device");
        return;
    }
    sysfs_read(vendor, sizeof(vendor), "%s/vendor", where);
    sysfs_read(model, sizeof(model), "%s/model", where);
    if (doctor->block[0] && sysfs_map_above(doctor->block, map, sizeof(map))) {
        finding_fail(finding, "it is one path of the multipath map %s", map);
        finding_remedy(finding,
                       "A reservation through one path locks out the others. Give the virtual "
                       "machine the map, /dev/mapper/%s.",
                       map);
        return;
    }
    finding_good(finding, "it is a SCSI device, %s: %s %s", strrchr(where, '/') + 1, vendor, model);
}

/* What there is, for the checks that follow. */
static void device_identify(struct doctor *doctor)
{
    doctor->facts = device_examine(doctor->session.device_fd);
    if (S_ISBLK(doctor->file.st_mode) &&
        sysfs_block_name(doctor->file.st_rdev, doctor->block, sizeof(doctor->block)))
        sysfs_read(doctor->map, sizeof(doctor->map), "/sys/block/%s/dm/name", doctor->block);
}

void doctor_device(struct doctor *doctor, struct finding *finding)
{
    struct outcome outcome = {.r = 0};
    struct session opened;
    int r = session_open_device(&opened, doctor->options);

    doctor->session.device_fd = opened.device_fd;
    if (r < 0 || fstat(doctor->session.device_fd, &doctor->file) < 0) {
        advice_device(&doctor->session, r < 0 ? r : -errno, &outcome);
        finding_fail(finding, "%s", outcome.what);
        finding_remedy(finding, "%s", outcome.hint);
        return;
    }
    device_identify(doctor);
    if (doctor->facts.is_scsi) {
        device_judge_disk(doctor, finding);
        return;
    }
    switch (doctor->facts.kind) {
    case DEVICE_DM_MULTIPATH:
        finding_good(finding, "it is the multipath map %s (%s)", doctor->map, doctor->block);
        return;
    case DEVICE_PARTITION:
        device_judge_partition(doctor, finding);
        return;
    case DEVICE_DM_OTHER:
        device_judge_map(doctor, finding);
        return;
    case DEVICE_UNKNOWN:
        finding_fail(finding, "it is %s", device_objection(&doctor->facts, true));
        finding_remedy(
            finding,
            "A helper refuses to reserve it, since it may be a part of a "
            "disk, or one of several paths. Mount /sys, and in a container share the host's.");
        return;
    default:
        finding_fail(finding, "it is %s", device_objection(&doctor->facts, false));
        finding_remedy(finding, "Only SCSI disks have persistent reservations: 'lsblk -S' lists "
                                "them. virtio-blk, NVMe and file-backed disks have none.");
    }
}

void doctor_writable(struct doctor *doctor, struct finding *finding)
{
    const char *device = doctor->options->device;
    char read_only[4];

    if (doctor->session.device_fd < 0)
        return;
    if (doctor->block[0] &&
        sysfs_read(read_only, sizeof(read_only), "/sys/block/%s/ro", doctor->block) &&
        strcmp(read_only, "1") == 0) {
        finding_fail(finding, "the kernel has marked it read-only");
        finding_remedy(finding,
                       "It cannot be reserved. Check whether the storage exports it read-only; if "
                       "not, 'blockdev --setrw %s' makes it writable.",
                       device);
    } else if (faccessat(AT_FDCWD, device, W_OK, AT_EACCESS) < 0) {
        finding_fail(finding, "this user may not write to it: %s", strerror(errno));
        finding_remedy(finding,
                       "A device opened read-only can be read, not reserved. The user of the "
                       "virtual machine needs write permission: see 'ls -l %s'; libvirt gives it, "
                       "unless the disk is <readonly/>.",
                       device);
    } else if ((doctor->file.st_mode & 0222) == 0) {
        finding_fail(finding, "the device's node is read-only (mode %04o) for all but root",
                     doctor->file.st_mode & 07777);
        finding_remedy(finding,
                       "A virtual machine that may only read it cannot reserve it. Give its user "
                       "write permission: 'chmod u+w %s', or permanently with a udev rule.",
                       device);
    } else {
        finding_good(finding, "it is writable");
    }
}
