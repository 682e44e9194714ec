// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is on a disk libblkid says, as mkfs(8) and wipefs(8) ask it. Without the library it is not
 * known, and that is no leave to go on: --force is.
 */
#include "validate/safety.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_BLKID
#include <blkid/blkid.h>
#endif

#define SAFETY_LISTED_MAX 16 /* of the registrations that are there */

static bool safety_refuse(struct outcome *outcome, const char *hint)
{
    outcome_hint(outcome, "%s", hint);
    return false;
}

static bool safety_is_one_unit(const struct run *run, bool force, struct outcome *outcome)
{
    const struct nexus *a = &run->nexus[0], *b = &run->nexus[1];

    if (run->n_nexuses < 2 || (a->identity[0] && strcmp(a->identity, b->identity) == 0))
        return true;
    if (a->identity[0] && b->identity[0]) {
        outcome_fail(outcome, CTL_REFUSED, "%s and %s are different logical units",
                     a->options.device, b->options.device);
        return safety_refuse(outcome, "--second must name another nexus to the same logical unit.");
    }
    if (force)
        return true;
    outcome_fail(outcome, CTL_REFUSED, "cannot determine whether %s and %s are one logical unit",
                 a->options.device, b->options.device);
    return safety_refuse(outcome, "The kernel has read no designator of page 83h. If you know that "
                                  "they are one, use --force.");
}

static bool safety_no_registrations(struct run *run, bool force, struct outcome *outcome)
{
    const struct nexus_call call = {.action = NEXUS_READ_KEYS};
    struct nexus_answer answer;
    struct prhelper_list list;
    char text[PRHELPER_TEXT_MAX];
    static const struct keys none;
    uint64_t key, listed = 0, own = 0;

    nexus_send(&run->nexus[0], &call, &answer);
    run->unlisted = false;
    if (!prhelper_is_good(answer.r, &answer.result)) {
        /* That may be the very finding; a device that answers nothing is none to validate. */
        run->unlisted = answer.r == 0;
        if (answer.r == 0)
            return true;
        prhelper_describe(text, sizeof(text), answer.r, &answer.result);
        outcome_fail(outcome, CTL_UNKNOWN, "READ KEYS: %s", text);
        return safety_refuse(outcome, "Nothing was changed. See 'qemu-pr-ctl doctor'.");
    }
    if (force || prhelper_list_decode(answer.result.data, answer.result.size, &list) != 0 ||
        list.needed < 16) /* what is no list, the first step finds */
        return true;
    outcome_fail(outcome, CTL_REFUSED, "%" PRIu64 " registrations exist", (list.needed - 8) / 8);
    safety_refuse(outcome, "A cluster or a virtual machine may use it, and would lose its "
                           "reservation. Registered keys:");
    while (listed < SAFETY_LISTED_MAX && prhelper_key_next(&list, &key) == 0) {
        bool drawn = keys_is_own(&none, key);

        own += drawn;
        outcome_add_line(outcome, "  %#" PRIx64 "%s", key, drawn ? ", of an earlier validate" : "");
        listed++;
    }
    if ((list.needed - 8) / 8 > listed)
        outcome_add_line(outcome, "  and %" PRIu64 " more", (list.needed - 8) / 8 - listed);
    if (own == (list.needed - 8) / 8)
        outcome_add_line(
            outcome, "An earlier validate was stopped before it could remove them, or is in "
                     "progress on another host. If it is not, use --force, which removes them.");
    else
        outcome_add_line(outcome, "If they are left over, use --force, which removes them.");
    return false;
}

#ifdef HAVE_BLKID
/* 1: there is something, and `text` says what; 0: there is not; negative: not known. */
static int safety_probe(int fd, char *text, size_t size)
{
    blkid_probe probe = blkid_new_probe();
    const char *value = NULL;
    int r = -1;

    if (probe && blkid_probe_set_device(probe, fd, 0, 0) == 0 &&
        blkid_probe_enable_superblocks(probe, 1) == 0 &&
        blkid_probe_enable_partitions(probe, 1) == 0) {
        r = blkid_do_safeprobe(probe); /* -2: several signatures */
        r = r == 0 || r == -2 ? 1 : r == 1 ? 0 : -1;
        if (r == 1 && blkid_probe_lookup_value(probe, "TYPE", &value, NULL) < 0 &&
            blkid_probe_lookup_value(probe, "PTTYPE", &value, NULL) < 0)
            value = "several signatures";
        snprintf(text, size, "%s", value ? value : "");
    }
    blkid_free_probe(probe);
    return r;
}
#else
static int safety_probe(int fd, char *text, size_t size)
{
    (void)fd;
    (void)text;
    (void)size;
    return -1;
}
#endif

static bool safety_nothing_on_it(const struct run *run, bool force, struct outcome *outcome)
{
    char text[128] = "";
    int r;

    if (force || run->nexus[0].data_fd < 0)
        return true;
    r = safety_probe(run->nexus[0].session.device_fd, text, sizeof(text));
    if (r == 0)
        return true;
    if (r > 0)
        outcome_fail(outcome, CTL_REFUSED, "it is not empty: %s", text);
    else
        outcome_fail(outcome, CTL_REFUSED, "what is on it could not be determined");
    return safety_refuse(
        outcome, "If it may be overwritten, use --force. 'wipefs DEVICE' shows its contents.");
}

static bool safety_ask(const struct run *run, const struct options *options,
                       struct outcome *outcome)
{
    char answer[16];

    if (options->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        outcome_fail(outcome, CTL_REFUSED, "not confirmed");
        return safety_refuse(
            outcome,
            "Standard input is not a terminal, so the question cannot be asked: use --yes.");
    }
    fprintf(stderr,
            "Reservations on %s (%s) will be made and removed, and one of its blocks will be "
            "written.\nMay this logical unit be overwritten? [y/N] ",
            options->device, run->nexus[0].identity[0] ? run->nexus[0].identity : "unknown");
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    outcome_fail(outcome, CTL_REFUSED, "not confirmed");
    return safety_refuse(outcome, "Nothing was changed.");
}

bool safety_confirm(struct run *run, const struct options *options, struct outcome *outcome)
{
    return safety_is_one_unit(run, options->force, outcome) &&
           safety_no_registrations(run, options->force, outcome) &&
           safety_nothing_on_it(run, options->force, outcome) &&
           safety_ask(run, options, outcome) &&
           /* A registration may have come while the question waited. */
           (options->yes || safety_no_registrations(run, options->force, outcome));
}
