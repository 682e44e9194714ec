// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each path of a multipath map is an I_T nexus of its own and has to be registered, with the key
 * that multipathd will give to paths that come up later. So what the device says is held against
 * the paths, and against what multipathd believes. Some of this cannot be told without a command
 * that registers, and the doctor sends none: it says which would tell.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"
#include "doctor/registrations.h"

/* What the guest, and who uses it, loses meanwhile is said with it. */
#define REGISTER_AGAIN                                                                             \
    "make the guest register again: its cluster takes the disk offline and online, which "         \
    "interrupts the programs that use it"

static void registrations_judge_key(const struct doctor *doctor, const struct registrations *found,
                                    struct finding *finding)
{
    static const char hint[] = "Paths that come up later get the wrong key, and are locked out.";

    if (found->differ) {
        finding_fail(finding, "key mismatch: the paths are registered with different keys");
        finding_remedy(finding, "To repair it, " REGISTER_AGAIN ".");
    } else if (doctor->key_source == KEY_FIXED) {
        finding_fail(finding,
                     "key mismatch: multipath.conf has reservation_key %#" PRIx64
                     ", and the map is registered with %#" PRIx64,
                     doctor->key, found->key);
        finding_remedy(finding,
                       "%s A guest chooses its own keys: set 'reservation_key file' in "
                       "multipath.conf, then 'multipathd reconfigure'.",
                       hint);
    } else {
        finding_fail(finding,
                     "key mismatch: multipathd has key %#" PRIx64
                     ", and the map is registered with %#" PRIx64,
                     doctor->key, found->key);
        finding_remedy(
            finding,
            "%s Either " REGISTER_AGAIN ". Or tell multipathd. Warning: if %#" PRIx64
            " is the key of an earlier guest and not of the one that runs here now, the running "
            "guest loses access through each path that comes back: 'multipathd setprkey map "
            "%s key %#" PRIx64 "'.",
            hint, found->key, doctor->map, found->key);
    }
}

/* A command that tells whether a path is registered with the key, and changes nothing. */
static void registrations_ask_path(const struct doctor *doctor, uint64_t key,
                                   struct finding *finding)
{
    finding_remedy(finding,
                   "Check each path, as root, with this command, which changes no registration. "
                   "GOOD: it is registered with that key. RESERVATION CONFLICT: it is not, "
                   "and is locked out when the map is reserved; then " REGISTER_AGAIN ". "
                   "'qemu-pr-ctl register --direct --key=%#" PRIx64 " --new-key=%#" PRIx64
                   "%s /dev/%s'",
                   key, key, doctor->aptpl ? " --aptpl" : "", doctor->paths[0]);
}

static void registrations_judge_paths(const struct doctor *doctor,
                                      const struct registrations *found, struct finding *finding)
{
    if (found->cut) {
        finding_unknown(
            finding,
            "at least %u of %u paths are registered; the device did not return all registrations",
            found->certain, doctor->n_paths);
        registrations_ask_path(doctor, found->key, finding);
        return;
    }
    if (found->by_host && doctor->all_tg_pt) {
        finding_good(finding,
                     "%u of %u paths have a registration of their own, and the others share it "
                     "(all_tg_pt in multipath.conf)",
                     found->possible, doctor->n_paths);
        return;
    }
    if (found->by_host) {
        finding_unknown(finding,
                        "%u of %u paths have a registration of their own, and the device may keep "
                        "one for each host or host port",
                        found->possible, doctor->n_paths);
        registrations_ask_path(doctor, found->key, finding);
        return;
    }
    finding_fail(finding, "%s %u of %u paths are registered",
                 found->certain == found->possible ? "only" : "at most", found->possible,
                 doctor->n_paths);
    finding_remedy(
        finding,
        "A path that is not registered is locked out when the map is reserved. It was down when "
        "the guest registered, or reservation_key is missing (see above). To repair "
        "it, " REGISTER_AGAIN ".");
}

/* What multipathd does when a path comes up: register it if prstatus is set. Root may ask. */
static bool registrations_is_set(const struct doctor *doctor, bool *ret_set)
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

static void registrations_judge_status(const struct doctor *doctor, bool set,
                                       struct finding *finding)
{
    finding_warn(finding, "multipathd's prstatus is %s, but the map is %sregistered",
                 set ? "set" : "unset", set ? "not " : "");
    if (set)
        finding_remedy(finding,
                       "multipathd still registers paths that come up. Warning: once multipathd "
                       "has forgotten the key, paths that come back are not registered for a guest "
                       "that uses the map. If none uses it: 'qemu-pr-ctl cleanup %s'.",
                       doctor->options->device);
    else
        finding_remedy(finding, "multipathd does not register paths that come up later. To repair "
                                "it, " REGISTER_AGAIN ".");
}

/* Registrations that may be the paths', or may be of sessions that have ended. */
static void registrations_say_possible(const struct doctor *doctor,
                                       const struct registrations *found, unsigned known,
                                       struct finding *finding)
{
    if (known < doctor->n_paths)
        finding_unknown(finding, "%u registrations; it is not known which are this host's",
                        found->total);
    else
        finding_unknown(finding,
                        "%u of %u paths may be registered, by %u registrations of this host; /sys "
                        "does not show whether they are current",
                        found->possible, doctor->n_paths, found->own);
    registrations_ask_path(doctor, found->key, finding);
}

static void registrations_say(const struct doctor *doctor, const struct registrations *found,
                              unsigned known, struct finding *finding)
{
    bool set = false, set_known = registrations_is_set(doctor, &set);
    bool is_none = found->possible == 0 && !found->cut, is_all = found->certain == doctor->n_paths;

    if (found->own > 0 && known == doctor->n_paths &&
        (found->differ || (doctor->key && doctor->key != found->key)))
        registrations_judge_key(doctor, found, finding);
    else if (!is_none && found->possible < doctor->n_paths)
        registrations_judge_paths(doctor, found, finding);
    else if (set_known && ((set && is_none) || (!set && is_all)))
        registrations_judge_status(doctor, set, finding);
    else if (!is_none && !is_all)
        registrations_say_possible(doctor, found, known, finding);
    else
        finding_good(finding, "%u of %u paths are registered; prstatus is %s", found->certain,
                     doctor->n_paths,
                     !set_known ? "known to root only"
                     : set      ? "set"
                                : "unset");
}

void doctor_registrations(struct doctor *doctor, struct finding *finding)
{
    struct nexus paths[DOCTOR_PATHS_MAX];
    struct registrations found;
    unsigned known = 0;

    if (doctor->facts.kind != DEVICE_DM_MULTIPATH || !doctor->full_status.good ||
        doctor->n_paths == 0)
        return;
    for (unsigned i = 0; i < doctor->n_paths; i++) {
        nexus_of_disk(doctor->paths[i], &paths[i]);
        known += paths[i].initiator.size > 0;
    }
    if (registrations_judge(paths, doctor->n_paths, doctor->full_status.data,
                            doctor->full_status.size, doctor->reversed, doctor->key, &found))
        registrations_say(doctor, &found, known, finding);
}
