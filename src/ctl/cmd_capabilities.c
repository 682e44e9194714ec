// SPDX-License-Identifier: LGPL-2.1-or-later
/* capabilities: PERSISTENT RESERVE IN, REPORT CAPABILITIES. SPC-4 6.15.4. */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/output.h"
#include "ctl/session.h"

#define TYPES 16

static int cmd_capabilities_send(struct prhelper *helper, int device, const struct options *options,
                                 struct prhelper_result *ret_result)
{
    return prhelper_report_capabilities(helper, device, ret_result);
}

static void cmd_capabilities_show_text(const struct prhelper_capabilities *capabilities)
{
    const struct {
        bool has;
        const char *what;
    } rows[] = {
        {capabilities->persistent, "reservations can persist through loss of power (PTPL_C)"},
        {capabilities->persistent_active, "and do so now (PTPL_A)"},
        {capabilities->all_tg_pt, "registering through all target ports (ATP_C)"},
        {capabilities->spec_i_pt, "registering other initiator ports (SIP_C)"},
        {capabilities->replace_lost, "replacing a lost reservation (RLR_C)"},
        {capabilities->compatible, "compatible handling of RESERVE and RELEASE of SPC-2 (CRH)"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf("%-3s  %s\n", rows[i].has ? "yes" : "no", rows[i].what);
    printf("%-3u  which other commands a reservation lets through (ALLOW COMMANDS)\n",
           capabilities->allow_commands);
    if (!capabilities->types_valid) {
        printf("types: not reported\n");
        return;
    }
    printf("types:%s\n", capabilities->types ? "" : " none");
    for (unsigned type = 0; type < TYPES; type++) {
        const char *name = prhelper_type_name(type);

        if (capabilities->types & 1u << type)
            printf("  %2u  %s\n", type, name ? name : "unknown");
    }
}

static void cmd_capabilities_show_json(const struct prhelper_capabilities *capabilities,
                                       struct json_object *json)
{
    const struct {
        bool has;
        const char *name;
    } members[] = {
        {capabilities->persistent, "persistent"},
        {capabilities->persistent_active, "persistent_active"},
        {capabilities->all_tg_pt, "all_tg_pt"},
        {capabilities->spec_i_pt, "spec_i_pt"},
        {capabilities->replace_lost, "replace_lost"},
        {capabilities->compatible, "compatible_reservation_handling"},
    };
    struct json_object *array;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        json_object_object_add(json, members[i].name, json_object_new_boolean(members[i].has));
    json_object_object_add(json, "allow_commands",
                           json_object_new_int(capabilities->allow_commands));
    if (!capabilities->types_valid)
        return;
    array = json_object_new_array();
    for (unsigned type = 0; type < TYPES; type++) {
        if (capabilities->types & 1u << type)
            json_object_array_add(array, json_object_new_int((int)type));
    }
    json_object_object_add(json, "types", array);
}

static int cmd_capabilities_show(struct session *session, const uint8_t *data, size_t size,
                                 struct json_object *json)
{
    struct prhelper_capabilities capabilities;
    int r = prhelper_capabilities_decode(data, size, &capabilities);

    if (r != 0)
        return r;
    if (json)
        cmd_capabilities_show_json(&capabilities, json);
    else
        cmd_capabilities_show_text(&capabilities);
    return 0;
}

const struct command cmd_capabilities = {
    .name = "capabilities",
    .summary = "Show what the device supports",
    .takes = OPTION_DIRECT,
    .send = cmd_capabilities_send,
    .show = cmd_capabilities_show,
};
