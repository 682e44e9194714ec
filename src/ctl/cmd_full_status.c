// SPDX-License-Identifier: LGPL-2.1-or-later
/* full-status: PERSISTENT RESERVE IN, READ FULL STATUS. SPC-4 6.15.5. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "scsi/prin.h"
#include "scsi/spc.h"

/* Columns of the table before the last one, which is as wide as it likes. */
enum { COLUMN_KEY, COLUMN_HOLDER, COLUMN_TYPE, COLUMN_PORT, COLUMNS };

#define CELL_MAX 48

struct line {
    char cells[COLUMNS][CELL_MAX];
    char initiator[PRHELPER_TRANSPORTID_TEXT_MAX];
};

static int cmd_full_status_send(struct prhelper *helper, int device, const struct options *options,
                                struct prhelper_result *ret_result)
{
    return prhelper_read_full_status(helper, device, ret_result);
}

static void cmd_full_status_format(const struct prhelper_registrant *registrant, struct line *line)
{
    const char *type = prhelper_type_name(registrant->type);

    snprintf(line->cells[COLUMN_KEY], CELL_MAX, OUTCOME_KEY, registrant->key);
    strcpy(line->cells[COLUMN_HOLDER], registrant->holder ? "yes" : "-");
    if (!registrant->holder)
        strcpy(line->cells[COLUMN_TYPE], "-");
    else if (type)
        snprintf(line->cells[COLUMN_TYPE], CELL_MAX, "%s", type);
    else
        snprintf(line->cells[COLUMN_TYPE], CELL_MAX, "unknown (%u)", registrant->type);
    if (registrant->all_tg_pt)
        strcpy(line->cells[COLUMN_PORT], "all");
    else
        snprintf(line->cells[COLUMN_PORT], CELL_MAX, "%#x", registrant->target_port);
    if (registrant->port.size > 0)
        prhelper_transportid_format(line->initiator, sizeof(line->initiator), &registrant->port);
    else
        strcpy(line->initiator, "-");
}

static void cmd_full_status_print(const struct line *line, const size_t widths[COLUMNS])
{
    for (unsigned i = 0; i < COLUMNS; i++)
        printf("%-*s  ", (int)widths[i], line->cells[i]);
    printf("%s\n", line->initiator);
}

/*
 * How many registrations there are; 0 if that is not known. Of a list that is cut READ KEYS says
 * it: descriptors have no fixed size, and keys have.
 */
static uint64_t cmd_full_status_count(struct session *session, struct prhelper_list list)
{
    struct prhelper_registrant registrant;
    struct prhelper_result result;
    uint64_t count = 0, total;
    int r;

    while ((r = prhelper_registrant_next(&list, &registrant)) == 0)
        count++;
    if (r != PRHELPER_TRUNCATED)
        return count;
    /* Not by session_send(): what `list` is in would make way for a longer answer. */
    r = cmd_keys.send(session->helper, session->device_fd, session->options, &result);
    if (!prhelper_is_good(r, &result) || prhelper_list_decode(result.data, result.size, &list) != 0)
        return 0;
    total = (list.needed - PRIN_HEADER_SIZE) / sizeof(uint64_t);
    return total > count ? total : 0; /* something has changed in between */
}

static void cmd_full_status_print_rest(uint64_t shown, uint64_t total)
{
    if (total > shown)
        printf("and %" PRIu64 " more, which did not fit\n", total - shown);
    else
        printf("and more, which did not fit\n");
}

/* Twice over the list: how wide, then print. */
static int cmd_full_status_show_text(struct prhelper_list list, uint64_t total)
{
    static const struct line head = {{"KEY", "HOLDER", "TYPE", "PORT"}, "INITIATOR"};
    struct prhelper_registrant registrant;
    struct prhelper_list walk = list;
    size_t widths[COLUMNS] = {3, 6, 4, 4};
    uint64_t count = 0;
    struct line line;
    int r;

    while ((r = prhelper_registrant_next(&walk, &registrant)) == 0) {
        cmd_full_status_format(&registrant, &line);
        for (unsigned i = 0; i < COLUMNS; i++) {
            size_t length = strlen(line.cells[i]);

            widths[i] = length > widths[i] ? length : widths[i];
        }
        count++;
    }
    printf("PRgeneration %#" PRIx32 ", %" PRIu64 "%s registration%s\n", list.generation,
           total > 0 ? total : count, total < count ? " or more" : "", total == 1 ? "" : "s");
    if (count > 0)
        cmd_full_status_print(&head, widths);
    while (prhelper_registrant_next(&list, &registrant) == 0) {
        cmd_full_status_format(&registrant, &line);
        cmd_full_status_print(&line, widths);
    }
    if (r == PRHELPER_TRUNCATED)
        cmd_full_status_print_rest(count, total);
    return r;
}

static struct json_object *cmd_full_status_to_json(const struct prhelper_registrant *registrant)
{
    struct json_object *json = json_object_new_object();
    char port[PRHELPER_TRANSPORTID_TEXT_MAX];

    json_object_object_add(json, "key", output_key(registrant->key));
    json_object_object_add(json, "holder", json_object_new_boolean(registrant->holder));
    if (registrant->holder) {
        json_object_object_add(json, "type", json_object_new_int(registrant->type));
        output_add_text(json, "type_name", prhelper_type_name(registrant->type));
        json_object_object_add(json, "scope", json_object_new_int(registrant->scope));
    }
    json_object_object_add(json, "all_tg_pt", json_object_new_boolean(registrant->all_tg_pt));
    if (!registrant->all_tg_pt)
        json_object_object_add(json, "relative_target_port",
                               json_object_new_int(registrant->target_port));
    if (registrant->port.size > 0) {
        prhelper_transportid_format(port, sizeof(port), &registrant->port);
        output_add_text(json, "initiator", port);
    }
    return json;
}

static int cmd_full_status_show_json(struct prhelper_list list, uint64_t total,
                                     struct json_object *json)
{
    struct json_object *array = json_object_new_array();
    struct prhelper_registrant registrant;
    int r;

    while ((r = prhelper_registrant_next(&list, &registrant)) == 0)
        json_object_array_add(array, cmd_full_status_to_json(&registrant));
    json_object_object_add(json, "generation", json_object_new_int64(list.generation));
    json_object_object_add(json, "registrations", array);
    if (total > 0 || r == PRHELPER_END)
        json_object_object_add(json, "total", json_object_new_int64((int64_t)total));
    json_object_object_add(json, "truncated", json_object_new_boolean(r == PRHELPER_TRUNCATED));
    return r;
}

static int cmd_full_status_show(struct session *session, const uint8_t *data, size_t size,
                                struct json_object *json)
{
    struct prhelper_list list;
    uint64_t total;
    int r = prhelper_list_decode(data, size, &list);

    if (r != 0)
        return r;
    total = cmd_full_status_count(session, list);
    r = json ? cmd_full_status_show_json(list, total, json)
             : cmd_full_status_show_text(list, total);
    return r == PRHELPER_MALFORMED ? r : 0;
}

const struct command cmd_full_status = {
    .name = "full-status",
    .summary = "List registrations with their hosts and which of them holds the reservation",
    .takes = OPTION_DIRECT,
    .send = cmd_full_status_send,
    .show = cmd_full_status_show,
    .lists = true,
    .service_action = SPC_PRIN_READ_FULL_STATUS,
};
