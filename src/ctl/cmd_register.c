// SPDX-License-Identifier: LGPL-2.1-or-later
/* register, register-ignore, register-move: who may hold a reservation. SPC-4 5.13.7, 5.13.8. */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/options.h"
#include "ctl/session.h"

static int cmd_register_send(struct prhelper *helper, int device, const struct options *options,
                             struct prhelper_result *ret_result)
{
    if (options->given & OPTION_TRANSPORT_IDS)
        return prhelper_register_ports(helper, device, options->key, options->other_key,
                                       options->flags, options->transport_ids,
                                       options->n_transport_ids, ret_result);
    return prhelper_register(helper, device, options->key, options->other_key, options->flags,
                             ret_result);
}

static int cmd_register_ignore_send(struct prhelper *helper, int device,
                                    const struct options *options,
                                    struct prhelper_result *ret_result)
{
    return prhelper_register_ignore(helper, device, options->other_key, options->flags, ret_result);
}

static int cmd_register_move_send(struct prhelper *helper, int device,
                                  const struct options *options, struct prhelper_result *ret_result)
{
    return prhelper_register_move(helper, device, options->key, options->other_key, options->type,
                                  options->flags, options->target_port, options->transport_ids,
                                  ret_result);
}

static int cmd_register_show(struct session *session, const uint8_t *data, size_t size,
                             struct json_object *json)
{
    const struct options *options = session->options;

    if (json)
        return 0;
    if (options->other_key == 0)
        printf("unregistered\n");
    else if (options->key != 0 && options->key != options->other_key)
        printf("registered with key " OUTCOME_KEY " in place of " OUTCOME_KEY "\n",
               options->other_key, options->key);
    else
        printf("registered with key " OUTCOME_KEY "\n", options->other_key);
    return 0;
}

static int cmd_register_move_show(struct session *session, const uint8_t *data, size_t size,
                                  struct json_object *json)
{
    const struct options *options = session->options;

    if (!json)
        printf("moved the reservation to key " OUTCOME_KEY "%s\n", options->other_key,
               options->flags & PRHELPER_UNREG ? ", and unregistered" : "");
    return 0;
}

const struct command cmd_register = {
    .name = "register",
    .summary = "Register this host, or change or remove its registration",
    .about = "A first registration has no --key; to change one, --key is its present key; to "
             "remove\nit, --new-key=0, which asks.",
    .takes = OPTION_KEY | OPTION_NEW_KEY | OPTION_APTPL | OPTION_ALL_TG_PT | OPTION_TRANSPORT_IDS |
             OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_NEW_KEY,
    .changes = true,
    .send = cmd_register_send,
    .show = cmd_register_show,
};

const struct command cmd_register_ignore = {
    .name = "register-ignore",
    .summary = "Register this host with a key, replacing any key that it has",
    .about = "--new-key=0 removes the registration. Asks if there is one that it may replace.",
    .takes = OPTION_NEW_KEY | OPTION_APTPL | OPTION_ALL_TG_PT | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_NEW_KEY,
    .changes = true,
    .send = cmd_register_ignore_send,
    .show = cmd_register_show,
};

const struct command cmd_register_move = {
    .name = "register-move",
    .summary = "Register another host and hand over the reservation to it",
    .about =
        "Only its holder can do that. Some devices want the reservation's --type. It asks, if\n"
        "the other host has a key already, which is replaced.",
    .takes = OPTION_KEY | OPTION_NEW_KEY | OPTION_TYPE | OPTION_APTPL | OPTION_UNREG |
             OPTION_TRANSPORT_ID | OPTION_TARGET_PORT | OPTION_DIRECT | OPTION_YES,
    .needs = OPTION_KEY | OPTION_NEW_KEY | OPTION_TRANSPORT_ID | OPTION_TARGET_PORT,
    .changes = true,
    .send = cmd_register_move_send,
    .show = cmd_register_move_show,
};
