// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * /proc/PID/cmdline says what is a QEMU, and /proc/PID/fd what it has open. Only what is below /dev
 * is looked at closer: a file on a server that is gone would keep us waiting.
 */
#include "doctor/vms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "ctl/sysfs.h"
#include "vm/name.h"

#define VMS_COMMAND_MAX 65536

struct target {
    mode_t mode;
    dev_t number;
    char where[PATH_MAX]; /* in the tree of devices; "" if it is no SCSI device */
};

/* The NUL-separated arguments of a process. Returns how many bytes they are; 0: unknown. */
static size_t vms_read_command(const char *pid, char *text, size_t size)
{
    CLEANUP_CLOSE int fd = -1;
    char path[64];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : fdio_read_full(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static bool vms_is_qemu(const char *program)
{
    const char *slash = strrchr(program, '/');

    program = slash ? slash + 1 : program;
    return strncmp(program, "qemu-system-", 12) == 0 || strcmp(program, "qemu-kvm") == 0 ||
           strcmp(program, "kvm") == 0;
}

static void vms_take_command(const char *command, size_t size, struct vm *vm)
{
    static const char *const stops[] = {"werror=stop", "rerror=stop", "\"werror\":\"stop\"",
                                        "\"rerror\":\"stop\""};
    struct vm_arguments arguments = {.vm = vm->name, .size = sizeof(vm->name)};
    const char *end = command + size;

    vm_arguments_feed(&arguments, command, size);
    for (const char *word = command; word < end; word += strlen(word) + 1) {
        for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
            vm->stops |= strstr(word, stops[i]) != NULL;
    }
}

static bool vms_is_target(const struct target *target, const struct stat *file)
{
    char where[PATH_MAX];

    if (!S_ISBLK(file->st_mode) && !S_ISCHR(file->st_mode))
        return false;
    if ((file->st_mode & S_IFMT) == (target->mode & S_IFMT) && file->st_rdev == target->number)
        return true;
    return target->where[0] &&
           sysfs_scsi_device_of(file->st_mode, file->st_rdev, where, sizeof(where)) &&
           strcmp(where, target->where) == 0;
}

static bool vms_is_writable(const char *pid, const char *fd)
{
    char path[96], text[256];
    const char *flags;

    snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, fd);
    if (!sysfs_read(text, sizeof(text), "%s", path))
        return false;
    flags = strstr(text, "flags:");
    return flags && (strtoul(flags + 6, NULL, 8) & O_ACCMODE) != O_RDONLY;
}

/* Whether a process has the target open. 0 or 1, or a negative errno. */
static int vms_find_open(const char *pid, const struct target *target, struct vm *vm)
{
    char path[96], link[PATH_MAX];
    struct dirent *entry;
    struct stat file;
    DIR *directory;
    int found = 0;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    directory = opendir(path);
    if (!directory)
        return -errno;
    while ((entry = readdir(directory)) != NULL) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, entry->d_name);
        n = readlink(path, link, sizeof(link) - 1);
        if (n < 5 || strncmp(link, "/dev/", 5) != 0 || stat(path, &file) < 0 ||
            !vms_is_target(target, &file))
            continue;
        found = 1;
        vm->writes |= vms_is_writable(pid, entry->d_name);
    }
    closedir(directory);
    return found;
}

static void vms_examine(const char *pid, const struct target *target, char *command,
                        struct vms *vms)
{
    size_t size = vms_read_command(pid, command, VMS_COMMAND_MAX);
    struct vm vm = {.pid = (pid_t)strtol(pid, NULL, 10)};
    int r;

    if (size == 0 || !vms_is_qemu(command))
        return;
    r = vms_find_open(pid, target, &vm);
    if (r == -EACCES || r == -EPERM)
        vms->complete = false;
    if (r != 1)
        return;
    vms_take_command(command, size, &vm);
    if (vms->count < VMS_MAX)
        vms->list[vms->count++] = vm;
    else
        vms->left_out++;
}

void vms_find(const struct stat *device, struct vms *vms)
{
    struct target target = {.mode = device->st_mode, .number = device->st_rdev};
    char *command = malloc(VMS_COMMAND_MAX);
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    *vms = (struct vms){.complete = command && directory};
    sysfs_scsi_device_of(target.mode, target.number, target.where, sizeof(target.where));
    while (command && directory && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            vms_examine(entry->d_name, &target, command, vms);
    }
    if (directory)
        closedir(directory);
    free(command);
}
