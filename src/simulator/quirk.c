// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Most quirks are one of two things: a command that is answered before the unit sees it, or an
 * answer that is altered when the unit has given it.
 */
#include "simulator/quirk.h"

#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"

#define QUIRK_SLOW_MS 3200 /* more than the 3 s at which Windows defends a disk */
#define QUIRK_HEADER  8    /* of the answer to READ KEYS, READ RESERVATION and READ FULL STATUS */
#define QUIRK_KEY     8
#define QUIRK_MASK    4 /* where the types are in the answer to REPORT CAPABILITIES */

static const char *const names[] = {
    [QUIRK_ONE_REGISTRATION] = "one-registration",
    [QUIRK_NO_FULL_STATUS] = "no-full-status",
    [QUIRK_NO_CAPABILITIES] = "no-capabilities",
    [QUIRK_NO_APTPL] = "no-aptpl",
    [QUIRK_NO_PREEMPT_ABORT] = "no-preempt-abort",
    [QUIRK_NO_TYPE_5] = "no-type-5",
    [QUIRK_NO_TYPE_7_LISTED] = "no-type-7-listed",
    [QUIRK_PREEMPT_DOES_NOTHING] = "preempt-does-nothing",
    [QUIRK_RESERVE_DOES_NOTHING] = "reserve-does-nothing",
    [QUIRK_STALE_PREEMPT_GOOD] = "stale-preempt-good",
    [QUIRK_STRANGERS_MAY_CLEAR] = "strangers-may-clear",
    [QUIRK_TWO_HOLDERS] = "two-holders",
    [QUIRK_SENSE_FOR_CONFLICT] = "sense-for-conflict",
    [QUIRK_NEW_KEY_RELEASES] = "new-key-releases",
    [QUIRK_SELF_PREEMPT_REMOVES] = "self-preempt-removes",
    [QUIRK_KEYS_SWAPPED] = "keys-swapped",
    [QUIRK_SLOW_PREEMPT] = "slow-preempt",
    [QUIRK_ATTENTIONS] = "attentions",
    [QUIRK_JOINING_CONFLICTS] = "joining-conflicts",
    [QUIRK_RELEASE_UNREGISTERS] = "release-unregisters",
    [QUIRK_SENSE_FOR_STRANGERS] = "sense-for-strangers",
    [QUIRK_ATTENTION_FIRST] = "attention-first",
    [QUIRK_KEYS_REVERSED] = "keys-reversed",
    [QUIRK_NO_TRANSPORT_IDS] = "no-transport-ids",
    [QUIRK_ALL_TYPES_LISTED] = "all-types-listed",
    [QUIRK_GENERATION_JUMPS] = "generation-jumps",
    [QUIRK_KEYS_TWICE] = "keys-twice",
    [QUIRK_APTPL_ALWAYS] = "aptpl-always",
    [QUIRK_PREEMPT_ATTENTION] = "preempt-attention",
    [QUIRK_NEW_KEY_ATTENTION] = "new-key-attention",
};

#define QUIRKS (sizeof(names) / sizeof(names[0]))

const char *quirk_name(unsigned number)
{
    return number < QUIRKS ? names[number] : NULL;
}

bool quirk_parse(const char *name, enum quirk *ret_quirk)
{
    for (unsigned i = 1; i < QUIRKS; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_quirk = (enum quirk)i;
            return true;
        }
    }
    return false;
}

/* A command, taken apart as far as quirks look at it. */
struct quirk_command {
    bool is_out;
    uint8_t action, type;
    uint64_t key, other;
    bool aptpl;
};

static struct quirk_command quirk_look(const struct request *request)
{
    struct quirk_command command = {.is_out = request->opcode == SPC_PERSISTENT_RESERVE_OUT};
    struct prout prout;
    struct cdb cdb;

    cdb_decode(request->cdb, &cdb);
    command.action = cdb.service_action;
    command.type = cdb.type;
    if (command.is_out &&
        prout_decode(cdb.service_action, request->data, request->length, &prout) == PROUT_OK) {
        command.key = prout.key;
        command.other = prout.sa_key;
        command.aptpl = prout.aptpl;
    }
    return command;
}

static bool quirk_is_key(const struct lu *lu, uint64_t key)
{
    for (size_t i = 0; i < lu->registrations; i++) {
        if (lu->registration[i].key == key)
            return true;
    }
    return false;
}

static bool quirk_is_registered(const struct lu *lu, unsigned nexus)
{
    for (size_t i = 0; i < lu->registrations; i++) {
        if (transportid_equal(&lu->registration[i].initiator, &lu->nexus[nexus].initiator))
            return true;
    }
    return false;
}

static bool quirk_is_preempt(const struct quirk_command *command)
{
    return command->is_out &&
           (command->action == SPC_PROUT_PREEMPT || command->action == SPC_PROUT_PREEMPT_AND_ABORT);
}

static bool quirk_answer(struct lu_result *result, uint8_t status, struct spc_sense sense)
{
    *result = (struct lu_result){.status = status, .sense = sense};
    return true;
}

static bool quirk_check(struct lu_result *result, struct spc_sense sense)
{
    return quirk_answer(result, SPC_STATUS_CHECK_CONDITION, sense);
}

static bool quirk_good(struct lu_result *result)
{
    return quirk_answer(result, SPC_STATUS_GOOD, SPC_NO_ADDITIONAL_SENSE);
}

static bool quirk_is_in(const struct quirk_command *command, enum spc_prin action)
{
    return !command->is_out && command->action == action;
}

static bool quirk_is_out(const struct quirk_command *command, enum spc_prout action)
{
    return command->is_out && command->action == action;
}

/* True: that was the answer, and the unit does not see the command. */
static bool quirk_before(enum quirk quirk, unsigned *turn, struct lu *lu, unsigned nexus,
                         const struct quirk_command *command, struct lu_result *result)
{
    const struct timespec pause = {.tv_sec = QUIRK_SLOW_MS / 1000,
                                   .tv_nsec = QUIRK_SLOW_MS % 1000 * 1000000L};
    bool registered = quirk_is_registered(lu, nexus);

    switch (quirk) {
    case QUIRK_NO_FULL_STATUS:
        return quirk_is_in(command, SPC_PRIN_READ_FULL_STATUS) &&
               quirk_check(result, SPC_INVALID_FIELD_IN_CDB);
    case QUIRK_NO_CAPABILITIES:
        return quirk_is_in(command, SPC_PRIN_REPORT_CAPABILITIES) &&
               quirk_check(result, SPC_INVALID_FIELD_IN_CDB);
    case QUIRK_NO_APTPL:
        return command->is_out && command->aptpl &&
               quirk_check(result, SPC_INVALID_FIELD_IN_PARAMETER_LIST);
    case QUIRK_NO_PREEMPT_ABORT:
        return quirk_is_out(command, SPC_PROUT_PREEMPT_AND_ABORT) &&
               quirk_check(result, SPC_INVALID_FIELD_IN_CDB);
    case QUIRK_NO_TYPE_5:
        return quirk_is_out(command, SPC_PROUT_RESERVE) &&
               command->type == SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY &&
               quirk_check(result, SPC_INVALID_FIELD_IN_CDB);
    case QUIRK_PREEMPT_DOES_NOTHING:
        return quirk_is_preempt(command) && registered && quirk_is_key(lu, command->other) &&
               quirk_good(result);
    case QUIRK_RESERVE_DOES_NOTHING:
        return quirk_is_out(command, SPC_PROUT_RESERVE) && registered && !lu->reserved &&
               quirk_good(result);
    case QUIRK_STALE_PREEMPT_GOOD:
        return quirk_is_preempt(command) && registered && !quirk_is_key(lu, command->other) &&
               quirk_good(result);
    case QUIRK_STRANGERS_MAY_CLEAR:
        if (!quirk_is_out(command, SPC_PROUT_CLEAR) || registered)
            return false;
        lu->reserved = false;
        lu->registrations = 0;
        return quirk_good(result);
    case QUIRK_TWO_HOLDERS:
        return quirk_is_out(command, SPC_PROUT_RESERVE) && registered && lu->reserved &&
               quirk_good(result);
    case QUIRK_SENSE_FOR_STRANGERS:
        return command->is_out && command->action != SPC_PROUT_REGISTER &&
               command->action != SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY && !registered &&
               quirk_check(result, SPC_LU_COMMUNICATION_FAILURE_NOT_READY);
    case QUIRK_SLOW_PREEMPT:
        if (quirk_is_preempt(command))
            nanosleep(&pause, NULL);
        return false;
    case QUIRK_JOINING_CONFLICTS:
        return (quirk_is_out(command, SPC_PROUT_REGISTER) ||
                quirk_is_out(command, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY)) &&
               lu->reserved && !registered && command->other &&
               quirk_answer(result, SPC_STATUS_RESERVATION_CONFLICT, SPC_NO_ADDITIONAL_SENSE);
    case QUIRK_ATTENTIONS:
        return quirk_check(result, SPC_RESERVATIONS_RELEASED);
    case QUIRK_ATTENTION_FIRST:
        return ++*turn % 2 && quirk_check(result, SPC_REPORTED_LUNS_CHANGED);
    default:
        return false;
    }
}

static void quirk_swap(uint8_t *key)
{
    store_be64(key, __builtin_bswap64(load_be64(key)));
}

/* Of READ KEYS: the bytes of each key, or their order. */
static void quirk_alter_keys(enum quirk quirk, uint8_t *data, size_t size)
{
    size_t count = size < QUIRK_HEADER ? 0 : (size - QUIRK_HEADER) / QUIRK_KEY;
    uint8_t *keys = data + QUIRK_HEADER, one[QUIRK_KEY];

    for (size_t i = 0; quirk == QUIRK_KEYS_SWAPPED && i < count; i++)
        quirk_swap(keys + i * QUIRK_KEY);
    for (size_t i = 0; quirk == QUIRK_KEYS_REVERSED && i < count / 2; i++) {
        uint8_t *first = keys + i * QUIRK_KEY, *last = keys + (count - 1 - i) * QUIRK_KEY;

        memcpy(one, first, QUIRK_KEY);
        memcpy(first, last, QUIRK_KEY);
        memcpy(last, one, QUIRK_KEY);
    }
}

/* As a target with two ports to each initiator lists them. As many as there is room for. */
static size_t quirk_double_keys(uint8_t *data, size_t size, size_t room)
{
    size_t keys = size > QUIRK_HEADER ? size - QUIRK_HEADER : 0;

    if (size < QUIRK_HEADER)
        return size;
    store_be32(data + 4, (uint32_t)(2 * keys));
    if (size + keys > room)
        return size;
    memcpy(data + size, data + QUIRK_HEADER, keys);
    return size + keys;
}

/* Full status descriptors without a TransportID. SPC-4 6.15.5, READ FULL STATUS service action. */
static size_t quirk_drop_transport_ids(uint8_t *data, size_t size)
{
    size_t from = QUIRK_HEADER, to = QUIRK_HEADER;

    while (from + 24 <= size) {
        size_t length = load_be32(data + from + 20);

        memmove(data + to, data + from, 20);
        store_be32(data + to + 20, 0);
        to += 24;
        from += 24 + length;
    }
    store_be32(data + 4, (uint32_t)(to - QUIRK_HEADER));
    return to;
}

static void quirk_alter_data(enum quirk quirk, const struct quirk_command *command,
                             const struct request *request, struct lu_result *result)
{
    uint8_t *data = request->data;
    bool has_mask = command->action == SPC_PRIN_REPORT_CAPABILITIES &&
                    result->length >= QUIRK_HEADER;

    if (command->action == SPC_PRIN_READ_KEYS)
        quirk_alter_keys(quirk, data, result->length);
    if (quirk == QUIRK_KEYS_SWAPPED && command->action == SPC_PRIN_READ_RESERVATION &&
        result->length >= QUIRK_HEADER + QUIRK_KEY)
        quirk_swap(data + QUIRK_HEADER);
    if (quirk == QUIRK_NO_TRANSPORT_IDS && command->action == SPC_PRIN_READ_FULL_STATUS)
        result->length = quirk_drop_transport_ids(data, result->length);
    if (quirk == QUIRK_NO_TYPE_7_LISTED && has_mask)
        data[QUIRK_MASK] &= 0x7f;
    if (quirk == QUIRK_ALL_TYPES_LISTED && has_mask)
        memset(data + QUIRK_MASK, 0xff, 2);
    if (quirk == QUIRK_APTPL_ALWAYS && has_mask)
        data[3] |= 0x01; /* PTPL_A */
    if (quirk == QUIRK_KEYS_TWICE && command->action == SPC_PRIN_READ_KEYS)
        result->length = quirk_double_keys(data, result->length, request->length);
}

/* Take a key away by the command for it. */
static void quirk_unregister(struct lu *lu, unsigned nexus, uint64_t key)
{
    const struct prout prout = {.key = key};
    uint8_t cdb[CDB_FIELD_SIZE] = {0}, list[PROUT_SIZE];
    struct lu_result result;

    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 0, PROUT_SIZE);
    prout_encode(SPC_PROUT_REGISTER, &prout, NULL, 0, list, sizeof(list));
    lu_execute(lu, nexus, cdb, list, sizeof(list), NULL, 0, &result);
}

static bool quirk_is_new_key(const struct quirk_command *command)
{
    return quirk_is_out(command, SPC_PROUT_REGISTER) && command->key && command->other;
}

static void quirk_after(enum quirk quirk, struct lu *lu, unsigned nexus,
                        const struct quirk_command *command, const struct request *request,
                        struct lu_result *result)
{
    if (result->status == SPC_STATUS_RESERVATION_CONFLICT && quirk == QUIRK_SENSE_FOR_CONFLICT)
        quirk_check(result, SPC_LU_NOT_READY);
    if (quirk == QUIRK_PREEMPT_ATTENTION && quirk_is_preempt(command))
        lu_attention_raise(lu, nexus, SPC_RESERVATIONS_PREEMPTED);
    if (result->status != SPC_STATUS_GOOD)
        return;
    if (!command->is_out)
        quirk_alter_data(quirk, command, request, result);
    if (quirk == QUIRK_NEW_KEY_RELEASES && quirk_is_new_key(command))
        lu->reserved = false;
    for (unsigned i = 0; quirk == QUIRK_NEW_KEY_ATTENTION && i < LU_NEXUS_MAX; i++) {
        if (quirk_is_new_key(command) && lu->nexus[i].present)
            lu_attention_raise(lu, i, SPC_RESERVATIONS_RELEASED);
    }
    if (quirk == QUIRK_GENERATION_JUMPS && command->is_out)
        lu->generation += 1000;
}

void quirk_execute(enum quirk quirk, unsigned *turn, struct lu *lu, unsigned nexus,
                   const struct request *request, struct lu_result *ret)
{
    const struct quirk_command command = quirk_look(request);
    bool is_in = !command.is_out, was_reserved = lu->reserved;

    if (quirk == QUIRK_ONE_REGISTRATION)
        nexus = 0;
    if (quirk_before(quirk, turn, lu, nexus, &command, ret))
        return;
    if (quirk == QUIRK_SELF_PREEMPT_REMOVES && quirk_is_preempt(&command) &&
        command.key == command.other && quirk_is_key(lu, command.key)) {
        /* Its reservation, as the standard has it, and its registration, as it has not. */
        lu->reserved = false;
        lu_execute(lu, nexus, request->cdb, request->data, request->length, NULL, 0, ret);
        return;
    }
    lu_execute(lu, nexus, request->cdb, is_in ? NULL : request->data, is_in ? 0 : request->length,
               is_in ? request->data : NULL, is_in ? request->length : 0, ret);
    quirk_after(quirk, lu, nexus, &command, request, ret);
    if (quirk == QUIRK_RELEASE_UNREGISTERS && quirk_is_out(&command, SPC_PROUT_RELEASE) &&
        was_reserved && !lu->reserved)
        quirk_unregister(lu, nexus, command.key);
}
