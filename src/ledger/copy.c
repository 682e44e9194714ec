// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A thread that formats the records must not delay those that serve commands, so everything is
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

/* One more that is in flight, behind those that are older. */
static void ledger_copy_read(struct ledger_copy *copy, struct peer *peer, uint8_t action,
                             int64_t started_us)
{
    unsigned at = copy->n_listed;

    copy->device.n_in_flight++;
    if (started_us > copy->device.used_us)
        copy->device.used_us = started_us;
    while (at > 0 && copy->in_flight[at - 1].started_us > started_us)
        at--;
    if (at == LEDGER_IN_FLIGHT_MAX)
        return;
    if (copy->n_listed == LEDGER_IN_FLIGHT_MAX) {
        copy->n_listed--;
        if (copy->in_flight[copy->n_listed].peer)
            peer_unref(copy->in_flight[copy->n_listed].peer);
    }
    memmove(&copy->in_flight[at + 1], &copy->in_flight[at],
            (copy->n_listed - at) * sizeof(copy->in_flight[0]));
    copy->n_listed++;
    copy->in_flight[at].opcode = SPC_PERSISTENT_RESERVE_IN;
    copy->in_flight[at].action = action;
    copy->in_flight[at].connection = peer->connection;
    copy->in_flight[at].peer = peer_ref(peer);
    copy->in_flight[at].started_us = started_us;
}

/* What clients read is told by their own entries. */
static void ledger_copy_reads(struct ledger *ledger, struct ledger_copy *copies, unsigned n_copies)
{
    pthread_mutex_lock(&ledger->peers->lock);
    for (struct peer *peer = ledger->peers->first; peer; peer = peer->next) {
        int64_t since = atomic_load_explicit(&peer->busy_since_us, memory_order_acquire);
        uint16_t what = atomic_load_explicit(&peer->busy_with, memory_order_relaxed);
        dev_t number = atomic_load_explicit(&peer->busy_device, memory_order_relaxed);

        if (!since || !(what & LEDGER_READS))
            continue;
        for (unsigned i = 0; i < n_copies; i++) {
            const struct ledger_device *device = &copies[i].device;

            if (device->number == number &&
                (device->kind == DEVICE_SG) == ((what & LEDGER_READS_SG) != 0))
                ledger_copy_read(&copies[i], peer, what & CDB_SERVICE_ACTION_MASK, since);
        }
    }
    pthread_mutex_unlock(&ledger->peers->lock);
}

unsigned ledger_copy(struct ledger *ledger, struct ledger_copy **ret_copies)
{
    unsigned n = 0, room;

    lock_take(&ledger->lock);
    room = ledger->n_devices;
    lock_release(&ledger->lock);
    *ret_copies = room ? calloc(room, sizeof(**ret_copies)) : NULL;
    if (!*ret_copies)
        return 0;
    lock_take(&ledger->lock);
    for (const struct ledger_device *device = ledger->first; device && n < room;
         device = device->next)
        ledger_copy_device(ledger, device, &(*ret_copies)[n++]);
    ledger_copy_reads(ledger, *ret_copies, n);
    lock_release(&ledger->lock);
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
