// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Virtual machines that have the device open. To a LUN all of one I_T nexus are one host: what one
 * reserves the other has as well, so reservations cannot keep them apart. A helper sees its own
 * clients only, and says so by its status socket; /proc shows the neighbours too, to root.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/document.h"
#include "ctl/stale.h"
#include "doctor/doctor.h"
#include "node/document.h"

/* What the helper itself says, by its status socket: the names, or false if it raises no alarm. */
static bool vms_is_alarmed(const struct doctor *doctor, char *names, size_t size, bool *ret_asked)
{
    struct json_object *document, *device, *shared = NULL;
    struct outcome outcome;
    size_t cursor = 0, used = 0;

    *ret_asked = document_fetch(doctor->options, &outcome, &document);
    if (!*ret_asked)
        return false;
    while (!shared &&
           (device = stale_next_device(document, doctor->session.device_fd, &cursor)) != NULL)
        shared = document_object(device, "same_nexus");
    for (size_t i = 0; i < document_count(shared, "vms") && used < size; i++) {
        const char *name = json_object_get_string(document_item(shared, "vms", i));

        used += (size_t)snprintf(names + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 name ? name : "unnamed");
    }
    json_object_put(document);
    return used > 0;
}

static void vms_fail(struct finding *finding, const char *names)
{
    finding_fail(finding, "virtual machines share one I_T nexus: %s", names);
    finding_remedy(finding,
                   "The disk sees one initiator, so reservations cannot keep them apart: both will "
                   "write. Run them on different hosts, or give each an initiator port of its own "
                   "(NPIV), and keep them apart by the cluster manager's anti-affinity.");
}

/* None or one was seen, and there may be more. */
static void vms_say_unseen(const struct doctor *doctor, const char *names, bool asked,
                           struct finding *finding)
{
    const char *device = doctor->options->device;

    if (doctor->vms.seen == VMS_OF_NAMESPACE) {
        finding_unknown(finding,
                        "%s in this PID namespace; other processes of the host are not visible",
                        names[0] ? names : "no virtual machine uses it");
        finding_remedy(finding,
                       "A container has a PID namespace of its own. On the host, as root: "
                       "'qemu-pr-ctl doctor %s', or 'fuser -v %s'. A container sees them with "
                       "--pid=host, a pod with hostPID.",
                       device, device);
        return;
    }
    finding_unknown(finding, "%s",
                    asked ? "no two clients of this helper share it; only root can see others"
                          : "only root can see whether virtual machines share it");
    finding_remedy(
        finding,
        "Run the doctor as root: 'sudo qemu-pr-ctl doctor %s'. A helper only sees its own clients.",
        device);
}

void doctor_nexus(struct doctor *doctor, struct finding *finding)
{
    char names[384], text[448];
    bool asked;
    unsigned count;

    if (doctor->session.device_fd < 0)
        return;
    count = vms_list(&doctor->vms, NULL, names, sizeof(names));
    snprintf(text, sizeof(text), "%s%s", count == 1 ? "one virtual machine uses it: " : "", names);
    if (count > 1) {
        vms_fail(finding, names);
    } else if (vms_is_alarmed(doctor, names, sizeof(names), &asked)) {
        vms_fail(finding, names);
    } else if (doctor->vms.seen != VMS_ALL) {
        vms_say_unseen(doctor, text, asked, finding);
    } else if (count == 1) {
        finding_good(finding, "one virtual machine of this host uses it: %s", names);
    } else {
        finding_good(finding, "no virtual machine of this host uses it now");
    }
}

static bool vms_only_reads(const struct vm *vm)
{
    return !vm->writes;
}

void doctor_access(struct doctor *doctor, struct finding *finding)
{
    char names[384];

    if (vms_list(&doctor->vms, NULL, names, sizeof(names)) == 0)
        return;
    if (vms_list(&doctor->vms, vms_only_reads, names, sizeof(names)) == 0) {
        finding_good(finding, "virtual machines have it open for writing");
        return;
    }
    finding_warn(finding, "open for reading only: %s", names);
    finding_remedy(finding, "The helper refuses reservations through such a descriptor. Remove "
                            "read-only=on from its -blockdev, or <readonly/> from its <disk>.");
}
