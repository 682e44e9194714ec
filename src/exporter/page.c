// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * In the order of what is asked first: is anything wrong and what is to be done; who holds which
 * disk; what hangs; how the helpers are. Every text of others goes through page_text, which makes
 * it harmless to HTML; facts_read has made it UTF-8 without controls.
 */
#include "exporter/page.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/timestamp.h"
#include "build.h"
#include "exporter/page_style.h"

#define PAGE_LUNS_MAX 200 /* pictures; beyond them /status.json */
#define PAGE_KEYS_MAX 64  /* of one picture */

static void page_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", file);
            break;
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        case '"':
            fputs("&quot;", file);
            break;
        case '\'':
            fputs("&#39;", file);
            break;
        default:
            fputc(*text, file);
        }
    }
}

static void page_element(FILE *file, const char *tag, const char *text)
{
    fprintf(file, "<%s>", tag);
    page_text(file, text);
    fprintf(file, "</%.*s>", (int)strcspn(tag, " "), tag);
}

static void page_age(FILE *file, double seconds)
{
    if (seconds < 120)
        fprintf(file, "%.0f s", seconds);
    else if (seconds < 7200)
        fprintf(file, "%.0f min", seconds / 60);
    else if (seconds < 172800)
        fprintf(file, "%.0f h", seconds / 3600);
    else
        fprintf(file, "%.0f d", seconds / 86400);
}

static void page_begin(FILE *file, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">",
          file);
    page_element(file, "title", title);
    fprintf(file, "<style>%s</style></head><body>\n", page_style);
}

static void page_end(FILE *file)
{
    fputs("<footer><p>For programs: <a href=\"/status.json\">/status.json</a>, for Prometheus: "
          "<a href=\"/metrics\">/metrics</a>. qemu-pr-exporter " BUILD_VERSION
          "</p></footer></body></html>\n",
          file);
}

static void page_figure(FILE *file, const char *what, double number, const char *class)
{
    fprintf(file, "<li><b class=\"%s\">%.0f</b>%s</li>", class, number, what);
}

static void page_write_head(FILE *file, const struct look *look)
{
    unsigned answered = 0, vms = 0, total = look->crowd.n_members;
    char host[256] = "this host", title[320], time[TIMESTAMP_SIZE];
    double hung = 0;

    (void)gethostname(host, sizeof(host) - 1);
    snprintf(title, sizeof(title), "Persistent reservations on %s", host);
    for (unsigned i = 0; i < total; i++) {
        if (look->crowd.members[i].state != CROWD_ANSWERED)
            continue;
        answered++;
        vms += look->crowd.members[i].facts.n_clients;
        hung += look->crowd.members[i].facts.n_hung;
    }
    page_begin(file, title);
    fputs("<header>", file);
    page_element(file, "h1", title);
    fprintf(file,
            "<p class=\"dim\">As reported by its helpers at %s. Reload the page to update "
            "it.</p><ul class=\"figures\">",
            timestamp_now(time));
    page_figure(file, look->alarms.n == 1 ? "alarm" : "alarms",
                look->alarms.n + look->alarms.n_left_out, look->alarms.n > 0 ? "bad" : "good");
    page_figure(file, look->luns.n == 1 ? "LUN" : "LUNs", look->luns.n, "");
    page_figure(file, "clients connected", vms, "");
    page_figure(file, "commands hang", hung, hung > 0 ? "bad" : "good");
    page_figure(file, "helpers answer", answered, answered < total ? "warn" : "good");
    page_figure(file, "do not", total - answered, answered < total ? "warn" : "good");
    fputs("</ul></header>\n<main>", file);
}

static void page_write_alarms(FILE *file, const struct alarm_list *list)
{
    fputs("<h2>What needs attention</h2>\n", file);
    if (list->n == 0)
        fputs("<p class=\"card good\">The helpers of this node report no problem.</p>\n", file);
    for (unsigned i = 0; i < list->n; i++) {
        const struct alarm *alarm = &list->alarms[i];
        bool mild = alarm->kind >= ALARM_STALE_KEY;

        fprintf(file, "<article class=\"card alarm%s\"><h3>%s</h3><p>", mild ? " mild" : "",
                alarm_title(alarm->kind));
        page_text(file, alarm->what);
        fputs(".</p><p><strong>What to do:</strong> ", file);
        page_text(file, alarm->remedy);
        fputs("</p></article>\n", file);
    }
    if (list->n_left_out > 0)
        fprintf(file, "<p>and %u more</p>\n", list->n_left_out);
}

static bool page_holds(const struct lun *lun, const struct facts_key *key)
{
    return lun->told && *lun->told->reservation_type &&
           (lun->told->holder == 0 || lun->told->holder == key->key);
}

static void page_write_key(FILE *file, struct lun *lun, const struct lun_use *use,
                           const struct facts_key *key)
{
    bool live = key->connected && !key->stale;

    fputs("<div class=\"box\">", file);
    page_element(file, "strong", *key->vm ? key->vm : "unknown client");
    fprintf(file, "<br><code>0x%016" PRIx64 "</code><br><span class=\"dim\">by ", key->key);
    page_text(file, *use->device->map ? use->device->map : use->device->disk);
    if (*use->device->nexus) {
        fputs(", nexus ", file);
        page_text(file, use->device->nexus);
    }
    fputs(", helper ", file);
    page_text(file, use->member->name);
    fputs("</span></div><div class=\"tie", file);
    if (key->replaced)
        fputs(" gone\">replaced", file);
    else if (!live)
        fputs(lun_key_is_stale(lun, key) ? " gone\">client gone" : "\">moved", file);
    else if (lun->same_nexus && lun_name_is_in(lun->nexus_vms, key->vm))
        fputs(" shared\">same nexus", file);
    else if (page_holds(lun, key))
        fputs(" holds\">holds it", file);
    else
        fputs("\">registered", file);
    fputs("</div>\n", file);
}

static void page_write_reservation(FILE *file, const struct lun *lun)
{
    if (!lun->told) {
        fputs("<p class=\"dim\">Holder unknown: no command of this node has read or made a "
              "reservation since the helpers started.</p>",
              file);
        return;
    }
    if (!*lun->told->reservation_type) {
        fputs("<p>Not reserved, as of ", file);
    } else {
        fputs("<p>Reserved, ", file);
        page_text(file, lun->told->reservation_type);
        if (lun->told->holder)
            fprintf(file, ", held by key <code>0x%016" PRIx64 "</code>, as of ", lun->told->holder);
        else
            fputs(", held by all registrants, as of ", file);
    }
    page_age(file, lun->told->reservation_age_s);
    fputs(" ago.</p>", file);
}

/* Of a map: which of them the registration is by. */
static void page_write_paths(FILE *file, const struct lun *lun)
{
    for (unsigned i = 0; i < lun->n_uses; i++) {
        const struct facts_device *device = lun->uses[i].device;

        if (device->n_paths == 0)
            continue;
        fputs("<p class=\"dim\">Paths of ", file);
        page_text(file, *device->map ? device->map : device->number);
        for (unsigned k = 0; k < device->n_paths; k++) {
            const struct facts_path *path = &device->paths[k];

            fputs(k == 0 ? ": " : "; ", file);
            page_text(file, path->name);
            fputs(" ", file);
            page_text(file, path->state);
            fputs(path->registered == FACTS_YES  ? ", registered"
                  : path->registered == FACTS_NO ? ", <strong>not registered</strong>"
                                                 : ", not known whether registered",
                  file);
        }
        fputs("</p>", file);
    }
}

static void page_write_lun(FILE *file, struct lun *lun)
{
    const struct facts_device *device = lun->uses[0].device;
    unsigned n_keys = 0, listed = 0;

    for (unsigned i = 0; i < lun->n_uses; i++)
        n_keys += lun->uses[i].device->n_keys;
    fputs("<section class=\"card\">", file);
    page_element(file, "h3", *device->map ? device->map : *device->disk ? device->disk : lun->wwn);
    fputs("<p class=\"dim\"><code>", file);
    page_text(file, lun->wwn);
    fputs("</code></p>", file);
    page_write_reservation(file, lun);
    if (n_keys == 0) {
        fputs("<p class=\"dim\">No client of this node has registered through these helpers.</p>"
              "</section>\n",
              file);
        return;
    }
    fputs("<div class=\"picture\">", file);
    fprintf(file, "<div class=\"box unit\" style=\"grid-column:3;grid-row:1/span %u\">",
            n_keys < PAGE_KEYS_MAX ? n_keys : PAGE_KEYS_MAX);
    page_element(file, "strong", *device->map ? device->map : device->disk);
    fprintf(file, "<span class=\"dim\">%u registered here%s</span></div>\n", lun->n_live,
            lun->n_stale > 0 ? ", and some whose client has gone" : "");
    for (unsigned i = 0; i < lun->n_uses; i++) {
        for (unsigned k = 0; k < lun->uses[i].device->n_keys && listed < PAGE_KEYS_MAX; k++) {
            page_write_key(file, lun, &lun->uses[i], &lun->uses[i].device->keys[k]);
            listed++;
        }
    }
    fputs("</div>", file);
    if (n_keys > listed)
        fprintf(file, "<p>and %u more</p>", n_keys - listed);
    page_write_paths(file, lun);
    fputs("</section>\n", file);
}

/* Those with something to see first. */
static void page_write_luns(FILE *file, const struct lun_list *list)
{
    unsigned listed = 0;

    fputs("<h2>Who holds which disk</h2>\n", file);
    if (list->n == 0)
        fputs("<p class=\"card\">No disk has been used through a helper yet.</p>\n", file);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < list->n && listed < PAGE_LUNS_MAX; i++) {
            struct lun *lun = &list->luns[i];
            bool odd = lun->same_nexus || lun->n_stale > 0 || lun->n_paths_missing > 0;

            if (odd != (round == 0))
                continue;
            page_write_lun(file, lun);
            listed++;
        }
    }
    if (list->n > listed)
        fprintf(file, "<p>and %u more, in <a href=\"/status.json\">/status.json</a></p>\n",
                list->n - listed);
}

static void page_write_hung(FILE *file, const struct lun_list *list)
{
    bool begun = false;

    for (unsigned i = 0; i < list->n; i++) {
        for (unsigned k = 0; k < list->luns[i].n_uses; k++) {
            const struct lun_use *use = &list->luns[i].uses[k];
            const struct facts_device *device = use->device;

            if (device->n_hung == 0)
                continue;
            if (!begun)
                fputs("<h2>What hangs</h2>\n<div class=\"card scroll\" tabindex=\"0\" "
                      "role=\"region\" aria-label=\"Commands that hang\"><table><thead><tr>"
                      "<th scope=\"col\">Disk</th><th scope=\"col\">Command</th>"
                      "<th scope=\"col\">Virtual machine</th><th scope=\"col\">For</th>"
                      "<th scope=\"col\">Helper</th></tr></thead><tbody>\n",
                      file);
            begun = true;
            fputs("<tr>", file);
            page_element(file, "td", *device->map ? device->map : device->disk);
            page_element(file, "td", device->hung.command);
            page_element(file, "td", *device->hung.vm ? device->hung.vm : "unknown");
            fputs("<td>", file);
            page_age(file, device->hung.age_s);
            fputs("</td>", file);
            page_element(file, "td", use->member->name);
            fputs("</tr>\n", file);
        }
    }
    if (begun)
        fputs("</tbody></table></div>\n", file);
}

static void page_write_helpers(FILE *file, const struct crowd *crowd)
{
    fputs(
        "<h2>Helpers of this node</h2>\n<div class=\"card scroll\" tabindex=\"0\" "
        "role=\"region\" aria-label=\"Helpers\"><table><thead><tr><th scope=\"col\">Helper</th>"
        "<th scope=\"col\">State</th><th scope=\"col\">Clients</th><th scope=\"col\">Requests</th>"
        "<th scope=\"col\">BUSY</th><th scope=\"col\">Multipath worker</th>"
        "<th scope=\"col\">Up for</th><th scope=\"col\">Version</th></tr></thead><tbody>\n",
        file);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];
        const struct facts *facts = &member->facts;

        fputs("<tr>", file);
        page_element(file, "th scope=\"row\"", member->name);
        if (member->state != CROWD_ANSWERED) {
            fprintf(file, "<td class=\"warn\">%s</td><td colspan=\"6\">",
                    crowd_state_word(member->state));
            page_text(file, crowd_state_advice(member->state));
            fputs("</td></tr>\n", file);
            continue;
        }
        fprintf(file,
                "<td class=\"good\">answers</td><td>%.0f of %.0f</td><td>%.0f</td>"
                "<td>%.0f</td>",
                facts->numbers[FACTS_CLIENTS], facts->numbers[FACTS_MAX_CLIENTS],
                facts->numbers[FACTS_REQUESTS], facts->numbers[FACTS_BUSY]);
        page_element(file, "td", facts->worker);
        fputs("<td>", file);
        page_age(file, facts->numbers[FACTS_UPTIME]);
        fputs("</td>", file);
        page_element(file, "td", facts->version);
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
    if (crowd->n_members == 0)
        fputs("<p>There is no status socket. Start a helper with --status-socket, or name the "
              "place of the sockets with --status.</p>\n",
              file);
}

static void page_write_limits(FILE *file, const struct look *look)
{
    fputs(
        "<h2>What this page does not show</h2><div class=\"card\"><p>Registrations of other hosts, "
        "and registrations made without a helper, are not shown: the page covers only commands "
        "that helpers of this node have carried out since they started. 'qemu-pr-ctl full-status "
        "DEVICE' asks the disk.</p>",
        file);
    if (look->crowd.n_left_out > 0)
        fprintf(file,
                "<p class=\"warn\">%u status sockets were not queried: there are too many.</p>",
                look->crowd.n_left_out);
    if (look->crowd.n_unreadable > 0)
        fprintf(file, "<p class=\"warn\">%u directories of status sockets could not be read.</p>",
                look->crowd.n_unreadable);
    fputs("</div>\n", file);
}

void page_write(FILE *file, const struct look *look)
{
    page_write_head(file, look);
    page_write_alarms(file, &look->alarms);
    page_write_hung(file, &look->luns);
    page_write_luns(file, &look->luns);
    page_write_helpers(file, &look->crowd);
    page_write_limits(file, look);
    fputs("</main>", file);
    page_end(file);
}

void page_write_missing(FILE *file)
{
    page_begin(file, "Page not found");
    fputs("<main><h1>Page not found</h1><p><a href=\"/\">The node's page</a></p></main>", file);
    page_end(file);
}
