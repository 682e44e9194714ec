// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The doctor's checks. Each is a function in a table (cmd_doctor.c), looks at one thing, changes
 * nothing, and leaves one finding; what it has learnt is in struct doctor for those that follow.
 */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include <prhelper.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "ctl/device.h"
#include "ctl/session.h"
#include "doctor/answer.h"
#include "doctor/multipath_conf.h"
#include "doctor/vms.h"
#include "multipathd/multipathd.h"

enum verdict {
    VERDICT_NONE, /* does not apply here: nothing is printed */
    VERDICT_GOOD,
    VERDICT_UNKNOWN, /* could not be found out */
    VERDICT_WARNING, /* works, but not in every case */
    VERDICT_FAILURE, /* reservations will not work */
};

struct finding {
    enum verdict verdict;
    char text[512];    /* one line */
    char remedy[1024]; /* what to do about it, maybe several lines; or "" */
};

#define DOCTOR_PATHS_MAX 32

struct doctor {
    const struct options *options; /* these: */
    struct options own_options;    /* as typed, but for a socket that was found: */
    char found_socket[QEMU_HELPER_MAX];
    struct session session;
    bool connected; /* to the helper */
    bool serves;    /* the device has answered a command through the helper */

    struct stat file; /* of the device */
    struct device_facts facts;
    char block[32]; /* the kernel's name, such as "sda"; "" if it is no block device */
    char map[128];  /* name of a device-mapper map, or "" */

    char paths[DOCTOR_PATHS_MAX][32]; /* of a multipath map, such as "sda" */
    unsigned n_paths;

    bool multipathd; /* answers, at: */
    enum multipathd_socket multipathd_socket;
    enum key_source key_source;
    bool all_tg_pt; /* multipath.conf says that the device keeps one for all target ports */
    uint64_t key;   /* the one that multipathd gives to the map's paths, if it is known; else 0 */

    bool aptpl; /* registrations persist through a loss of power now */
    struct answer keys, full_status;
    bool reversed; /* READ FULL STATUS has the bytes of keys the wrong way round */

    struct vms vms; /* that have the device open */
};

/* The findings; the texts are a line without a full stop, the remedy one or more sentences. */
__attribute__((format(printf, 2, 3))) void finding_good(struct finding *finding, const char *format,
                                                        ...);
__attribute__((format(printf, 2, 3))) void finding_unknown(struct finding *finding,
                                                           const char *format, ...);
__attribute__((format(printf, 2, 3))) void finding_warn(struct finding *finding, const char *format,
                                                        ...);
__attribute__((format(printf, 2, 3))) void finding_fail(struct finding *finding, const char *format,
                                                        ...);
__attribute__((format(printf, 2, 3))) void finding_remedy(struct finding *finding,
                                                          const char *format, ...);

typedef void doctor_check(struct doctor *doctor, struct finding *finding);

/* check_helper.c */
doctor_check doctor_helper, doctor_socket, doctor_protocol, doctor_user;

/* check_device.c: what is named, and may it be written to */
doctor_check doctor_device, doctor_writable;

/* check_reservations.c: what the device says */
doctor_check doctor_keys, doctor_types, doctor_power_loss;

/* check_answers.c, and check_registrations.c for a map: who is registered */
doctor_check doctor_answers, doctor_registrations;

/* check_multipath.c */
doctor_check doctor_map, doctor_multipathd, doctor_paths, doctor_queueing, doctor_reservation_key;

/* check_vms.c: who else uses it */
doctor_check doctor_nexus, doctor_access;

/* check_qemu.c: how QEMU gives it to its guest */
doctor_check doctor_pr_manager, doctor_error_policy, doctor_migration;

#endif
