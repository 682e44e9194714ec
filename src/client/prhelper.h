/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PRHELPER_H
#define PRHELPER_H

/*
 * libprhelper: SCSI persistent reservations by way of a qemu-pr-helper.
 *
 * A helper is a privileged process that listens on a unix socket and sends PERSISTENT RESERVE IN
 * and PERSISTENT RESERVE OUT to a disk whose file descriptor comes with the command. So its client
 * needs the right to open the disk, and no capability.
 *
 * Errors come in three channels. A function that talks to the helper returns
 *
 *   negative   an errno: no socket, no permission, -ETIMEDOUT ...
 *   positive   enum prhelper_error: the rules of the protocol or of this library were broken
 *   0          there is an answer, good or bad: its SCSI status is in the result
 *
 * so that a command was successful if and only if prhelper_is_good() says so.
 *
 * Threads: a connection belongs to one thread at a time; who shares one, locks. Different
 * connections have nothing to do with each other, and the library has no state of its own.
 * Functions that take no connection are pure and safe in any thread.
 *
 * The library never exits, prints, forks, starts a thread, changes signals or raises SIGPIPE. Its
 * file descriptors are close-on-exec. A signal does not interrupt a call.
 *
 * Keys, lengths and identifiers are in host byte order. `reserved` members are zero and make room
 * for later versions; all that the caller allocates keeps its size within libprhelper.so.0 from
 * 0.2.0 on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header, and one to compare it with: PRHELPER_VERSION_NUMBER(0, 2, 0). */
#define PRHELPER_VERSION_MAJOR                       0
#define PRHELPER_VERSION_MINOR                       2
#define PRHELPER_VERSION_MICRO                       0
#define PRHELPER_VERSION_NUMBER(major, minor, micro) ((major)*1000000 + (minor)*1000 + (micro))
#define PRHELPER_VERSION                                                                           \
    PRHELPER_VERSION_NUMBER(PRHELPER_VERSION_MAJOR, PRHELPER_VERSION_MINOR, PRHELPER_VERSION_MICRO)

/* Of the protocol, in bytes. */
#define PRHELPER_CDB_MAX   16
#define PRHELPER_DATA_MAX  8192 /* of data, or of a parameter list */
#define PRHELPER_SENSE_MAX 96

/* Features of a helper. */
#define PRHELPER_FEATURE_CLEANUP 0x00000001u              /* it serves prhelper_cleanup() */
#define PRHELPER_FEATURES        PRHELPER_FEATURE_CLEANUP /* all that this library knows */

/* No time-out. */
#define PRHELPER_FOREVER (-1)

enum prhelper_error {
    PRHELPER_OK = 0,

    /* Nothing was sent, and the connection is as good as before. */
    PRHELPER_BAD_ARGUMENT = 1, /* this is no command that the protocol could carry */
    PRHELPER_NO_FEATURE = 2,   /* the helper does not offer what this needs, or was not asked to */
    PRHELPER_IN_USE = 9,       /* something else is under way on this connection */

    /* Nothing was sent: an earlier command, which failed otherwise, was this connection's last. */
    PRHELPER_DEAD = 3,

    /* The connection is dead from now on. */
    PRHELPER_CLOSED = 4,     /* the helper closed it instead of giving an answer */
    PRHELPER_CUT = 5,        /* the helper closed it in the middle of an answer */
    PRHELPER_BAD_STATUS = 6, /* the answer's status is none of SCSI's, which are one byte */
    PRHELPER_BAD_SIZE = 7,   /* the answer has more data than was asked for */
    PRHELPER_UNEXPECTED = 8, /* bytes came from the helper that answer nothing */
    PRHELPER_CANCELLED = 10, /* prhelper_cancel() */

    /* Not over yet: see prhelper_continue(). */
    PRHELPER_PENDING = 11,

    /* Of the decoders: nothing to do with a connection. */
    PRHELPER_END = 16,       /* that was the whole list */
    PRHELPER_TRUNCATED = 17, /* the data goes on behind what came */
    PRHELPER_MALFORMED = 18, /* lengths in the data contradict each other */
};

/* SCSI status codes. */
enum prhelper_status {
    PRHELPER_GOOD = 0x00,
    PRHELPER_CHECK_CONDITION = 0x02,
    PRHELPER_BUSY = 0x08,
    PRHELPER_RESERVATION_CONFLICT = 0x18,
    PRHELPER_TASK_SET_FULL = 0x28,
    PRHELPER_STATUS_NONE = 0xff, /* not SCSI's: there was no answer */
};

/* Types of persistent reservations. */
enum prhelper_type {
    PRHELPER_WRITE_EXCLUSIVE = 1,
    PRHELPER_EXCLUSIVE_ACCESS = 3,
    PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5,
    PRHELPER_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6,
    PRHELPER_WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7,
    PRHELPER_EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8,
};

/* A connection to a helper. */
struct prhelper;

/*
 * What came of one command. Filled in for every return value.
 *
 * `outcome_unknown`: prhelper_outcome() says PRHELPER_OUTCOME_UNKNOWN. After an error that is the
 * case if the whole command had been handed to the helper.
 */
struct prhelper_result {
    uint8_t status; /* enum prhelper_status, or another of SCSI's; NONE after an error */
    bool outcome_unknown;
    uint8_t reserved[26];
    uint32_t size; /* bytes of data: 0 but for PERSISTENT RESERVE IN with status GOOD */
    uint8_t sense[PRHELPER_SENSE_MAX]; /* zero but for CHECK CONDITION */
    uint8_t data[PRHELPER_DATA_MAX];
};

/* r == 0 and status GOOD. */
bool prhelper_is_good(int r, const struct prhelper_result *result);

/* Whether a command was carried out. */
enum prhelper_outcome {
    PRHELPER_OUTCOME_DONE = 0,     /* it was */
    PRHELPER_OUTCOME_NOT_DONE = 1, /* it was not, and never will be; it may be sent again */
    PRHELPER_OUTCOME_UNKNOWN = 2,  /* it may have been, or may still be: look at the device */
};

/*
 * What is known of a command that returned `r` and filled in `result`. That there is an answer is
 * not enough to tell: what happens between helper and device reaches the client as a SCSI status
 * too, such as CHECK CONDITION with B/2E/02 for a time-out. NOT_DONE is said only of statuses and
 * sense keys with which a device server declines a command (SAM-5 5.3.1, SPC-4 4.5). A command that
 * only reads has an outcome as well.
 */
enum prhelper_outcome prhelper_outcome(int r, const struct prhelper_result *result);

/* The version of the library that is loaded: "0.2.0", and as PRHELPER_VERSION_NUMBER() has it. */
const char *prhelper_version(void);
int prhelper_version_number(void);

/*
 * Connections.
 */

/*
 * Connect to the helper that listens at `path` and shake hands. features: those of
 * PRHELPER_FEATURES that the caller would like to use; what the helper does not offer is left out,
 * see prhelper_features(). timeout_ms is for all of it: a helper that is busy, or a stranger at the
 * socket, may keep one waiting.
 *
 * On 0 *ret_helper is the caller's, for prhelper_close(); otherwise it is untouched. Errors:
 * -ENOENT, -ECONNREFUSED (no helper), -EACCES, -ENAMETOOLONG, -ENOMEM, -ETIMEDOUT and what else
 * socket(2) and connect(2) know; CLOSED or CUT (the helper has too many clients, or is no helper),
 * BAD_ARGUMENT.
 */
int prhelper_connect(const char *path, uint32_t features, int timeout_ms,
                     struct prhelper **ret_helper);

/*
 * The same over a stream socket that is already connected. The connection takes it over, and will
 * close it, on 0 only. Its file status flags are left alone; close-on-exec is up to the caller.
 */
int prhelper_adopt(int socket_fd, uint32_t features, int timeout_ms, struct prhelper **ret_helper);

/*
 * Carry out one command by other means, as prhelper_execute() does: same parameters, but that the
 * CDB is filled up with zeros to PRHELPER_CDB_MAX bytes and that in_size is the allocation length.
 * *result is as after an error, but for zeroed sense and data, and has to be filled in for 0. The
 * answer is held against the same rules as a helper's.
 */
typedef int prhelper_execute_function(void *context, int device,
                                      const uint8_t cdb[PRHELPER_CDB_MAX], const void *out,
                                      size_t out_size, size_t in_size,
                                      struct prhelper_result *result);

/*
 * A connection without a helper: each command goes to `execute`. For programs that reach devices
 * themselves, and for tests. Has all features and no time-out. -ENOMEM, BAD_ARGUMENT.
 */
int prhelper_custom(prhelper_execute_function *execute, void *context,
                    struct prhelper **ret_helper);

/* Close it, dead or alive, and free it. NULL is ignored. */
void prhelper_close(struct prhelper *helper);

/* The features that were asked for and are offered. */
uint32_t prhelper_features(const struct prhelper *helper);

/*
 * Give each later command so much time, from sending to the last byte of the answer. At first it is
 * PRHELPER_FOREVER, since a device may legitimately take long and nothing can call a command back:
 * a command that runs into its time-out ends with -ETIMEDOUT, its outcome unknown, and the
 * connection is dead, because its answer might come yet and be taken for that of the next one.
 */
void prhelper_set_timeout(struct prhelper *helper, int timeout_ms);

/*
 * Let a command connect again, if the connection has ended or ends before all of the command has
 * been sent, which the end of a helper that is restarted looks like: try to connect up to `tries`
 * times, interval_ms apart, before the command fails with the error of the last try. It is not
 * carried out then. After the command has been sent it is never sent again. tries 0: not at all, as
 * it is at first. BAD_ARGUMENT for a connection that was not made by its helper's path, or a
 * negative interval.
 *
 * QEMU's client tries 5 times, 1,000 ms apart.
 */
int prhelper_set_reconnect(struct prhelper *helper, unsigned tries, int interval_ms);

/*
 * Commands. Each sends one command for the disk that is open as `device` (which stays the caller's)
 * and waits for the answer. PERSISTENT RESERVE OUT and CLEANUP need it to be open for writing.
 *
 * Besides enum prhelper_error these return -ETIMEDOUT; what sendmsg(2) says of a bad `device`
 * (-EBADF, -ETOOMANYREFS), which leaves the connection alive; and when they have to connect again
 * what prhelper_connect() returns.
 */

/*
 * Any command of the protocol: PERSISTENT RESERVE IN (5Eh), PERSISTENT RESERVE OUT (5Fh) or CLEANUP
 * (FFh). cdb_size: 10 to 16 bytes. `out` is the parameter list, as long as the CDB says. The data
 * of PERSISTENT RESERVE IN is found in the result; CDBs with a length above PRHELPER_DATA_MAX are a
 * BAD_ARGUMENT.
 */
int prhelper_execute(struct prhelper *helper, int device, const void *cdb, size_t cdb_size,
                     const void *out, size_t out_size, struct prhelper_result *ret_result);

/* PERSISTENT RESERVE IN, for the decoders below. */
int prhelper_read_keys(struct prhelper *helper, int device, struct prhelper_result *ret_result);
int prhelper_read_reservation(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result);
int prhelper_report_capabilities(struct prhelper *helper, int device,
                                 struct prhelper_result *ret_result);
int prhelper_read_full_status(struct prhelper *helper, int device,
                              struct prhelper_result *ret_result);

/* Flags of the commands that register. */
#define PRHELPER_APTPL     0x1u /* activate persist through power loss */
#define PRHELPER_ALL_TG_PT 0x2u /* through all target ports; not with REGISTER AND MOVE */
#define PRHELPER_UNREG     0x4u /* unregister the one that moves; REGISTER AND MOVE only */

/* A TransportID: the SCSI name of an initiator port. Made by decoding or parsing. */
#define PRHELPER_TRANSPORTID_MAX 256
struct prhelper_transportid {
    uint16_t size; /* bytes; 0 if a device gave none */
    uint8_t reserved[6];
    uint8_t bytes[PRHELPER_TRANSPORTID_MAX];
};

/*
 * REGISTER. key 0: this I_T nexus has no registration yet; new_key 0: take the registration away.
 * flags: APTPL, ALL_TG_PT.
 */
int prhelper_register(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                      unsigned flags, struct prhelper_result *ret_result);

/* REGISTER with SPEC_I_PT: these `count` initiator ports as well. */
int prhelper_register_ports(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                            unsigned flags, const struct prhelper_transportid *ports, size_t count,
                            struct prhelper_result *ret_result);

/* REGISTER AND IGNORE EXISTING KEY. flags: APTPL, ALL_TG_PT. */
int prhelper_register_ignore(struct prhelper *helper, int device, uint64_t new_key, unsigned flags,
                             struct prhelper_result *ret_result);

/*
 * REGISTER AND MOVE the reservation to initiator port `port` at target port target_port (a relative
 * target port identifier). type: of the reservation, or 0, which not every device takes. flags:
 * APTPL, UNREG.
 */
int prhelper_register_move(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                           unsigned type, unsigned flags, uint16_t target_port,
                           const struct prhelper_transportid *port,
                           struct prhelper_result *ret_result);

/* RESERVE, RELEASE, CLEAR with the key that is registered. type: enum prhelper_type. */
int prhelper_reserve(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result);
int prhelper_release(struct prhelper *helper, int device, uint64_t key, unsigned type,
                     struct prhelper_result *ret_result);
int prhelper_clear(struct prhelper *helper, int device, uint64_t key,
                   struct prhelper_result *ret_result);

/*
 * PREEMPT, PREEMPT AND ABORT: remove the registrations with victim_key, and if one of them holds
 * the reservation, take it over with `type`.
 */
int prhelper_preempt(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                     unsigned type, struct prhelper_result *ret_result);
int prhelper_preempt_abort(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                           unsigned type, struct prhelper_result *ret_result);

/* REPLACE LOST RESERVATION. */
int prhelper_replace_lost(struct prhelper *helper, int device, uint64_t new_key, unsigned type,
                          struct prhelper_result *ret_result);

/*
 * CLEANUP: let the helper and multipathd forget the registration made on a multipath map; on
 * anything else nothing is done. Needs PRHELPER_FEATURE_CLEANUP, else NO_FEATURE.
 */
int prhelper_cleanup(struct prhelper *helper, int device, struct prhelper_result *ret_result);

/*
 * The same for an event loop: nothing of what follows ever waits.
 *
 * A function that starts something returns what the one without `start` in its name returns, if it
 * is over already, or PENDING. Then the caller waits until prhelper_fd() is ready for
 * prhelper_events(), or prhelper_timeout() is over, and calls prhelper_continue(), until that
 * returns something else: what came of it. One thing can be under way on a connection.
 *
 *     r = prhelper_start_preempt(helper, device, key, victim_key, type, &result);
 *     while (r == PRHELPER_PENDING) {
 *         (let the loop wait for these three)
 *         r = prhelper_continue(helper);
 *     }
 *
 * *ret_result has to stay, untouched, until then. All else that is passed, `device` too, is the
 * caller's again when the function returns. Nothing is allocated for a command.
 */
int prhelper_start_connect(const char *path, uint32_t features, int timeout_ms,
                           struct prhelper **ret_helper);
int prhelper_start_adopt(int socket_fd, uint32_t features, int timeout_ms,
                         struct prhelper **ret_helper);

/*
 * The fd to wait for; -1: there is none now. Ask after each call, because it may have changed. It
 * never goes from one socket to another without having been -1 for the time between two calls, so
 * that an epoll set is not left with one of the same number.
 */
int prhelper_fd(const struct prhelper *helper);

/*
 * What to wait for: POLLIN or POLLOUT of poll(2), which EPOLLIN and EPOLLOUT equal; or 0. When
 * nothing is under way it is POLLIN, for news of the connection's end.
 */
int prhelper_events(const struct prhelper *helper);

/* Milliseconds after which to go on in any case; -1: none. */
int prhelper_timeout(const struct prhelper *helper);

/*
 * Go on as far as that is possible without waiting. It may be called at any time. When nothing is
 * under way: 0, or once CLOSED or UNEXPECTED (or an errno) if that has happened to the connection
 * in the meantime, which is dead then; then DEAD.
 */
int prhelper_continue(struct prhelper *helper);

/*
 * Give up what is under way. Fills in the result and returns CANCELLED, or 0 if there was nothing.
 * A command that has left is not called back by this: see prhelper_outcome(). The connection is
 * dead then, unless nothing of a command had been sent on it.
 */
int prhelper_cancel(struct prhelper *helper);

/* The commands. PENDING, or what those above return. */
int prhelper_start_execute(struct prhelper *helper, int device, const void *cdb, size_t cdb_size,
                           const void *out, size_t out_size, struct prhelper_result *ret_result);
int prhelper_start_read_keys(struct prhelper *helper, int device,
                             struct prhelper_result *ret_result);
int prhelper_start_read_reservation(struct prhelper *helper, int device,
                                    struct prhelper_result *ret_result);
int prhelper_start_report_capabilities(struct prhelper *helper, int device,
                                       struct prhelper_result *ret_result);
int prhelper_start_read_full_status(struct prhelper *helper, int device,
                                    struct prhelper_result *ret_result);
int prhelper_start_register(struct prhelper *helper, int device, uint64_t key, uint64_t new_key,
                            unsigned flags, struct prhelper_result *ret_result);
int prhelper_start_register_ports(struct prhelper *helper, int device, uint64_t key,
                                  uint64_t new_key, unsigned flags,
                                  const struct prhelper_transportid *ports, size_t count,
                                  struct prhelper_result *ret_result);
int prhelper_start_register_ignore(struct prhelper *helper, int device, uint64_t new_key,
                                   unsigned flags, struct prhelper_result *ret_result);
int prhelper_start_register_move(struct prhelper *helper, int device, uint64_t key,
                                 uint64_t new_key, unsigned type, unsigned flags,
                                 uint16_t target_port, const struct prhelper_transportid *port,
                                 struct prhelper_result *ret_result);
int prhelper_start_reserve(struct prhelper *helper, int device, uint64_t key, unsigned type,
                           struct prhelper_result *ret_result);
int prhelper_start_release(struct prhelper *helper, int device, uint64_t key, unsigned type,
                           struct prhelper_result *ret_result);
int prhelper_start_clear(struct prhelper *helper, int device, uint64_t key,
                         struct prhelper_result *ret_result);
int prhelper_start_preempt(struct prhelper *helper, int device, uint64_t key, uint64_t victim_key,
                           unsigned type, struct prhelper_result *ret_result);
int prhelper_start_preempt_abort(struct prhelper *helper, int device, uint64_t key,
                                 uint64_t victim_key, unsigned type,
                                 struct prhelper_result *ret_result);
int prhelper_start_replace_lost(struct prhelper *helper, int device, uint64_t new_key,
                                unsigned type, struct prhelper_result *ret_result);
int prhelper_start_cleanup(struct prhelper *helper, int device, struct prhelper_result *ret_result);

/*
 * Decoders, of `size` bytes of data from a result or from anywhere else. They believe no length in
 * the data. On anything but 0 what they fill in is untouched.
 */

/*
 * A walk through the answer to READ KEYS or READ FULL STATUS. It points into the data, which must
 * stay. Only the first two members are for the caller to read.
 */
struct prhelper_list {
    uint64_t needed;     /* bytes of the full answer, which may be more than the protocol carries */
    uint32_t generation; /* PRGENERATION: goes up with every change of registrations */
    uint32_t state;      /* this and the rest are private */
    const uint8_t *bytes;
    size_t size;
    size_t offset;
    uint64_t reserved[2];
};

/* 0 or TRUNCATED. */
int prhelper_list_decode(const void *data, size_t size, struct prhelper_list *ret_list);

/* The next key: 0, END, TRUNCATED or MALFORMED. There is one for each registration. */
int prhelper_key_next(struct prhelper_list *list, uint64_t *ret_key);

/* One registration of READ FULL STATUS. */
struct prhelper_registrant {
    uint64_t key;
    bool all_tg_pt;       /* through all target ports */
    bool holder;          /* holds the reservation, alone or with others */
    uint8_t scope;        /* of the reservation, if holder; 0 is the logical unit */
    uint8_t type;         /* likewise; enum prhelper_type */
    uint16_t target_port; /* relative target port identifier, unless all_tg_pt */
    uint8_t reserved[18];
    struct prhelper_transportid port;
};

/* The next registration: 0, END, TRUNCATED or MALFORMED. */
int prhelper_registrant_next(struct prhelper_list *list,
                             struct prhelper_registrant *ret_registrant);

/* The answer to READ RESERVATION. */
struct prhelper_reservation {
    uint32_t generation;
    bool held;     /* if not, what follows is 0 */
    uint8_t scope; /* 0 is the logical unit */
    uint8_t type;  /* enum prhelper_type */
    uint8_t reserved[9];
    uint64_t key; /* the holder's; 0 if all registrants hold it */
};

/* 0, TRUNCATED or MALFORMED. */
int prhelper_reservation_decode(const void *data, size_t size,
                                struct prhelper_reservation *ret_reservation);

/* The answer to REPORT CAPABILITIES. */
struct prhelper_capabilities {
    bool replace_lost;      /* RLR_C: REPLACE LOST RESERVATION */
    bool compatible;        /* CRH: compatible handling of the RESERVE and RELEASE of SPC-2 */
    bool spec_i_pt;         /* SIP_C: prhelper_register_ports() */
    bool all_tg_pt;         /* ATP_C: PRHELPER_ALL_TG_PT */
    bool persistent;        /* PTPL_C: PRHELPER_APTPL */
    bool persistent_active; /* PTPL_A: it is in effect now */
    bool types_valid;       /* TMV: `types` is filled in */
    uint8_t allow_commands; /* ALLOW COMMANDS, 0 to 7 */
    uint16_t types;         /* bit 1 << type for each enum prhelper_type */
    uint8_t reserved[22];
};

/* 0, TRUNCATED or MALFORMED. */
int prhelper_capabilities_decode(const void *data, size_t size,
                                 struct prhelper_capabilities *ret_capabilities);

/* What sense data says. */
struct prhelper_sense {
    uint8_t key;  /* sense key */
    uint8_t asc;  /* additional sense code */
    uint8_t ascq; /* and its qualifier */
    uint8_t reserved[5];
};

/* Fixed or descriptor format; 0, or MALFORMED if this is no sense data. */
int prhelper_sense_decode(const void *sense, size_t size, struct prhelper_sense *ret_sense);

/*
 * Words. Functions that write to `text` have room for `size` bytes, terminate what they write
 * unless size is 0, and return the length of the whole text, as snprintf(3) does.
 */

/*
 * What came of a command or another function, in one line: `r` is what it returned, `result` (may
 * be NULL) what it filled in. "RESERVATION CONFLICT", "CHECK CONDITION: ILLEGAL REQUEST, INVALID
 * FIELD IN CDB (5/24/00)", "the helper closed the connection without an answer". At most
 * PRHELPER_TEXT_MAX bytes.
 */
size_t prhelper_describe(char *text, size_t size, int r, const struct prhelper_result *result);
#define PRHELPER_TEXT_MAX 256

/* "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)" */
size_t prhelper_sense_describe(char *text, size_t size, const struct prhelper_sense *sense);

/* "RESERVATION CONFLICT"; NULL for an unknown one. */
const char *prhelper_status_name(uint8_t status);

/* "write-exclusive-registrants-only"; NULL for an unknown one. */
const char *prhelper_type_name(unsigned type);

/* The reverse; takes the number as well. 0, or BAD_ARGUMENT with *ret_type untouched. */
int prhelper_type_parse(const char *text, unsigned *ret_type);

/*
 * TransportIDs as text: "iqn.2026-01.example:node,i,0x00023d000001", "sas:5000c500a1b2c3d4",
 * "fc:21000024ff3a5b6c", "srp:" and 32 digits, or "raw:" and every byte in hexadecimal. At most
 * PRHELPER_TRANSPORTID_TEXT_MAX bytes.
 */
size_t prhelper_transportid_format(char *text, size_t size,
                                   const struct prhelper_transportid *port);
#define PRHELPER_TRANSPORTID_TEXT_MAX 768

/* The reverse: 0, or BAD_ARGUMENT with *ret_port untouched. */
int prhelper_transportid_parse(const char *text, struct prhelper_transportid *ret_port);

#ifdef __cplusplus
}
#endif

#endif
