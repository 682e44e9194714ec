// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ledger/wwn.h"

#include <string.h>

static const char wwn_map[] = "mpath-";

/* Behind what says of which kind the designator is. */
struct wwn_designator {
    char type; /* 0: unknown */
    const char *text;
};

static struct wwn_designator wwn_designate(const char *wwn)
{
    static const struct {
        const char *sysfs;
        char type;
    } types[] = {{"t10.", '1'}, {"eui.", '2'}, {"naa.", '3'}};

    if (wwn_is_of_map(wwn)) {
        wwn += sizeof(wwn_map) - 1;
        return *wwn ? (struct wwn_designator){*wwn, wwn + 1} : (struct wwn_designator){0, wwn};
    }
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!strncmp(wwn, types[i].sysfs, strlen(types[i].sysfs)))
            return (struct wwn_designator){types[i].type, wwn + strlen(types[i].sysfs)};
    }
    return (struct wwn_designator){0, wwn};
}

/* White space, or what stands for it. */
static bool wwn_is_blank(char byte)
{
    return byte == ' ' || byte == '_' || byte == '\t';
}

static const char *wwn_skip_blank(const char *text)
{
    while (wwn_is_blank(*text))
        text++;
    return text;
}

/* The same, regardless of the amount and kind of white space. */
static bool wwn_is_same_text(const char *a, const char *b)
{
    a = wwn_skip_blank(a);
    b = wwn_skip_blank(b);
    if (!*a || !*b)
        return false;
    while (*a && *b) {
        bool blank = wwn_is_blank(*a);

        if (blank != wwn_is_blank(*b) || (!blank && *a != *b))
            break;
        a = blank ? wwn_skip_blank(a) : a + 1;
        b = blank ? wwn_skip_blank(b) : b + 1;
    }
    return !*wwn_skip_blank(a) && !*wwn_skip_blank(b);
}

bool wwn_is_of_map(const char *wwn)
{
    return !strncmp(wwn, wwn_map, sizeof(wwn_map) - 1);
}

bool wwn_is_same(const char *a, const char *b)
{
    struct wwn_designator one = wwn_designate(a), other = wwn_designate(b);

    if (*a && !strcmp(a, b))
        return true;
    return one.type && one.type == other.type && wwn_is_same_text(one.text, other.text);
}
