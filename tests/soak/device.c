// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One thread looks at all slots of the mailbox when the bell has rung, or when something is due. A
 * command is entered in the books as soon as it is seen. It is executed then or, if it is delayed,
 * by the fall of the dice then or when the delay is over; an error strikes before or after that.
 * Which reply its client must get is settled before the helper gets the answer.
 */
#include "device.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "books.h"
#include "dice.h"
#include "lu/lu.h"
#include "outcomes.h"
#include "request.h"
#include "scsi/spc.h"

#define DELAY_PERCENT    3
#define DELAY_MAX_MS     20
#define RESIDUAL_PERCENT 2
#define HANG_MAX_MS      1500
#define HANG_LONG_MS     4000 /* beyond the helper's stop timeout */
#define SENSE_ROOM       252  /* bytes of an additional length */

/* A command with a disk. */
struct device_command {
    bool busy;
    bool abandoned; /* by its helper, which is dead */
    bool foreign;   /* not in the books */
    bool executed;
    int64_t due_ms;
    unsigned disk;
    struct books_command entry;
    const struct outcome *outcome; /* an error that strikes, or NULL */
    struct books_reply reply;
};

static struct {
    struct mailbox *mailbox;
    struct device_options options;
    struct dice dice;
    struct lu unit[MAILBOX_DISKS];
    int64_t hung_until_ms[MAILBOX_DISKS];
    int64_t next_hang_ms;
    struct device_command command[MAILBOX_HOSTS][MAILBOX_SLOTS];
    pthread_mutex_t lock; /* of all above */
    pthread_t thread;
    _Atomic bool stopping;
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* -- what a command comes to */

static void device_answer_good(struct mailbox_slot *slot, size_t length, struct books_reply *reply)
{
    uint32_t room = slot->transfer_size;

    reply->status = SPC_STATUS_GOOD;
    if (slot->direction != SG_DXFER_FROM_DEV)
        return;
    slot->data_size = (uint32_t)length;
    slot->residual = (int32_t)(room - length);
    reply->size = (uint32_t)length;
    memcpy(reply->data, slot->data, length);
    if (!dice_chance(&device.dice, RESIDUAL_PERCENT))
        return;
    /* What no driver should say: below nothing or above all. */
    count(COUNT_RESIDUALS);
    if (dice_chance(&device.dice, 50)) {
        slot->residual = -(int32_t)dice_between(&device.dice, 1, INT_MAX);
        memset(reply->data + length, 0, room - length);
        reply->size = room;
    } else {
        slot->residual = (int32_t)dice_between(&device.dice, room + 1, INT_MAX);
        reply->size = 0;
    }
}

/* Sense data as disks make them: with anything behind the code. */
static void device_answer_sense(struct mailbox_slot *slot, struct spc_sense code,
                                struct books_reply *reply)
{
    slot->sense_size = dice_between(&device.dice, 18, MAILBOX_SENSE_MAX);
    sense_build(slot->sense, code);
    slot->sense[7] = (uint8_t)(slot->sense_size - 8);
    for (uint32_t i = 18; i < slot->sense_size; i++)
        slot->sense[i] = (uint8_t)dice_roll(&device.dice);
    memset(reply->sense, 0, sizeof(reply->sense));
    memcpy(reply->sense, slot->sense, slot->sense_size);
}

/* The logical unit's own answer. */
static void device_execute(unsigned host, struct mailbox_slot *slot, struct device_command *command)
{
    static uint8_t data[MAILBOX_DATA_MAX];
    bool is_out = slot->cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    struct books_reply *reply = &command->reply;
    struct lu_result result;

    lu_execute(&device.unit[command->disk], host, slot->cdb, slot->data,
               is_out ? slot->transfer_size : 0, data, slot->transfer_size, &result);
    command->executed = true;
    memset(reply, 0, offsetof(struct books_reply, data));
    slot->error = 0;
    slot->status = result.status;
    slot->host_status = slot->driver_status = 0;
    slot->residual = 0;
    slot->sense_size = slot->data_size = 0;
    reply->status = result.status;
    switch (result.status) {
    case SPC_STATUS_GOOD:
        if (!is_out)
            memcpy(slot->data, data, result.length);
        device_answer_good(slot, result.length, reply);
        break;
    case SPC_STATUS_CHECK_CONDITION:
        slot->driver_status = 8; /* DRIVER_SENSE, as kernels before 5.14 say it */
        device_answer_sense(slot, result.sense, reply);
        break;
    default:
        break;
    }
}

/* An error instead of the disk's answer. */
static void device_answer_error(struct mailbox_slot *slot, struct device_command *command)
{
    const struct outcome *outcome = command->outcome;
    struct books_reply *reply = &command->reply;

    memset(reply, 0, offsetof(struct books_reply, data));
    slot->error = outcome->error;
    slot->status = outcome->status;
    slot->host_status = outcome->host_status;
    slot->driver_status = outcome->driver_status;
    slot->residual = 0;
    slot->sense_size = slot->data_size = 0;
    reply->status = outcome->wanted;
    if (outcome->wanted == SPC_STATUS_CHECK_CONDITION)
        sense_build(reply->sense, outcome->code);
    if (outcome->sense == OUTCOME_SENSE) {
        device_answer_sense(slot, outcome->sent, reply);
    } else if (outcome->sense == OUTCOME_ZEROS) {
        slot->sense_size = 18;
        memset(slot->sense, 0, sizeof(slot->sense));
    }
}

/* Must the helper send it once more after this error? */
static bool device_comes_again(const struct mailbox_slot *slot,
                               const struct device_command *command)
{
    switch (command->outcome->kind) {
    case OUTCOME_SUSPENDED:
        return true;
    case OUTCOME_INTERRUPTED:
        return slot->cdb[0] == SPC_PERSISTENT_RESERVE_IN &&
               books_interruptions(&command->entry) + 1 < OUTCOME_TRIES;
    case OUTCOME_FINAL:
        break;
    }
    return false;
}

/* -- the way of a command */

static void device_finish(unsigned host, unsigned index)
{
    struct device_command *command = &device.command[host][index];
    struct mailbox_slot *slot = &device.mailbox->host[host].slot[index];
    _Atomic uint32_t *state = &device.mailbox->host[host].state[index];

    if (command->foreign) {
        slot->error = EIO;
    } else if (command->outcome) {
        device_answer_error(slot, command);
        if (device_comes_again(slot, command))
            books_expect_again(&command->entry, command->outcome->kind == OUTCOME_INTERRUPTED);
        else
            books_settle(&command->entry, &command->reply);
    } else {
        if (!command->executed)
            device_execute(host, slot, command);
        books_settle(&command->entry, &command->reply);
    }
    if (!command->foreign)
        books_leave(&command->entry);
    command->busy = false;
    if (command->abandoned) {
        atomic_store(state, MAILBOX_FREE);
        return;
    }
    atomic_store(state, MAILBOX_DONE);
    syscall(SYS_futex, state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Will an error strike? Before the disk has executed it, or after? */
static void device_draw_error(unsigned host, struct mailbox_slot *slot,
                              struct device_command *command)
{
    if (!dice_chance(&device.dice, device.options.error_percent))
        return;
    command->outcome = outcome_pick(&device.dice);
    if (dice_chance(&device.dice, 50) && command->outcome->kind != OUTCOME_SUSPENDED &&
        !(command->outcome->kind == OUTCOME_INTERRUPTED && device_comes_again(slot, command))) {
        /* Its effect is there, its answer is lost. */
        device_execute(host, slot, command);
        count(COUNT_ERRORS_AFTER);
    } else {
        count(COUNT_ERRORS_BEFORE);
    }
}

static unsigned device_find(uint64_t rdev)
{
    unsigned disk = 0;

    while (disk < MAILBOX_DISKS && device.options.rdev[disk] != rdev)
        disk++;
    return disk;
}

static void device_begin(unsigned host, unsigned index, int64_t now)
{
    struct mailbox_slot *slot = &device.mailbox->host[host].slot[index];
    struct device_command *command = &device.command[host][index];

    command->busy = true;
    command->abandoned = false;
    command->executed = false;
    command->outcome = NULL;
    command->due_ms = now;
    command->disk = device_find(slot->rdev);
    command->foreign = !books_enter(host, command->disk, slot, &command->entry);
    if (command->foreign) {
        device_finish(host, index);
        return;
    }
    device_draw_error(host, slot, command);
    if (device.hung_until_ms[command->disk] > now) {
        command->due_ms = device.hung_until_ms[command->disk];
        count(COUNT_HUNG);
    } else if (dice_chance(&device.dice, DELAY_PERCENT)) {
        command->due_ms = now + dice_between(&device.dice, 1, DELAY_MAX_MS);
        count(COUNT_DELAYS);
    }
    if (command->due_ms <= now)
        device_finish(host, index);
    else if (!command->outcome && dice_chance(&device.dice, 50))
        device_execute(host, slot, command); /* only the answer takes its time */
}

/* Everything that is new or due. Returns when something is due next. */
static int64_t device_work(int64_t now)
{
    int64_t next = device.next_hang_ms;

    for (unsigned host = 0; host < MAILBOX_HOSTS; host++) {
        for (unsigned i = 0; i < MAILBOX_SLOTS; i++) {
            struct device_command *command = &device.command[host][i];

            if (atomic_load(&device.mailbox->host[host].state[i]) != MAILBOX_SENT)
                continue;
            if (!command->busy)
                device_begin(host, i, now);
            else if (command->due_ms <= now)
                device_finish(host, i);
            if (command->busy && command->due_ms < next)
                next = command->due_ms;
        }
    }
    return next;
}

static void device_hang_one(int64_t now)
{
    unsigned disk = dice_below(&device.dice, MAILBOX_DISKS);
    unsigned ms = dice_chance(&device.dice, 10) ? HANG_LONG_MS
                                                : dice_between(&device.dice, 100, HANG_MAX_MS);

    device.hung_until_ms[disk] = now + ms;
    device.next_hang_ms = now + dice_between(&device.dice, device.options.hang_ms / 2,
                                             device.options.hang_ms * 3 / 2);
    count(COUNT_HANGS);
}

static void *device_main(void *unused)
{
    while (!atomic_load(&device.stopping)) {
        uint32_t bell = atomic_load(&device.mailbox->bell);
        int64_t now = clock_now_ms(), next;
        long timeout[2];

        pthread_mutex_lock(&device.lock);
        if (now >= device.next_hang_ms)
            device_hang_one(now);
        next = device_work(now);
        pthread_mutex_unlock(&device.lock);
        next = next > now ? next - now : 0;
        timeout[0] = (long)(next / 1000);
        timeout[1] = (long)(next % 1000) * 1000000;
        syscall(SYS_futex, &device.mailbox->bell, FUTEX_WAIT, bell, timeout, NULL, 0);
    }
    return NULL;
}

/* -- for the others */

int device_start(struct mailbox *mailbox, const struct device_options *options)
{
    device.mailbox = mailbox;
    device.options = *options;
    device.dice = dice_make(options->seed, UINT16_MAX);
    device.next_hang_ms = clock_now_ms() + options->hang_ms;
    for (unsigned disk = 0; disk < MAILBOX_DISKS; disk++) {
        lu_init(&device.unit[disk], 1);
        for (unsigned host = 0; host < MAILBOX_HOSTS; host++) {
            struct transportid initiator = request_initiator(host);

            if (!lu_nexus_add(&device.unit[disk], host, &initiator, 1))
                return -EINVAL;
        }
    }
    return -pthread_create(&device.thread, NULL, device_main, NULL);
}

void device_stop(void)
{
    atomic_store(&device.stopping, true);
    atomic_fetch_add(&device.mailbox->bell, 1);
    syscall(SYS_futex, &device.mailbox->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
    pthread_join(device.thread, NULL);
}

void device_forget(unsigned host)
{
    pthread_mutex_lock(&device.lock);
    for (unsigned i = 0; i < MAILBOX_SLOTS; i++) {
        _Atomic uint32_t *state = &device.mailbox->host[host].state[i];

        if (atomic_load(state) == MAILBOX_SENT && !device.command[host][i].busy)
            device_begin(host, i, clock_now_ms());
        if (device.command[host][i].busy)
            device.command[host][i].abandoned = true;
        else
            atomic_store(state, MAILBOX_FREE);
    }
    pthread_mutex_unlock(&device.lock);
}

uint64_t device_key(unsigned disk, unsigned host)
{
    const struct lu *unit = &device.unit[disk];
    struct transportid initiator = request_initiator(host);
    uint64_t key = 0;

    pthread_mutex_lock(&device.lock);
    for (size_t i = 0; i < unit->registrations; i++) {
        if (transportid_equal(&unit->registration[i].initiator, &initiator))
            key = unit->registration[i].key;
    }
    pthread_mutex_unlock(&device.lock);
    return key;
}
