// SPDX-License-Identifier: LGPL-2.1-or-later
#include "mpath/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

bool channel_is_one(int fd)
{
    int type;
    socklen_t size = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* The name of our end. Returns the size of the address, or a negative errno. */
static int channel_name(int fd, char name[sizeof(struct sockaddr_un)])
{
    struct sockaddr_un address = {0};
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    snprintf(name, sizeof(address), "%.*s", (int)sizeof(address.sun_path), address.sun_path);
    return (int)size;
}

/* The keeper's has no name at all. An abstract one, or one that cannot be had, is not the keeper's:
 * then the peer cannot be checked, and is refused. */
bool channel_is_service(int fd)
{
    char name[sizeof(struct sockaddr_un)];

    return channel_name(fd, name) != (int)sizeof(sa_family_t);
}

int channel_check_peer(int fd, char *ret_error, size_t error_size)
{
    char name[sizeof(struct sockaddr_un)] = "";
    struct ucred peer;
    socklen_t size = sizeof(peer);
    struct stat status;
    int r;

    r = channel_name(fd, name);
    errno = r < 0 ? -r : 0;
    if (r < 0 || lstat(name, &status) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        r = -errno;
        snprintf(ret_error, error_size, "cannot identify the process connected to %s: %s",
                 name[0] ? name : "an unnamed socket", strerror(-r));
        return r;
    }
    if (peer.uid != 0 && peer.uid != status.st_uid) {
        snprintf(ret_error, error_size,
                 "%s is for user %ld, but a process of user %ld connected to it", name,
                 (long)status.st_uid, (long)peer.uid);
        return -EPERM;
    }
    return 0;
}
