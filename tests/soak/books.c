// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A tag is in those bytes of the CDB that are reserved or vendor specific in both commands and mean
 * nothing to the logical unit: the client in byte 9, the number of its request in bytes 3 and 4.
 * Each client has a ring of entries, long enough that one which is reached again is no longer
 * the concern of any client.
 *
 * Data and parameter lists are kept as hashes.
 */
#include "books.h"

#include <inttypes.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "hosts.h"
#include "scsi/cdb.h"
#include "scsi/spc.h"

#define BOOKS_RING      4096
#define BOOKS_SHOWN     10
#define IO_TIMEOUT_MS   30000
#define STOP_TIMEOUT_MS 3000
#define STOP_LEEWAY_MS  1000 /* until the helper has got the answer and sent the reply */
#define TAG_NUMBER      3
#define TAG_CLIENT      9

enum books_state {
    BOOKS_SENDING,  /* must not be executed yet */
    BOOKS_COMPLETE, /* must be executed once */
    BOOKS_ENTERED,  /* is on its disk */
    BOOKS_AGAIN,    /* the disk has not taken it, so it must come again */
    BOOKS_SETTLED,  /* the disk has decided */
};

struct books_entry {
    enum books_state state;
    unsigned host;
    uint16_t number;
    uint8_t cdb[REQUEST_CDB_SIZE];
    enum request_fate fate;
    unsigned disk;
    uint64_t list_hash;
    unsigned interruptions;
    int64_t entered_us, left_us; /* 0: not yet */
    uint32_t status, size;
    uint8_t sense[SENSE_SIZE];
    uint64_t data_hash;
};

static pthread_mutex_t books_lock = PTHREAD_MUTEX_INITIALIZER;
static struct books_entry books[BOOKS_CLIENTS][BOOKS_RING];
static uint16_t books_numbers[BOOKS_CLIENTS];

_Atomic unsigned long counts[COUNT_LAST];

#define COUNT_TEXT(name, text) text,
const char *const count_names[COUNT_LAST] = {COUNTS(COUNT_TEXT) COUNTS_RARE(COUNT_TEXT)};

void books_wrong(enum count kind, const char *format, ...)
{
    va_list arguments;

    count(kind);
    if (counts[kind] > BOOKS_SHOWN)
        return;
    flockfile(stdout);
    printf("# %s: ", count_names[kind]);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    funlockfile(stdout);
}

static uint64_t books_hash(const uint8_t *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ size; /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* "client 3, request 12 (5f 06 ...)" */
static const char *books_describe(unsigned client, const struct books_entry *entry)
{
    static _Thread_local char text[128];
    int n = snprintf(text, sizeof(text), "client %u of host %u, request %u, disk %u (", client,
                     entry->host, entry->number, entry->disk);

    for (unsigned i = 0; i < CDB_SIZE; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%02x%s", entry->cdb[i],
                      i + 1 < CDB_SIZE ? " " : ")");
    return text;
}

static struct books_entry *books_find(unsigned client, uint16_t number)
{
    return &books[client][number % BOOKS_RING];
}

/* -- the clients' side */

uint16_t books_open(unsigned client, unsigned host, struct request *request)
{
    struct books_entry *entry;
    uint16_t number;

    pthread_mutex_lock(&books_lock);
    number = books_numbers[client]++;
    store_be16(request->cdb + TAG_NUMBER, number);
    request->cdb[TAG_CLIENT] = (uint8_t)client;
    entry = books_find(client, number);
    *entry = (struct books_entry){
        .state = BOOKS_SENDING,
        .host = host,
        .number = number,
        .fate = request->fate,
        .disk = request->disk,
        .list_hash = books_hash(request->list, request->list_size),
    };
    memcpy(entry->cdb, request->cdb, sizeof(entry->cdb));
    pthread_mutex_unlock(&books_lock);
    count(COUNT_REQUESTS);
    return number;
}

void books_complete(unsigned client, uint16_t number)
{
    pthread_mutex_lock(&books_lock);
    books_find(client, number)->state = BOOKS_COMPLETE;
    pthread_mutex_unlock(&books_lock);
}

void books_cut_off(unsigned client, uint16_t number)
{
    struct books_entry *entry = books_find(client, number);

    pthread_mutex_lock(&books_lock);
    if (entry->state != BOOKS_COMPLETE)
        books_wrong(COUNT_WRONG_INCOMPLETE, "%s: its last byte was never sent",
                    books_describe(client, entry));
    entry->state = BOOKS_SENDING;
    pthread_mutex_unlock(&books_lock);
    count(COUNT_CUT_OFF);
}

static void books_count_reply(const struct books_entry *entry, uint32_t status)
{
    switch (status) {
    case SPC_STATUS_GOOD:
        count(entry->fate == REQUEST_NOTHING ? COUNT_CLEANUPS : COUNT_REPLY_GOOD);
        break;
    case SPC_STATUS_CHECK_CONDITION:
        count(entry->fate == REQUEST_REFUSED ? COUNT_REFUSED : COUNT_REPLY_SENSE);
        break;
    case SPC_STATUS_RESERVATION_CONFLICT:
        count(COUNT_REPLY_CONFLICT);
        break;
    default:
        count(COUNT_REPLY_OTHER);
        break;
    }
}

/* What no disk decides. */
static void books_settle_refusal(struct books_entry *entry)
{
    struct books_reply reply = {.status = SPC_STATUS_GOOD};

    if (entry->fate == REQUEST_REFUSED) {
        reply.status = SPC_STATUS_CHECK_CONDITION;
        sense_build(reply.sense, SPC_INVALID_OPERATION_CODE);
    }
    entry->status = reply.status;
    memcpy(entry->sense, reply.sense, sizeof(entry->sense));
    entry->data_hash = books_hash(NULL, 0);
    entry->state = BOOKS_SETTLED;
}

static void books_compare(unsigned client, const struct books_entry *entry,
                          const struct books_reply *reply)
{
    const char *what = NULL;

    if (reply->status != entry->status)
        what = "status";
    else if (reply->size != entry->size)
        what = "size";
    else if (memcmp(reply->sense, entry->sense, sizeof(entry->sense)) != 0)
        what = "sense data";
    else if (books_hash(reply->data, reply->size) != entry->data_hash)
        what = "data";
    if (what)
        books_wrong(COUNT_WRONG_REPLY,
                    "%s: wrong %s: status %02x, %u bytes, sense %x/%02x/%02x instead of "
                    "%02x, %u, %x/%02x/%02x",
                    books_describe(client, entry), what, reply->status, reply->size,
                    reply->sense[2], reply->sense[12], reply->sense[13], entry->status, entry->size,
                    entry->sense[2], entry->sense[12], entry->sense[13]);
}

void books_judge(unsigned client, uint16_t number, const struct books_reply *reply,
                 bool few_threads)
{
    struct books_entry *entry = books_find(client, number);

    pthread_mutex_lock(&books_lock);
    if (entry->state == BOOKS_COMPLETE && reply->status == SPC_STATUS_BUSY && few_threads) {
        entry->state = BOOKS_SENDING; /* so it must not be executed any more */
        count(COUNT_REPLY_BUSY_THREADS);
        pthread_mutex_unlock(&books_lock);
        return;
    }
    if (entry->fate == REQUEST_REFUSED || entry->fate == REQUEST_NOTHING)
        books_settle_refusal(entry);
    if (entry->fate == REQUEST_CLOSED)
        books_wrong(COUNT_WRONG_EXTRA, "%s: a reply with status %02x to what must not be answered",
                    books_describe(client, entry), reply->status);
    else if (entry->state != BOOKS_SETTLED)
        books_wrong(COUNT_WRONG_NOT_DONE, "%s: status %02x though %s",
                    books_describe(client, entry), reply->status,
                    entry->state == BOOKS_COMPLETE  ? "no disk has seen it"
                    : entry->state == BOOKS_ENTERED ? "its disk has not answered"
                                                    : "it was to be tried again");
    else
        books_compare(client, entry, reply);
    books_count_reply(entry, reply->status);
    pthread_mutex_unlock(&books_lock);
}

void books_unanswered(unsigned client, uint16_t number, const struct books_excuse *excuse)
{
    struct books_entry *entry = books_find(client, number);
    int64_t patience_us = (excuse->stopped_ms + STOP_TIMEOUT_MS - STOP_LEEWAY_MS) * 1000;

    pthread_mutex_lock(&books_lock);
    if (entry->fate == REQUEST_CLOSED)
        count(COUNT_CLOSED);
    else if (excuse->killed)
        count(COUNT_UNANSWERED_KILL);
    else if (excuse->stopped_ms && entry->entered_us &&
             (!entry->left_us || entry->left_us > patience_us))
        count(COUNT_UNANSWERED_HUNG);
    else
        books_wrong(COUNT_WRONG_LOST, "%s: no reply; %s (in %" PRId64 ", out %" PRId64 " ms); %s",
                    books_describe(client, entry),
                    entry->state == BOOKS_SETTLED    ? "its disk has answered"
                    : entry->state == BOOKS_COMPLETE ? "no disk has seen it"
                                                     : "its disk has not answered",
                    entry->entered_us / 1000 - excuse->stopped_ms,
                    entry->left_us / 1000 - excuse->stopped_ms,
                    excuse->stopped_ms ? "after the helper was told to stop" : "the helper runs");
    pthread_mutex_unlock(&books_lock);
}

int64_t books_disk_us(unsigned client, uint16_t number)
{
    const struct books_entry *entry = books_find(client, number);
    int64_t us;

    pthread_mutex_lock(&books_lock);
    us = entry->left_us - entry->entered_us;
    pthread_mutex_unlock(&books_lock);
    return us;
}

/* -- the disks' side */

/* Is the header what sg_issue() has to make of the request? */
static bool books_is_well_formed(const struct mailbox_slot *slot, const struct books_entry *entry)
{
    bool is_out = slot->cdb[0] == SPC_PERSISTENT_RESERVE_OUT;
    uint32_t length = load_be16(entry->cdb + 7);
    int direction = is_out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV;

    return slot->interface_id == 'S' && slot->command_size == CDB_SIZE &&
           memcmp(slot->cdb, entry->cdb, CDB_SIZE) == 0 && slot->sense_room == SENSE_SIZE &&
           slot->transfer_size == length && slot->has_buffer == (length > 0) &&
           slot->direction == (length ? direction : SG_DXFER_NONE) &&
           slot->timeout_ms == IO_TIMEOUT_MS && slot->flags == 0 &&
           books_hash(slot->data, is_out ? length : 0) == entry->list_hash;
}

bool books_enter(unsigned host, unsigned disk, const struct mailbox_slot *slot,
                 struct books_command *ret)
{
    struct books_entry *entry;
    bool good = false;

    *ret = (struct books_command){slot->cdb[TAG_CLIENT], load_be16(slot->cdb + TAG_NUMBER)};
    entry = books_find(ret->client, ret->number);
    pthread_mutex_lock(&books_lock);
    if (entry->number != ret->number || entry->host != host || entry->disk != disk)
        books_wrong(COUNT_WRONG_FOREIGN, "%02x %02x by host %u on disk %u, tag %u, %u",
                    slot->cdb[0], slot->cdb[1], host, disk, ret->client, ret->number);
    else if (entry->fate != REQUEST_EXECUTED)
        books_wrong(COUNT_WRONG_REFUSED, "%s", books_describe(ret->client, entry));
    else if (entry->state == BOOKS_SENDING)
        books_wrong(COUNT_WRONG_INCOMPLETE, "%s", books_describe(ret->client, entry));
    else if (entry->state != BOOKS_COMPLETE && entry->state != BOOKS_AGAIN)
        books_wrong(COUNT_WRONG_TWICE, "%s", books_describe(ret->client, entry));
    else if (!books_is_well_formed(slot, entry))
        books_wrong(COUNT_WRONG_ALTERED, "%s", books_describe(ret->client, entry));
    else
        good = true;
    if (good) {
        entry->state = BOOKS_ENTERED;
        if (!entry->entered_us)
            entry->entered_us = clock_now_us();
        entry->left_us = 0;
        count(COUNT_COMMANDS);
    }
    pthread_mutex_unlock(&books_lock);
    return good;
}

unsigned books_interruptions(const struct books_command *command)
{
    return books_find(command->client, command->number)->interruptions;
}

void books_settle(const struct books_command *command, const struct books_reply *reply)
{
    struct books_entry *entry = books_find(command->client, command->number);

    pthread_mutex_lock(&books_lock);
    entry->state = BOOKS_SETTLED;
    entry->status = reply->status;
    entry->size = reply->size;
    memcpy(entry->sense, reply->sense, sizeof(entry->sense));
    entry->data_hash = books_hash(reply->data, reply->size);
    if (entry->host == HOST_VETERAN)
        count(COUNT_VETERAN);
    pthread_mutex_unlock(&books_lock);
}

void books_expect_again(const struct books_command *command, bool interrupted)
{
    struct books_entry *entry = books_find(command->client, command->number);

    pthread_mutex_lock(&books_lock);
    entry->state = BOOKS_AGAIN;
    entry->interruptions += interrupted;
    pthread_mutex_unlock(&books_lock);
    count(COUNT_RETRIES);
}

void books_leave(const struct books_command *command)
{
    pthread_mutex_lock(&books_lock);
    books_find(command->client, command->number)->left_us = clock_now_us();
    pthread_mutex_unlock(&books_lock);
}
