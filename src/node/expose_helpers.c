// SPDX-License-Identifier: LGPL-2.1-or-later
/* One walk over the helpers for each family: all samples of a family have to stand together. */
#include <string.h>

#include "node/expose.h"

static struct expose_labels expose_of_helper(const struct crowd_member *member)
{
    struct expose_labels labels = {.used = 0};

    expose_label(&labels, "helper", member->name);
    return labels;
}

/* Single numbers, by what the document says. */
static const struct expose_row {
    struct expose_family family;
    enum facts_number number;
    double factor; /* 0: 1 */
} expose_rows[] = {
    {{"clients", "gauge", NULL, "Clients connected now"}, FACTS_CLIENTS},
    {{"max_clients", "gauge", NULL, "Maximum number of clients"}, FACTS_MAX_CLIENTS},
    {{"clients_accepted", "counter", NULL, "Clients that have connected"}, FACTS_ACCEPTED},
    {{"clients_refused", "counter", NULL, "Clients refused because there were too many"},
     FACTS_REFUSED},
    {{"requests", "counter", NULL, "Requests answered"}, FACTS_REQUESTS},
    {{"requests_busy", "counter", NULL,
      "Requests answered BUSY by the helper itself, for lack of a thread or of budget"},
     FACTS_BUSY},
    {{"threads", "gauge", NULL, "Threads that serve clients"}, FACTS_THREADS},
    {{"idle_threads", "gauge", NULL, "Idle threads"}, FACTS_IDLE},
    {{"max_threads", "gauge", NULL, "Maximum number of threads"}, FACTS_MAX_THREADS},
    {{"max_buffers_bytes", "gauge", "bytes", "Maximum memory for buffers"},
     FACTS_MAX_BUFFERS,
     1048576},
    {{"io_deadline_seconds", "gauge", "seconds", "Kernel time-out for a command"},
     FACTS_IO_TIMEOUT},
    {{"client_deadline_seconds", "gauge", "seconds",
      "Time-out for a client in the middle of a request"},
     FACTS_CLIENT_TIMEOUT},
    {{"stop_deadline_seconds", "gauge", "seconds", "How long stopping waits for commands"},
     FACTS_STOP_TIMEOUT},
    {{"hung_after_seconds", "gauge", "seconds", "When a command counts as hung"}, FACTS_HUNG_AFTER},
    {{"devices_forgotten", "counter", NULL,
      "Device records that were dropped to make room for another"},
     FACTS_FORGOTTEN},
    {{"log_lines_left_out", "counter", NULL,
      "Log lines suppressed because there were too many at once"},
     FACTS_LEFT_OUT},
    {{"same_nexus_alarms", "counter", NULL, "Alarms because clients share one I_T nexus"},
     FACTS_ALARMS},
};

static void expose_numbers(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    for (const struct expose_row *row = expose_rows;
         row < expose_rows + sizeof(expose_rows) / sizeof(expose_rows[0]); row++) {
        bool is_counter = strcmp(row->family.type, "counter") == 0;

        expose_head(file, format, &row->family);
        for (unsigned i = 0; i < crowd->n_members; i++) {
            const struct crowd_member *member = &crowd->members[i];
            struct expose_labels labels = expose_of_helper(member);

            if (member->state == CROWD_ANSWERED)
                expose_sample(file, &row->family, is_counter ? "_total" : "", &labels,
                              member->facts.numbers[row->number] *
                                  (row->factor > 0 ? row->factor : 1));
        }
    }
}

static void expose_answers(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    static const struct expose_family up = {"up", "gauge", NULL,
                                            "1 if the helper's status could be read"},
                                      took = {"answer_seconds", "gauge", "seconds",
                                              "How long reading the status took"},
                                      problem = {"problem", "info", NULL,
                                                 "Why a helper's status could not be read"};

    expose_head(file, format, &up);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct expose_labels labels = expose_of_helper(&crowd->members[i]);

        expose_sample(file, &up, "", &labels, crowd->members[i].state == CROWD_ANSWERED);
    }
    expose_head(file, format, &took);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct expose_labels labels = expose_of_helper(&crowd->members[i]);

        expose_sample(file, &took, "", &labels, crowd->members[i].took_s);
    }
    expose_head(file, format, &problem);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct expose_labels labels = expose_of_helper(&crowd->members[i]);

        if (crowd->members[i].state == CROWD_ANSWERED)
            continue;
        expose_label(&labels, "reason", crowd_state_word(crowd->members[i].state));
        expose_sample(file, &problem, "_info", &labels, 1);
    }
}

static double expose_worker_failed(const struct facts *facts)
{
    return facts->worker_failed;
}

static double expose_worker_queue(const struct facts *facts)
{
    return facts->worker_queue;
}

static double expose_hung(const struct facts *facts)
{
    return facts->n_hung;
}

static double expose_left_out(const struct facts *facts)
{
    return facts->left_out;
}

static void expose_measures(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    static const struct {
        struct expose_family family;
        double (*measure)(const struct facts *facts);
    } measures[] = {
        {{"worker_failed", "gauge", NULL,
          "1 if the process for multipath maps cannot be started, or has failed"},
         expose_worker_failed},
        {{"worker_queue", "gauge", NULL, "Commands for multipath maps without an answer yet"},
         expose_worker_queue},
        {{"hung_commands", "gauge", NULL, "Commands that devices do not answer"}, expose_hung},
        {{"rows_left_out", "gauge", NULL, "Devices, keys and clients left out of the status"},
         expose_left_out},
    };

    for (size_t k = 0; k < sizeof(measures) / sizeof(measures[0]); k++) {
        expose_head(file, format, &measures[k].family);
        for (unsigned i = 0; i < crowd->n_members; i++) {
            const struct crowd_member *member = &crowd->members[i];
            struct expose_labels labels = expose_of_helper(member);

            if (member->state == CROWD_ANSWERED)
                expose_sample(file, &measures[k].family, "", &labels,
                              measures[k].measure(&member->facts));
        }
    }
}

static void expose_identity(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    static const struct expose_family build = {"build", "info", NULL,
                                               "The helper's version, and its socket for clients"},
                                      started = {"start_time_seconds", "gauge", "seconds",
                                                 "When the helper started"};

    expose_head(file, format, &build);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];
        struct expose_labels labels = expose_of_helper(member);

        if (member->state != CROWD_ANSWERED)
            continue;
        expose_label(&labels, "version", member->facts.version);
        expose_label(&labels, "socket", member->facts.socket);
        expose_sample(file, &build, "_info", &labels, 1);
    }
    expose_head(file, format, &started);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];
        struct expose_labels labels = expose_of_helper(member);

        if (member->state == CROWD_ANSWERED)
            expose_sample(file, &started, "", &labels, member->facts.started_s);
    }
}

static void expose_histogram(FILE *file, const struct expose_family *family,
                             const struct crowd_member *member, const char *command,
                             const struct facts_times *times)
{
    struct expose_labels common = expose_of_helper(member), labels;
    char bound[32];

    expose_label(&common, "command", command);
    for (unsigned i = 0; i < times->n_buckets; i++) {
        labels = common;
        snprintf(bound, sizeof(bound), "%.9g", times->bound_s[i]);
        expose_label(&labels, "le", bound);
        expose_sample(file, family, "_bucket", &labels, times->up_to[i]);
    }
    labels = common;
    expose_label(&labels, "le", "+Inf");
    expose_sample(file, family, "_bucket", &labels, times->count);
    expose_sample(file, family, "_sum", &common, times->sum_s);
    expose_sample(file, family, "_count", &common, times->count);
}

static void expose_times(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    static const struct expose_family family = {"command_seconds", "histogram", "seconds",
                                                "Time that devices took for commands"};
    static const char *const commands[FACTS_COMMANDS] = {"in", "out", "cleanup"};

    expose_head(file, format, &family);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        const struct crowd_member *member = &crowd->members[i];

        for (unsigned k = 0; member->state == CROWD_ANSWERED && k < FACTS_COMMANDS; k++) {
            if (member->facts.times[k].count > 0)
                expose_histogram(file, &family, member, commands[k], &member->facts.times[k]);
        }
    }
}

void expose_helpers(FILE *file, enum expose_format format, const struct crowd *crowd)
{
    expose_answers(file, format, crowd);
    expose_identity(file, format, crowd);
    expose_numbers(file, format, crowd);
    expose_measures(file, format, crowd);
    expose_times(file, format, crowd);
}
