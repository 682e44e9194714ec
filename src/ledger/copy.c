// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whoever formats the records must not keep those waiting who serve commands, so everything is
 * copied under the lock, and nothing else is done there.
 */
#include <stdlib.h>
#include <string.h>

#include "ledger/keys.h"
#include "ledger/ledger.h"
#include "scsi/cdb.h"

static void ledger_copy_device(struct ledger *ledger, const struct ledger_device *device,
                               struct ledger_copy *copy)
{
    copy->device = *device;
    copy->n_shared = ledger_keys_shared(ledger, device, copy->shared, &copy->shared_since_us);
    if (device->error.peer)
        peer_ref(device->error.peer);
    for (unsigned i = 0; i < device->n_keys; i++) {
        peer_ref(device->keys[i].peer);
        copy->connected[i] = peers_is_connected(ledger->peers, device->keys[i].peer);
    }
    for (const struct ledger_command *command = device->first;
         command && copy->n_listed < LEDGER_IN_FLIGHT_MAX; command = command->next) {
        const struct request *request = command->request;
        unsigned i = copy->n_listed++;

        copy->in_flight[i].opcode = request->opcode;
        copy->in_flight[i].action = request->cdb[1] & CDB_SERVICE_ACTION_MASK;
        copy->in_flight[i].connection = request->connection;
        copy->in_flight[i].peer = request->peer ? peer_ref(request->peer) : NULL;
        copy->in_flight[i].started_us = command->started_us;
    }
}

unsigned ledger_copy(struct ledger *ledger, struct ledger_copy **ret_copies)
{
    unsigned n = 0, room;

    pthread_mutex_lock(&ledger->lock);
    room = ledger->n_devices;
    pthread_mutex_unlock(&ledger->lock);
    *ret_copies = room ? calloc(room, sizeof(**ret_copies)) : NULL;
    if (!*ret_copies)
        return 0;
    pthread_mutex_lock(&ledger->lock);
    for (const struct ledger_device *device = ledger->first; device && n < room;
         device = device->next)
        ledger_copy_device(ledger, device, &(*ret_copies)[n++]);
    pthread_mutex_unlock(&ledger->lock);
    return n;
}

void ledger_free_copies(struct ledger_copy *copies, unsigned n_copies)
{
    for (unsigned n = 0; n < n_copies; n++) {
        if (copies[n].device.error.peer)
            peer_unref(copies[n].device.error.peer);
        for (unsigned i = 0; i < copies[n].device.n_keys; i++)
            peer_unref(copies[n].device.keys[i].peer);
        for (unsigned i = 0; i < copies[n].n_shared; i++)
            peer_unref(copies[n].shared[i]);
        for (unsigned i = 0; i < copies[n].n_listed; i++) {
            if (copies[n].in_flight[i].peer)
                peer_unref(copies[n].in_flight[i].peer);
        }
    }
    free(copies);
}
