// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What needs attention on this node, the weightiest first, each with what to do: for the node's
 * page, its JSON and qemu-pr-ctl alike. The kinds have the names of the alerts that are shipped for
 * Prometheus, with "QemuPr" before them.
 */
#ifndef NODE_ALARM_H
#define NODE_ALARM_H

#include "node/lun.h"

#define ALARM_MAX 1000 /* that are told of */

enum alarm_kind {
    ALARM_SAME_NEXUS,
    ALARM_HUNG_COMMAND,
    ALARM_PATH_UNREGISTERED,
    ALARM_STALE_KEY,
    ALARM_WORKER_FAILED,
    ALARM_HELPER_UNREADABLE,
    ALARM_KINDS
};

struct alarm {
    enum alarm_kind kind;
    const char *helper; /* NULL: of the node */
    const char *wwn;    /* NULL: of a helper */
    char what[1024];    /* a sentence; escaped */
    char remedy[512];   /* the same */
};

struct alarm_list {
    unsigned n;
    struct alarm *alarms; /* owned */
    unsigned n_left_out;
};

/* Texts that are pointed to belong to the crowd and the list. Returns 0 or -ENOMEM. */
int alarm_find(const struct crowd *crowd, const struct lun_list *luns, struct alarm_list *ret_list);
void alarm_list_deinit(struct alarm_list *list);

/* For people: "A disk does not answer" ... */
const char *alarm_title(enum alarm_kind kind);

/* "SameNexus" ... */
const char *alarm_name(enum alarm_kind kind);

#endif
