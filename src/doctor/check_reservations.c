// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the device says of reservations, through the helper, by PERSISTENT RESERVE IN. On a
 * multipath map it is also held against what multipathd believes: each path is an I_T nexus of its
 * own and has to be registered, with the key that multipathd will give to paths that come up later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "doctor/doctor.h"
#include "doctor/initiator.h"
#include "scsi/spc.h"

#define WINDOWS_TYPE PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY

/* One command that reads: true if it was GOOD. */
static bool reservations_ask(struct doctor *doctor, const struct command *command,
                             struct outcome *ret_outcome)
{
    session_send(&doctor->session, command, ret_outcome);
    return prhelper_is_good(ret_outcome->r, &ret_outcome->result);
}

/* Whether the device answers the kernel when root asks it without the helper. */
static bool reservations_answers_directly(struct doctor *doctor)
{
    struct direct way = {.timeout_ms = DIRECT_TIMEOUT_MS};
    struct session direct = doctor->session;
    struct outcome outcome;
    bool good = false;

    if (geteuid() == 0 && prhelper_custom(direct_execute, &way, &direct.helper) == 0) {
        session_send(&direct, &cmd_keys, &outcome);
        good = prhelper_is_good(outcome.r, &outcome.result);
        prhelper_close(direct.helper);
    }
    return good;
}

static bool reservations_is_illegal_request(const struct outcome *outcome)
{
    struct prhelper_sense sense;

    return outcome->r == 0 && outcome->result.status == PRHELPER_CHECK_CONDITION &&
           prhelper_sense_decode(outcome->result.sense, sizeof(outcome->result.sense), &sense) ==
               0 &&
           sense.key == SPC_SENSE_ILLEGAL_REQUEST;
}

void doctor_keys(struct doctor *doctor, struct finding *finding)
{
    char text[PRHELPER_TEXT_MAX];
    struct outcome outcome;

    if (!doctor->connected || doctor->session.device_fd < 0)
        return;
    doctor->serves = reservations_ask(doctor, &cmd_keys, &outcome);
    if (doctor->serves) {
        finding_good(finding, "the device supports them, and the helper may ask it");
        return;
    }
    prhelper_describe(text, sizeof(text), outcome.r, &outcome.result);
    finding_fail(finding, "the keys cannot be read: %s", text);
    if (outcome.r == -ETIMEDOUT)
        finding_remedy(finding,
                       "The device does not answer: see dmesg, and 'qemu-pr-ctl status' for what "
                       "else hangs. A multipath map without paths may wait for one.");
    else if (outcome.r != 0)
        finding_remedy(finding, "The helper's log may say why; it may have ended.");
    else if (!reservations_is_illegal_request(&outcome))
        finding_remedy(finding, "The device or the way to it is in trouble: see dmesg and the "
                                "helper's log.");
    else if (reservations_answers_directly(doctor))
        finding_remedy(finding, "The device answers root, but not the helper: the helper lacks "
                                "CAP_SYS_RAWIO. Start it as root, or with that capability.");
    else
        finding_remedy(finding,
                       "The device does not know persistent reservations. Switch them on at the "
                       "storage, if it can, or use another disk. A SCSI host adapter of a virtual "
                       "machine or a RAID controller often has none.");
}

void doctor_types(struct doctor *doctor, struct finding *finding)
{
    struct prhelper_capabilities capabilities;
    char names[256] = "";
    struct outcome outcome;
    size_t used = 0;

    if (!doctor->serves)
        return;
    if (!reservations_ask(doctor, &cmd_capabilities, &outcome) ||
        prhelper_capabilities_decode(outcome.result.data, outcome.result.size, &capabilities) !=
            0 ||
        !capabilities.types_valid) {
        finding_unknown(finding, "the device does not say which types of reservation it has");
        return;
    }
    for (unsigned type = 0; type < 16; type++) {
        if (capabilities.types & 1u << type && used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%u", used ? " " : "",
                                     type);
    }
    if (capabilities.types & 1u << WINDOWS_TYPE) {
        finding_good(finding, "types of reservation: %s", names);
        return;
    }
    finding_warn(finding, "types of reservation: %s, without %d", used ? names : "none",
                 WINDOWS_TYPE);
    finding_remedy(finding, "Most clusters use %s: see whether the storage has a setting for it.",
                   prhelper_type_name(WINDOWS_TYPE));
}

void doctor_power_loss(struct doctor *doctor, struct finding *finding)
{
    struct prhelper_capabilities capabilities;
    struct outcome outcome;

    if (!doctor->serves || !reservations_ask(doctor, &cmd_capabilities, &outcome) ||
        prhelper_capabilities_decode(outcome.result.data, outcome.result.size, &capabilities) != 0)
        return;
    if (capabilities.persistent) {
        finding_good(finding, "reservations can outlive a loss of power (APTPL)%s",
                     capabilities.persistent_active ? ", and do so now" : "");
        return;
    }
    finding_warn(finding, "reservations do not outlive a loss of power: no APTPL");
    finding_remedy(finding, "A guest that asks for it is refused, and after a restart of the "
                            "storage all hosts have to register again.");
}

/* Registrations of this host, as the device lists them. */
struct registered {
    unsigned total, own;
    unsigned paths, known; /* of the map; and those whose initiator is known */
    bool one_key;          /* all own ones have the same: */
    uint64_t key;
    bool has_expected; /* some registration, of whatever host, has the map's key */
};

static bool reservations_count_registered(const struct doctor *doctor,
                                          const struct outcome *outcome,
                                          struct registered *registered)
{
    char initiators[DOCTOR_PATHS_MAX][INITIATOR_MAX];
    struct prhelper_registrant registrant;
    struct prhelper_list list;
    int r;

    *registered = (struct registered){.paths = doctor->n_paths, .one_key = true};
    for (unsigned i = 0; i < doctor->n_paths; i++) {
        if (!initiator_of_disk(doctor->paths[i], initiators[registered->known], INITIATOR_MAX))
            continue;
        registered->known++;
    }
    if (prhelper_list_decode(outcome->result.data, outcome->result.size, &list) != 0)
        return false;
    while ((r = prhelper_registrant_next(&list, &registrant)) == 0) {
        bool own = false;

        registered->total++;
        registered->has_expected |= registrant.key == doctor->key;
        for (unsigned i = 0; i < registered->known && !own; i++)
            own = initiator_matches(initiators[i], &registrant.port);
        if (!own)
            continue;
        registered->one_key &= registered->own == 0 || registrant.key == registered->key;
        registered->key = registrant.key;
        registered->own++;
    }
    return r == PRHELPER_END;
}

static void reservations_judge_key(const struct doctor *doctor, const struct registered *registered,
                                   struct finding *finding)
{
    static const char hint[] = "Paths that come up later get the wrong key, and are locked out. ";

    if (!registered->one_key) {
        finding_fail(finding, "key mismatch: the paths are registered with different keys");
        finding_remedy(finding, "Let the guest register again: take the disk offline and online in "
                                "its cluster.");
    } else if (doctor->key_source == KEY_FIXED) {
        finding_fail(finding,
                     "key mismatch: multipath.conf has reservation_key %#" PRIx64
                     ", and the map is registered with %#" PRIx64,
                     doctor->key, registered->key);
        finding_remedy(finding,
                       "%sA guest chooses its keys by itself: set 'reservation_key file' in "
                       "multipath.conf, then 'multipathd reconfigure'.",
                       hint);
    } else {
        finding_fail(finding,
                     "key mismatch: multipathd has key %#" PRIx64
                     ", and the map is registered with %#" PRIx64,
                     doctor->key, registered->key);
        finding_remedy(finding,
                       "%sLet the guest register again, or tell multipathd: 'multipathd setprkey "
                       "map %s key %#" PRIx64 "'.",
                       hint, doctor->map, registered->key);
    }
}

static void reservations_judge_paths(const struct doctor *doctor,
                                     const struct registered *registered, struct finding *finding)
{
    finding_fail(finding, "only %u of %u paths are registered", registered->own, registered->paths);
    finding_remedy(finding,
                   "A path that is not is locked out when the map is reserved. Let the guest "
                   "register again; that the path was left out comes from a path that was down, "
                   "or from a missing reservation_key (see above).");
}

/* What multipathd does when a path comes up: register it if prstatus is set. Root may ask. */
static bool reservations_is_set(const struct doctor *doctor, bool *ret_set)
{
    char command[96], *answer;
    bool known;

    snprintf(command, sizeof(command), "getprstatus map %s", doctor->block);
    if (!doctor->multipathd || multipathd_ask(doctor->multipathd_socket, command, &answer) < 0)
        return false;
    /* By version a word or a digit. */
    *ret_set = strcmp(answer, "set") == 0 || strcmp(answer, "1") == 0;
    known = *ret_set || strcmp(answer, "unset") == 0 || strcmp(answer, "0") == 0;
    free(answer);
    return known;
}

void doctor_registrations(struct doctor *doctor, struct finding *finding)
{
    struct registered registered;
    struct outcome outcome;
    bool set = false, set_known;

    if (doctor->facts.kind != DEVICE_DM_MULTIPATH || !doctor->serves)
        return;
    if (!reservations_ask(doctor, &cmd_full_status, &outcome) ||
        !reservations_count_registered(doctor, &outcome, &registered)) {
        finding_unknown(finding, "the device does not say who is registered (READ FULL STATUS)");
        return;
    }
    set_known = reservations_is_set(doctor, &set);
    if (registered.own > 0 &&
        (!registered.one_key || (doctor->key && doctor->key != registered.key)))
        reservations_judge_key(doctor, &registered, finding);
    else if (registered.own > 0 && registered.known == registered.paths &&
             registered.own < registered.paths)
        reservations_judge_paths(doctor, &registered, finding);
    else if (set_known && set != (registered.own > 0) && registered.known == registered.paths) {
        finding_warn(finding, "multipathd's prstatus is %s, but the map is %sregistered",
                     set ? "set" : "unset", registered.own > 0 ? "" : "not ");
        finding_remedy(finding,
                       set ? "multipathd registers paths that come up all the same. If no guest "
                             "uses the map, 'qemu-pr-ctl cleanup %s' makes it forget."
                           : "multipathd does not register paths that come up later. Let the guest "
                             "register again (%s).",
                       doctor->options->device);
    } else if (registered.known < registered.paths) {
        finding_unknown(finding, "%u registrations; which are this host's is not known",
                        registered.total);
    } else {
        finding_good(finding, "%u of %u paths are registered; prstatus is %s", registered.own,
                     registered.paths,
                     !set_known ? "known to root only"
                     : set      ? "set"
                                : "unset");
    }
}
