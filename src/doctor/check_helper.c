// SPDX-License-Identifier: LGPL-2.1-or-later
/* Is there a helper, who may connect to it, and what can it do? */
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "ctl/advice.h"
#include "ctl/sysfs.h"
#include "doctor/doctor.h"

/* A device that hangs is a finding. The helper's own limit for it is 30 s by default. */
#define DOCTOR_WAIT_MS 35000

/* Below it libvirt has a directory for each virtual machine that runs. */
#define HELPER_LIBVIRT "/var/lib/libvirt/qemu"

/* Its configuration: the program that it starts. A bare name is looked for (libvirt 12). */
#define HELPER_LIBVIRT_CONF "/etc/libvirt/qemu.conf"

/* How /proc/PID/status of a helper begins (proc(5)). */
#define HELPER_NAME_LINE "Name:\tqemu-pr-helper\n"

/* "root:kvm 0660", for people. */
static void helper_describe_owner(const struct stat *file, char *text, size_t size)
{
    const struct passwd *user = getpwuid(file->st_uid);
    const struct group *group = getgrgid(file->st_gid);
    char uid[16], gid[16];

    snprintf(uid, sizeof(uid), "%u", file->st_uid);
    snprintf(gid, sizeof(gid), "%u", file->st_gid);
    snprintf(text, size, "%s:%s %04o", user ? user->pw_name : uid, group ? group->gr_name : gid,
             file->st_mode & 07777);
}

/* A first look at who uses the device, which tells where a helper may be. */
static void helper_find_vms(struct doctor *doctor)
{
    struct stat file;
    bool has_device = doctor->options->device && stat(doctor->options->device, &file) == 0;

    vms_find(has_device ? &file : NULL, &doctor->vms);
}

/*
 * libvirt starts a helper for each virtual machine that has a disk with managed reservations, and
 * none listens at the usual place. False: there is no such socket. Then *ret_is_libvirt says
 * whether this is a host of libvirt.
 */
static bool helper_find_of_vm(struct doctor *doctor, bool *ret_is_libvirt)
{
    glob_t found;

    *ret_is_libvirt = access(HELPER_LIBVIRT, F_OK) == 0;
    memcpy(doctor->found_socket, doctor->vms.helper, sizeof(doctor->found_socket));
    if (!doctor->found_socket[0] &&
        glob(HELPER_LIBVIRT "/domain-*/pr-helper0.sock", 0, NULL, &found) == 0) {
        snprintf(doctor->found_socket, sizeof(doctor->found_socket), "%s", found.gl_pathv[0]);
        globfree(&found);
    }
    return doctor->found_socket[0];
}

/* The value of the last line "pr_helper = "VALUE"" of libvirt's configuration, which root may read.
 */
static bool helper_read_setting(char *text, size_t size)
{
    FILE *file = fopen(HELPER_LIBVIRT_CONF, "re");
    char line[1024], value[PATH_MAX];
    bool found = false;

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, " pr_helper = \"%1000[^\"]\"", value) == 1) {
            snprintf(text, size, "%s", value);
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* Whether libvirt finds the program: by its path, or by a bare name where it looks for those. */
static bool helper_is_program(const char *name)
{
    static const char *const directories[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                              "/usr/bin",        "/sbin",          "/bin"};
    char path[PATH_MAX];

    if (strchr(name, '/'))
        return access(name, X_OK) == 0;
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        snprintf(path, sizeof(path), "%s/%.1000s", directories[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* No virtual machine has a helper now; would libvirt be able to start one? */
static void helper_judge_libvirt(struct finding *finding)
{
    char program[PATH_MAX];

    if (helper_read_setting(program, sizeof(program)) && !helper_is_program(program)) {
        finding_fail(finding,
                     "libvirt is configured to start %s, which is not a program on this host",
                     program);
        finding_remedy(finding,
                       "A virtual machine with <reservations managed='yes'/> does not start then. "
                       "Name the helper's path as pr_helper in %s, and restart libvirt's daemon; "
                       "running virtual machines are not affected.",
                       HELPER_LIBVIRT_CONF);
        return;
    }
    finding_unknown(finding, "no helper listens at %s, and no virtual machine has one now",
                    BUILD_DEFAULT_SOCKET);
    finding_remedy(finding, "libvirt starts one with each virtual machine that has a disk with "
                            "<reservations managed='yes'/>: run the doctor while that runs. Name "
                            "the socket of another helper with -k.");
}

static void helper_say_connected(struct doctor *doctor, struct finding *finding)
{
    bool is_found = doctor->found_socket[0] != '\0';

    doctor->connected = true;
    if (doctor->options->timeout_ms < 0)
        prhelper_set_timeout(doctor->session.helper, DOCTOR_WAIT_MS);
    finding_good(finding, "it answers at %s%s%s", session_socket(&doctor->session),
                 is_found ? ", for a virtual machine; no helper listens at " : "",
                 is_found ? BUILD_DEFAULT_SOCKET : "");
}

static void helper_say_failed(struct doctor *doctor, int r, struct finding *finding)
{
    const char *path = session_socket(&doctor->session);
    struct outcome outcome = {.r = 0};
    char owner[128];
    struct stat file;

    advice_connect(&doctor->session, r, &outcome);
    finding_fail(finding, "%s", outcome.what);
    finding_remedy(finding, "%s", outcome.hint);
    if (r == -EACCES && stat(path, &file) == 0) {
        helper_describe_owner(&file, owner, sizeof(owner));
        finding_remedy(finding,
                       "The socket is %s. Start the helper with --socket-mode and --socket-group "
                       "so that the user of the virtual machine may write to it, or with systemd "
                       "set SocketMode= and SocketGroup= in its socket unit.",
                       owner);
    }
}

void doctor_helper(struct doctor *doctor, struct finding *finding)
{
    bool is_libvirt;
    int r = session_connect(&doctor->session);

    helper_find_vms(doctor);
    if (r == 0) {
        helper_say_connected(doctor, finding);
    } else if ((r != -ENOENT && r != -ECONNREFUSED) || doctor->options->socket) {
        helper_say_failed(doctor, r, finding);
    } else if (helper_find_of_vm(doctor, &is_libvirt)) {
        doctor->own_options.socket = doctor->found_socket;
        r = session_connect(&doctor->session);
        if (r == 0)
            helper_say_connected(doctor, finding);
        else
            helper_say_failed(doctor, r, finding);
    } else if (is_libvirt) {
        helper_judge_libvirt(finding);
    } else {
        helper_say_failed(doctor, r, finding);
    }
}

/* Root may connect regardless of the mode, so looking at it is all that root can do. */
void doctor_socket(struct doctor *doctor, struct finding *finding)
{
    const char *path = session_socket(&doctor->session);
    char owner[128];
    struct stat file;
    bool only_owner;

    if (!doctor->connected || stat(path, &file) < 0)
        return;
    helper_describe_owner(&file, owner, sizeof(owner));
    only_owner = (file.st_mode & 0022) == 0;
    /* Where it is another's, libvirt or KubeVirt has given it to the user of QEMU. */
    if (only_owner && file.st_uid == 0 && geteuid() == 0) {
        finding_warn(finding, "only its owner may connect to the socket, which is %s", owner);
        finding_remedy(finding,
                       "A QEMU that runs as another user cannot. Start the helper with "
                       "--socket-mode=0660 and --socket-group=GROUP of that user, or with systemd "
                       "set SocketMode= and SocketGroup=. libvirt changes the owner itself.");
    } else {
        finding_good(finding, "the socket is %s", owner);
    }
}

void doctor_protocol(struct doctor *doctor, struct finding *finding)
{
    if (!doctor->connected)
        return;
    if (prhelper_features(doctor->session.helper) & PRHELPER_FEATURE_CLEANUP) {
        finding_good(finding, "the helper offers all features (CLEANUP)");
        return;
    }
    finding_warn(finding, "the helper does not offer CLEANUP");
    finding_remedy(finding,
                   "It is an older helper, perhaps QEMU's own. multipathd keeps a virtual "
                   "machine's registration on a multipath map after the virtual machine has gone. "
                   "libvirt starts the program that pr_helper in " HELPER_LIBVIRT_CONF " names.");
}

/* The user of the process that listens on the helper's socket, if it is a helper that we can see.
 */
static bool helper_find_user(const struct doctor *doctor, uid_t *ret_uid)
{
    struct ucred listener = {.pid = 0};
    socklen_t size = sizeof(listener);
    char text[2048];
    const char *line;
    unsigned uid;

    if (getsockopt(prhelper_fd(doctor->session.helper), SOL_SOCKET, SO_PEERCRED, &listener, &size) <
            0 ||
        listener.pid <= 0 ||
        !sysfs_read(text, sizeof(text), "/proc/%d/status", (int)listener.pid) ||
        strncmp(text, HELPER_NAME_LINE, strlen(HELPER_NAME_LINE)) != 0)
        return false; /* of another name space, or the service manager's socket */
    line = strstr(text, "\nUid:");
    if (!line || sscanf(line, "\nUid: %*u %u", &uid) != 1)
        return false;
    *ret_uid = (uid_t)uid;
    return true;
}

/* Leaves a finding only if there is something wrong. */
void doctor_user(struct doctor *doctor, struct finding *finding)
{
    const struct passwd *user;
    uid_t uid;

    if (!doctor->connected || !helper_find_user(doctor, &uid))
        return;
    user = getpwuid(uid);
    if (uid == 0) {
        finding_warn(finding, "the helper runs as root");
        finding_remedy(finding,
                       "Unless -u root was given, it lacked CAP_SETUID or CAP_SETGID when it "
                       "was started: its log and the status say what was missing. An "
                       "attacker who takes it over could read more than as a user of its own.");
    } else if (user && strcmp(user->pw_name, "nobody") == 0) {
        finding_warn(finding, "the helper runs as user nobody, whose other processes can stop it");
        finding_remedy(finding, "Create the user qemu-pr-helper, as packages do: "
                                "'useradd --system --user-group qemu-pr-helper'.");
    }
}
