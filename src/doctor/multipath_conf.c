// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipathd prints its configuration as a multipath.conf with one setting a line, values in
 * quotes, and `}` on lines of their own. Asking multipathd instead of reading the file shows what
 * is in effect, from all configuration files.
 */
#include "doctor/multipath_conf.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/sysfs.h"

#define CONF_LINE_MAX 512

struct setting {
    bool given;
    char value[64];
};

static void multipath_conf_take(const char *value, struct setting *setting)
{
    setting->given = true;
    snprintf(setting->value, sizeof(setting->value), "%s", value);
}

/* "0x123abc", with ":aptpl" behind it if that was asked for; else "none" or a refusal. */
static bool multipath_conf_parse_key(const char *text, uint64_t *ret_key)
{
    char digits[32];

    snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(text, ":"), text);
    return parse_hex(digits, UINT64_MAX, ret_key);
}

/* "name value" or "name "value"" in place; an empty value if there is none. */
static const char *multipath_conf_split(char *line, const char **ret_value)
{
    char *name = line + strspn(line, " \t"), *value = name + strcspn(name, " \t");

    if (*value)
        *value++ = '\0';
    value += strspn(value, " \t\"");
    value[strcspn(value, "\"")] = '\0';
    *ret_value = value;
    return name;
}

/* A walk over the settings, and over the ends of sections. */
struct conf {
    const char *rest;
    unsigned depth;   /* of the line: 1 in a section, 2 in a section of that */
    char section[32]; /* the outermost one */
    const char *name, *value;
    char line[CONF_LINE_MAX];
};

/* The next setting, or the "}" of the section of that depth. False: that was all. */
static bool multipath_conf_next(struct conf *conf)
{
    if (conf->name && strcmp(conf->name, "}") == 0)
        conf->depth -= conf->depth > 0;
    while (*conf->rest) {
        size_t length = strcspn(conf->rest, "\n");

        snprintf(conf->line, sizeof(conf->line), "%.*s", (int)length, conf->rest);
        conf->rest += length + (conf->rest[length] == '\n');
        conf->name = multipath_conf_split(conf->line, &conf->value);
        if (strcmp(conf->value, "{") != 0)
            return true;
        if (conf->depth++ == 0)
            snprintf(conf->section, sizeof(conf->section), "%s", conf->name);
    }
    return false;
}

static bool multipath_conf_is(const struct conf *conf, const char *section, unsigned depth,
                              const char *name)
{
    return conf->depth == depth && strcmp(conf->section, section) == 0 &&
           strcmp(conf->name, name) == 0;
}

enum key_source multipath_conf_key(const char *configuration, const char *block, uint64_t *ret_key)
{
    struct setting defaults = {.given = false}, own = {.given = false}, here = {.given = false};
    struct conf conf = {.rest = configuration};
    const struct setting *setting;
    bool is_this = false;
    char uuid[160];

    sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", block);
    while (multipath_conf_next(&conf)) {
        if (strcmp(conf.name, "}") == 0) {
            if (conf.depth == 2 && is_this && here.given)
                own = here;
            here.given = is_this = false;
        } else if (multipath_conf_is(&conf, "defaults", 1, "reservation_key")) {
            multipath_conf_take(conf.value, &defaults);
        } else if (multipath_conf_is(&conf, "multipaths", 2, "reservation_key")) {
            multipath_conf_take(conf.value, &here);
        } else if (strcmp(conf.name, "wwid") == 0 && conf.depth == 2) {
            is_this = strncmp(uuid, "mpath-", 6) == 0 && strcmp(conf.value, uuid + 6) == 0;
        }
    }
    if (!conf.section[0])
        return KEY_UNKNOWN;
    setting = own.given ? &own : &defaults;
    if (!setting->given)
        return KEY_NONE;
    if (strcmp(setting->value, "file") == 0)
        return KEY_FILE;
    return multipath_conf_parse_key(setting->value, ret_key) ? KEY_FIXED : KEY_UNKNOWN;
}

/* Vendors and products are extended regular expressions, multipath.conf(5). */
static bool multipath_conf_matches(const char *expression, const char *text)
{
    regex_t compiled;
    bool matches;

    if (regcomp(&compiled, expression, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    matches = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return matches;
}

bool multipath_conf_all_tg_pt(const char *configuration, const char *vendor, const char *product)
{
    struct setting defaults = {.given = false}, device = {.given = false},
                   overrides = {.given = false}, here = {.given = false};
    struct conf conf = {.rest = configuration};
    const struct setting *setting;
    bool is_this = true;

    while (multipath_conf_next(&conf)) {
        if (strcmp(conf.name, "}") == 0) {
            if (conf.depth == 2 && is_this && here.given)
                device = here;
            here.given = false;
            is_this = true;
        } else if (multipath_conf_is(&conf, "devices", 2, "vendor")) {
            is_this &= multipath_conf_matches(conf.value, vendor);
        } else if (multipath_conf_is(&conf, "devices", 2, "product")) {
            is_this &= multipath_conf_matches(conf.value, product);
        } else if (multipath_conf_is(&conf, "defaults", 1, "all_tg_pt")) {
            multipath_conf_take(conf.value, &defaults);
        } else if (multipath_conf_is(&conf, "devices", 2, "all_tg_pt")) {
            multipath_conf_take(conf.value, &here);
        } else if (multipath_conf_is(&conf, "overrides", 1, "all_tg_pt")) {
            multipath_conf_take(conf.value, &overrides);
        }
    }
    setting = overrides.given ? &overrides : device.given ? &device : &defaults;
    return setting->given &&
           (strcmp(setting->value, "yes") == 0 || strcmp(setting->value, "1") == 0);
}

void multipath_conf_ask_key(enum multipathd_socket where, const char *block, uint64_t *ret_key)
{
    char command[96], *answer;

    snprintf(command, sizeof(command), "getprkey map %s", block);
    if (multipathd_ask(where, command, &answer) < 0)
        return;
    if (strncmp(answer, "0x", 2) == 0)
        (void)multipath_conf_parse_key(answer, ret_key);
    free(answer);
}
