// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fence: take the disk from a host. What a person would compose of full-status, register and
 * preempt-abort, with the looks before and after it that are forgotten at night.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/command.h"
#include "ctl/consent.h"
#include "ctl/fence.h"
#include "ctl/fence_act.h"
#include "ctl/fence_whom.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/session.h"
#include "ctl/state.h"

#define FENCE_PREFIX 0x7072666500000000u /* "prfe": marks keys that were left behind */

static uint64_t fence_draw_key(void)
{
    uint32_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint32_t)clock_now_us();
    return FENCE_PREFIX | number | 1;
}

/* A question for each key; --yes is the answer to all. */
static bool fence_agree(struct fence *fence)
{
    unsigned type = fence->state.held ? fence->state.reservation.type : fence->options->type;

    for (size_t i = 0; i < fence->victims.n_keys; i++) {
        fence->step = *fence->options;
        fence->step.command = &cmd_preempt_abort;
        fence->step.key = fence->key;
        fence->step.other_key = fence->victims.keys[i];
        fence->step.type = type;
        fence->session.options = &fence->step;
        if (fence->options->dry_run)
            consent_show(&fence->session, &fence->outcome, fence->json);
        else if (!consent_obtain(&fence->session, &fence->outcome, fence->json))
            return false;
        if (fence->options->dry_run && fence->json)
            break; /* one object has room for one */
    }
    return !fence->options->dry_run;
}

/* Of such a type those that are registered do not hold a part of it. */
static bool fence_is_narrow(unsigned type)
{
    return type == PRHELPER_WRITE_EXCLUSIVE || type == PRHELPER_EXCLUSIVE_ACCESS;
}

static void fence_work(struct fence *fence)
{
    char alive[256] = "";

    if (!fence_open(fence) || !fence_whom_find(fence))
        return;
    fence_whom_tell(fence);
    /* Where a user decides by it. */
    if (fence->options->dry_run || (!fence->options->yes && isatty(STDIN_FILENO))) {
        fence_whom_watch(fence, alive, sizeof(alive));
        if (fence->json)
            output_add_text(fence->json, "alive", alive);
        else
            printf("%s\n", alive);
        fflush(stdout);
    }
    if (!fence->state.held && !fence->json)
        printf("This host reserves it first, %s: %s can no longer write.\n",
               prhelper_type_name(fence->options->type),
               fence_is_narrow(fence->options->type) ? "all other hosts, registered or not,"
                                                     : "hosts that are not registered");
    fflush(stdout);
    if (!fence_agree(fence))
        return;
    fence_act(fence);
}

static int fence_run(const struct options *options)
{
    struct fence fence = {
        .options = options,
        .json = options->json ? json_object_new_object() : NULL,
        .key = options->given & OPTION_KEY ? options->key : fence_draw_key(),
        .temporary = !(options->given & OPTION_KEY),
    };

    fence.outcome.exit_status = CTL_GOOD;
    fence.outcome.r = PRHELPER_DEAD;
    fence.outcome.result.status = PRHELPER_STATUS_NONE;
    fence_work(&fence);
    session_close(&fence.session);
    state_deinit(&fence.state);
    if (fence.outcome.exit_status == CTL_GOOD && fence.outcome.hint[0] && !fence.json)
        output_print_lines(stdout, fence.outcome.hint + (fence.outcome.hint[0] == '\n'));
    return output_finish(options, &fence.outcome, fence.json);
}

const struct command cmd_fence = {
    .name = "fence",
    .summary = "Take the disk from a host, and check that it is taken",
    .about = "KEY|HOST is one of its keys, or its initiator port as full-status shows it, or the\n"
             "part of its iSCSI name behind the last colon. Without --key this host registers for\n"
             "it, and unregisters again unless it has to keep the reservation. It asks first.",
    .takes = OPTION_KEY | OPTION_TYPE | OPTION_FORCE | OPTION_YES | OPTION_DIRECT,
    .changes = true,
    .wants = COMMAND_OPERAND_DEVICE,
    .run = fence_run,
};
