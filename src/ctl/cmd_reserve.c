// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * reserve, release, clear, preempt, preempt-abort, replace-lost: what who is registered can do.
 * SPC-4 5.13.9 to 5.13.11; REPLACE LOST RESERVATION: 6.16.1.
 */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/options.h"
#include "ctl/session.h"

static int cmd_reserve_send(struct prhelper *helper, int device, const struct options *options,
                            struct prhelper_result *ret_result)
{
    return prhelper_reserve(helper, device, options->key, options->type, ret_result);
}

static int cmd_release_send(struct prhelper *helper, int device, const struct options *options,
                            struct prhelper_result *ret_result)
{
    return prhelper_release(helper, device, options->key, options->type, ret_result);
}

static int cmd_clear_send(struct prhelper *helper, int device, const struct options *options,
                          struct prhelper_result *ret_result)
{
    return prhelper_clear(helper, device, options->key, ret_result);
}

static int cmd_preempt_send(struct prhelper *helper, int device, const struct options *options,
                            struct prhelper_result *ret_result)
{
    return prhelper_preempt(helper, device, options->key, options->other_key, options->type,
                            ret_result);
}

static int cmd_preempt_abort_send(struct prhelper *helper, int device,
                                  const struct options *options, struct prhelper_result *ret_result)
{
    return prhelper_preempt_abort(helper, device, options->key, options->other_key, options->type,
                                  ret_result);
}

static int cmd_replace_lost_send(struct prhelper *helper, int device, const struct options *options,
                                 struct prhelper_result *ret_result)
{
    return prhelper_replace_lost(helper, device, options->other_key, options->type, ret_result);
}

static int cmd_reserve_show(struct session *session, const uint8_t *data, size_t size,
                            struct json_object *json)
{
    const struct options *options = session->options;

    if (!json)
        printf("reserved with key " OUTCOME_KEY ", %s\n", options->key,
               prhelper_type_name(options->type));
    return 0;
}

/* GOOD is also the answer to a registered host that held nothing. SPC-4 5.13.11.2.2. */
static int cmd_release_show(struct session *session, const uint8_t *data, size_t size,
                            struct json_object *json)
{
    const struct options *options = session->options;

    if (!json)
        printf("holds no reservation with key " OUTCOME_KEY " (any more)\n", options->key);
    return 0;
}

static int cmd_clear_show(struct session *session, const uint8_t *data, size_t size,
                          struct json_object *json)
{
    if (!json)
        printf("cleared: no reservation and no registration is left\n");
    return 0;
}

static int cmd_preempt_show(struct session *session, const uint8_t *data, size_t size,
                            struct json_object *json)
{
    const struct options *options = session->options;

    if (json)
        return 0;
    if (options->other_key)
        printf("preempted: key " OUTCOME_KEY " is no longer registered\n", options->other_key);
    else
        printf("preempted: no other registration is left\n");
    return 0;
}

static int cmd_replace_lost_show(struct session *session, const uint8_t *data, size_t size,
                                 struct json_object *json)
{
    const struct options *options = session->options;

    if (!json)
        printf("replaced the lost reservation with key " OUTCOME_KEY ", %s\n", options->other_key,
               prhelper_type_name(options->type));
    return 0;
}

const struct command cmd_reserve = {
    .name = "reserve",
    .summary = "Reserve the device for this host, which is registered",
    .takes = OPTION_KEY | OPTION_TYPE | OPTION_DIRECT,
    .needs = OPTION_KEY | OPTION_TYPE,
    .changes = true,
    .send = cmd_reserve_send,
    .show = cmd_reserve_show,
};

const struct command cmd_release = {
    .name = "release",
    .summary = "Give up this host's reservation and stay registered",
    .about = "The type is the one that it was reserved with. If all registrants hold it, it asks,\n"
             "because the reservation ends for all of them.",
    .takes = OPTION_KEY | OPTION_TYPE | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_KEY | OPTION_TYPE,
    .changes = true,
    .send = cmd_release_send,
    .show = cmd_release_show,
};

const struct command cmd_clear = {
    .name = "clear",
    .summary = "Remove the reservation and all registrations, of all hosts",
    .about = "It asks first.",
    .takes = OPTION_KEY | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_KEY,
    .changes = true,
    .send = cmd_clear_send,
    .show = cmd_clear_show,
};

const struct command cmd_preempt = {
    .name = "preempt",
    .summary = "Remove another host's registration and take over its reservation",
    .about = "The type is that of the reservation after the take-over. Where all registrants hold "
             "the\nreservation, --victim-key=0 removes all others. It asks first.",
    .takes = OPTION_KEY | OPTION_VICTIM_KEY | OPTION_TYPE | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_KEY | OPTION_VICTIM_KEY | OPTION_TYPE,
    .changes = true,
    .send = cmd_preempt_send,
    .show = cmd_preempt_show,
};

const struct command cmd_preempt_abort = {
    .name = "preempt-abort",
    .summary = "Like preempt, and abort the other host's commands in the device",
    .about = "It asks first.",
    .takes = OPTION_KEY | OPTION_VICTIM_KEY | OPTION_TYPE | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_KEY | OPTION_VICTIM_KEY | OPTION_TYPE,
    .changes = true,
    .send = cmd_preempt_abort_send,
    .show = cmd_preempt_show,
};

const struct command cmd_replace_lost = {
    .name = "replace-lost",
    .summary = "Replace a reservation that the device has lost",
    .takes = OPTION_NEW_KEY | OPTION_TYPE | OPTION_DIRECT,
    .needs = OPTION_NEW_KEY | OPTION_TYPE,
    .changes = true,
    .send = cmd_replace_lost_send,
    .show = cmd_replace_lost_show,
};
