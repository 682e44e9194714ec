// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What sg_persist writes with a comma libprhelper writes with a colon, and what sg_persist writes
 * as bytes libprhelper writes as "raw:" and digits. So everything is turned into the latter's
 * notation and parsed there.
 */
#include "ctl/transport_ids.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSPORT_IDS_MAX      1024 /* far more than a parameter list holds */
#define TRANSPORT_IDS_RAW_SIZE 24   /* sg_persist fills up to this; see SPC-4 7.6.4 */
#define TRANSPORT_IDS_LINE_MAX 1024

static const char transport_ids_blanks[] = " \t\r\n";

/* Bytes in hexadecimal, one or two digits each, to "raw:..."; false if that is not what it is. */
static bool transport_ids_bytes_to_raw(const char *text, char raw[PRHELPER_TRANSPORTID_TEXT_MAX])
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
    while (count < TRANSPORT_IDS_RAW_SIZE)
        sprintf(raw + 4 + 2 * count++, "00");
    return true;
}

static bool transport_ids_parse_one(const char *text, struct prhelper_transportid *ret_id)
{
    static const struct {
        const char *theirs, *ours;
    } prefixes[] = {{"sas,", "sas:"}, {"fcp,", "fc:"}, {"srp,", "srp:"}};
    char ours[PRHELPER_TRANSPORTID_TEXT_MAX];

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i].theirs);

        if (strncasecmp(text, prefixes[i].theirs, length) == 0 && strlen(text) < 64) {
            snprintf(ours, sizeof(ours), "%s%s", prefixes[i].ours, text + length);
            return prhelper_transportid_parse(ours, ret_id) == 0;
        }
    }
    if (strpbrk(text, ", \t") && transport_ids_bytes_to_raw(text, ours))
        return prhelper_transportid_parse(ours, ret_id) == 0;
    return prhelper_transportid_parse(text, ret_id) == 0;
}

static bool transport_ids_add_one(const char *text, struct prhelper_transportid **ids,
                                  size_t *n_ids, char *message, size_t size)
{
    struct prhelper_transportid *more, id;

    if (!transport_ids_parse_one(text, &id)) {
        snprintf(message, size, "--transport-id=%.100s: not a TransportID", text);
        return false;
    }
    more = *n_ids < TRANSPORT_IDS_MAX ? realloc(*ids, (*n_ids + 1) * sizeof(*more)) : NULL;
    if (!more) {
        snprintf(message, size, "too many TransportIDs");
        return false;
    }
    more[(*n_ids)++] = id;
    *ids = more;
    return true;
}

static bool transport_ids_add_file(const char *name, struct prhelper_transportid **ids,
                                   size_t *n_ids, char *message, size_t size)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    char line[TRANSPORT_IDS_LINE_MAX];
    bool ok = true;

    if (!file) {
        snprintf(message, size, "--transport-id=file=%s: %s", name, strerror(errno));
        return false;
    }
    while (ok && fgets(line, sizeof(line), file)) {
        char *text = line + strspn(line, transport_ids_blanks);

        text[strcspn(text, "#")] = '\0';
        for (size_t length = strlen(text);
             length > 0 && strchr(transport_ids_blanks, text[length - 1]);)
            text[--length] = '\0';
        if (*text)
            ok = transport_ids_add_one(text, ids, n_ids, message, size);
    }
    if (ok && ferror(file)) {
        snprintf(message, size, "--transport-id=file=%s: %s", name, strerror(errno));
        ok = false;
    }
    if (file != stdin)
        fclose(file);
    return ok;
}

bool transport_ids_parse(const char *text, struct prhelper_transportid **ids, size_t *n_ids,
                         char *message, size_t size)
{
    if (strcmp(text, "-") == 0)
        return transport_ids_add_file("-", ids, n_ids, message, size);
    if (strncmp(text, "file=", 5) == 0)
        return transport_ids_add_file(text + 5, ids, n_ids, message, size);
    return transport_ids_add_one(text, ids, n_ids, message, size);
}
