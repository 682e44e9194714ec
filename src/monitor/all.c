// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/all.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/document.h"
#include "monitor/table.h"
#include "monitor/words.h"
#include "node/fetch.h"

int all_look(const struct options *options, struct outcome *outcome, struct look *ret_look)
{
    const char *place = options->status_socket ? options->status_socket : document_directory();
    int timeout_ms = options->timeout_ms < 0 ? FETCH_WAIT_MS : options->timeout_ms;
    int r = look_take(&place, 1, timeout_ms, ret_look);

    if (r < 0)
        outcome_fail(outcome, CTL_INTERNAL, "cannot query the helpers: %s", strerror(-r));
    return r;
}

static void all_print_alarms(const struct alarm_list *list, FILE *file)
{
    for (unsigned i = 0; i < list->n; i++)
        fprintf(file, "%s: %s\n    %s\n", alarm_name(list->alarms[i].kind), list->alarms[i].what,
                list->alarms[i].remedy);
    if (list->n_left_out > 0)
        fprintf(file, "and %u more\n", list->n_left_out);
    if (list->n > 0)
        fprintf(file, "\n");
}

static void all_set_holder(struct table *table, size_t column, const struct lun *lun)
{
    if (!lun->told)
        table_set(table, column, "not known");
    else if (!*lun->told->reservation_type)
        table_set(table, column, "not reserved");
    else if (lun->told->holder)
        table_set(table, column, "%s by 0x%016" PRIx64, lun->told->reservation_type,
                  lun->told->holder);
    else
        table_set(table, column, "%s", lun->told->reservation_type);
}

static void all_print_luns(const struct lun_list *list, FILE *file)
{
    static const char *const head[] = {"LUN", "DISK", "RESERVATION", "KEYS", "STALE", "VMS", NULL};
    struct table table;

    table_init(&table, head);
    for (unsigned i = 0; i < list->n; i++) {
        const struct lun *lun = &list->luns[i];
        const struct facts_device *device = lun->uses[0].device;

        table_add_row(&table);
        table_set(&table, 0, "%s", lun->wwn);
        table_set(&table, 1, "%s", *device->map ? device->map : device->disk);
        all_set_holder(&table, 2, lun);
        table_set(&table, 3, "%u", lun->n_live);
        table_set(&table, 4, "%u", lun->n_stale);
        table_set(&table, 5, "%s%s", *lun->vms ? lun->vms : "-",
                  lun->same_nexus ? " SAME NEXUS" : "");
    }
    if (table_count(&table) == 0)
        fprintf(file, "no device has been used yet\n");
    table_print(&table, file);
    table_deinit(&table);
}

static void all_print_helpers(const struct crowd *crowd, FILE *file)
{
    static const char *const head[] = {"HELPER", "STATE",  "CLIENTS", "REQUESTS", "BUSY",
                                       "HUNG",   "WORKER", "UP",      NULL};
    struct table table;
    char up[WORDS_AGE_MAX];

    table_init(&table, head);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];
        const struct facts *facts = &member->facts;

        table_add_row(&table);
        table_set(&table, 0, "%s", member->name);
        table_set(&table, 1, "%s", crowd_state_word(member->state));
        if (member->state != CROWD_ANSWERED)
            continue;
        table_set(&table, 2, "%.0f", facts->numbers[FACTS_CLIENTS]);
        table_set(&table, 3, "%.0f", facts->numbers[FACTS_REQUESTS]);
        table_set(&table, 4, "%.0f", facts->numbers[FACTS_BUSY]);
        table_set(&table, 5, "%.0f", facts->n_hung);
        table_set(&table, 6, "%s", facts->worker);
        table_set(&table, 7, "%s", words_age(facts->numbers[FACTS_UPTIME], up));
    }
    fprintf(file, table_count(&table) > 0 ? "\n" : "\nno status socket was found\n");
    table_print(&table, file);
    table_deinit(&table);
}

void all_print(const struct look *look, FILE *file)
{
    all_print_alarms(&look->alarms, file);
    all_print_luns(&look->luns, file);
    all_print_helpers(&look->crowd, file);
}
