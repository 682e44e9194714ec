// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Evidence is told with each finding. "Its source sends this" and "believed of it" are not the
 * same, and a user who decides by it has to know which of them it is.
 */
#include "validate/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/document.h"

#define REPORT_WIDTH 92

static const struct evidence {
    const char *letter, *words;
} evidences[] = {
    {"S", "source code or specification read"},
    {"D", "vendor's document read"},
    {"C", "claimed without proof"},
    {"M", "from memory, unconfirmed"},
};

static const char *report_evidence(const char *letter)
{
    for (size_t i = 0; letter && i < sizeof(evidences) / sizeof(evidences[0]); i++) {
        if (strcmp(evidences[i].letter, letter) == 0)
            return evidences[i].words;
    }
    return NULL;
}

/* Words with an indent, in lines that are not longer than a terminal mostly is. */
static void report_words(FILE *file, unsigned indent, const char *text)
{
    size_t column = indent;
    bool begin = true;

    fprintf(file, "%*s", (int)indent, "");
    while (*text) {
        size_t length = strcspn(text, " ");

        if (!begin && column + 1 + length > REPORT_WIDTH) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
            begin = true;
        }
        fprintf(file, "%s%.*s", begin ? "" : " ", (int)length, text);
        column += length + !begin;
        begin = false;
        text += length + (text[length] == ' ');
    }
    fputc('\n', file);
}

static void report_labelled(FILE *file, struct json_object *record, const char *name,
                            const char *label)
{
    const char *value = document_text(record, name);
    char text[2048];

    if (!value)
        return;
    snprintf(text, sizeof(text), "%s%s", label, value);
    report_words(file, 8, text);
}

static void report_known(FILE *file, struct json_object *step)
{
    for (size_t i = 0; i < document_count(step, "known"); i++) {
        struct json_object *one = document_item(step, "known", i);
        const char *target = document_text(one, "target");
        const char *words = report_evidence(document_text(one, "evidence"));
        char text[512];

        snprintf(text, sizeof(text), "Known of: %s%s%s%s", target ? target : "", words ? " (" : "",
                 words ? words : "", words ? ")" : "");
        report_words(file, 8, text);
    }
}

static bool report_is(struct json_object *record, const char *verdict)
{
    const char *found = document_text(record, "verdict");

    return found && strcmp(found, verdict) == 0;
}

static const char *report_label(struct json_object *record)
{
    return report_is(record, "fail")      ? "FAIL"
           : report_is(record, "note")    ? "note"
           : report_is(record, "unknown") ? "?"
           : report_is(record, "skipped") ? "-"
                                          : "ok";
}

static void report_step(FILE *file, struct json_object *step, bool full)
{
    const char *nexus = document_text(step, "nexus"), *sent = document_text(step, "sent");
    const char *answer = document_text(step, "answer"), *got = document_text(step, "got");
    const char *source = document_text(step, "source");
    const char *words = report_evidence(document_text(step, "evidence"));
    bool plain = report_is(step, "pass") || report_is(step, "skipped");
    char text[1024];

    if (plain && !full)
        return;
    fprintf(file, "    %-4s  %-5s %s%s%s\n", report_label(step), document_text(step, "id"),
            nexus ? nexus : "", nexus ? ": " : "", sent ? sent : "");
    snprintf(text, sizeof(text), "%s%s%s%s%s%s, after %.2f ms",
             plain ? "" : "expected: ", plain ? "" : document_text(step, "expected"),
             plain ? "" : "; found: ", got && !(plain && answer) ? got : "",
             answer && !plain ? "; answer: " : "", answer ? answer : "",
             document_seconds(step, "ms"));
    report_words(file, 8, text);
    if (document_text(step, "attention")) {
        snprintf(text, sizeof(text), "unit attentions before: %d, the first %s",
                 (int)document_number(step, "attentions"), document_text(step, "attention"));
        report_words(file, 8, text);
    }
    if (plain)
        return;
    report_labelled(file, step, "quirk", "Quirk: ");
    report_labelled(file, step, "means", "Meaning: ");
    report_labelled(file, step, "concerns", "Affects: ");
    report_known(file, step);
    report_labelled(file, step, "why", "Sent because: ");
    if (words) {
        snprintf(text, sizeof(text), "Evidence: %s%s%s%s", words, source ? " [" : "",
                 source ? source : "", source ? "]" : "");
        report_words(file, 8, text);
    }
}

static double report_slowest(struct json_object *sequence)
{
    double slowest = 0;

    for (size_t i = 0; i < document_count(sequence, "steps"); i++) {
        double ms = document_seconds(document_item(sequence, "steps", i), "ms");

        slowest = ms > slowest ? ms : slowest;
    }
    return slowest;
}

/* Of a profile, or of one of its senders. */
static const char *report_verdict(struct json_object *profile)
{
    if (document_object(profile, "sequences") && document_count(profile, "sequences") == 0)
        return "nothing to test";
    return report_is(profile, "pass") ? "will pass"
           : report_is(profile, "partly")
               ? "will pass as far as one I_T nexus can tell; see --second"
           : report_is(profile, "fail") ? "WILL NOT PASS"
                                        : "could not be determined";
}

/* Each program's or version's verdict; those of a summary only if they are not the same. */
static void report_senders(FILE *file, struct json_object *profile, unsigned indent,
                           bool only_if_different)
{
    size_t count = document_count(profile, "senders");
    bool different = false;

    for (size_t i = 0; i < count; i++)
        different = different || !report_is(document_item(profile, "senders", i),
                                            document_text(profile, "verdict"));
    for (size_t i = 0; i < count && (different || !only_if_different); i++) {
        struct json_object *sender = document_item(profile, "senders", i);
        char text[256];

        snprintf(text, sizeof(text), "%s: %s", document_text(sender, "name"),
                 report_verdict(sender));
        report_words(file, indent, text);
    }
}

void report_profile(FILE *file, struct json_object *profile, bool full)
{
    fprintf(file, "%s: %s\n", document_text(profile, "name"), document_text(profile, "title"));
    if (document_text(profile, "note"))
        report_words(file, 4, document_text(profile, "note"));
    for (size_t i = 0; i < document_count(profile, "sequences"); i++) {
        struct json_object *sequence = document_item(profile, "sequences", i);
        const char *why = document_text(sequence, "why");

        fprintf(file, "  %-4s  %-14s %s", report_label(sequence), document_text(sequence, "name"),
                document_text(sequence, "title") ? document_text(sequence, "title") : "");
        if (why)
            fprintf(file, " (%s)\n", why);
        else
            fprintf(file, " (steps: %zu, the longest %.2f ms)\n", document_count(sequence, "steps"),
                    report_slowest(sequence));
        for (size_t j = 0; j < document_count(sequence, "steps"); j++)
            report_step(file, document_item(sequence, "steps", j), full);
    }
    if (full && json_object_is_type(document_object(profile, "sources"), json_type_object)) {
        json_object_object_foreach(document_object(profile, "sources"), name, value)
        {
            fprintf(file, "    [%s] %s\n", name, json_object_get_string(value));
        }
    }
    fprintf(file, "  => %s\n", report_verdict(profile));
    report_senders(file, profile, 5, false);
    if (document_number(profile, "untried") > 0)
        fprintf(file,
                "     (%d steps could not be tested here: no data is protected, or page 83h is "
                "missing)\n",
                (int)document_number(profile, "untried"));
    fputc('\n', file);
}

void report_verdicts(FILE *file, struct json_object *report)
{
    for (size_t i = 0; i < document_count(report, "profiles"); i++) {
        struct json_object *profile = document_item(report, "profiles", i);

        fprintf(file, "%-14s %s\n", document_text(profile, "name"), report_verdict(profile));
        report_senders(file, profile, 15, true);
    }
}

void report_all(FILE *file, struct json_object *report)
{
    static const char *const shown[] = {"version", "library", "kernel", "date",  "way",  "device",
                                        "second",  "unit",    "vendor", "model", "paths"};

    fprintf(file, "qemu-pr-ctl validate\n\n");
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (document_text(report, shown[i]))
            fprintf(file, "%-10s %s\n", shown[i], document_text(report, shown[i]));
    }
    fputc('\n', file);
    report_verdicts(file, report);
    if (document_text(report, "left"))
        fprintf(file, "\nNot cleaned up: %s\n", document_text(report, "left"));
    fputc('\n', file);
    for (size_t i = 0; i < document_count(report, "profiles"); i++)
        report_profile(file, document_item(report, "profiles", i), true);
}
