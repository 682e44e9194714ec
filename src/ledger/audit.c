// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Lines of key=value for programs to take apart. Every text that comes from a client, or from its
 * label or name, is in quotes, with all that could end them, or a line, escaped; numbers and words
 * of our own are not. So a text in quotes is never ours, and a client cannot forge a field.
 *
 * The line has an upper limit (LOG_LINE_MAX of the log), so the long texts, which a client can
 * choose, have one of their own, and come last.
 */
#include "ledger/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/timestamp.h"
#include "ledger/ledger.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "serve/budget.h"
#include "serve/peer.h"

#define AUDIT_LINE_MAX 1400

/* Of all of these lines, in the journal: journalctl MESSAGE_ID=... */
#define AUDIT_MESSAGE_ID "c7f4b1d05e0a4c6e9d3b2a8f6170e45d"

/* Of texts in quotes, after escaping: with all of them at their longest the line is whole. */
#define AUDIT_REASON_MAX 96
#define AUDIT_NAME_MAX   32
#define AUDIT_WWN_MAX    72
#define AUDIT_MAP_MAX    72
#define AUDIT_VM_MAX     128
#define AUDIT_LABEL_MAX  96
#define AUDIT_IDS_MAX    224
#define AUDIT_QUOTED_MAX AUDIT_IDS_MAX /* the longest of them */

/* A line that grows; what does not fit is dropped. */
struct audit_line {
    char *text;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void audit_add(struct audit_line *line,
                                                            const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(line->text + line->length, line->size - line->length, format, arguments);
    va_end(arguments);
    if (n > 0)
        line->length += (size_t)n < line->size - line->length ? (size_t)n
                                                              : line->size - line->length - 1;
}

/* key="text", or key=unknown. */
static void audit_add_text(struct audit_line *line, const char *key, const char *text, size_t max)
{
    char quoted[AUDIT_QUOTED_MAX + sizeof("...")];

    if (!text || !*text) {
        audit_add(line, " %s=unknown", key);
        return;
    }
    (void)quote_text(quoted, max + sizeof("..."), text);
    audit_add(line, " %s=\"%s\"", key, quoted);
}

/* TransportIDs, with a space between them. */
static void audit_add_transportids(struct audit_line *line, struct prout *list)
{
    char text[AUDIT_IDS_MAX + 1] = "", one[TRANSPORTID_TEXT_SIZE];
    struct transportid id;
    size_t length = 0;

    while (length < sizeof(text) - 1 && prout_transportid_next(list, &id)) {
        (void)transportid_format(one, sizeof(one), &id);
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", length ? " " : "",
                                   one);
    }
    if (length)
        audit_add_text(line, "transportids", text, AUDIT_IDS_MAX - sizeof("..."));
}

static void audit_add_command(struct audit_line *line, const struct request *request)
{
    struct prout list;
    struct cdb cdb;

    if (request->opcode != SPC_PERSISTENT_RESERVE_OUT) {
        audit_add(line, " command=\"%s\"", ledger_command_name(request->opcode));
        return;
    }
    cdb_decode(request->cdb, &cdb);
    audit_add(line, " command=\"PERSISTENT RESERVE OUT\" action=");
    if (spc_prout_name(cdb.service_action))
        audit_add(line, "\"%s\"", spc_prout_name(cdb.service_action));
    else
        audit_add(line, "0x%02x", cdb.service_action);
    if (spc_type_name(cdb.type))
        audit_add(line, " type=%s", spc_type_name(cdb.type));
    else
        audit_add(line, " type=0x%x", cdb.type);
    audit_add(line, " scope=0x%x", cdb.scope);
    if (prout_decode(cdb.service_action, request->data, request->length, &list) != PROUT_OK) {
        audit_add(line, " key=invalid sa_key=invalid");
        return;
    }
    audit_add(line, " key=0x%016llx sa_key=0x%016llx aptpl=%d", (unsigned long long)list.key,
              (unsigned long long)list.sa_key, list.aptpl);
    if (cdb.service_action == SPC_PROUT_REGISTER_AND_MOVE)
        audit_add(line, " unreg=%d port=%u", list.unreg, list.relative_target_port);
    else
        audit_add(line, " all_tg_pt=%d spec_i_pt=%d", list.all_tg_pt, list.spec_i_pt);
    audit_add_transportids(line, &list);
}

static void audit_add_outcome(struct audit_line *line, const struct audit_event *event)
{
    const struct reply *reply = event->reply;
    struct spc_sense sense;
    char text[SENSE_TEXT_SIZE];

    if (!reply) {
        audit_add(line, " outcome=unknown");
        return;
    }
    audit_add(line, " outcome=%s",
              event->refused         ? "refused"
              : event->has_no_effect ? "nothing"
                                     : "executed");
    if (spc_status_name(reply->status))
        audit_add(line, " status=\"%s\"", spc_status_name(reply->status));
    else
        audit_add(line, " status=0x%02x", reply->status);
    if (reply->status == SPC_STATUS_CHECK_CONDITION &&
        sense_decode(reply->sense, sizeof(reply->sense), &sense)) {
        sense_describe(text, sizeof(text), sense);
        audit_add(line, " sense=\"%s\"", text);
    }
    if (event->refused)
        audit_add_text(line, "reason", event->refused, AUDIT_REASON_MAX);
}

static void audit_add_time(struct audit_line *line)
{
    char text[TIMESTAMP_SIZE];

    audit_add(line, " time=%s", timestamp_now(text));
}

size_t audit_format(const struct audit_event *event, char *text, size_t size)
{
    const struct request *request = event->request;
    const struct peer *peer = request->peer;
    struct audit_line line = {.text = text, .size = size};

    audit_add(&line, "audit:");
    if (!log_is_stamped())
        audit_add_time(&line);
    audit_add(&line, " connection=%llu", (unsigned long long)request->connection);
    if (peer && peer->pid > 0)
        audit_add(&line, " pid=%d", (int)peer->pid);
    else
        audit_add(&line, " pid=unknown");
    if (peer && peer->uid != (uid_t)-1)
        audit_add(&line, " uid=%u", peer->uid);
    else
        audit_add(&line, " uid=unknown");
    if (event->number)
        audit_add(&line, " device=%u:%u", major(event->number), minor(event->number));
    else
        audit_add(&line, " device=none");
    audit_add(&line, " kind=%s", device_kind_word[event->kind]);
    audit_add_command(&line, request);
    audit_add_outcome(&line, event);
    audit_add(&line, " ms=%llu.%03llu", (unsigned long long)event->duration_us / 1000,
              (unsigned long long)event->duration_us % 1000);
    audit_add_text(&line, "name", event->names ? event->names->name : NULL, AUDIT_NAME_MAX);
    audit_add_text(&line, "wwn", event->names ? event->names->wwn : NULL, AUDIT_WWN_MAX);
    if (event->names && *event->names->map)
        audit_add_text(&line, "map", event->names->map, AUDIT_MAP_MAX);
    audit_add_text(&line, "vm", peer ? peer->vm : NULL, AUDIT_VM_MAX);
    if (peer && peer_source_word[peer->source])
        audit_add(&line, " vm_source=%s", peer_source_word[peer->source]);
    audit_add_text(&line, "label", peer ? peer->label : NULL, AUDIT_LABEL_MAX);
    return line.length;
}

static void audit_log(const struct audit_event *event)
{
    char line[AUDIT_LINE_MAX];

    (void)audit_format(event, line, sizeof(line));
    log_fields(LOG_NOTICE, AUDIT_MESSAGE_ID, "PRHELPER_", line);
}

/* May others have lost something by it? Not if the device says that it has done nothing. */
static bool audit_takes(const struct audit_event *event)
{
    if (event->reply->status == SPC_STATUS_RESERVATION_CONFLICT ||
        event->reply->status == SPC_STATUS_BUSY || event->reply->status == SPC_STATUS_TASK_SET_FULL)
        return false;
    switch (event->request->cdb[1] & CDB_SERVICE_ACTION_MASK) {
    case SPC_PROUT_CLEAR:
    case SPC_PROUT_PREEMPT:
    case SPC_PROUT_PREEMPT_AND_ABORT:
        return event->request->opcode == SPC_PERSISTENT_RESERVE_OUT;
    default:
        return false;
    }
}

/* Whose budget a line is on, so that those which matter less cannot use up those which matter. */
static enum budget_lines audit_budget(const struct audit_event *event)
{
    if (event->refused || event->has_no_effect)
        return BUDGET_OTHERS;
    return audit_takes(event) ? BUDGET_TAKINGS : BUDGET_CHANGES;
}

void audit_write(const struct audit_event *event)
{
    struct budget_account *account = event->request->account;
    unsigned left_out = 0;

    if (account && !budget_take_line(account, audit_budget(event), &left_out))
        return;
    log_left_out_before(LOG_NOTICE, left_out);
    audit_log(event);
}

void audit_write_unfinished(struct ledger *ledger)
{
    int64_t now = clock_now_us();

    lock_take(&ledger->lock);
    for (const struct ledger_device *device = ledger->first; device; device = device->next) {
        for (const struct ledger_command *command = device->first; command;
             command = command->next) {
            audit_log(&(struct audit_event){
                .request = command->request,
                .kind = device->kind,
                .number = device->number,
                .names = &device->names,
                .duration_us = (uint64_t)(now - command->started_us),
            });
        }
    }
    lock_release(&ledger->lock);
}
