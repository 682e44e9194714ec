// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What multipathd says to the doctor, and the configuration that this is. Input: a number of lines,
 * the map's device-mapper UUID, a newline, the rest.
 */
#include "ctl/sysfs.h"
#include "doctor/multipath_conf.h"
#include "said.h"

static const char *map_uuid = "";

/* In the place of src/ctl/sysfs.c. */
bool sysfs_read(char *text, size_t size, const char *format, ...)
{
    (void)format;
    snprintf(text, size, "%s", map_uuid);
    return *text != '\0';
}

/* The same with a setting more, which is none of the doctor's, before line n. */
static char *with_a_line(const char *text, unsigned n)
{
    static const char line[] = "\tpath_checker \"tur\"\n";
    size_t size = strlen(text), at = 0;
    char *longer = malloc(size + sizeof(line));

    fuzz_check(longer);
    while (n-- > 0 && strchr(text + at, '\n'))
        at = (size_t)(strchr(text + at, '\n') - text) + 1;
    memcpy(longer, text, at);
    memcpy(longer + at, line, sizeof(line) - 1);
    memcpy(longer + at + sizeof(line) - 1, text + at, size - at + 1);
    return longer;
}

static void check_configuration(const char *text, unsigned line)
{
    const uint64_t untouched = 0x756e746f75636864;
    uint64_t key = untouched, again = untouched;
    enum key_source source = multipath_conf_key(text, "dm-0", &key);
    char *longer = with_a_line(text, line);

    fuzz_check(source == KEY_FIXED || key == untouched);
    fuzz_check(source != KEY_FIXED || strstr(text, "reservation_key"));
    fuzz_check(source != KEY_FILE || strstr(text, "file"));
    fuzz_check(multipath_conf_key(longer, "dm-0", &again) == source && again == key);
    free(longer);
}

/* Said as a message, a text is what the question returns, but for the newlines at its end. */
static void check_message(const char *text)
{
    size_t length = strlen(text), size = length + 1;
    uint8_t *message = malloc(sizeof(size) + size), asked[64];
    char *answer = NULL;

    fuzz_check(message);
    memcpy(message, &size, sizeof(size));
    memcpy(message + sizeof(size), text, size);
    said_set(message, sizeof(size) + size);
    fuzz_check(multipathd_ask(MULTIPATHD_FILE, "show config local", &answer) == 0);
    while (length > 0 && text[length - 1] == '\n')
        length--;
    fuzz_check(strlen(answer) == length && memcmp(answer, text, length) == 0);
    free(answer);
    fuzz_check(said_asked(asked, sizeof(asked)) > sizeof(size));
    free(message);
}

/* Said as it is, with a length that may be anything. */
static void check_bytes(const uint8_t *bytes, size_t size)
{
    uint64_t key = 1;
    uint8_t asked[64];
    char *answer = NULL;
    int r;

    said_set(bytes, size);
    r = multipathd_ask(MULTIPATHD_ABSTRACT, "show config local", &answer);
    fuzz_check(r <= 0 && (r == 0) == (answer != NULL));
    fuzz_check(r < 0 || strlen(answer) <= size - sizeof(size_t));
    free(answer);
    said_asked(asked, sizeof(asked));

    multipath_conf_ask_key(MULTIPATHD_ABSTRACT, "dm-0", &key);
    fuzz_check(r == 0 || key == 1);
    said_asked(asked, sizeof(asked));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    unsigned line = reader_u8(&input);
    size_t text_size;
    char *text, *rest;

    if (!reader_ok(&input))
        return 0;
    text = (char *)fuzz_rest(&input, true, &text_size);
    rest = text;
    map_uuid = strsep(&rest, "\n");
    if (rest) {
        check_configuration(rest, line);
        check_message(rest);
        check_bytes((const uint8_t *)rest, text_size - (size_t)(rest - text));
    }
    free(text);
    return 0;
}
