// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/alarm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *alarm_title(enum alarm_kind kind)
{
    static const char *const titles[ALARM_KINDS] = {
        [ALARM_SAME_NEXUS] = "Virtual machines share one I_T nexus",
        [ALARM_HUNG_COMMAND] = "A disk does not answer",
        [ALARM_PATH_UNREGISTERED] = "A registration is missing on a path",
        [ALARM_STALE_KEY] = "A key was left behind",
        [ALARM_WORKER_FAILED] = "Multipath maps cannot be served",
        [ALARM_HELPER_UNREADABLE] = "The status of a helper cannot be read",
    };

    return titles[kind];
}

const char *alarm_name(enum alarm_kind kind)
{
    static const char *const names[ALARM_KINDS] = {
        [ALARM_SAME_NEXUS] = "SameNexus",
        [ALARM_HUNG_COMMAND] = "HungCommand",
        [ALARM_PATH_UNREGISTERED] = "PathUnregistered",
        [ALARM_STALE_KEY] = "StaleKey",
        [ALARM_WORKER_FAILED] = "WorkerFailed",
        [ALARM_HELPER_UNREADABLE] = "HelperUnreadable",
    };

    return names[kind];
}

/* One more, or NULL: it is counted, or there is no memory (list->alarms is NULL then). */
static struct alarm *alarm_add(struct alarm_list *list, enum alarm_kind kind, const char *helper,
                               const char *wwn)
{
    struct alarm *alarm;

    if (list->n == ALARM_MAX) {
        list->n_left_out++;
        return NULL;
    }
    if (list->n % 16 == 0) {
        alarm = reallocarray(list->alarms, list->n + 16, sizeof(*list->alarms));
        if (!alarm) {
            list->n_left_out++;
            return NULL;
        }
        list->alarms = alarm;
    }
    alarm = &list->alarms[list->n++];
    alarm->kind = kind;
    alarm->helper = helper;
    alarm->wwn = wwn;
    return alarm;
}

static const char *alarm_device_name(const struct facts_device *device)
{
    return *device->map ? device->map : *device->disk ? device->disk : device->number;
}

static void alarm_find_nexus(const struct lun *lun, struct alarm_list *list)
{
    struct alarm *alarm = lun->same_nexus ? alarm_add(list, ALARM_SAME_NEXUS, NULL, lun->wwn)
                                          : NULL;

    if (!alarm)
        return;
    snprintf(alarm->what, sizeof(alarm->what),
             "%s have registered on %s (%s) through one I_T nexus%s: the disk sees one initiator, "
             "and reservations cannot keep them apart",
             lun->nexus_vms, alarm_device_name(lun->uses[0].device), lun->wwn,
             lun->between_helpers ? ", through different helpers" : "");
    snprintf(alarm->remedy, sizeof(alarm->remedy),
             "Do not run both on this host: move one of them to another host, or give it a host "
             "bus adapter or an iSCSI session of its own.");
}

static void alarm_find_hung(const struct lun_use *use, struct alarm_list *list)
{
    const struct facts_device *device = use->device;
    struct alarm *alarm = device->n_hung > 0
                              ? alarm_add(list, ALARM_HUNG_COMMAND, use->member->name, device->wwn)
                              : NULL;

    if (!alarm)
        return;
    snprintf(alarm->what, sizeof(alarm->what),
             "%s (%s) has not answered %.0f command%s; the oldest, %s of %s, has been waiting for "
             "%.0f s",
             alarm_device_name(device), device->wwn, device->n_hung, device->n_hung > 1 ? "s" : "",
             *device->hung.command ? device->hung.command : "a command",
             *device->hung.vm ? device->hung.vm : "an unknown client", device->hung.age_s);
    snprintf(alarm->remedy, sizeof(alarm->remedy),
             "Check the path to the disk: dmesg, multipath -ll, the array. The kernel's time-out "
             "for a command is %.0f s.",
             use->member->facts.numbers[FACTS_IO_TIMEOUT]);
}

/* One that the host's multipath map should have registered for its client. */
static void alarm_tell_map(const struct lun *lun, struct alarm *alarm)
{
    const char *name = alarm_device_name(lun->uses[0].device);

    for (unsigned i = 0; i < lun->n_uses; i++) {
        if (lun->uses[i].device->is_map)
            name = alarm_device_name(lun->uses[i].device);
    }
    snprintf(alarm->what, sizeof(alarm->what),
             "%s is registered on some paths of the map %s (%s), but not on %.200s, which the map "
             "also uses",
             lun->missing_vms, name, lun->wwn, lun->missing_paths);
    snprintf(alarm->remedy, sizeof(alarm->remedy),
             "The helper's log has the target's answer to that registration. 'multipathd fail "
             "path' with the path's name keeps the guest's writes off it; 'multipathd reinstate "
             "path' undoes that.");
}

static void alarm_find_paths(const struct lun *lun, struct alarm_list *list)
{
    struct alarm *alarm = lun->n_paths_missing
                              ? alarm_add(list, ALARM_PATH_UNREGISTERED, NULL, lun->wwn)
                              : NULL;

    if (!alarm)
        return;
    if (*lun->missing_paths) {
        alarm_tell_map(lun, alarm);
        return;
    }
    snprintf(alarm->what, sizeof(alarm->what),
             "%s is registered on %s (%s) through some of the disks that it uses, but not through "
             "%u other%s",
             lun->missing_vms, alarm_device_name(lun->uses[0].device), lun->wwn,
             lun->n_paths_missing, lun->n_paths_missing > 1 ? "s" : "");
    snprintf(alarm->remedy, sizeof(alarm->remedy),
             "Make the cluster software in the guest register through every path, or give the "
             "guest a multipath map of the host.");
}

static void alarm_find_stale(struct lun *lun, struct alarm_list *list)
{
    for (unsigned i = 0; i < lun->n_uses; i++) {
        const struct lun_use *use = &lun->uses[i];

        for (unsigned k = 0; k < use->device->n_keys; k++) {
            const struct facts_key *key = &use->device->keys[k];
            struct alarm *alarm = lun_key_is_stale(lun, key)
                                      ? alarm_add(list, ALARM_STALE_KEY, use->member->name,
                                                  lun->wwn)
                                      : NULL;

            if (!alarm)
                continue;
            snprintf(alarm->what, sizeof(alarm->what),
                     "%s (%s) still has key 0x%016" PRIx64 " of %s, which is gone",
                     alarm_device_name(use->device), lun->wwn, key->key,
                     *key->vm ? key->vm : "an unknown client");
            snprintf(alarm->remedy, sizeof(alarm->remedy),
                     "If that virtual machine does not come back, 'qemu-pr-ctl cleanup "
                     "--key=0x%016" PRIx64 "' removes it, with the reservation that it may hold.",
                     key->key);
        }
    }
}

static void alarm_find_helper(const struct crowd_member *member, struct alarm_list *list)
{
    struct alarm *alarm;

    if (member->state != CROWD_ANSWERED) {
        alarm = alarm_add(list, ALARM_HELPER_UNREADABLE, member->name, NULL);
        if (!alarm)
            return;
        snprintf(alarm->what, sizeof(alarm->what), "the status of helper %s cannot be read: %s",
                 member->name, crowd_state_word(member->state));
        snprintf(alarm->remedy, sizeof(alarm->remedy), "%s", crowd_state_advice(member->state));
    } else if (member->facts.worker_failed) {
        alarm = alarm_add(list, ALARM_WORKER_FAILED, member->name, NULL);
        if (!alarm)
            return;
        snprintf(alarm->what, sizeof(alarm->what), "helper %s cannot serve multipath maps: %s",
                 member->name,
                 *member->facts.worker_error ? member->facts.worker_error
                                             : "qemu-pr-mpath cannot be started");
        snprintf(alarm->remedy, sizeof(alarm->remedy),
                 "Check that qemu-pr-mpath is installed and that the helper was started as root; "
                 "its log has details.");
    }
}

static int alarm_compare(const void *a, const void *b)
{
    const struct alarm *one = a, *other = b;

    return (int)one->kind - (int)other->kind;
}

int alarm_find(const struct crowd *crowd, const struct lun_list *luns, struct alarm_list *ret_list)
{
    struct alarm_list list = {0};

    for (unsigned i = 0; i < luns->n; i++) {
        alarm_find_nexus(&luns->luns[i], &list);
        for (unsigned k = 0; k < luns->luns[i].n_uses; k++)
            alarm_find_hung(&luns->luns[i].uses[k], &list);
        alarm_find_paths(&luns->luns[i], &list);
        alarm_find_stale(&luns->luns[i], &list);
    }
    for (unsigned i = 0; i < crowd->n_members; i++)
        alarm_find_helper(&crowd->members[i], &list);
    if (list.n_left_out > 0 && list.n < ALARM_MAX) {
        alarm_list_deinit(&list);
        return -ENOMEM;
    }
    if (list.n > 0)
        qsort(list.alarms, list.n, sizeof(*list.alarms), alarm_compare);
    *ret_list = list;
    return 0;
}

void alarm_list_deinit(struct alarm_list *list)
{
    free(list->alarms);
    *list = (struct alarm_list){0};
}
