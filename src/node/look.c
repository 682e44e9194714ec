// SPDX-License-Identifier: LGPL-2.1-or-later
#include "node/look.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/timestamp.h"

int look_at_crowd(struct crowd crowd, struct look *ret_look)
{
    struct look look = {.crowd = crowd};
    int r = lun_join(&look.crowd, &look.luns);

    if (r == 0)
        r = alarm_find(&look.crowd, &look.luns, &look.alarms);
    if (r < 0)
        look_deinit(&look);
    else
        *ret_look = look;
    return r;
}

int look_take(const char *const *places, unsigned n_places, int timeout_ms, struct look *ret_look)
{
    struct crowd crowd;
    int r = crowd_ask(places, n_places, timeout_ms, &crowd);

    return r < 0 ? r : look_at_crowd(crowd, ret_look);
}

void look_deinit(struct look *look)
{
    alarm_list_deinit(&look->alarms);
    lun_list_deinit(&look->luns);
    crowd_deinit(&look->crowd);
}

static void look_text(struct json *json, const char *name, const char *text)
{
    json_text(json, name, text && *text ? text : NULL);
}

static void look_number(struct json *json, const char *name, double number)
{
    json_integer(json, name, (int64_t)number);
}

static void look_seconds(struct json *json, const char *name, double seconds)
{
    json_seconds(json, name, seconds < 9e12 ? (int64_t)(seconds * 1e6) : INT64_MAX);
}

static void look_pid(struct json *json, int64_t pid)
{
    if (pid > 0)
        json_integer(json, "pid", pid);
    else
        json_null(json, "pid");
}

static void look_report_helper(const struct crowd_member *member, struct json *json)
{
    const struct facts *facts = member->state == CROWD_ANSWERED ? &member->facts : NULL;

    json_open(json, NULL, '{');
    json_text(json, "helper", member->name);
    json_text(json, "status_socket", member->path);
    json_text(json, "state", crowd_state_word(member->state));
    look_seconds(json, "took_s", member->took_s);
    look_text(json, "version", facts ? facts->version : NULL);
    look_text(json, "socket", facts ? facts->socket : NULL);
    look_pid(json, facts ? facts->pid : 0);
    look_text(json, "worker", facts ? facts->worker : NULL);
    look_number(json, "clients", facts ? facts->numbers[FACTS_CLIENTS] : 0);
    look_number(json, "requests", facts ? facts->numbers[FACTS_REQUESTS] : 0);
    look_number(json, "requests_busy", facts ? facts->numbers[FACTS_BUSY] : 0);
    look_number(json, "rows_left_out", facts ? facts->left_out : 0);
    json_close(json, '}');
}

static void look_report_paths(const struct facts_device *device, struct json *json)
{
    json_open(json, "paths", '[');
    for (unsigned i = 0; i < device->n_paths; i++) {
        const struct facts_path *path = &device->paths[i];

        json_open(json, NULL, '{');
        json_text(json, "path", path->name);
        json_text(json, "state", path->state);
        if (path->registered == FACTS_UNKNOWN)
            json_null(json, "registered");
        else
            json_bool(json, "registered", path->registered == FACTS_YES);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void look_report_use(struct lun *lun, const struct lun_use *use, struct json *json)
{
    const struct facts_device *device = use->device;

    json_open(json, NULL, '{');
    json_text(json, "helper", use->member->name);
    json_text(json, "device", device->number);
    look_text(json, "disk", device->disk);
    look_text(json, "map", device->map);
    look_text(json, "nexus", device->nexus);
    look_number(json, "commands", device->commands);
    look_number(json, "conflicts", device->conflicts);
    look_number(json, "failures", device->failures);
    look_number(json, "hung", device->n_hung);
    look_seconds(json, "oldest_s", device->oldest_s);
    look_text(json, "last_error", device->last_error);
    json_open(json, "keys", '[');
    for (unsigned i = 0; i < device->n_keys; i++) {
        const struct facts_key *key = &device->keys[i];

        json_open(json, NULL, '{');
        json_format(json, "key", "0x%016" PRIx64, key->key);
        look_text(json, "vm", key->vm);
        look_pid(json, key->pid);
        json_bool(json, "connected", key->connected);
        json_bool(json, "stale", lun_key_is_stale(lun, key));
        json_bool(json, "replaced", key->replaced);
        look_seconds(json, "age_s", key->age_s);
        json_close(json, '}');
    }
    json_close(json, ']');
    look_report_paths(device, json);
    json_close(json, '}');
}

static void look_report_lun(struct lun *lun, struct json *json)
{
    json_open(json, NULL, '{');
    json_text(json, "wwn", lun->wwn);
    if (lun->told) {
        json_open(json, "reservation", '{');
        look_text(json, "type", lun->told->reservation_type);
        if (lun->told->holder)
            json_format(json, "key", "0x%016" PRIx64, lun->told->holder);
        else
            json_null(json, "key");
        look_seconds(json, "age_s", lun->told->reservation_age_s);
        json_close(json, '}');
    } else {
        json_null(json, "reservation");
    }
    json_integer(json, "keys_live", lun->n_live);
    json_integer(json, "keys_stale", lun->n_stale);
    json_bool(json, "same_nexus", lun->same_nexus);
    json_bool(json, "between_helpers", lun->between_helpers);
    json_integer(json, "paths_unregistered", lun->n_paths_missing);
    json_open(json, "uses", '[');
    for (unsigned i = 0; i < lun->n_uses; i++)
        look_report_use(lun, &lun->uses[i], json);
    json_close(json, ']');
    json_close(json, '}');
}

static void look_report_alarms(const struct alarm_list *list, struct json *json)
{
    json_open(json, "alarms", '[');
    for (unsigned i = 0; i < list->n; i++) {
        const struct alarm *alarm = &list->alarms[i];

        json_open(json, NULL, '{');
        json_text(json, "alarm", alarm_name(alarm->kind));
        look_text(json, "helper", alarm->helper);
        look_text(json, "wwn", alarm->wwn);
        json_text(json, "what", alarm->what);
        json_text(json, "remedy", alarm->remedy);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_integer(json, "alarms_left_out", list->n_left_out);
}

static void look_report_node(const struct look *look, struct json *json)
{
    char host[256] = "", time[TIMESTAMP_SIZE];

    if (gethostname(host, sizeof(host) - 1) < 0)
        *host = '\0';
    json_open(json, NULL, '{');
    json_integer(json, "format", 1);
    json_text(json, "scope", "node");
    look_text(json, "host", host);
    json_text(json, "time", timestamp_now(time));
    look_seconds(json, "took_s", look->crowd.took_s);
    look_report_alarms(&look->alarms, json);
    json_open(json, "luns", '[');
    for (unsigned i = 0; i < look->luns.n; i++)
        look_report_lun(&look->luns.luns[i], json);
    json_close(json, ']');
    json_open(json, "helpers", '[');
    for (unsigned i = 0; i < look->crowd.n_members; i++)
        look_report_helper(&look->crowd.members[i], json);
    json_close(json, ']');
    json_integer(json, "helpers_left_out", look->crowd.n_left_out);
    json_integer(json, "places_unreadable", look->crowd.n_unreadable);
    json_close(json, '}');
}

char *look_report(const struct look *look)
{
    struct json json = {0};
    char *text;

    look_report_node(look, &json);
    text = json.failed ? NULL : strndup(json.text, json.length);
    json_deinit(&json);
    return text;
}
