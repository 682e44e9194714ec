// SPDX-License-Identifier: LGPL-2.1-or-later
/* keys: PERSISTENT RESERVE IN, READ KEYS. SPC-4 6.15.2. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "scsi/spc.h"

#define HEADER_SIZE 8 /* of the answer */
#define KEY_SIZE    8

static int cmd_keys_send(struct prhelper *helper, int device, const struct options *options,
                         struct prhelper_result *ret_result)
{
    return prhelper_read_keys(helper, device, ret_result);
}

static int cmd_keys_show(struct session *session, const uint8_t *data, size_t size,
                         struct json_object *json)
{
    struct json_object *array = json ? json_object_new_array() : NULL;
    struct prhelper_list list;
    uint64_t key, total, seen = 0;
    int r = prhelper_list_decode(data, size, &list);

    if (r != 0) {
        json_object_put(array);
        return r;
    }
    /* As many as the device says, which may be more than the protocol can carry. */
    total = (list.needed - HEADER_SIZE) / KEY_SIZE;
    if (!json)
        printf("PRgeneration %#" PRIx32 ", %" PRIu64 " registered key%s%s\n", list.generation,
               total, total == 1 ? "" : "s", total > 0 ? ":" : "");
    while ((r = prhelper_key_next(&list, &key)) == 0) {
        seen++;
        if (json)
            json_object_array_add(array, output_key(key));
        else
            printf("  " OUTCOME_KEY "\n", key);
    }
    if (json) {
        json_object_object_add(json, "generation", json_object_new_int64(list.generation));
        json_object_object_add(json, "keys", array);
        json_object_object_add(json, "total", json_object_new_int64((int64_t)total));
        json_object_object_add(json, "truncated", json_object_new_boolean(r == PRHELPER_TRUNCATED));
    } else if (r == PRHELPER_TRUNCATED) {
        printf("  and %" PRIu64 " more, which did not fit\n", total - seen);
    }
    return r == PRHELPER_MALFORMED ? r : 0;
}

const struct command cmd_keys = {
    .name = "keys",
    .summary = "List the registered keys",
    .about = "There is one for each path of each host that is registered, so keys may repeat.",
    .takes = OPTION_DIRECT,
    .send = cmd_keys_send,
    .show = cmd_keys_show,
    .lists = true,
    .service_action = SPC_PRIN_READ_KEYS,
};
