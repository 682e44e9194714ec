// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The command line of a QEMU, which the starter of a process may choose, to the doctor. Input: the
 * arguments, each with its NUL. The disk is "/d".
 */
#include "doctor/qemu_disk.h"
#include "doctor/qemu_option.h"
#include "fuzz.h"

static bool is_disk(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "/d") == 0;
}

/* JSON with the members that an option turned out to have says the same. */
static void check_option(const char *text, const char *implied)
{
    struct json_object *option = qemu_option_parse(text, implied), *again;
    const char *json;

    if (!option)
        return;
    json_object_object_foreach(option, name, value)
    {
        fuzz_check(json_object_is_type(value, json_type_string));
        fuzz_check(qemu_option_get(option, name) == json_object_get_string(value));
    }
    json = strstr(text, "json:") ? NULL : json_object_to_json_string(option);
    again = json ? qemu_option_parse(json, NULL) : NULL;
    fuzz_check(!again || json_object_equal(again, option));
    json_object_put(again);
    json_object_put(option);
}

static void check_same(const struct qemu_disk *a, const struct qemu_disk *b)
{
    fuzz_check(strcmp(a->model, b->model) == 0 && strcmp(a->helper, b->helper) == 0);
    fuzz_check(strcmp(a->machine, b->machine) == 0);
    fuzz_check(a->passes == b->passes && a->managed == b->managed && a->stops == b->stops);
    fuzz_check(a->migration == b->migration);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char before[] = "qemu-system-x86_64\0-smp\0004";
    struct reader input = reader_over(data, size);
    char helper[QEMU_HELPER_MAX] = "";
    struct qemu_disk disk, again;
    size_t text_size;
    char *text = (char *)fuzz_rest(&input, true, &text_size);
    char *longer = malloc(sizeof(before) + text_size + 1);

    fuzz_check(longer);
    for (const char *word = text; word < text + text_size; word += strlen(word) + 1) {
        check_option(word, NULL);
        check_option(word, "driver");
    }
    qemu_disk_find(text, text_size, is_disk, NULL, &disk);
    fuzz_check(disk.model[0] || (!disk.passes && !disk.managed && !disk.helper[0]));
    fuzz_check(disk.managed || !disk.helper[0]);
    fuzz_check(!disk.model[0] || memmem(text, text_size, "/d", 2) ||
               memmem(text, text_size, "json:", 5) || memchr(text, '\\', text_size));
    fuzz_check(qemu_helper_find(text, text_size, helper) || !helper[0]);

    /* Arguments that are about something else make no difference. */
    memcpy(longer, before, sizeof(before));
    memcpy(longer + sizeof(before), text, text_size + 1);
    qemu_disk_find(longer, sizeof(before) + text_size, is_disk, NULL, &again);
    check_same(&disk, &again);
    free(longer);
    free(text);
    return 0;
}
