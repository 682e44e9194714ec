// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Records of devices are in a list, the one used last in front, so the busy ones are found at once.
 * A number may be given to another device when one goes; commands that change something look at
 * sysfs anyway, so they notice, and the record begins anew.
 *
 * What clients can bring about is bounded: the number of records, and of keys in each. A record
 * with a command in flight stays; of the others one whose clients are all gone goes first.
 *
 * To the logical unit an I_T nexus is one initiator, for all who send by it, and has one
 * registration: who registers takes the place of the one registered before, who unregisters does it
 * for all. Which devices are one nexus sysfs knows (HOST:CHANNEL:TARGET:LUN), and a multipath map
 * is one with the paths of its logical unit; without that, each device number stands for itself.
 */
#include "ledger/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/quote.h"
#include "ledger/keys.h"
#include "ledger/reservation.h"
#include "proto/wire.h"
#include "scsi/cdb.h"
#include "sg/initiator.h"

void ledger_init(struct ledger *ledger, const struct device_sources *sources, struct peers *peers,
                 bool reads)
{
    memset(ledger, 0, sizeof(*ledger));
    ledger->sources = sources;
    ledger->peers = peers;
    ledger->reads = reads;
}

static void ledger_forget_error(struct ledger_device *device)
{
    if (device->error.peer)
        peer_unref(device->error.peer);
    memset(&device->error, 0, sizeof(device->error));
}

static void ledger_unlink(struct ledger *ledger, struct ledger_device *device)
{
    *(device->previous ? &device->previous->next : &ledger->first) = device->next;
    *(device->next ? &device->next->previous : &ledger->last) = device->previous;
    ledger->n_devices--;
}

static void ledger_link_first(struct ledger *ledger, struct ledger_device *device)
{
    device->previous = NULL;
    device->next = ledger->first;
    *(ledger->first ? &ledger->first->previous : &ledger->last) = device;
    ledger->first = device;
    ledger->n_devices++;
}

static void ledger_free_device(struct ledger *ledger, struct ledger_device *device)
{
    ledger_unlink(ledger, device);
    ledger_forget_error(device);
    ledger_keys_clear(ledger, device);
    free(device);
}

void ledger_deinit(struct ledger *ledger)
{
    while (ledger->first)
        ledger_free_device(ledger, ledger->first);
}

static struct ledger_device *ledger_find(struct ledger *ledger, enum device_kind kind, dev_t number)
{
    struct ledger_device *device = ledger->first;

    while (device &&
           (device->number != number || (device->kind == DEVICE_SG) != (kind == DEVICE_SG)))
        device = device->next;
    return device;
}

/* Make room for one more. False: every record has a command in flight. */
static bool ledger_make_room(struct ledger *ledger)
{
    struct ledger_device *oldest = NULL;

    if (ledger->n_devices < LEDGER_DEVICES_MAX)
        return true;
    for (struct ledger_device *device = ledger->last; device; device = device->previous) {
        if (device->n_in_flight)
            continue;
        if (!oldest)
            oldest = device;
        if (!ledger_keys_any_connected(ledger, device)) {
            oldest = device;
            break;
        }
    }
    ledger->n_forgotten++;
    if (oldest)
        ledger_free_device(ledger, oldest);
    return oldest;
}

/*
 * Is a record that of an earlier device with the same number? Both serials have to be known: what
 * could not be found out, for want of memory or because sysfs has just lost the device, is no
 * reason to forget a key. With a command in flight the device is open, and so the same.
 */
static bool ledger_is_outdated(const struct ledger_device *device, uint64_t serial)
{
    return serial && device->names.serial && device->names.serial != serial && !device->n_in_flight;
}

/*
 * The record of a device, in front of all others. Called under the lock, which is let go while
 * sysfs is read. NULL: there is none, and no room.
 */
static struct ledger_device *ledger_get(struct ledger *ledger, enum device_kind kind, dev_t number,
                                        bool may_be_another)
{
    struct ledger_device *device = ledger_find(ledger, kind, number);
    struct transportid initiator;
    struct device_names names;

    if (!device || may_be_another) {
        uint64_t serial = 0;

        lock_release(&ledger->lock);
        (void)device_serial(ledger->sources, kind, number, &serial);
        lock_take(&ledger->lock);
        device = ledger_find(ledger, kind, number);
        if (device && ledger_is_outdated(device, serial)) {
            ledger_free_device(ledger, device);
            device = NULL;
        }
    }
    if (!device || device->names.cut_short) {
        lock_release(&ledger->lock);
        device_describe(ledger->sources, kind, number, &names);
        initiator_of(ledger->sources, kind, number, &initiator);
        lock_take(&ledger->lock);
        device = ledger_find(ledger, kind, number);
        if (device && device->names.cut_short && !names.cut_short) {
            device->names = names;
            device->initiator = initiator;
        }
    }
    if (!device) {
        if (!ledger_make_room(ledger))
            return NULL;
        device = calloc(1, sizeof(*device));
        if (!device)
            return NULL;
        device->number = number;
        device->kind = kind;
        device->names = names;
        device->initiator = initiator;
        ledger_link_first(ledger, device);
    } else if (device != ledger->first) {
        ledger_unlink(ledger, device);
        ledger_link_first(ledger, device);
    }
    if (kind != DEVICE_BLOCK)
        device->kind = kind; /* PERSISTENT RESERVE IN does not ask which kind of block device */
    return device;
}

static void ledger_clear_busy(const struct request *request)
{
    if (request->peer)
        atomic_store_explicit(&request->peer->busy_since_us, 0, memory_order_relaxed);
}

void ledger_begin(struct ledger *ledger, struct ledger_command *command,
                  const struct request *request, enum device_kind kind, dev_t number)
{
    struct ledger_device *device;

    *command = (struct ledger_command){.request = request, .started_us = clock_now_us()};
    if (kind == DEVICE_OTHER)
        return; /* clients can pass as many of these as they like */
    lock_take(&ledger->lock);
    device = ledger_get(ledger, kind, number, true);
    if (device) {
        device->used_us = command->started_us;
        command->device = device;
        ledger_set_busy(request, number, 0, command->started_us);
        command->previous = device->last;
        *(device->last ? &device->last->next : &device->first) = command;
        device->last = command;
        device->n_in_flight++;
    }
    lock_release(&ledger->lock);
}

/* Seldom, and so apart from its callers. */
__attribute__((noinline)) static void ledger_note_error(struct ledger_device *device,
                                                        const struct request *request,
                                                        const struct reply *reply,
                                                        enum ledger_result result, int64_t now)
{
    ledger_forget_error(device);
    device->error = (struct ledger_error){
        .at_us = now,
        .opcode = request->opcode,
        .action = request->cdb[1] & CDB_SERVICE_ACTION_MASK,
        .result = result,
        .reply = *reply,
        .connection = request->connection,
        .peer = request->peer ? peer_ref(request->peer) : NULL,
    };
}

/* Has the device, or the multipath worker, had to do with it? */
static bool ledger_was_sent(const struct ledger_command *command, bool refused)
{
    return !refused && (ledger_kind_of(command->request->opcode) != LEDGER_CLEANUP ||
                        command->device->kind == DEVICE_DM_MULTIPATH);
}

/* VM "NAME" (pid 123, named by its cgroup), or what there is of it. */
static void ledger_name_peer(const struct peer *peer, char *text, size_t size)
{
    char pid[24] = "unknown", vm[PEER_TEXT_SIZE];

    if (peer->pid > 0)
        snprintf(pid, sizeof(pid), "%d", (int)peer->pid);
    if (peer->vm)
        (void)quote_text(vm, sizeof(vm), peer->vm);
    if (peer->vm)
        snprintf(text, size, "VM \"%s\" (pid %s, named by its %s)", vm, pid,
                 peer_source_word[peer->source]);
    else
        snprintf(text, size, "a process without a name (pid %s, uid %u)", pid, peer->uid);
}

static void ledger_tell_alarm(const struct peer *one, const struct peer *other, dev_t number)
{
    char first[PEER_TEXT_SIZE + 80], second[PEER_TEXT_SIZE + 80];

    ledger_name_peer(one, first, sizeof(first));
    ledger_name_peer(other, second, sizeof(second));
    log_limited(LOG_ALERT,
                "ALARM: %s and %s have both registered on device %u:%u through the same I_T nexus: "
                "the disk sees one initiator, and reservations cannot keep them apart",
                first, second, major(number), minor(number));
}

void ledger_end(struct ledger *ledger, struct ledger_command *command, const struct reply *reply,
                bool refused)
{
    const struct request *request = command->request;
    enum ledger_result result = ledger_result_of(reply->status, refused);
    struct ledger_device *device = command->device;
    struct ledger_alarm alarm = {.with = NULL};
    int64_t now = clock_now_us();
    dev_t number;

    if (!device)
        return;
    lock_take(&ledger->lock);
    *(command->previous ? &command->previous->next : &device->first) = command->next;
    *(command->next ? &command->next->previous : &device->last) = command->previous;
    device->n_in_flight--;
    ledger_clear_busy(request);
    device->counts[ledger_row_of(request->opcode, request->cdb[1] & CDB_SERVICE_ACTION_MASK)]
                  [result]++;
    if (ledger_was_sent(command, refused))
        latency_add(&device->latency[ledger_kind_of(request->opcode)],
                    (uint64_t)(now - command->started_us));
    if (result != LEDGER_GOOD && result != LEDGER_RESERVATION_CONFLICT)
        ledger_note_error(device, request, reply, result, now);
    if (result == LEDGER_GOOD) {
        ledger_keys_update(ledger, command, reply, now, &alarm);
        ledger_reservation_update(&device->reservation, request, reply, now);
    } else if (result == LEDGER_CHECK_CONDITION || result == LEDGER_OTHER) {
        ledger_reservation_doubt(&device->reservation, request);
    }
    number = device->number;
    lock_release(&ledger->lock);

    if (alarm.with) {
        ledger_tell_alarm(alarm.with, request->peer, number);
        peer_unref(alarm.with);
    }
}

__attribute__((noinline)) void ledger_meet(struct ledger *ledger, enum device_kind kind,
                                           dev_t number, int64_t now_us)
{
    struct ledger_device *device;

    lock_take(&ledger->lock);
    device = ledger_get(ledger, kind, number, false);
    if (device)
        device->used_us = now_us;
    lock_release(&ledger->lock);
}

/* What a list that a client has read says of keys. */
__attribute__((noinline)) static void
ledger_note_list(struct ledger *ledger, struct ledger_device *device, const struct request *request,
                 const struct reply *reply, int64_t started_us, int64_t now)
{
    const struct ledger_command command = {
        .request = request, .device = device, .started_us = started_us};

    ledger_keys_update(ledger, &command, reply, now, NULL);
}

/* Not if a command has changed it since this one began: which of them was first is not known. */
__attribute__((noinline)) static void ledger_note_reservation(struct ledger_device *device,
                                                              const struct request *request,
                                                              const struct reply *reply,
                                                              int64_t started_us, int64_t now)
{
    if (device->reservation.at_us <= started_us)
        ledger_reservation_update(&device->reservation, request, reply, now);
}

void ledger_end_read(struct ledger *ledger, const struct request *request, enum device_kind kind,
                     dev_t number, int64_t started_us, const struct reply *reply)
{
    unsigned action = request->cdb[1] & CDB_SERVICE_ACTION_MASK;
    struct ledger_device *device;
    enum ledger_result result;
    int64_t now = clock_now_us();

    ledger_clear_busy(request);
    lock_take(&ledger->lock);
    device = ledger->first;
    if (!device || device->number != number || (device->kind == DEVICE_SG) != (kind == DEVICE_SG))
        device = ledger_get(ledger, kind, number, false);
    if (device) {
        device->used_us = started_us;
        result = reply->status == SPC_STATUS_GOOD ? LEDGER_GOOD
                                                  : ledger_result_of(reply->status, false);
        device->counts[action < LEDGER_PRIN_ACTIONS ? action : LEDGER_PRIN_ACTIONS - 1][result]++;
        latency_add(&device->latency[LEDGER_PRIN], (uint64_t)(now - started_us));
        if (result != LEDGER_GOOD && result != LEDGER_RESERVATION_CONFLICT)
            ledger_note_error(device, request, reply, result, now);
        else if (result == LEDGER_GOOD && action == SPC_PRIN_READ_RESERVATION)
            ledger_note_reservation(device, request, reply, started_us, now);
        else if (result == LEDGER_GOOD && ledger->n_keys)
            ledger_note_list(ledger, device, request, reply, started_us, now);
    }
    lock_release(&ledger->lock);
}

enum ledger_kind ledger_kind_of(uint8_t opcode)
{
    if (opcode == SPC_PERSISTENT_RESERVE_IN)
        return LEDGER_PRIN;
    return opcode == SPC_PERSISTENT_RESERVE_OUT ? LEDGER_PROUT : LEDGER_CLEANUP;
}

unsigned ledger_row_of(uint8_t opcode, uint8_t action)
{
    switch (ledger_kind_of(opcode)) {
    case LEDGER_PRIN:
        return action < LEDGER_PRIN_ACTIONS ? action : LEDGER_PRIN_ACTIONS - 1;
    case LEDGER_PROUT:
        return LEDGER_PRIN_ACTIONS +
               (action < LEDGER_PROUT_ACTIONS ? action : LEDGER_PROUT_ACTIONS - 1);
    default:
        return LEDGER_ACTIONS - 1;
    }
}

const char *ledger_command_name(uint8_t opcode)
{
    static const char *const names[] = {
        [LEDGER_PRIN] = "PERSISTENT RESERVE IN",
        [LEDGER_PROUT] = "PERSISTENT RESERVE OUT",
        [LEDGER_CLEANUP] = "CLEANUP",
    };

    return names[ledger_kind_of(opcode)];
}

const char *ledger_action_name(uint8_t opcode, uint8_t action)
{
    const char *name;

    if (opcode == WIRE_CLEANUP)
        return NULL;
    name = opcode == SPC_PERSISTENT_RESERVE_IN ? spc_prin_name(action) : spc_prout_name(action);
    return name ? name : "other";
}

enum ledger_result ledger_result_of(uint8_t status, bool refused)
{
    if (refused)
        return LEDGER_REFUSED;
    switch (status) {
    case SPC_STATUS_GOOD:
        return LEDGER_GOOD;
    case SPC_STATUS_CHECK_CONDITION:
        return LEDGER_CHECK_CONDITION;
    case SPC_STATUS_BUSY:
        return LEDGER_BUSY;
    case SPC_STATUS_RESERVATION_CONFLICT:
        return LEDGER_RESERVATION_CONFLICT;
    case SPC_STATUS_TASK_SET_FULL:
        return LEDGER_TASK_SET_FULL;
    default:
        return LEDGER_OTHER;
    }
}

const char *ledger_result_name(enum ledger_result result)
{
    static const char *const names[LEDGER_RESULTS] = {
        [LEDGER_GOOD] = "GOOD",
        [LEDGER_CHECK_CONDITION] = "CHECK CONDITION",
        [LEDGER_BUSY] = "BUSY",
        [LEDGER_RESERVATION_CONFLICT] = "RESERVATION CONFLICT",
        [LEDGER_TASK_SET_FULL] = "TASK SET FULL",
        [LEDGER_OTHER] = "other",
        [LEDGER_REFUSED] = "refused",
    };

    return names[result];
}
