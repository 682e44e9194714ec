// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What needs attention, a line each: LUNs shared by one nexus, commands that hang, keys that
 * virtual machines have left behind. A key that may or may not be stale is not listed: live
 * migration leaves such keys, and so does an administrator who registers one.
 */
#include <string.h>

#include "base/escape.h"
#include "monitor/status_tables.h"
#include "monitor/table.h"
#include "monitor/words.h"
#include "node/document.h"

/* Another one of a list in words; what does not fit is cut. */
static void alarms_add(char list[WORDS_MAX], const char *text)
{
    size_t used = strlen(list);

    snprintf(list + used, WORDS_MAX - used, "%s%s", used > 0 ? ", " : "", text);
}

static bool alarms_is_one_nexus(struct json_object *a, struct json_object *b)
{
    const char *nexus = document_text(a, "nexus"), *other = document_text(b, "nexus");

    return a == b || (nexus && other && strcmp(nexus, other) == 0);
}

/*
 * A disk and its SCSI generic device are two devices but one nexus, which is reported once, at the
 * first of them. Returns the number of lines.
 */
static unsigned alarms_print_shared(struct json_object *document, struct json_object *device,
                                    FILE *file)
{
    struct json_object *shared = document_object(device, "same_nexus");
    char names[WORDS_MAX] = "", vms[WORDS_MAX] = "", escaped[WORDS_MAX], raw[TABLE_CELL_MAX];

    if (!shared)
        return 0;
    for (size_t i = 0; i < document_count(document, "devices"); i++) {
        struct json_object *one = document_item(document, "devices", i);

        if (!alarms_is_one_nexus(one, device))
            continue;
        if (!*names && one != device)
            return 0;
        words_device(one, raw, sizeof(raw));
        alarms_add(names, raw);
    }
    for (size_t i = 0; i < document_count(shared, "vms"); i++) {
        const char *vm = json_object_get_string(document_item(shared, "vms", i));

        alarms_add(vms, vm ? vm : "unknown");
    }
    escape_text(escaped, sizeof(escaped), names);
    fprintf(file, "SAME NEXUS  %s: ", escaped);
    escape_text(escaped, sizeof(escaped), vms);
    fprintf(file, "%s are one initiator to the disk, and reservations cannot keep them apart\n",
            escaped);
    return 1;
}

/* Returns how many lines. */
static unsigned alarms_print_device(struct json_object *document, struct json_object *device,
                                    FILE *file)
{
    char raw[TABLE_CELL_MAX], name[WORDS_MAX], vm[WORDS_MAX], old[WORDS_AGE_MAX];
    unsigned lines = alarms_print_shared(document, device, file);

    words_device(device, raw, sizeof(raw));
    escape_text(name, sizeof(name), raw);
    for (size_t i = 0; i < document_count(device, "in_flight"); i++) {
        struct json_object *command = document_item(device, "in_flight", i);

        if (!document_flag(command, "hung"))
            continue;
        escape_text(vm, sizeof(vm), words_vm(command));
        fprintf(file, "HUNG        %s: a command of %s has been in flight for %s\n", name, vm,
                words_age(document_seconds(command, "age_s"), old));
        lines++;
    }
    for (size_t i = 0; i < document_count(device, "keys"); i++) {
        struct json_object *key = document_item(device, "keys", i);

        if (strcmp(words_key_state(key), "stale") != 0)
            continue;
        escape_text(vm, sizeof(vm), words_vm(key));
        escape_text(raw, sizeof(raw), words_text(key, "key", "?"));
        fprintf(file, "STALE KEY   %s: %s of %s, which is gone; see qemu-pr-ctl cleanup --key\n",
                name, raw, vm);
        lines++;
    }
    return lines;
}

void status_print_alarms(struct json_object *document, FILE *file)
{
    size_t count = document_count(document, "devices");
    unsigned lines = 0;

    fprintf(file, "\n");
    for (size_t i = 0; i < count; i++)
        lines += alarms_print_device(document, document_item(document, "devices", i), file);
    if (lines > 0)
        fprintf(file, "\n");
}
