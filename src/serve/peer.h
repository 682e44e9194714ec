// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The peer of a connection: process, user, label, and the name of the virtual machine.
 *
 * Thread rule: init and deinit belong to the main thread, everything else may be called by any.
 */
#ifndef SERVE_PEER_H
#define SERVE_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "vm/name.h"

/* Bytes of a name or label with its NUL; longer ones are cut. */
#define PEER_TEXT_SIZE VM_NAME_SIZE

/* Where a machine's name comes from, best first. */
enum peer_source {
    PEER_UNNAMED,  /* there is none */
    PEER_CGROUP,   /* a control group that the service manager made: not the process's to choose */
    PEER_ARGUMENT, /* QEMU's -name */
    PEER_LABEL,    /* the security label, which keeps machines apart even if it names none */
};

/* In one word, NULL for PEER_UNNAMED. By enum peer_source. */
extern const char *const peer_source_word[];

struct peer {
    atomic_uint references;
    atomic_bool connected; /* the connection is open */
    uint64_t connection;   /* its number */
    pid_t pid;             /* when it connected; 0: of another PID namespace, unknown */
    uid_t uid;             /* (uid_t)-1: unknown, as is the group */
    gid_t gid;
    uint64_t process; /* the kernel's number of the process, never used twice; 0: unknown */
    uint64_t started; /* when the process with this pid began, in ticks; 0: unknown */
    enum peer_source source;
    const char *vm;                /* NULL: unknown */
    const char *label;             /* of the security module, or NULL */
    atomic_uint requests;          /* executed: its connection's owner alone counts */
    _Atomic int64_t busy_since_us; /* a command is with the device; 0: none is */
    _Atomic dev_t busy_device;     /* of that one, or of the last one */
    _Atomic uint16_t busy_with;    /* which command: the backend's to say */
    struct peer *next, *previous;  /* under the lock of struct peers, while connected */
    char text[];
};

/*
 * Open a file of a process, /proc/PID/FILE, for reading. Returns an fd, the caller's, or a negative
 * errno. Any thread.
 */
typedef int (*peers_open_fn)(void *context, pid_t pid, const char *file);

/* All that are connected and have been identified. */
struct peers {
    pthread_mutex_t lock;
    struct peer *first;
    int proc;           /* directory fd of /proc, or -1 */
    bool all;           /* before their first command of any kind */
    bool early;         /* at the handshake, not only when there is a need to know */
    bool pidfs;         /* pidfds have inodes of their own */
    peers_open_fn open; /* NULL: by proc */
    void *context;
};

/*
 * all: a connection shall be identified before its first command, else before the first one that
 * changes something. Many never send one, and need no memory then. Where the kernel does not let us
 * make sure that the pid is still that of the process which connected (SO_PEERPIDFD, Linux 6.5), it
 * is done at the handshake.
 */
void peers_init(struct peers *peers, bool all);
void peers_deinit(struct peers *peers);

/* Have files of processes opened by another process, since we may not or shall not. */
void peers_open_by(struct peers *peers, peers_open_fn open, void *context);

/*
 * Find out who is behind a connected socket. May block: reading the arguments of a process takes
 * the lock of its memory. Returns a reference, the caller's, to be given to peers_disconnect; or
 * NULL, if memory or fds are short now: a process of which only half is known would be another one.
 */
struct peer *peers_identify(struct peers *peers, int sock, uint64_t connection);

/* The kernel's number of the process that connected, never used twice; 0: unknown. May be asked
 * by any thread. */
uint64_t peers_process(const struct peers *peers, int sock);

/* The connection is closed: others may hold references still. */
void peers_disconnect(struct peers *peers, struct peer *peer);

struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer);

/*
 * Who a client is is its process; a name is a label, which others may bear. Can the process be told
 * from others at all?
 */
bool peer_is_known(const struct peer *peer);

/* The same process, or at least the same connection. */
bool peer_is_same(const struct peer *a, const struct peer *b);

/* Two processes that are known, and are not the same one. */
bool peer_is_other(const struct peer *a, const struct peer *b);

/* Is its connection open, or another one of the same process? */
bool peers_is_connected(struct peers *peers, const struct peer *peer);

#endif
