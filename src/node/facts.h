// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What one helper has said of itself, out of its status document: as much of it as monitoring
 * wants, in memory of a bounded size for any document. Numbers that make no sense become
 * 0, texts that are too long are cut.
 */
#ifndef NODE_FACTS_H
#define NODE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

#define FACTS_NAME_MAX    128
#define FACTS_LUNS_MAX    1024 /* of one helper */
#define FACTS_KEYS_MAX    64   /* of one device */
#define FACTS_PATHS_MAX   64   /* of one map */
#define FACTS_CLIENTS_MAX 512  /* of one helper */
#define FACTS_BUCKETS_MAX 24

/* Single numbers of a document; facts_numbers says where each stands. */
enum facts_number {
    FACTS_UPTIME,
    FACTS_CLIENTS,
    FACTS_ACCEPTED,
    FACTS_REFUSED,
    FACTS_MAX_CLIENTS,
    FACTS_REQUESTS,
    FACTS_BUSY,
    FACTS_THREADS,
    FACTS_IDLE,
    FACTS_MAX_THREADS,
    FACTS_MAX_BUFFERS,
    FACTS_IO_TIMEOUT,
    FACTS_CLIENT_TIMEOUT,
    FACTS_STOP_TIMEOUT,
    FACTS_HUNG_AFTER,
    FACTS_FORGOTTEN,
    FACTS_LEFT_OUT,
    FACTS_ALARMS,
    FACTS_NUMBERS
};

/* The commands that times are told of. */
enum facts_command { FACTS_IN, FACTS_OUT, FACTS_CLEANUP, FACTS_COMMANDS };

struct facts_times {
    double count, sum_s, max_s;
    unsigned n_buckets;
    double bound_s[FACTS_BUCKETS_MAX], up_to[FACTS_BUCKETS_MAX]; /* ascending */
};

struct facts_key {
    uint64_t key;
    int64_t pid; /* 0: unknown */
    bool connected, stale, replaced;
    double age_s;
    char vm[FACTS_NAME_MAX]; /* "": unknown */
};

/* One path of a multipath map. */
struct facts_path {
    char name[40], state[16];
    enum { FACTS_NO, FACTS_YES, FACTS_UNKNOWN } registered;
};

/* A command that the device has not answered. */
struct facts_hung {
    int64_t pid;
    double age_s;
    char command[104];
    char vm[FACTS_NAME_MAX];
};

/* A device as this helper has met it. A LUN may be several: a disk for each path, a map. */
struct facts_device {
    char wwn[96];    /* see facts_lun_name */
    char number[24]; /* MAJOR:MINOR */
    char disk[48], map[FACTS_NAME_MAX], nexus[48];
    bool is_map;
    double commands, conflicts, failures;
    double n_timed, seconds, seconds_max, in_flight, n_hung, oldest_s;
    bool same_nexus; /* by the helper's own judgement */
    /* What was last told or seen of the reservation: type "" with `known`: there is none. */
    bool reservation_known;
    uint64_t holder;           /* 0: all registrants hold it */
    char reservation_type[64]; /* as prhelper_type_name has it */
    double reservation_age_s;
    char last_error[160];
    struct facts_hung hung; /* the oldest one; age_s 0: none */
    unsigned n_keys;
    struct facts_key *keys;   /* owned */
    unsigned n_paths;         /* of a map; 0: not told */
    struct facts_path *paths; /* owned */
};

struct facts_client {
    int64_t pid;
    double age_s, requests, busy_s;
    char vm[FACTS_NAME_MAX];
    char state[16], device[24];
};

struct facts {
    int64_t pid;
    char version[32], socket[108];
    char worker[16], worker_error[160];
    bool worker_failed;  /* it was wanted, and cannot be started or has failed */
    double worker_queue; /* commands for multipath maps that have no answer yet */
    double n_hung;
    double started_s; /* of the clock of the day, to some milliseconds; 0: unknown */
    double numbers[FACTS_NUMBERS];
    struct facts_times times[FACTS_COMMANDS];
    unsigned n_devices, n_clients;
    struct facts_device *devices; /* owned */
    struct facts_client *clients; /* owned */
    double left_out;              /* devices, keys and clients beyond what is kept */
};

/*
 * Read a document that fetch_parse has made. Returns 0, and the caller gives *ret_facts to
 * facts_deinit; or -ENOMEM.
 */
int facts_read(struct json_object *document, struct facts *ret_facts);
void facts_deinit(struct facts *facts);

/* A client that is registered on the map is not by this path, which it uses. */
bool facts_path_is_missing(const struct facts_path *path);

/*
 * One name for one logical unit: of a map's "mpath-3600..." and a path's "naa.600..." the latter.
 * Without a name of its own it is "device-MAJOR:MINOR".
 */
void facts_lun_name(const char *wwn, const char *number, char *ret_name, size_t size);

#endif
