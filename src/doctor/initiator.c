// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where a disk is in the tree of devices names its host and, for iSCSI, its session; the kernel's
 * transport classes say more of those.
 */
#include "doctor/initiator.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ctl/sysfs.h"

/* The part of a path that begins like this and goes on with a digit: "session12". */
static bool initiator_find_part(const char *path, const char *begin, char *text, size_t size)
{
    size_t length = strlen(begin);

    for (const char *part = strchr(path, '/'); part; part = strchr(part, '/')) {
        part++;
        if (strncmp(part, begin, length) == 0 && part[length] >= '0' && part[length] <= '9') {
            snprintf(text, size, "%.*s", (int)strcspn(part, "/"), part);
            return true;
        }
    }
    return false;
}

bool initiator_of_disk(const char *block, char *text, size_t size)
{
    char where[PATH_MAX], part[64], name[INITIATOR_MAX - 8];

    if (!sysfs_scsi_device(block, where, sizeof(where)))
        return false;
    if (initiator_find_part(where, "session", part, sizeof(part)) &&
        sysfs_read(name, sizeof(name), "/sys/class/iscsi_session/%s/initiatorname", part) &&
        name[0]) {
        snprintf(text, size, "iscsi:%s", name);
        return true;
    }
    if (initiator_find_part(where, "host", part, sizeof(part)) &&
        sysfs_read(name, sizeof(name), "/sys/class/fc_host/%s/port_name", part) &&
        strncmp(name, "0x", 2) == 0) {
        snprintf(text, size, "fc:%s", name + 2);
        return true;
    }
    return false;
}

bool initiator_matches(const char *initiator, const struct prhelper_transportid *port)
{
    char text[PRHELPER_TRANSPORTID_TEXT_MAX];
    size_t length = strlen(initiator);

    if (port->size == 0)
        return false;
    prhelper_transportid_format(text, sizeof(text), port);
    return strncmp(text, initiator, length) == 0 && (text[length] == '\0' || text[length] == ',');
}
