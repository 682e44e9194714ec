// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the device says that it can do, through the helper, by PERSISTENT RESERVE IN. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "doctor/doctor.h"
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

/* What an answer that is not GOOD comes from. SPC-4 4.5, SAM-5 5.3.1. */
static const struct reason {
    uint8_t status;
    int key, asc, first, last; /* of the sense, and from and to which qualifier; -1: any */
    const char *remedy;
} reasons[] = {
    {PRHELPER_CHECK_CONDITION, SPC_SENSE_ILLEGAL_REQUEST, 0x25, 0x00, 0x00,
     "The target does not have this logical unit (any more) on the path that was used. Check the "
     "storage's mapping for this host; a device that was unmapped there stays here until it is "
     "removed."},
    {PRHELPER_CHECK_CONDITION, SPC_SENSE_NOT_READY, 0x04, 0x0a, 0x0c,
     "The path that was used is in an ALUA state (transition, standby, unavailable) in which it "
     "accepts no such command. Another path may: give the virtual machine the multipath map."},
    {PRHELPER_CHECK_CONDITION, SPC_SENSE_ILLEGAL_REQUEST, -1, -1, -1,
     "The device does not support persistent reservations. Enable them on the storage, if "
     "possible, or use another disk. A SCSI host adapter of a virtual machine or a RAID controller "
     "often has none."},
    {PRHELPER_RESERVATION_CONFLICT, -1, -1, -1, -1,
     "Another host has reserved it with the old RESERVE command of SPC-2. Until that host's "
     "cluster or backup software releases it, it answers nothing else."},
    {PRHELPER_BUSY, -1, -1, -1, -1,
     "The device is busy, or the helper has reached its limit of commands in flight: see "
     "'qemu-pr-ctl status'."},
};

static const char *reservations_explain(const struct prhelper_result *result)
{
    struct prhelper_sense sense = {.key = 0};

    (void)prhelper_sense_decode(result->sense, sizeof(result->sense), &sense);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        const struct reason *reason = &reasons[i];

        if (reason->status == result->status && (reason->key < 0 || reason->key == sense.key) &&
            (reason->asc < 0 || (reason->asc == sense.asc && sense.ascq >= reason->first &&
                                 sense.ascq <= reason->last)))
            return reason->remedy;
    }
    return "The device or the path to it has failed: see dmesg and the helper's log.";
}

void doctor_keys(struct doctor *doctor, struct finding *finding)
{
    char text[PRHELPER_TEXT_MAX];
    struct outcome outcome;

    if (!doctor->connected || doctor->session.device_fd < 0)
        return;
    doctor->serves = answer_read(&doctor->session, SPC_PRIN_READ_KEYS, &doctor->keys, &outcome);
    if (doctor->serves) {
        finding_good(finding, "the device supports them, and the helper may send commands to it");
        return;
    }
    prhelper_describe(text, sizeof(text), outcome.r, &outcome.result);
    finding_fail(finding, "the keys cannot be read: %s", text);
    if (outcome.r == -ETIMEDOUT)
        finding_remedy(finding,
                       "The device does not answer: see dmesg, and 'qemu-pr-ctl status' for what "
                       "else hangs. A multipath map without paths may wait for one.");
    else if (outcome.r != 0)
        finding_remedy(finding, "The helper's log may say why; it may have exited.");
    else if (outcome.result.status == PRHELPER_CHECK_CONDITION &&
             reservations_answers_directly(doctor))
        finding_remedy(finding, "The device answers root, but not the helper: the helper lacks "
                                "CAP_SYS_RAWIO. Start it as root, or with that capability.");
    else
        finding_remedy(finding, "%s", reservations_explain(&outcome.result));
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
        finding_unknown(finding, "the device does not report its types of reservation");
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
    finding_remedy(finding, "Most clusters use %s: check whether the storage has a setting for it.",
                   prhelper_type_name(WINDOWS_TYPE));
}

void doctor_power_loss(struct doctor *doctor, struct finding *finding)
{
    struct prhelper_capabilities capabilities;
    struct outcome outcome;

    if (!doctor->serves || !reservations_ask(doctor, &cmd_capabilities, &outcome) ||
        prhelper_capabilities_decode(outcome.result.data, outcome.result.size, &capabilities) != 0)
        return;
    doctor->aptpl = capabilities.persistent_active;
    if (capabilities.persistent) {
        finding_good(finding, "reservations can outlive a loss of power (APTPL)%s",
                     capabilities.persistent_active ? ", and do so now" : "");
        return;
    }
    finding_warn(finding, "reservations do not outlive a loss of power: no APTPL");
    finding_remedy(finding, "A guest that asks for APTPL is refused, and after a restart of the "
                            "storage all hosts have to register again.");
}
