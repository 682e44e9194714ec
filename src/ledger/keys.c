// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whose key is where, as far as can be told from the commands that passed through. There is one
 * entry for each client of a device: a client that registers again has its entry changed. What
 * others do to the keys (another host that preempts one) is seen when a client reads the list of
 * keys through this helper: an entry from before the reading whose key is not in it has gone.
 *
 * Of a client that has vanished nothing more comes: its key may still be registered, or a live
 * migration may have taken its machine elsewhere and the key with it. READ FULL STATUS tells, if
 * what sysfs says of our initiator port is in it: on a nexus of this host the key is left behind,
 * on others only it is not ours to speak of. Until a client reads it, the entry is not verified.
 */
#include "ledger/keys.h"

#include <string.h>

#include "ledger/wwn.h"
#include "proto/wire.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

static bool ledger_is_map(const struct ledger_device *device)
{
    return device->kind == DEVICE_DM_MULTIPATH || wwn_is_of_map(device->names.wwn);
}

/* The same logical unit, by any path? */
static bool ledger_is_same_unit(const struct ledger_device *a, const struct ledger_device *b)
{
    return a == b || (*a->names.nexus && !strcmp(a->names.nexus, b->names.nexus)) ||
           wwn_is_same(a->names.wwn, b->names.wwn);
}

/* A multipath map registers by each of its paths, so it is one with all of them. */
static bool ledger_is_same_nexus(const struct ledger_device *a, const struct ledger_device *b)
{
    if (a == b || (*a->names.nexus && !strcmp(a->names.nexus, b->names.nexus)))
        return true;
    return (ledger_is_map(a) || ledger_is_map(b)) && wwn_is_same(a->names.wwn, b->names.wwn);
}

static void ledger_key_remove(struct ledger *ledger, struct ledger_device *device, unsigned i)
{
    peer_unref(device->keys[i].peer);
    ledger->n_keys--;
    device->n_keys--;
    memmove(&device->keys[i], &device->keys[i + 1], (device->n_keys - i) * sizeof(device->keys[0]));
}

void ledger_keys_clear(struct ledger *ledger, struct ledger_device *device)
{
    while (device->n_keys)
        ledger_key_remove(ledger, device, device->n_keys - 1);
    device->n_keys_left_out = 0;
}

/* Which entries of a device shall go? */
typedef bool ledger_key_choice(const struct ledger_key *key, const void *context);

static void ledger_keys_remove_if(struct ledger *ledger, struct ledger_device *device,
                                  ledger_key_choice *choice, const void *context)
{
    for (unsigned i = device->n_keys; i-- > 0;) {
        if (choice(&device->keys[i], context))
            ledger_key_remove(ledger, device, i);
    }
}

static bool ledger_key_is_any(const struct ledger_key *key, const void *context)
{
    (void)key;
    (void)context;
    return true;
}

/* context: the key; NULL or zero: every one. */
static bool ledger_key_is_equal(const struct ledger_key *key, const void *context)
{
    uint64_t wanted = *(const uint64_t *)context;

    return !wanted || key->key == wanted;
}

/* The list that a client has read, and when it began to. */
struct ledger_reading {
    struct peers *peers;
    const struct prin_list *list;
    int64_t started_us;
};

static bool ledger_key_is_missing(const struct ledger_key *key, const void *context)
{
    const struct ledger_reading *reading = context;
    struct prin_list list = *reading->list;
    uint64_t found;

    if (key->replaced) /* it has not been there for long; the entry says who believes so */
        return !peers_is_connected(reading->peers, key->peer);
    if (key->since_us >= reading->started_us)
        return false;
    while (prin_key_next(&list, &found) == PRIN_OK) {
        if (found == key->key)
            return false;
    }
    return true;
}

/* What is left is in the list. */
static void ledger_keys_confirm(struct ledger *ledger, const struct ledger_device *device,
                                int64_t started_us)
{
    for (struct ledger_device *one = ledger->first; one; one = one->next) {
        if (!ledger_is_same_unit(one, device))
            continue;
        for (unsigned i = 0; i < one->n_keys; i++) {
            if (one->keys[i].since_us < started_us)
                one->keys[i].doubtful = false;
        }
    }
}

/* Where READ FULL STATUS has a key. */
enum ledger_place {
    LEDGER_NOWHERE, /* or the list is none */
    LEDGER_SOMEWHERE,
    LEDGER_HERE, /* on a nexus of this host */
};

static enum ledger_place ledger_key_place(const struct prin_list *whole, uint64_t key,
                                          const struct transportid *initiator)
{
    enum ledger_place place = LEDGER_NOWHERE;
    struct prin_registrant registrant;
    struct prin_list list = *whole;
    enum prin_result result;

    while ((result = prin_registrant_next(&list, &registrant)) == PRIN_OK) {
        if (registrant.key != key)
            continue;
        if (initiator->size && transportid_covers(initiator, &registrant.transportid))
            place = LEDGER_HERE;
        else if (place == LEDGER_NOWHERE)
            place = LEDGER_SOMEWHERE;
    }
    return result == PRIN_END ? place : LEDGER_NOWHERE;
}

/*
 * Of each vanished client of the unit: has it left its key behind? That the key is nowhere is for
 * READ KEYS to say: some arrays give keys in another byte order here.
 */
static void ledger_keys_look(struct ledger *ledger, const struct ledger_device *device,
                             const struct prin_list *list, int64_t started_us)
{
    for (struct ledger_device *one = ledger->first; one; one = one->next) {
        if (!ledger_is_same_unit(one, device))
            continue;
        for (unsigned i = one->n_keys; i-- > 0;) {
            struct ledger_key *key = &one->keys[i];
            enum ledger_place place;

            key->seen = false;
            if (key->replaced || key->since_us >= started_us ||
                peers_is_connected(ledger->peers, key->peer))
                continue;
            place = ledger_key_place(list, key->key, &one->initiator);
            if (place == LEDGER_HERE)
                key->seen = true;
            else if (place == LEDGER_SOMEWHERE && one->initiator.size)
                ledger_key_remove(ledger, one, i);
        }
    }
}

bool ledger_keys_any_connected(struct ledger *ledger, const struct ledger_device *device)
{
    for (unsigned i = 0; i < device->n_keys; i++) {
        if (peers_is_connected(ledger->peers, device->keys[i].peer))
            return true;
    }
    return false;
}

/* A client of another process with a key on exactly this device, or NULL. */
static struct peer *ledger_find_other(struct ledger *ledger, const struct ledger_device *device,
                                      const struct peer *peer)
{
    for (unsigned i = 0; i < device->n_keys; i++) {
        struct peer *other = device->keys[i].peer;

        if (peer_is_other(other, peer) && peers_is_connected(ledger->peers, other))
            return other;
    }
    return NULL;
}

unsigned ledger_keys_shared(struct ledger *ledger, const struct ledger_device *device,
                            struct peer *ret_peers[LEDGER_KEYS_MAX], int64_t *ret_since_us)
{
    int64_t alarmed_us = 0, registered_us = 0;
    const struct peer *there = NULL;
    bool shared = false;
    unsigned n = 0;

    for (const struct ledger_device *one = ledger->first; one; one = one->next) {
        if (!ledger_is_same_nexus(one, device))
            continue;
        if (one->alarm_since_us > alarmed_us)
            alarmed_us = one->alarm_since_us;
        for (unsigned i = 0; i < one->n_keys; i++) {
            struct peer *peer = one->keys[i].peer;

            if (!peer_is_known(peer))
                continue;
            if (one->keys[i].since_us > registered_us)
                registered_us = one->keys[i].since_us;
            if (n < LEDGER_KEYS_MAX)
                ret_peers[n++] = peer;
            if (!peers_is_connected(ledger->peers, peer))
                continue;
            shared = shared || (there && peer_is_other(there, peer));
            there = peer;
        }
    }
    for (unsigned i = 0; shared && i < n; i++)
        peer_ref(ret_peers[i]);
    /* No alarm, if the first one was not there while the second one registered. */
    *ret_since_us = alarmed_us ? alarmed_us : registered_us;
    return shared ? n : 0;
}

/* Room for one more: a vanished client's entry that has been replaced anyway makes it. */
static bool ledger_keys_make_room(struct ledger *ledger, struct ledger_device *device)
{
    for (unsigned i = 0; device->n_keys == LEDGER_KEYS_MAX && i < device->n_keys; i++) {
        if (device->keys[i].replaced && !peers_is_connected(ledger->peers, device->keys[i].peer)) {
            ledger_key_remove(ledger, device, i);
            device->n_keys_left_out++;
        }
    }
    if (device->n_keys < LEDGER_KEYS_MAX)
        return true;
    device->n_keys_left_out++;
    return false;
}

/* Shall a client's new key take the place of this entry? A machine that was started again has an
 * entry of its last process, whose key has just been replaced; its name is good enough for that. */
static bool ledger_key_is_taken_over(struct ledger *ledger, const struct ledger_key *key,
                                     const struct peer *peer)
{
    return peer_is_same(key->peer, peer) ||
           (key->peer->vm && peer->vm && !strcmp(key->peer->vm, peer->vm) &&
            !peers_is_connected(ledger->peers, key->peer));
}

static void ledger_key_add(struct ledger *ledger, struct ledger_device *device, uint64_t key,
                           struct peer *peer, int64_t now_us, struct ledger_alarm *ret_alarm)
{
    bool is_known = false;

    for (struct ledger_device *one = ledger->first; one; one = one->next) {
        if (!ledger_is_same_nexus(one, device))
            continue;
        for (unsigned i = one->n_keys; i-- > 0;) {
            one->keys[i].replaced = true;
            if (!ledger_key_is_taken_over(ledger, &one->keys[i], peer))
                continue;
            is_known = is_known || peer_is_same(one->keys[i].peer, peer);
            ledger_key_remove(ledger, one, i);
        }
    }
    if (ledger_keys_make_room(ledger, device)) {
        device->keys[device->n_keys++] = (struct ledger_key){
            .key = key, .peer = peer_ref(peer), .since_us = now_us};
        ledger->n_keys++;
    }

    /* Who registers once more brings no news. */
    for (struct ledger_device *one = ledger->first; one && !is_known; one = one->next) {
        struct peer *other = ledger_is_same_nexus(one, device)
                                 ? ledger_find_other(ledger, one, peer)
                                 : NULL;

        if (other && !ret_alarm->with) {
            ret_alarm->with = peer_ref(other);
            ledger->n_alarms++;
        }
        if (other)
            one->alarm_since_us = device->alarm_since_us = now_us;
    }
}

/* Remove entries of every device that is the same unit, or the same nexus only, or all but it. */
enum ledger_reach { LEDGER_UNIT, LEDGER_NEXUS, LEDGER_OTHER_NEXUSES };

static void ledger_keys_remove(struct ledger *ledger, const struct ledger_device *device,
                               enum ledger_reach reach, ledger_key_choice *choice,
                               const void *context)
{
    for (struct ledger_device *one = ledger->first; one; one = one->next) {
        bool same_nexus = ledger_is_same_nexus(one, device);
        bool wanted = reach == LEDGER_NEXUS ? same_nexus
                                            : ledger_is_same_unit(one, device) &&
                                                  (reach == LEDGER_UNIT || !same_nexus);

        if (wanted)
            ledger_keys_remove_if(ledger, one, choice, context);
    }
}

/*
 * A nexus has preempted its own key. Without being the holder it has removed its own registration,
 * too (SPC-4 5.13.11.2.5); the holder keeps its own (5.13.11.2.4.3). Which it was the next list of
 * keys shows.
 */
static void ledger_keys_doubt(struct ledger *ledger, const struct ledger_device *device,
                              uint64_t key)
{
    for (struct ledger_device *one = ledger->first; one; one = one->next) {
        if (!ledger_is_same_nexus(one, device))
            continue;
        for (unsigned i = 0; i < one->n_keys; i++) {
            if (!one->keys[i].replaced && one->keys[i].key == key)
                one->keys[i].doubtful = true;
        }
    }
}

static void ledger_keys_update_out(struct ledger *ledger, const struct ledger_command *command,
                                   int64_t now_us, struct ledger_alarm *ret_alarm)
{
    const struct request *request = command->request;
    struct ledger_device *device = command->device;
    struct prout list;
    struct cdb cdb;

    cdb_decode(request->cdb, &cdb);
    if (prout_decode(cdb.service_action, request->data, request->length, &list) != PROUT_OK)
        return; /* the device took it all the same: no telling what it made of it */
    switch (cdb.service_action) {
    case SPC_PROUT_REGISTER:
    case SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY:
        if (!list.sa_key)
            ledger_keys_remove(ledger, device, LEDGER_NEXUS, ledger_key_is_any, NULL);
        else if (request->peer)
            ledger_key_add(ledger, device, list.sa_key, request->peer, now_us, ret_alarm);
        break;
    case SPC_PROUT_REGISTER_AND_MOVE:
        if (list.unreg)
            ledger_keys_remove(ledger, device, LEDGER_NEXUS, ledger_key_is_any, NULL);
        break;
    case SPC_PROUT_CLEAR:
        ledger_keys_remove(ledger, device, LEDGER_UNIT, ledger_key_is_any, NULL);
        break;
    case SPC_PROUT_PREEMPT:
    case SPC_PROUT_PREEMPT_AND_ABORT:
        ledger_keys_remove(ledger, device, LEDGER_OTHER_NEXUSES, ledger_key_is_equal, &list.sa_key);
        ledger_keys_doubt(ledger, device, list.sa_key);
        break;
    default:
        break;
    }
}

void ledger_keys_update(struct ledger *ledger, const struct ledger_command *command,
                        const struct reply *reply, int64_t now_us, struct ledger_alarm *ret_alarm)
{
    const struct request *request = command->request;
    struct ledger_reading reading = {.peers = ledger->peers, .started_us = command->started_us};
    struct prin_list list;
    unsigned action;

    switch (request->opcode) {
    case SPC_PERSISTENT_RESERVE_OUT:
        ledger_keys_update_out(ledger, command, now_us, ret_alarm);
        break;
    case SPC_PERSISTENT_RESERVE_IN:
        action = request->cdb[1] & CDB_SERVICE_ACTION_MASK;
        if ((action != SPC_PRIN_READ_KEYS && action != SPC_PRIN_READ_FULL_STATUS) ||
            prin_list_decode(request->data, reply->size, &list) != PRIN_OK || list.cut)
            break;
        if (action == SPC_PRIN_READ_FULL_STATUS) {
            ledger_keys_look(ledger, command->device, &list, command->started_us);
            break;
        }
        reading.list = &list;
        ledger_keys_remove(ledger, command->device, LEDGER_UNIT, ledger_key_is_missing, &reading);
        ledger_keys_confirm(ledger, command->device, command->started_us);
        break;
    case WIRE_CLEANUP:
        if (command->device->kind == DEVICE_DM_MULTIPATH)
            ledger_keys_remove(ledger, command->device, LEDGER_NEXUS, ledger_key_is_any, NULL);
        break;
    default:
        break;
    }
}
