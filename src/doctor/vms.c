// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * /proc/PID/cmdline says what is a QEMU and how its guest has a disk, and /proc/PID/fd what it has
 * open. Files are looked at by what the kernel has of them: a server that is gone would keep us
 * waiting. A process that ends meanwhile is none; anything else that cannot be looked at is one
 * that was not.
 */
#include "doctor/vms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "ctl/sysfs.h"
#include "doctor/lun.h"
#include "doctor/qemu_disk.h"
#include "vm/name.h"

#define VMS_COMMAND_MAX 262144

/* The inode of the first PID namespace (the kernel's PROC_PID_INIT_INO). */
#define VMS_HOST_NAMESPACE "pid:[4026531836]"

/* Bit of the capability in the masks of /proc/PID/status (capabilities(7)). */
#define VMS_CAP_SYS_RAWIO 17

/* A process that is looked for the disk. */
struct process {
    const char *pid;
    const struct lun *target;
};

/* The NUL-separated arguments of a process. Returns how many bytes they are, or a negative errno.
 */
static ssize_t vms_read_command(const char *pid, char *text, size_t size)
{
    CLEANUP_CLOSE int fd = -1;
    char path[64];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -errno : fdio_read_full(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

static bool vms_is_qemu(const char *program)
{
    const char *slash = strrchr(program, '/');

    program = slash ? slash + 1 : program;
    return strncmp(program, "qemu-system-", 12) == 0 || strcmp(program, "qemu-kvm") == 0 ||
           strcmp(program, "kvm") == 0;
}

/* Whether a failure says no more than that the process, or its file, is gone. */
static bool vms_is_gone(int r)
{
    return r == -ENOENT || r == -ESRCH;
}

static bool vms_is_target(const struct lun *target, const struct stat *file)
{
    struct lun lun;

    if (!S_ISBLK(file->st_mode) && !S_ISCHR(file->st_mode))
        return false;
    lun_find(file->st_mode, file->st_rdev, &lun);
    return lun_is_shared(target, &lun);
}

/* What the kernel knows of a file, without asking who serves it. 0 or a negative errno. */
static int vms_stat(const char *path, struct stat *ret)
{
    struct statx found;

    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &found) < 0)
        return -errno;
    *ret = (struct stat){.st_mode = found.stx_mode,
                         .st_rdev = makedev(found.stx_rdev_major, found.stx_rdev_minor)};
    return 0;
}

/* Whether a name on a QEMU's command line is the target, as that QEMU sees files. */
static bool vms_names_target(void *context, const char *name)
{
    const struct process *process = context;
    char path[PATH_MAX];
    struct stat file;

    snprintf(path, sizeof(path), "/proc/%.20s/%s/%s", process->pid, name[0] == '/' ? "root" : "cwd",
             name);
    /* A link there may be an absolute one, which is followed from our own root. */
    return (vms_stat(path, &file) == 0 && vms_is_target(process->target, &file)) ||
           (vms_stat(name, &file) == 0 && vms_is_target(process->target, &file));
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
static int vms_find_open(const char *pid, const struct lun *target, struct vm *vm)
{
    char path[96];
    struct dirent *entry;
    struct stat file;
    DIR *directory;
    int found = 0;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    directory = opendir(path);
    if (!directory)
        return -errno;
    while ((entry = readdir(directory)) != NULL) {
        int r;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, entry->d_name);
        r = vms_stat(path, &file);
        if (r < 0 && !vms_is_gone(r) && found == 0)
            found = r;
        if (r < 0 || !vms_is_target(target, &file))
            continue;
        found = 1;
        vm->writes |= vms_is_writable(pid, entry->d_name);
    }
    closedir(directory);
    return found;
}

/* Whose it is, and what it may do (proc(5)). */
static void vms_read_status(struct vm *vm)
{
    unsigned long long capabilities = 0;
    char text[4096];
    const char *line;

    if (!sysfs_read(text, sizeof(text), "/proc/%d/status", (int)vm->pid))
        return;
    line = strstr(text, "\nUid:");
    if (line)
        (void)sscanf(line, "\nUid: %*u %u", &vm->uid);
    line = strstr(text, "\nCapEff:");
    if (line)
        (void)sscanf(line, "\nCapEff: %llx", &capabilities);
    vm->rawio = capabilities >> VMS_CAP_SYS_RAWIO & 1;
}

static void vms_examine(const char *pid, const struct lun *target, char *command, struct vms *vms)
{
    struct process process = {.pid = pid, .target = target};
    struct vm vm = {.pid = (pid_t)strtol(pid, NULL, 10)};
    struct vm_arguments arguments = {.vm = vm.name, .size = sizeof(vm.name)};
    ssize_t size = vms_read_command(pid, command, VMS_COMMAND_MAX);
    int r;

    if (size < 0 && !vms_is_gone((int)size))
        vms->seen = VMS_SOME;
    if (size <= 0 || !vms_is_qemu(command))
        return;
    if (!vms->helper[0])
        (void)qemu_helper_find(command, (size_t)size, vms->helper);
    r = target ? vms_find_open(pid, target, &vm) : 0;
    if (r < 0 && !vms_is_gone(r))
        vms->seen = VMS_SOME;
    if (r != 1)
        return;
    vm_arguments_feed(&arguments, command, (size_t)size);
    vms_read_status(&vm);
    qemu_disk_find(command, (size_t)size, vms_names_target, &process, &vm.disk);
    if (vm.disk.helper[0])
        memcpy(vms->helper, vm.disk.helper, sizeof(vms->helper));
    if (vms->count < VMS_MAX)
        vms->list[vms->count++] = vm;
    else
        vms->left_out++;
}

/* Which processes /proc shows at all: others are hidden by a namespace, or by hidepid (proc(5)). */
static enum vms_seen vms_see(void)
{
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof(link) - 1);

    if (n < 0 || access("/proc/1", F_OK) < 0)
        return VMS_SOME;
    link[n] = '\0';
    return strcmp(link, VMS_HOST_NAMESPACE) == 0 ? VMS_ALL : VMS_OF_NAMESPACE;
}

void vms_find(const struct stat *device, struct vms *vms)
{
    char *command = malloc(VMS_COMMAND_MAX);
    DIR *directory = opendir("/proc");
    struct lun target;
    struct dirent *entry;

    memset(vms, 0, sizeof(*vms));
    vms->seen = command && directory ? vms_see() : VMS_SOME;
    if (device)
        lun_find(device->st_mode, device->st_rdev, &target);
    while (command && directory && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            vms_examine(entry->d_name, device ? &target : NULL, command, vms);
    }
    if (directory)
        closedir(directory);
    free(command);
}

unsigned vms_list(const struct vms *vms, bool (*which)(const struct vm *vm), char *text,
                  size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < vms->count; i++) {
        const struct vm *vm = &vms->list[i];

        if (which && !which(vm))
            continue;
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s (pid %d)",
                                     count > 0 ? ", " : "", vm->name[0] ? vm->name : "unnamed",
                                     vm->pid);
        count++;
    }
    return count;
}
