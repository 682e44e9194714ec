// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Counters keep the helper's name: summed up over helpers they would fall when one of them ends,
 * which looks like a restart. A helper's disks of one unit are summed up: paths of a map come and
 * go together with the helper that counts them.
 */
#include <string.h>

#include "node/expose.h"

/* A unit as one helper sees it. */
struct expose_part {
    const struct lun *lun;
    const struct crowd_member *member;
    const struct lun_use *uses;
    unsigned n_uses;
};

/* The next part of a unit, from the use *at on. False: there is none. */
static bool expose_next_part(const struct lun *lun, unsigned *at, struct expose_part *part)
{
    unsigned first = *at;

    if (first >= lun->n_uses)
        return false;
    while (*at < lun->n_uses && lun->uses[*at].member == lun->uses[first].member)
        ++*at;
    *part = (struct expose_part){lun, lun->uses[first].member, &lun->uses[first], *at - first};
    return true;
}

static struct expose_labels expose_of_part(const struct expose_part *part)
{
    struct expose_labels labels = {.used = 0};

    expose_label(&labels, "helper", part->member->name);
    expose_label(&labels, "wwn", part->lun->wwn);
    return labels;
}

static void expose_names(FILE *file, const struct expose_family *family,
                         const struct expose_part *part)
{
    char disks[LUN_NAMES_MAX] = "", map[FACTS_NAME_MAX] = "", vms[LUN_NAMES_MAX] = "";
    struct expose_labels labels = expose_of_part(part);

    for (unsigned i = 0; i < part->n_uses; i++) {
        const struct facts_device *device = part->uses[i].device;

        if (*device->disk)
            lun_name_add(disks, device->disk);
        if (*device->map)
            snprintf(map, sizeof(map), "%s", device->map);
        for (unsigned k = 0; k < device->n_keys; k++) {
            if (device->keys[k].connected)
                lun_name_add(vms, device->keys[k].vm);
        }
    }
    expose_label(&labels, "map", map);
    expose_label(&labels, "disk", disks);
    expose_label(&labels, "vm", vms);
    expose_sample(file, family, "_info", &labels, 1);
}

/* A field of EXPOSE_FIELD. */
static double expose_value(const struct lun_use *use, size_t field)
{
    const void *at = (const char *)use->device + field;

    return *(const double *)at;
}

static double expose_sum(const struct expose_part *part, size_t field)
{
    double sum = 0;

    for (unsigned i = 0; i < part->n_uses; i++)
        sum += expose_value(&part->uses[i], field);
    return sum;
}

static double expose_max(const struct expose_part *part, size_t field)
{
    double max = 0;

    for (unsigned i = 0; i < part->n_uses; i++) {
        double one = expose_value(&part->uses[i], field);

        max = one > max ? one : max;
    }
    return max;
}

#define EXPOSE_FIELD(name) offsetof(struct facts_device, name)

static void expose_times(FILE *file, enum expose_format format, const struct lun_list *list)
{
    static const struct expose_family family = {"lun_command_seconds", "summary", "seconds",
                                                "Time that a LUN took for commands"};
    struct expose_part part;

    expose_head(file, format, &family);
    for (unsigned i = 0; i < list->n; i++) {
        for (unsigned at = 0; expose_next_part(&list->luns[i], &at, &part);) {
            struct expose_labels labels = expose_of_part(&part);

            expose_sample(file, &family, "_sum", &labels, expose_sum(&part, EXPOSE_FIELD(seconds)));
            expose_sample(file, &family, "_count", &labels,
                          expose_sum(&part, EXPOSE_FIELD(n_timed)));
        }
    }
}

/* One sample for each helper that uses the unit. */
static void expose_parts(FILE *file, enum expose_format format, const struct lun_list *list)
{
    static const struct {
        struct expose_family family;
        const char *suffix;
        double (*join)(const struct expose_part *part, size_t field);
        size_t field;
    } rows[] = {
        {{"lun_command_max_seconds", "gauge", "seconds",
          "The longest time that a LUN took for a command"},
         "",
         expose_max,
         EXPOSE_FIELD(seconds_max)},
        {{"lun_conflicts", "counter", NULL, "Commands answered RESERVATION CONFLICT"},
         "_total",
         expose_sum,
         EXPOSE_FIELD(conflicts)},
        {{"lun_failures", "counter", NULL,
          "Commands answered neither GOOD nor RESERVATION CONFLICT"},
         "_total",
         expose_sum,
         EXPOSE_FIELD(failures)},
        {{"lun_hung_commands", "gauge", NULL, "Commands that a LUN does not answer"},
         "",
         expose_sum,
         EXPOSE_FIELD(n_hung)},
        {{"lun_oldest_command_seconds", "gauge", "seconds",
          "Age of the oldest command without an answer, 0 if there is none"},
         "",
         expose_max,
         EXPOSE_FIELD(oldest_s)},
    };
    struct expose_part part;

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        expose_head(file, format, &rows[row].family);
        for (unsigned i = 0; i < list->n; i++) {
            for (unsigned at = 0; expose_next_part(&list->luns[i], &at, &part);) {
                struct expose_labels labels = expose_of_part(&part);

                expose_sample(file, &rows[row].family, rows[row].suffix, &labels,
                              rows[row].join(&part, rows[row].field));
            }
        }
    }
}

static double expose_live(const struct lun *lun)
{
    return lun->n_live;
}

static double expose_stale(const struct lun *lun)
{
    return lun->n_stale;
}

static double expose_same_nexus(const struct lun *lun)
{
    return lun->same_nexus;
}

static double expose_missing(const struct lun *lun)
{
    return lun->n_paths_missing;
}

/* One sample for each unit, by what all helpers say together. */
static void expose_units(FILE *file, enum expose_format format, const struct lun_list *list)
{
    static const struct {
        struct expose_family family;
        double (*measure)(const struct lun *lun);
    } rows[] = {
        {{"lun_keys", "gauge", NULL, "Keys that clients of this node have registered"},
         expose_live},
        {{"lun_stale_keys", "gauge", NULL, "Keys of this node whose client has gone"},
         expose_stale},
        {{"lun_same_nexus", "gauge", NULL, "1 if clients of this node share one I_T nexus"},
         expose_same_nexus},
        {{"lun_paths_unregistered", "gauge", NULL,
          "Paths that a registered client uses but is not registered on"},
         expose_missing},
    };

    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        expose_head(file, format, &rows[row].family);
        for (unsigned i = 0; i < list->n; i++) {
            struct expose_labels labels = {.used = 0};

            expose_label(&labels, "wwn", list->luns[i].wwn);
            expose_sample(file, &rows[row].family, "", &labels, rows[row].measure(&list->luns[i]));
        }
    }
}

void expose_luns(FILE *file, enum expose_format format, const struct lun_list *list)
{
    static const struct expose_family names = {"lun", "info", NULL,
                                               "The names of a LUN on this node"};
    struct expose_part part;

    expose_head(file, format, &names);
    for (unsigned i = 0; i < list->n; i++) {
        for (unsigned at = 0; expose_next_part(&list->luns[i], &at, &part);)
            expose_names(file, &names, &part);
    }
    expose_times(file, format, list);
    expose_parts(file, format, list);
    expose_units(file, format, list);
}
