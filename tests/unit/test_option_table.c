// SPDX-License-Identifier: LGPL-2.1-or-later
/* A small table of options: what --help shows of it, and what command lines lead to. */
#include "cmocka_compat.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/option_table.h"

struct target {
    bool flag, choice;
    unsigned count, number;
    const char *text, *path;
};

#define FIELD(name) .field = offsetof(struct target, name)

static const struct option_row rows[] = {
    {'f', "flag", NULL, "a flag", .set = option_set_flag, FIELD(flag)},
    {'c', "count", NULL, "how often", .set = option_set_count, FIELD(count)},
    {0},
    {'n', "number", "N", "a number", "7", .set = option_set_number, FIELD(number), .min = 2,
     .max = 30, .unit = "apples"},
    {0, "choice", "on|off", "two lines,\nthe second one shorter", "on", .set = option_set_choice,
     FIELD(choice), .choice = {"off", "on"}},
    {0, "text-of-many-letters", "TEXT", "its name leaves no room beside it", .set = option_set_text,
     FIELD(text)},
    {0, "path", "FILE", "a path", "/a/path/that/is/too/long/for/the/line/of/the/text/it/belongs/to",
     .set = option_set_path, FIELD(path)},
    {0, "hidden", "TEXT", .set = option_set_text, FIELD(text)},
    {'h', "help", NULL, "not stored"},
};
static const struct option_table table = {rows, sizeof(rows) / sizeof(rows[0])};

static void test_help(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    assert_non_null(file);
    option_table_print(&table, file);
    fclose(file);
    assert_string_equal(text, "  -f, --flag                  a flag\n"
                              "  -c, --count                 how often\n"
                              "\n"
                              "  -n, --number=N              a number (default 7)\n"
                              "      --choice=on|off         two lines,\n"
                              "                              the second one shorter (default on)\n"
                              "      --text-of-many-letters=TEXT\n"
                              "                              its name leaves no room beside it\n"
                              "      --path=FILE             a path\n"
                              "                              (default "
                              "/a/path/that/is/too/long/for/the/line/of/the/text/it/belongs/to)\n"
                              "  -h, --help                  not stored\n");
    free(text);
}

/* The default values, then what the line says. Returns what ended the walk. */
static int walk(struct target *target, struct option_use *use, const char *line)
{
    static char copy[256];
    char *argv[16] = {(char *)"program"};
    struct option_walk walk = {.table = &table, .argc = 1, .argv = argv};
    int r;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[walk.argc++] = word;
    *target = (struct target){0};
    option_table_init(&table, target);
    opterr = 0;
    use->target = target;
    strcpy(use->error, "");
    while ((r = option_walk_next(&walk, &use->row, &use->value)) > 0) {
        if (use->row->set && (r = use->row->set(use)) < 0)
            return r;
    }
    return r;
}

static void test_initial(void **state)
{
    struct option_use use;
    struct target target;

    assert_int_equal(walk(&target, &use, ""), 0);
    assert_false(target.flag);
    assert_true(target.choice);
    assert_int_equal(target.count, 0);
    assert_int_equal(target.number, 7);
    assert_null(target.text);
    assert_string_equal(target.path,
                        "/a/path/that/is/too/long/for/the/line/of/the/text/it/belongs/to");
}

/* Letters in one word, shortened names, values beside and behind; the last one wins. */
static void test_values(void **state)
{
    struct option_use use;
    struct target target;

    assert_int_equal(walk(&target, &use, "-ccf --cho off -n2 --num=30 --path /x --hidden=y -h z"),
                     0);
    assert_true(target.flag);
    assert_false(target.choice);
    assert_int_equal(target.count, 2);
    assert_int_equal(target.number, 30);
    assert_string_equal(target.path, "/x");
    assert_string_equal(target.text, "y");
    assert_int_equal(optind, 10); /* the only one that is no option */
}

static void test_rejected(void **state)
{
    static const struct {
        const char *line, *error;
    } cases[] = {
        {"-n1", "--number=1: not a number of apples from 2 to 30"},
        {"--number=31", "--number=31: not a number of apples from 2 to 30"},
        {"--number=+3", "--number=+3: not a number of apples from 2 to 30"},
        {"--choice=maybe", "--choice=maybe: not off or on"},
        {"--path=x", "--path=x: not an absolute path"},
        {"--unknown", ""},
        {"-n", ""},
        {"-x", ""},
        {"--flag=1", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct option_use use;
        struct target target;

        assert_int_equal(walk(&target, &use, cases[i].line), -EINVAL);
        assert_string_equal(use.error, cases[i].error);
        assert_int_equal(target.number, 7);
        assert_true(target.choice);
    }
}

static void test_find(void **state)
{
    assert_ptr_equal(option_table_find(&table, "hidden"), &rows[7]);
    assert_null(option_table_find(&table, "hid"));
    assert_null(option_table_find(&table, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),   cmocka_unit_test(test_initial),
        cmocka_unit_test(test_values), cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
