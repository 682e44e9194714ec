// SPDX-License-Identifier: LGPL-2.1-or-later
/* reservation: PERSISTENT RESERVE IN, READ RESERVATION. SPC-4 6.15.3. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/output.h"
#include "ctl/session.h"

static int cmd_reservation_send(struct prhelper *helper, int device, const struct options *options,
                                struct prhelper_result *ret_result)
{
    return prhelper_read_reservation(helper, device, ret_result);
}

static void cmd_reservation_show_text(const struct prhelper_reservation *reservation)
{
    const char *type = prhelper_type_name(reservation->type);

    printf("PRgeneration %#" PRIx32 ", %s\n", reservation->generation,
           reservation->held ? "reserved:" : "not reserved");
    if (!reservation->held)
        return;
    if (reservation->key)
        printf("  key    " OUTCOME_KEY "\n", reservation->key);
    else
        printf("  key    none: every registered host holds it\n");
    printf("  type   %s (%u)\n", type ? type : "unknown", reservation->type);
    if (reservation->scope)
        printf("  scope  unknown (%u)\n", reservation->scope);
}

static void cmd_reservation_show_json(const struct prhelper_reservation *reservation,
                                      struct json_object *json)
{
    json_object_object_add(json, "generation", json_object_new_int64(reservation->generation));
    json_object_object_add(json, "reserved", json_object_new_boolean(reservation->held));
    if (!reservation->held)
        return;
    json_object_object_add(json, "key", output_key(reservation->key));
    json_object_object_add(json, "type", json_object_new_int(reservation->type));
    output_add_text(json, "type_name", prhelper_type_name(reservation->type));
    json_object_object_add(json, "scope", json_object_new_int(reservation->scope));
}

static int cmd_reservation_show(struct session *session, const uint8_t *data, size_t size,
                                struct json_object *json)
{
    struct prhelper_reservation reservation;
    int r = prhelper_reservation_decode(data, size, &reservation);

    if (r != 0)
        return r;
    if (json)
        cmd_reservation_show_json(&reservation, json);
    else
        cmd_reservation_show_text(&reservation);
    return 0;
}

const struct command cmd_reservation = {
    .name = "reservation",
    .summary = "Show who holds a reservation, and of which type",
    .takes = OPTION_DIRECT,
    .send = cmd_reservation_send,
    .show = cmd_reservation_show,
};
