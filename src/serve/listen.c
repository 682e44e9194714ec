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
 * Paths go through a directory fd: sun_path has 108 bytes, and the temporary name may be longer
 * than the final one, so it is bound by way of /proc/self/fd if it does not fit.
 */
#include "serve/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
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

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */
#define LISTEN_ATTEMPTS  8

static int listen_fail(int error, char *ret_error, size_t error_size, const char *what,
                       const char *path)
{
    snprintf(ret_error, error_size, "%s %s: %s", what, path, strerror(error));
    return -error;
}

/* Does anybody listen on the socket at path? 1, 0, or a negative errno if it cannot be told. */
static int listen_probe(const char *path)
{
    CLEANUP_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (sock < 0)
        return -errno;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
        return 1;
    return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

/* What is in the way at path? 0: nothing; 1: a stale socket; a negative errno: let it be. */
static int listen_look(const char *path, char *ret_error, size_t error_size)
{
    struct stat status;
    int live;

    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0
                               : listen_fail(errno, ret_error, error_size, "cannot look at", path);
    if (!S_ISSOCK(status.st_mode)) {
        snprintf(ret_error, error_size, "%s exists and is not a socket; it is left alone", path);
        return -ENOTSOCK;
    }
    live = listen_probe(path);
    if (live < 0)
        return listen_fail(-live, ret_error, error_size, "cannot tell whether somebody serves",
                           path);
    if (live > 0) {
        snprintf(ret_error, error_size, "another process is listening on %s", path);
        return -EADDRINUSE;
    }
    return 1;
}

/* Make the name free, or say why not. A stale socket is looked at again under the lock. */
static int listen_clear(int dir, const char *path, char *ret_error, size_t error_size)
{
    CLEANUP_CLOSE int lock = -1;
    int found = listen_look(path, ret_error, error_size);

    if (found > 0) {
        lock = inode_lock_directory(dir, ".");
        found = listen_look(path, ret_error, error_size);
    }
    if (found <= 0)
        return found;
    if (unlink(path) < 0 && errno != ENOENT)
        return listen_fail(errno, ret_error, error_size, "cannot remove the stale socket", path);
    return 0;
}

/* Bind to name in directory dir, whose path is dir_path. */
static int listen_bind(int sock, int dir, const char *dir_path, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir_path, name);

    if (n < 0 || (size_t)n >= sizeof(address.sun_path))
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name);
    return bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* Mode and owner of the bound socket. */
static int listen_set_up(const struct listen_options *options, int dir, const char *name,
                         char *ret_error, size_t error_size)
{
    if (options->mode != (mode_t)-1 && fchmodat(dir, name, options->mode, 0) < 0)
        return listen_fail(errno, ret_error, error_size, "cannot set the mode of", options->path);
    if ((options->user != (uid_t)-1 || options->group != (gid_t)-1) &&
        fchownat(dir, name, options->user, options->group, AT_SYMLINK_NOFOLLOW) < 0)
        return listen_fail(errno, ret_error, error_size, "cannot set the owner of", options->path);
    return 0;
}

/* Give the socket its final name. -EEXIST: somebody was faster. */
static int listen_publish(int dir, const char *temporary, const char *name,
                          struct inode_id *ret_inode)
{
    /* Before: what lies there afterwards may be somebody else's. */
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

static int listen_open_in(const struct listen_options *options, int dir, const char *dir_path,
                          const char *name, const char *temporary, struct inode_id *ret_inode,
                          char *ret_error, size_t error_size)
{
    CLEANUP_CLOSE int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (sock < 0)
        return listen_fail(errno, ret_error, error_size, "cannot make a socket for", options->path);
    unlinkat(dir, temporary, 0); /* of an earlier process with our pid */
    r = listen_bind(sock, dir, dir_path, temporary);
    if (r < 0)
        return listen_fail(-r, ret_error, error_size, "cannot make the socket", options->path);

    r = listen_set_up(options, dir, temporary, ret_error, error_size);
    if (r == 0 && listen(sock, LISTEN_BACKLOG) < 0)
        r = listen_fail(errno, ret_error, error_size, "cannot listen on", options->path);
    for (int i = 0; r == 0 && i < LISTEN_ATTEMPTS; i++) {
        r = listen_clear(dir, options->path, ret_error, error_size);
        if (r < 0)
            break;
        r = listen_publish(dir, temporary, name, ret_inode);
        if (r == 0)
            return steal_fd(&sock);
        if (r == -EEXIST && i + 1 < LISTEN_ATTEMPTS)
            r = 0;
        else
            listen_fail(-r, ret_error, error_size, "cannot make the socket", options->path);
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
    CLEANUP_CLOSE int dir = -1;
    const char *dir_path, *name;
    char temporary[32];

    if (strlen(options->path) > path_max) {
        snprintf(ret_error, error_size, "socket path is longer than %zu bytes: %s", path_max,
                 options->path);
        return -ENAMETOOLONG;
    }
    for_dirname = strdup(options->path);
    for_basename = strdup(options->path);
    if (!for_dirname || !for_basename)
        return listen_fail(ENOMEM, ret_error, error_size, "cannot make the socket", options->path);
    dir_path = dirname(for_dirname);
    name = basename(for_basename);
    dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return listen_fail(errno, ret_error, error_size, "cannot open the socket's directory",
                           dir_path);
    snprintf(temporary, sizeof(temporary), ".pr-helper.%ld", (long)getpid());
    return listen_open_in(options, dir, dir_path, name, temporary, ret_inode, ret_error,
                          error_size);
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
    return fd;
}
