// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What sg_persist writes with a comma libprhelper writes with a colon, and what sg_persist writes
 * as bytes libprhelper writes as "raw:" and digits. So everything is turned into the latter's
 * notation and parsed there.
 */
#include "ctl/ports.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_MAX      1024 /* far more than a parameter list holds */
#define PORTS_RAW_SIZE 24   /* sg_persist fills up to this; see SPC-4 7.6.4 */
#define PORTS_LINE_MAX 1024

static const char blanks[] = " \t\r\n";

/* Bytes in hexadecimal, one or two digits each, to "raw:..."; false if that is not what it is. */
static bool bytes_to_raw(const char *text, char raw[PRHELPER_TRANSPORTID_TEXT_MAX])
{
    size_t count = 0;

    strcpy(raw, "raw:");
    while (*text) {
        char *end;
        unsigned long byte = strtoul(text, &end, 16);

        if (!isxdigit((unsigned char)*text) || end - text > 2 || count == PRHELPER_TRANSPORTID_MAX)
            return false;
        sprintf(raw + 4 + 2 * count++, "%02lx", byte);
        text = end;
        if (*text && *text != ',' && *text != ' ' && *text != '\t')
            return false;
        if (*text)
            text++;
    }
    while (count < PORTS_RAW_SIZE)
        sprintf(raw + 4 + 2 * count++, "00");
    return true;
}

static bool parse_one(const char *text, struct prhelper_transportid *ret_port)
{
    static const struct {
        const char *theirs, *ours;
    } prefixes[] = {{"sas,", "sas:"}, {"fcp,", "fc:"}, {"srp,", "srp:"}};
    char ours[PRHELPER_TRANSPORTID_TEXT_MAX];

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i].theirs);

        if (strncasecmp(text, prefixes[i].theirs, length) == 0 && strlen(text) < 64) {
            snprintf(ours, sizeof(ours), "%s%s", prefixes[i].ours, text + length);
            return prhelper_transportid_parse(ours, ret_port) == 0;
        }
    }
    if (strpbrk(text, ", \t") && bytes_to_raw(text, ours))
        return prhelper_transportid_parse(ours, ret_port) == 0;
    return prhelper_transportid_parse(text, ret_port) == 0;
}

static bool add_one(const char *text, struct prhelper_transportid **ports, size_t *n_ports,
                    char *message, size_t size)
{
    struct prhelper_transportid *more, port;

    if (!parse_one(text, &port)) {
        snprintf(message, size, "--transport-id=%.100s: not a TransportID", text);
        return false;
    }
    more = *n_ports < PORTS_MAX ? realloc(*ports, (*n_ports + 1) * sizeof(*more)) : NULL;
    if (!more) {
        snprintf(message, size, "too many TransportIDs");
        return false;
    }
    more[(*n_ports)++] = port;
    *ports = more;
    return true;
}

static bool add_file(const char *name, struct prhelper_transportid **ports, size_t *n_ports,
                     char *message, size_t size)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    char line[PORTS_LINE_MAX];
    bool ok = true;

    if (!file) {
        snprintf(message, size, "--transport-id=file=%s: %s", name, strerror(errno));
        return false;
    }
    while (ok && fgets(line, sizeof(line), file)) {
        char *text = line + strspn(line, blanks);

        text[strcspn(text, "#")] = '\0';
        for (size_t length = strlen(text); length > 0 && strchr(blanks, text[length - 1]);)
            text[--length] = '\0';
        if (*text)
            ok = add_one(text, ports, n_ports, message, size);
    }
    if (ok && ferror(file)) {
        snprintf(message, size, "--transport-id=file=%s: %s", name, strerror(errno));
        ok = false;
    }
    if (file != stdin)
        fclose(file);
    return ok;
}

bool ports_parse(const char *text, struct prhelper_transportid **ports, size_t *n_ports,
                 char *message, size_t size)
{
    if (strcmp(text, "-") == 0)
        return add_file("-", ports, n_ports, message, size);
    if (strncmp(text, "file=", 5) == 0)
        return add_file(text + 5, ports, n_ports, message, size);
    return add_one(text, ports, n_ports, message, size);
}
