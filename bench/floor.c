// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The physical floor: a server with one blocking thread for each connection that checks nothing and
 * knows no error. It receives the same bytes and the same file descriptor as a real helper, closes
 * the descriptor and answers with one write. Nothing that keeps the protocol can do less work for a
 * request. With --ioctl it also issues the command (SG_IO), which makes it the ideal server for a
 * device that answers: a real helper adds only its checks and its isolation. With --fstat it asks
 * what was passed, with --filter its system calls go through a seccomp filter that allows all: what
 * these two alone cost.
 *
 * Each thread costs a stack, and a thread is all that isolates clients here: as a model of memory
 * it is no floor at all.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REPLY_FIXED 104
#define PAYLOAD_MAX 8192
#define STACK_BYTES (64 * 1024)
#define BACKLOG     128 /* what the helper has: a flood of newcomers must not wait for this server */
#define TIMEOUT_MS  30000

static bool issue_ioctl, ask_fstat;

/* Returns the passed descriptor, or -1 when the client is gone. */
static int receive_request(int connection, uint8_t cdb[static 16])
{
    int passed = -1;

    for (size_t have = 0; have < 16;) {
        struct iovec data = {.iov_base = cdb + have, .iov_len = 16 - have};
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr message = {.msg_iov = &data,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (got <= 0)
            return -1;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_type == SCM_RIGHTS)
            memcpy(&passed, CMSG_DATA(header), sizeof passed);
        have += (size_t)got;
    }
    return passed;
}

static uint32_t issue(int device, uint8_t cdb[static 16], uint8_t *payload, uint32_t length)
{
    uint8_t sense[96];
    struct sg_io_hdr command = {.interface_id = 'S',
                                .dxfer_direction = SG_DXFER_FROM_DEV,
                                .cmd_len = 10,
                                .cmdp = cdb,
                                .mx_sb_len = sizeof sense,
                                .sbp = sense,
                                .dxfer_len = length,
                                .dxferp = payload,
                                .timeout = TIMEOUT_MS};

    if (ioctl(device, SG_IO, &command) < 0)
        return 0;
    return length - (uint32_t)command.resid;
}

static void *serve(void *argument)
{
    static const uint8_t features[4];
    int connection = (int)(intptr_t)argument;
    uint8_t cdb[16], requested[4];
    uint8_t reply[REPLY_FIXED + PAYLOAD_MAX];
    int passed;

    memset(reply, 0, REPLY_FIXED);
    if (write(connection, features, sizeof features) < 0 ||
        recv(connection, requested, sizeof requested, MSG_WAITALL) != sizeof requested) {
        close(connection);
        return NULL;
    }
    while ((passed = receive_request(connection, cdb)) >= 0) {
        uint32_t size = 8; /* READ KEYS data without a key */
        memset(reply + REPLY_FIXED, 0, size);
        if (ask_fstat) {
            struct stat status;
            if (fstat(passed, &status) < 0)
                break;
        }
        if (issue_ioctl) {
            uint32_t length = (uint32_t)cdb[7] << 8 | cdb[8];
            size = issue(passed, cdb, reply + REPLY_FIXED,
                         length < PAYLOAD_MAX ? length : PAYLOAD_MAX);
        }
        close(passed);
        reply[6] = (uint8_t)(size >> 8);
        reply[7] = (uint8_t)size;
        if (send(connection, reply, REPLY_FIXED + size, MSG_NOSIGNAL) < 0)
            break;
    }
    close(connection);
    return NULL;
}

static bool enter_filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = 1, .filter = &allow};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 'k'},
                                            {"ioctl", no_argument, NULL, 'i'},
                                            {"fstat", no_argument, NULL, 's'},
                                            {"filter", no_argument, NULL, 'f'},
                                            {0}};
    bool filter = false;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int option;

    while ((option = getopt_long(argc, argv, "k:", options, NULL)) != -1) {
        if (option == 'i') {
            issue_ioctl = true;
        } else if (option == 's') {
            ask_fstat = true;
        } else if (option == 'f') {
            filter = true;
        } else if (option == 'k' && strlen(optarg) < sizeof address.sun_path) {
            strcpy(address.sun_path, optarg);
        } else {
            fprintf(stderr, "usage: bench-floor -k SOCKET [--ioctl] [--fstat] [--filter]\n");
            return 2;
        }
    }
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, BACKLOG) < 0 || (filter && !enter_filter())) {
        perror("bench-floor");
        return 1;
    }

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int connection = accept(listener, NULL, NULL);
        if (connection < 0 && errno == ECONNABORTED)
            continue;
        if (connection < 0 ||
            pthread_create(&thread, &attributes, serve, (void *)(intptr_t)connection) != 0) {
            perror("bench-floor");
            return 1;
        }
    }
}
