// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libvirt and KubeVirt wait for the socket's file and connect once, so the file must not be there
 * before it can be connected to, nor with a mode or owner that will still change. Hence: bind under
 * another name in the same directory, set up, listen, then link(2) the final name. link(2) fails
 * if the name exists, so of two helpers that start at once one gets it and the other one finds a
 * live socket.
 *
 * The temporary socket exists before a stale one is removed, so the new one cannot be given the
 * inode number of the old one, by which its keeper may still be looking for it.
 *
 * The directory may belong to another user (libvirt's are of the virtual machine's user), who may
 * put a link or another file in the place of any name at any time. So the directory is opened once,
 * and everything is done in it: sun_path takes no fd, hence the process works there meanwhile,
 * which also spares the temporary name the 108 bytes of sun_path. No name is followed. The mode is
 * the socket's own before it has a name, and the owner goes to what was opened and looked at.
 */
#include "serve/listen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/inode.h"
#include "base/parse.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define LISTEN_FDS_START   3 /* sd_listen_fds(3) */
#define LISTEN_ATTEMPTS    8
#define LISTEN_SWEEP_ERROR 256 /* bytes of a line that is not told */

static int listen_fail(int error, char *ret_error, size_t error_size, const char *what,
                       const char *path)
{
    snprintf(ret_error, error_size, "%s %s: %s", what, path, strerror(error));
    return -error;
}

/* Bind or connect to a name in the working directory. */
static int listen_address(const char *name, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(name) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, name, strlen(name) + 1);
    return 0;
}

/* Does a process listen on the socket? 1, 0, or a negative errno if it cannot be told. */
static int listen_probe(const char *name)
{
    CLEANUP_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;
    int r = listen_address(name, &address);

    if (sock < 0 || r < 0)
        return sock < 0 ? -errno : r;
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
        return 1;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/*
 * What is in the way in the working directory, under the last part of path? 0: nothing; 1: a stale
 * socket; a negative errno: let it be.
 */
static int listen_look(const char *name, const char *path, char *ret_error, size_t error_size)
{
    struct stat status;
    int live;

    if (lstat(name, &status) < 0)
        return errno == ENOENT ? 0 : listen_fail(errno, ret_error, error_size, "cannot stat", path);
    if (!S_ISSOCK(status.st_mode)) {
        snprintf(ret_error, error_size, "%s exists and is not a socket; it is left alone", path);
        return -ENOTSOCK;
    }
    live = listen_probe(name);
    if (live < 0)
        return listen_fail(-live, ret_error, error_size,
                           "cannot determine whether a process listens on", path);
    if (live > 0) {
        snprintf(ret_error, error_size, "another process is listening on %s", path);
        return -EADDRINUSE;
    }
    return 1;
}

/* Make the name free, or say why not. A stale socket is looked at again under the lock. */
static int listen_clear(int dir, const char *name, const char *path, char *ret_error,
                        size_t error_size)
{
    int found = listen_look(name, path, ret_error, error_size);
    int lock;

    if (found <= 0)
        return found;
    lock = inode_lock_names(dir);
    found = listen_look(name, path, ret_error, error_size);
    if (found > 0)
        found = unlinkat(dir, name, 0) < 0 && errno != ENOENT
                    ? listen_fail(errno, ret_error, error_size, "cannot remove the stale socket",
                                  path)
                    : 0;
    inode_unlock_names(dir, lock);
    return found;
}

/*
 * Bind to a name in the working directory. The socket's own mode, less the umask, is what the name
 * gets (unix(7) is silent about that; net/unix/af_unix.c: unix_bind_bsd).
 */
static int listen_bind(int sock, const char *name, mode_t mode)
{
    struct sockaddr_un address;
    int r = listen_address(name, &address);
    mode_t mask;

    if (r < 0)
        return r;
    if (mode == (mode_t)-1)
        return bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    if (fchmod(sock, mode) < 0)
        return -errno;
    mask = umask(0);
    r = bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    return r;
}

/* Give the bound socket away, if it is that: one link, and ours. */
static int listen_set_owner(const struct listen_options *options, int dir, const char *name)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat status;

    if (options->user == (uid_t)-1 && options->group == (gid_t)-1)
        return 0;
    fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISSOCK(status.st_mode) || status.st_nlink != 1 || status.st_uid != geteuid())
        return -ESTALE;
    return fchownat(fd, "", options->user, options->group, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Give the socket its final name. -EEXIST: another process was faster. */
static int listen_publish(int dir, const char *temporary, const char *name,
                          struct inode_id *ret_inode)
{
    /* Before: what lies there afterwards may belong to another process. */
    int r = inode_identify_at(dir, temporary, ret_inode);

    if (r < 0)
        return r;
    if (linkat(dir, temporary, dir, name, 0) == 0) {
        unlinkat(dir, temporary, 0);
        return 0;
    }
    if (errno == EEXIST)
        return -EEXIST;
    /* A filesystem without hard links, or one that forbids this one. */
    return renameat2(dir, temporary, dir, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* In the working directory, whose fd is dir. */
static int listen_open_in(const struct listen_options *options, int dir, const char *name,
                          const char *temporary, struct inode_id *ret_inode, char *ret_error,
                          size_t error_size)
{
    CLEANUP_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (sock < 0)
        return listen_fail(errno, ret_error, error_size, "cannot create a socket for",
                           options->path);
    unlinkat(dir, temporary, 0); /* of an earlier process with our pid */
    r = listen_bind(sock, temporary, options->mode);
    if (r < 0)
        return listen_fail(-r, ret_error, error_size, "cannot create the socket", options->path);

    r = listen_set_owner(options, dir, temporary);
    if (r < 0)
        listen_fail(-r, ret_error, error_size, "cannot set the owner of", options->path);
    if (r == 0 && listen(sock, LISTEN_BACKLOG) < 0)
        r = listen_fail(errno, ret_error, error_size, "cannot listen on", options->path);
    for (int i = 0; r == 0 && i < LISTEN_ATTEMPTS; i++) {
        r = listen_clear(dir, name, options->path, ret_error, error_size);
        if (r < 0)
            break;
        r = listen_publish(dir, temporary, name, ret_inode);
        if (r == 0)
            return steal_fd(&sock);
        if (r == -EEXIST && i + 1 < LISTEN_ATTEMPTS)
            r = 0;
        else
            listen_fail(-r, ret_error, error_size, "cannot create the socket", options->path);
    }
    unlinkat(dir, temporary, 0);
    return r;
}

int listen_open(const struct listen_options *options, struct inode_id *ret_inode, char *ret_error,
                size_t error_size)
{
    const size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    CLEANUP_FREE char *for_dirname = NULL;
    CLEANUP_FREE char *for_basename = NULL;
    CLEANUP_CLOSE int here = -1;
    CLEANUP_CLOSE int dir = -1;
    const char *dir_path, *name;
    char temporary[32];
    int sock;

    if (strlen(options->path) > path_max) {
        snprintf(ret_error, error_size, "socket path is longer than %zu bytes: %.*s", path_max,
                 PATH_MAX, options->path);
        return -ENAMETOOLONG;
    }
    for_dirname = strdup(options->path);
    for_basename = strdup(options->path);
    if (!for_dirname || !for_basename)
        return listen_fail(ENOMEM, ret_error, error_size, "cannot create the socket",
                           options->path);
    dir_path = dirname(for_dirname);
    name = basename(for_basename);
    dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return listen_fail(errno, ret_error, error_size, "cannot open the socket's directory",
                           dir_path);
    here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (here < 0 || fchdir(dir) < 0)
        return listen_fail(errno, ret_error, error_size, "cannot change to the socket's directory",
                           dir_path);
    snprintf(temporary, sizeof(temporary), ".pr-helper.%ld", (long)getpid());
    sock = listen_open_in(options, dir, name, temporary, ret_inode, ret_error, error_size);
    (void)!fchdir(here); /* nothing after this is named by a relative path */
    return sock;
}

/*
 * May the process that named the socket live? With many helpers on a host a connection to each of
 * them by each that starts would be too much. In another PID namespace the pid may be another
 * process's: then the socket stays until that has ended.
 */
static bool listen_may_live(const char *name)
{
    char *end;
    long pid = strtol(name, &end, 10);

    return pid > 0 && pid <= INT_MAX && *end == '-' && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* In the working directory, which others may lock: one wait for all names, not one for each. */
static void listen_sweep_in(DIR *entries)
{
    char error[LISTEN_SWEEP_ERROR];
    const struct dirent *entry;
    int lock = -1;

    while ((entry = readdir(entries))) {
        const char *name = entry->d_name;

        /* A hidden one is on its way to a name, and no process listens yet. */
        if (name[0] == '.' || listen_may_live(name) ||
            listen_look(name, name, error, sizeof(error)) <= 0)
            continue;
        if (lock < 0)
            lock = inode_lock_names(dirfd(entries));
        if (lock < 0)
            break;
        if (listen_look(name, name, error, sizeof(error)) > 0)
            (void)unlinkat(dirfd(entries), name, 0);
    }
    inode_unlock_names(dirfd(entries), lock);
}

void listen_sweep(const char *directory)
{
    CLEANUP_CLOSE int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = opendir(directory);

    if (entries && here >= 0 && fchdir(dirfd(entries)) == 0) {
        listen_sweep_in(entries);
        (void)!fchdir(here);
    }
    if (entries)
        closedir(entries);
}

int listen_inherited(char *ret_error, size_t error_size)
{
    const char *pid_text = getenv("LISTEN_PID");
    const char *count_text = getenv("LISTEN_FDS");
    uint64_t pid, count;
    int r = 0;

    /* LISTEN_PID of another process is no error: systemd's variables are inherited by children. */
    if (pid_text && count_text && parse_number(pid_text, INT32_MAX, &pid) &&
        pid == (uint64_t)getpid()) {
        if (parse_number(count_text, INT32_MAX, &count)) {
            r = (int)count;
        } else {
            snprintf(ret_error, error_size, "LISTEN_FDS is not a number: %s", count_text);
            r = -EINVAL;
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return r;
}

/* A unit may wish for credentials with each message (PassCredentials=, PassSecurity=), and accepted
 * sockets inherit that. They would take the room that fdio_receive has for fds. */
static void listen_pass_nothing(int fd)
{
    static const int options[] = {SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD};
    const int no = 0;

    for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        (void)setsockopt(fd, SOL_SOCKET, options[i], &no, sizeof(no));
}

int listen_adopt(char *ret_error, size_t error_size)
{
    const int fd = LISTEN_FDS_START;
    struct sockaddr_storage address;
    socklen_t address_size = sizeof(address);
    int type = 0, listening = 0;
    socklen_t size = sizeof(int);
    int flags;

    if (getsockname(fd, (struct sockaddr *)&address, &address_size) < 0 ||
        address.ss_family != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        type != SOCK_STREAM || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
        !listening) {
        snprintf(ret_error, error_size,
                 "socket activation passed something that is not a listening AF_UNIX stream "
                 "socket (in the .socket unit, use ListenStream= with a path)");
        return -EINVAL;
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return listen_fail(errno, ret_error, error_size, "cannot use", "the socket from systemd");
    listen_pass_nothing(fd);
    return fd;
}
