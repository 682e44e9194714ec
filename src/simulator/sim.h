// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Simulated LUNs behind I_T nexuses, as backends of a server. A LUN is any regular file, told by
 * its device and inode and by when it was made; a nexus is a socket that clients connect to.
 */
#ifndef SIMULATOR_SIM_H
#define SIMULATOR_SIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lu/lu.h"
#include "serve/backend.h"
#include "serve/server.h"
#include "simulator/fault.h"

#define SIM_NEXUS_MAX SERVER_ENDPOINTS_MAX

struct sim;
struct sim_unit;

struct sim_nexus {
    struct sim *sim;
    unsigned index;
    const char *name;             /* borrowed */
    struct transportid initiator; /* iqn.2026-11.simulator:NAME,i,0x000000000001 */
    struct backend backend;       /* for server_endpoint */
};

struct sim {
    struct sim_nexus nexus[SIM_NEXUS_MAX];
    unsigned n_nexus;
    unsigned latency_ms; /* of every command */
    int state_dir;       /* owned; -1: nothing outlives us */
    struct faults faults;
    pthread_mutex_t lock; /* of the list of units */
    struct sim_unit *units;
};

/*
 * latency_ms: what every command takes at least. state_dir: fd of a directory, taken over, or -1.
 * faults_path: borrowed, or NULL.
 */
void sim_init(struct sim *sim, unsigned latency_ms, int state_dir, const char *faults_path);

/* Only when no server uses its backends any more. */
void sim_deinit(struct sim *sim);

/* A further nexus, its name borrowed. NULL: one too many, or no name for an iSCSI initiator. */
struct sim_nexus *sim_add_nexus(struct sim *sim, const char *name);

#endif
