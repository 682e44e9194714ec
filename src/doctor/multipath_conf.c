// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipathd prints its configuration as a multipath.conf with one setting a line, values in
 * quotes, and `}` on lines of their own. Asking it instead of reading the file tells what is in
 * effect, of all the files that there may be.
 */
#include "doctor/multipath_conf.h"

#include <inttypes.h>
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

enum key_source multipath_conf_key(const char *configuration, const char *block, uint64_t *ret_key)
{
    struct setting defaults = {.given = false}, own = {.given = false}, here;
    char uuid[160], section[32] = "", line[CONF_LINE_MAX];
    const struct setting *setting;
    bool is_this = false;
    unsigned depth = 0;

    sysfs_read(uuid, sizeof(uuid), "/sys/block/%s/dm/uuid", block);
    here.given = false;
    for (const char *next; *configuration; configuration = next) {
        size_t length = strcspn(configuration, "\n");
        const char *name, *value;

        next = configuration + length + (configuration[length] == '\n');
        snprintf(line, sizeof(line), "%.*s", (int)length, configuration);
        name = multipath_conf_split(line, &value);
        if (strcmp(name, "}") == 0) {
            if (depth == 2 && is_this && here.given)
                own = here;
            depth -= depth > 0;
            here.given = is_this = false;
        } else if (strcmp(value, "{") == 0) {
            if (depth++ == 0)
                snprintf(section, sizeof(section), "%s", name);
        } else if (strcmp(name, "reservation_key") == 0) {
            if (depth == 1 && strcmp(section, "defaults") == 0)
                multipath_conf_take(value, &defaults);
            else if (depth == 2 && strcmp(section, "multipaths") == 0)
                multipath_conf_take(value, &here);
        } else if (strcmp(name, "wwid") == 0 && depth == 2) {
            is_this = strncmp(uuid, "mpath-", 6) == 0 && strcmp(value, uuid + 6) == 0;
        }
    }
    if (!section[0])
        return KEY_UNKNOWN;
    setting = own.given ? &own : &defaults;
    if (!setting->given)
        return KEY_NONE;
    if (strcmp(setting->value, "file") == 0)
        return KEY_FILE;
    return multipath_conf_parse_key(setting->value, ret_key) ? KEY_FIXED : KEY_UNKNOWN;
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
