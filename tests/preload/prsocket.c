// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Preloaded into a program that sends PERSISTENT RESERVE IN and OUT by SG_IO, this sends them to a
 * qemu-pr-helper or qemu-pr-simulator instead, so that programs which know nothing of it become its
 * clients. Everything else goes to the device.
 *
 *   PR_SOCKET  the socket
 *   PR_LUN     a file to pass in place of the program's own fd, for the simulator
 *
 * A connection for each command: slow, and nothing to keep track of. If it fails, so does the
 * ioctl, with the errno of what failed; if the protocol is not kept, with EPROTO.
 */
#include <scsi/sg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "preload.h"

#define PR_IN          0x5e
#define PR_OUT         0x5f
#define CDB_FIELD_SIZE 16
#define REPLY_SIZE     104
#define SENSE_SIZE     96
/* The helper closes the connection when asked for more; an answer of that size is a whole one. */
#define DATA_MAX 8192

static uint32_t load(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int receive(int connection, void *bytes, size_t size)
{
    ssize_t n = size ? recv(connection, bytes, size, MSG_WAITALL) : 0;

    if (n < 0)
        return errno;
    return (size_t)n == size ? 0 : EPROTO;
}

static int send_request(int connection, const uint8_t cdb[CDB_FIELD_SIZE], int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec io = {(void *)cdb, CDB_FIELD_SIZE};
    struct msghdr message = {
        .msg_iov = &io,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(connection, &message, MSG_NOSIGNAL) == CDB_FIELD_SIZE ? 0 : errno;
}

/* Copy between the caller's buffer, which may come in pieces, and one in one piece. */
static void transfer(const struct sg_io_hdr *io, uint8_t *bytes, size_t size, int to_caller)
{
    const struct iovec whole = {io->dxferp, io->dxfer_len};
    const struct iovec *piece = io->iovec_count ? io->dxferp : &whole;

    for (size_t done = 0; done < size; piece++) {
        size_t part = piece->iov_len < size - done ? piece->iov_len : size - done;

        if (to_caller)
            memcpy(piece->iov_base, bytes + done, part);
        else
            memcpy(bytes + done, piece->iov_base, part);
        done += part;
    }
}

static int converse(int connection, int fd, struct sg_io_hdr *io)
{
    uint8_t cdb[CDB_FIELD_SIZE] = {0}, features[4], reply[REPLY_SIZE], data[DATA_MAX];
    uint32_t length = io->dxfer_len, size, sense;
    int error;

    memcpy(cdb, io->cmdp, io->cmd_len < 10 ? io->cmd_len : 10);
    if (cdb[0] == PR_IN && length > DATA_MAX) {
        length = DATA_MAX;
        cdb[7] = DATA_MAX >> 8;
        cdb[8] = DATA_MAX & 0xff;
    }
    error = receive(connection, features, sizeof(features));
    if (error)
        return error;
    memset(features, 0, sizeof(features));
    if (send(connection, features, sizeof(features), MSG_NOSIGNAL) != sizeof(features))
        return errno;
    error = send_request(connection, cdb, fd);
    if (error)
        return error;
    if (cdb[0] == PR_OUT && length) {
        if (length > DATA_MAX)
            return EINVAL;
        transfer(io, data, length, 0);
        if (send(connection, data, length, MSG_NOSIGNAL) != (ssize_t)length)
            return errno;
    }
    error = receive(connection, reply, sizeof(reply));
    if (error)
        return error;
    size = load(reply + 4);
    if (size > length || (cdb[0] == PR_OUT && size))
        return EPROTO;
    error = receive(connection, data, size);
    if (error)
        return error;
    transfer(io, data, size, 1);

    io->status = (uint8_t)load(reply);
    io->masked_status = io->status >> 1 & 0x1f;
    io->host_status = 0;
    io->driver_status = io->status == 2 ? 8 : 0;
    io->resid = cdb[0] == PR_IN ? (int)(io->dxfer_len - size) : 0;
    sense = io->mx_sb_len < SENSE_SIZE ? io->mx_sb_len : SENSE_SIZE;
    io->sb_len_wr = io->status == 2 ? (uint8_t)sense : 0;
    memcpy(io->sbp, reply + 8, io->sb_len_wr);
    io->info = io->status ? SG_INFO_CHECK : SG_INFO_OK;
    return 0;
}

static int forward(int fd, struct sg_io_hdr *io)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("PR_SOCKET"), *lun = getenv("PR_LUN");
    int connection, error;

    if (!path || strlen(path) >= sizeof(address.sun_path))
        return ENOENT;
    strcpy(address.sun_path, path);
    if (lun && (fd = open(lun, O_RDWR | O_CLOEXEC)) < 0)
        return errno;
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof(address)) < 0)
        error = errno;
    else
        error = converse(connection, fd, io);
    if (connection >= 0)
        close(connection);
    if (lun)
        close(fd);
    return error;
}

static int preload_ioctl(int fd, unsigned int request, void *argument, int *ret_result)
{
    struct sg_io_hdr *io = argument;

    if (request != SG_IO || (io->cmdp[0] != PR_IN && io->cmdp[0] != PR_OUT))
        return preload_pass(fd, request, argument, ret_result);
    *ret_result = 0;
    return forward(fd, io);
}
