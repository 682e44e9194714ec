// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Specifications of trace events. Input: a pattern, a newline, a specification, a newline, and the
 * file "@" of patterns, which counts if the specification names it.
 */
#include "files.h"
#include "serve/trace.h"

#define EVENTS 6

/* The pattern language once more, for patterns without a bracket. */
static bool matches(const char *pattern, const char *name)
{
    if (!*pattern)
        return !*name;
    if (*pattern == '*')
        return matches(pattern + 1, name) || (*name && matches(pattern, name + 1));
    return *name && (*pattern == '?' || *pattern == *name) && matches(pattern + 1, name + 1);
}

static void check_pattern(const char *pattern, bool at_first)
{
    static const char *const names[EVENTS] = {"a", "ab", "aab", "pr_in", "pr_out", "conn_open"};
    const char *name = pattern[0] == '-' ? pattern + 1 : pattern;
    struct trace_event events[EVENTS] = {0};
    bool expected_found = strpbrk(name, "*?") != NULL;
    bool found;

    for (size_t i = 0; i < EVENTS; i++) {
        events[i].name = names[i];
        events[i].arguments = "";
        events[i].enabled = at_first;
    }
    found = trace_apply(events, EVENTS, pattern);
    for (size_t i = 0; i < EVENTS; i++) {
        bool hit = matches(name, names[i]);

        fuzz_check(events[i].enabled == (hit ? pattern[0] != '-' : at_first));
        expected_found = expected_found || hit;
    }
    fuzz_check(found == expected_found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    size_t text_size;
    char *text = (char *)fuzz_rest(&input, true, &text_size);
    char *rest = text;
    char *pattern = strsep(&rest, "\n");
    char *spec = rest ? strsep(&rest, "\n") : NULL;
    int before, result;

    files_set((const uint8_t *)(rest ? rest : ""), rest ? text_size - (size_t)(rest - text) : 0);
    before = files_next_fd();
    /* Few wildcards: the second computation takes its time over many. */
    if (!strchr(pattern, '[') && strlen(pattern) <= 12) {
        check_pattern(pattern, false);
        check_pattern(pattern, true);
    }
    if (spec) {
        (void)trace_is_help(spec);
        result = trace_parse(spec);
        fuzz_check(result <= 0 && trace_parse(spec) == result);
    }
    fuzz_check(files_next_fd() == before);
    free(text);
    return 0;
}
