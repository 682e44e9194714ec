// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The client half of the protocol, kept apart from the project's own library on purpose: what
 * measures must not share code with what is measured.
 */

#define CLIENT_CDB         16 /* on the wire, no matter how long the command is */
#define CLIENT_ALLOCATION  512
#define CLIENT_REPLY_FIXED 104

/* One connection with at most one command under way. */
struct client {
    int fd;
    size_t have; /* bytes of the reply received so far */
    uint64_t sent_ns;
    uint8_t reply[CLIENT_REPLY_FIXED + CLIENT_ALLOCATION];
};

uint64_t client_now_ns(void);

/* Connect a blocking socket. Returns 0 or a negative errno; an errno may be worth a new try. */
int client_connect(struct client *client, const char *path);

/* Exchange the feature words; asks for no feature. Returns 0 or a negative errno. */
int client_handshake(struct client *client);

/* Send one READ KEYS with device_fd attached and note the time. Returns 0 or a negative errno. */
int client_send(struct client *client, int device_fd);

/* The same with another command; a parameter list is for the caller to send. */
int client_send_cdb(struct client *client, int device_fd, const uint8_t cdb[static CLIENT_CDB]);

/*
 * Send one REGISTER AND IGNORE EXISTING KEY with its parameter list: as short a command of
 * PERSISTENT RESERVE OUT as there is that any client may send. Returns 0 or a negative errno.
 */
int client_send_register(struct client *client, int device_fd);

/*
 * Read what has come of the reply; flags go to recv(2). Returns 1 when the reply is whole and says
 * GOOD with a payload of the length that READ KEYS data claims to have, 0 when more is to come,
 * -EBADMSG for a whole but different reply, -EPROTO for impossible framing, -ECONNRESET at end of
 * file, or another negative errno. any_status accepts any whole reply: a device that is no SCSI
 * device answers CHECK CONDITION, which is good enough to time a start.
 */
int client_receive(struct client *client, int flags, bool any_status);

/* Whether the reply, which is whole, says GOOD. */
bool client_is_good(const struct client *client);

/* One command from sending to the verified reply, waiting at most timeout_ms (-1: for ever). */
int client_command(struct client *client, int device_fd, bool any_status, int timeout_ms);

void client_close(struct client *client);

#endif
