// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How QEMU gives the disk to its guest, by the command lines of those that have it open. Only a
 * model that passes SCSI commands, on a node with a pr-manager, brings a reservation to a helper.
 * What was plugged in while QEMU ran is on no command line, so of that nothing is known here.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor/doctor.h"

/* What to ask where the command line does not tell. */
#define QEMU_ASK                                                                                   \
    "It may have been plugged in later. 'virsh dumpxml DOMAIN', or 'info qtree' and 'info block' " \
    "at QEMU's monitor, show it."

static bool qemu_is_unknown(const struct vm *vm)
{
    return !vm->disk.model[0];
}

static bool qemu_is_emulated(const struct vm *vm)
{
    return vm->disk.model[0] && !vm->disk.passes;
}

static bool qemu_has_no_manager(const struct vm *vm)
{
    return vm->disk.passes && !vm->disk.managed;
}

static bool qemu_has_no_manager_nor_right(const struct vm *vm)
{
    return qemu_has_no_manager(vm) && !vm->rawio;
}

/* The first for whom this is so. */
static const struct vm *qemu_first(const struct vms *vms, bool (*which)(const struct vm *vm))
{
    for (unsigned i = 0; i < vms->count; i++) {
        if (which(&vms->list[i]))
            return &vms->list[i];
    }
    return NULL;
}

/* A virtual machine that asks another helper than the one that was looked at; or NULL. */
static const struct vm *qemu_find_other_helper(const struct doctor *doctor)
{
    struct stat ours, theirs;

    if (!doctor->connected || stat(session_socket(&doctor->session), &ours) < 0)
        return NULL;
    for (unsigned i = 0; i < doctor->vms.count; i++) {
        const struct vm *vm = &doctor->vms.list[i];
        char path[64 + QEMU_HELPER_MAX];

        snprintf(path, sizeof(path), "/proc/%d/root/%s", (int)vm->pid, vm->disk.helper);
        if (vm->disk.managed && vm->disk.helper[0] && stat(path, &theirs) == 0 &&
            (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino))
            return vm;
    }
    return NULL;
}

static void qemu_judge_emulated(const struct doctor *doctor, const char *names,
                                struct finding *finding)
{
    const struct vm *vm = qemu_first(&doctor->vms, qemu_is_emulated);

    finding_fail(finding,
                 "the guest has it as %s, which does not pass reservations to the disk: %s",
                 vm->disk.model, names);
    finding_remedy(
        finding, "QEMU answers the guest itself and sends the disk nothing. Attach the disk as "
                 "'-device scsi-block' on a node with pr-manager=ID, or with libvirt as <disk "
                 "type='block' device='lun'> with <reservations managed='yes'/> in its "
                 "<source>. The guest has to be stopped for that, and then sees a different disk.");
}

static void qemu_judge_unmanaged(const struct doctor *doctor, const char *names,
                                 struct finding *finding)
{
    const struct vm *vm = qemu_first(&doctor->vms, qemu_has_no_manager);
    bool is_map = doctor->facts.kind == DEVICE_DM_MULTIPATH;

    if (qemu_first(&doctor->vms, qemu_has_no_manager_nor_right))
        finding_fail(finding, "%s without a pr-manager, so QEMU uses no helper: %s", vm->disk.model,
                     names);
    else if (is_map)
        finding_fail(finding,
                     "%s without a pr-manager, so QEMU itself reserves one path of the map: %s",
                     vm->disk.model, names);
    else
        finding_warn(finding, "%s without a pr-manager, so QEMU itself reserves it, as root: %s",
                     vm->disk.model, names);
    finding_remedy(
        finding,
        "Without CAP_SYS_RAWIO the kernel refuses QEMU's own reservations. Add '-object "
        "pr-manager-helper,id=pr0,path=%s' and pr-manager=pr0 to the node that has the file, or "
        "with libvirt <reservations managed='yes'/> in the disk's <source>. The "
        "guest has to be stopped for that.",
        session_socket(&doctor->session));
}

void doctor_pr_manager(struct doctor *doctor, struct finding *finding)
{
    const struct vm *other;
    char names[256];

    if (doctor->vms.count == 0)
        return;
    if (vms_list(&doctor->vms, qemu_is_emulated, names, sizeof(names)) > 0) {
        qemu_judge_emulated(doctor, names, finding);
    } else if (vms_list(&doctor->vms, qemu_has_no_manager, names, sizeof(names)) > 0) {
        qemu_judge_unmanaged(doctor, names, finding);
    } else if (vms_list(&doctor->vms, qemu_is_unknown, names, sizeof(names)) > 0) {
        finding_unknown(finding, "QEMU's command line does not say how the guest has it: %s",
                        names);
        finding_remedy(finding, "A reservation needs scsi-block (libvirt: device='lun') and a "
                                "pr-manager. " QEMU_ASK);
    } else if ((other = qemu_find_other_helper(doctor)) != NULL) {
        finding_warn(finding, "%s (pid %d) uses another helper, at %s",
                     other->name[0] ? other->name : "unnamed", other->pid, other->disk.helper);
        finding_remedy(finding,
                       "This report does not cover that helper. Check it with: "
                       "'qemu-pr-ctl doctor -k %s %s'.",
                       other->disk.helper, doctor->options->device);
    } else {
        vms_list(&doctor->vms, NULL, names, sizeof(names));
        finding_good(finding, "the guest has it as %s with a pr-manager: %s",
                     doctor->vms.list[0].disk.model, names);
    }
}

static bool qemu_stops_on_error(const struct vm *vm)
{
    return vm->disk.stops;
}

/*
 * QEMU pauses a guest that has werror=stop upon an error, and up to version 9.0 counts RESERVATION
 * CONFLICT as one; a cluster provokes conflicts on purpose.
 */
void doctor_error_policy(struct doctor *doctor, struct finding *finding)
{
    static const char remedy[] =
        "For cluster disks set werror=report,rerror=report at the -device, or with libvirt "
        "<driver error_policy='report' rerror_policy='report'/>. With stop, QEMU before 9.1 pauses "
        "the guest on a RESERVATION CONFLICT, which the validation of a Windows failover cluster "
        "provokes on purpose.";
    char names[384];

    if (doctor->session.device_fd < 0)
        return;
    if (vms_list(&doctor->vms, qemu_stops_on_error, names, sizeof(names)) > 0) {
        finding_warn(finding, "paused on errors of this disk: %s", names);
        finding_remedy(finding, "%s", remedy);
    } else if (vms_list(&doctor->vms, qemu_is_unknown, names, sizeof(names)) > 0) {
        finding_unknown(finding, "QEMU's command line does not say its error policy: %s", names);
        finding_remedy(finding, "%s " QEMU_ASK, remedy);
    } else if (doctor->vms.count > 0) {
        finding_good(finding, "errors are reported to the guest");
    } else {
        finding_unknown(finding, "no virtual machine whose error policy could be checked");
        finding_remedy(finding, "%s", remedy);
    }
}

static bool qemu_migrates_without(const struct vm *vm)
{
    return vm->disk.managed && vm->disk.migration == QEMU_MIGRATION_OFF;
}

static bool qemu_migrates_perhaps(const struct vm *vm)
{
    return vm->disk.managed && vm->disk.migration == QEMU_MIGRATION_UNKNOWN;
}

/* Where QEMU does not take the reservation along, the guest's host after it is not registered. */
void doctor_migration(struct doctor *doctor, struct finding *finding)
{
    static const char remedy[] =
        "After a live migration the source host is still registered, and the destination host is "
        "not. QEMU 11.0 and later migrates the reservation, with a machine type of 11.0 or newer "
        "or with migrate-pr=on at the scsi-block device, the same on both sides (libvirt 12.1 and "
        "later: <reservations migration='yes'/>). Otherwise shut the guest down instead of "
        "migrating it.";
    const struct vm *vm;
    char names[256];

    if (vms_list(&doctor->vms, qemu_migrates_without, names, sizeof(names)) > 0) {
        vm = qemu_first(&doctor->vms, qemu_migrates_without);
        finding_warn(finding, "a live migration does not migrate the reservation (%s): %s",
                     vm->disk.machine[0] ? vm->disk.machine : "migrate-pr=off", names);
        finding_remedy(finding, "%s", remedy);
    } else if (vms_list(&doctor->vms, qemu_migrates_perhaps, names, sizeof(names)) > 0) {
        finding_unknown(finding,
                        "it is not known whether a live migration migrates the reservation: %s",
                        names);
        finding_remedy(finding,
                       "The machine type does not show it; 'qom-get' of the device's property "
                       "migrate-pr, at QEMU's monitor, does. %s",
                       remedy);
    } else if (doctor->vms.count > 0 && doctor->vms.list[0].disk.managed) {
        finding_good(finding, "a live migration also migrates the reservation");
    }
}
