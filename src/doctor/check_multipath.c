// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A multipath map is registered path by path, and kept so by multipathd, which gives the key to
 * paths that come up later. So multipathd has to be there, and has to have been told to keep the
 * key.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/sysfs.h"
#include "doctor/doctor.h"
#include "doctor/multipath_conf.h"
#include "node/document.h"

static bool multipath_is_map(const struct doctor *doctor)
{
    return doctor->facts.kind == DEVICE_DM_MULTIPATH && doctor->block[0];
}

void doctor_map(struct doctor *doctor, struct finding *finding)
{
    char path[128];
    struct dirent *entry;
    DIR *directory;

    if (!multipath_is_map(doctor))
        return;
    snprintf(path, sizeof(path), "/sys/block/%s/slaves", doctor->block);
    directory = opendir(path);
    while (directory && (entry = readdir(directory)) != NULL) {
        char *path_name = doctor->paths[doctor->n_paths];

        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof(doctor->paths[0]))
            continue;
        strcpy(path_name, entry->d_name);
        if (++doctor->n_paths == DOCTOR_PATHS_MAX)
            break;
    }
    if (directory)
        closedir(directory);
    if (doctor->n_paths == 0) {
        finding_fail(finding, "the map has no path");
        finding_remedy(finding, "No command reaches the disk: see 'multipath -ll %s' and dmesg.",
                       doctor->map);
    } else if (doctor->n_paths == 1) {
        finding_warn(finding, "the map has only one path, %s", doctor->paths[0]);
        finding_remedy(finding, "Check whether others are missing: 'multipath -ll %s'.",
                       doctor->map);
    } else {
        finding_good(finding, "the map has %u paths", doctor->n_paths);
    }
}

void doctor_multipathd(struct doctor *doctor, struct finding *finding)
{
    bool reachable[MULTIPATHD_SOCKETS];
    char *answer;

    if (!multipath_is_map(doctor))
        return;
    for (unsigned where = MULTIPATHD_SOCKETS; where-- > 0;) {
        reachable[where] = multipathd_ask(where, "show daemon", &answer) == 0;
        if (!reachable[where])
            continue;
        free(answer);
        doctor->multipathd = true;
        doctor->multipathd_socket = where;
    }
    if (!doctor->multipathd) {
        finding_fail(finding, "multipathd answers neither at %s nor at %s",
                     multipathd_name(MULTIPATHD_ABSTRACT), multipathd_name(MULTIPATHD_FILE));
        finding_remedy(finding,
                       "Without it a path that comes back is registered late, and a "
                       "guest cannot preempt its own key. Start it: 'systemctl start "
                       "multipathd'. In a container mount %s, or share the host's network.",
                       multipathd_name(MULTIPATHD_FILE));
        return;
    }
    finding_good(finding, "multipathd answers at %s%s%s",
                 multipathd_name(doctor->multipathd_socket),
                 reachable[MULTIPATHD_ABSTRACT] && reachable[MULTIPATHD_FILE] ? " and " : "",
                 reachable[MULTIPATHD_ABSTRACT] && reachable[MULTIPATHD_FILE]
                     ? multipathd_name(MULTIPATHD_FILE)
                     : "");
}

/* multipathd's own view of a path: "active ready", or "" if it has none. */
static void multipath_find_state(struct json_object *answer, const char *disk, char *text,
                                 size_t size)
{
    struct json_object *map = document_object(answer, "map");

    text[0] = '\0';
    for (size_t i = 0; i < document_count(map, "path_groups"); i++) {
        struct json_object *group = document_item(map, "path_groups", i);

        for (size_t k = 0; k < document_count(group, "paths"); k++) {
            struct json_object *path = document_item(group, "paths", k);
            const char *name = document_text(path, "dev"), *state = document_text(path, "dm_st");
            const char *checker = document_text(path, "chk_st");

            if (name && state && checker && strcmp(name, disk) == 0)
                snprintf(text, size, "%s %s", state, checker);
        }
    }
}

static struct json_object *multipath_ask_paths(const struct doctor *doctor)
{
    struct json_object *json;
    char command[96], *answer;

    snprintf(command, sizeof(command), "show map %s json", doctor->block);
    if (!doctor->multipathd || multipathd_ask(doctor->multipathd_socket, command, &answer) < 0)
        return NULL;
    json = json_tokener_parse(answer);
    free(answer);
    return json;
}

void doctor_paths(struct doctor *doctor, struct finding *finding)
{
    struct json_object *answer;
    char down[256] = "";
    unsigned count = 0;
    size_t used = 0;

    if (!multipath_is_map(doctor) || doctor->n_paths == 0)
        return;
    answer = multipath_ask_paths(doctor);
    for (unsigned i = 0; i < doctor->n_paths; i++) {
        char kernel[32], state[64];

        multipath_find_state(answer, doctor->paths[i], state, sizeof(state));
        sysfs_read(kernel, sizeof(kernel), "/sys/block/%s/device/state", doctor->paths[i]);
        if (strcmp(kernel, "running") == 0 &&
            (!state[0] || strcmp(state, "active ready") == 0 || strcmp(state, "active ghost") == 0))
            continue;
        count++;
        if (used < sizeof(down))
            used += (size_t)snprintf(down + used, sizeof(down) - used, "%s%s (%s)",
                                     used > 0 ? ", " : "", doctor->paths[i],
                                     strcmp(kernel, "running") != 0 ? kernel : state);
    }
    json_object_put(answer);
    if (count == 0) {
        finding_good(finding, "all paths are up");
        return;
    }
    if (count == doctor->n_paths)
        finding_fail(finding, "all paths are down: %s", down);
    else
        finding_warn(finding, "%u of %u paths are down: %s", count, doctor->n_paths, down);
    finding_remedy(finding,
                   "See 'multipath -ll %s' and dmesg for the cable, the switch or the session. A "
                   "path that was down while a guest registered gets the key from multipathd when "
                   "it comes up again, if reservation_key is set.",
                   doctor->map);
}

/*
 * What happens to a command while the map has no path: it waits for one, or fails. A number of
 * checks is queueing that ends; without no_path_retry the kernel's own feature counts.
 */
void doctor_queueing(struct doctor *doctor, struct finding *finding)
{
    struct json_object *answer, *map;
    const char *queueing, *features;
    char reason[64] = "";

    if (!multipath_is_map(doctor))
        return;
    answer = multipath_ask_paths(doctor);
    map = document_object(answer, "map");
    queueing = document_text(map, "queueing");
    features = document_text(map, "features");
    if (queueing && strcmp(queueing, "on") == 0)
        snprintf(reason, sizeof(reason), "no_path_retry queue");
    else if (queueing && strcmp(queueing, "-") == 0 && features &&
             strstr(features, "queue_if_no_path"))
        snprintf(reason, sizeof(reason), "features queue_if_no_path");
    if (!queueing) {
        finding_unknown(finding, "it is not known whether commands wait while the map has no path");
        finding_remedy(finding,
                       "Root can check: 'dmsetup table %s' shows queue_if_no_path if they do.",
                       doctor->map);
    } else if (reason[0]) {
        finding_warn(finding, "commands wait without end while the map has no path (%s)", reason);
        finding_remedy(
            finding, "A reservation command then hangs, and so does the guest, and its cluster may "
                     "wait for this node. Without queueing, a guest gets errors when all paths are "
                     "gone for a moment. For cluster disks: 'no_path_retry fail', or a number of "
                     "checks, in /etc/multipath.conf, then 'multipathd reconfigure'.");
    } else {
        finding_good(finding, "commands do not wait without end while the map has no path");
    }
    json_object_put(answer);
}

/* all_tg_pt of the device, from multipath-tools or the administrator. */
static bool multipath_is_all_tg_pt(const struct doctor *doctor, const char *configuration)
{
    char vendor[16] = "", product[32] = "";

    if (doctor->n_paths > 0) {
        sysfs_read(vendor, sizeof(vendor), "/sys/block/%s/device/vendor", doctor->paths[0]);
        sysfs_read(product, sizeof(product), "/sys/block/%s/device/model", doctor->paths[0]);
    }
    return multipath_conf_all_tg_pt(configuration, vendor, product);
}

void doctor_reservation_key(struct doctor *doctor, struct finding *finding)
{
    char *answer;
    int r;

    if (!multipath_is_map(doctor) || !doctor->multipathd)
        return;
    r = multipathd_ask(doctor->multipathd_socket, "show config local", &answer);
    if (r < 0) {
        finding_unknown(finding, "cannot read multipathd's configuration: %s", strerror(-r));
        return;
    }
    doctor->key_source = multipath_conf_key(answer, doctor->block, &doctor->key);
    doctor->all_tg_pt = multipath_is_all_tg_pt(doctor, answer);
    free(answer);
    switch (doctor->key_source) {
    case KEY_NONE:
        finding_fail(finding, "reservation_key is not set in multipath.conf");
        finding_remedy(finding, "Without it multipathd does not register paths that come up "
                                "later. In /etc/multipath.conf, section defaults: 'reservation_key "
                                "file'; then 'multipathd reconfigure'.");
        break;
    case KEY_FILE:
        finding_good(finding, "reservation_key is 'file': guests may choose their keys");
        break;
    case KEY_FIXED:
        finding_warn(finding, "reservation_key is one fixed key, %#" PRIx64, doctor->key);
        finding_remedy(finding, "It works only for a guest that registers with exactly this key, "
                                "and guests choose their own. Set 'reservation_key file' in "
                                "multipath.conf, then 'multipathd reconfigure'.");
        break;
    case KEY_UNKNOWN:
        finding_unknown(finding, "multipathd's configuration cannot be parsed");
        break;
    }
    if (doctor->key_source == KEY_FILE)
        multipath_conf_ask_key(doctor->multipathd_socket, doctor->block, &doctor->key);
}
