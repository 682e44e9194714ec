// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where a disk is in the tree of devices names its host and, for iSCSI, its session; the kernel's
 * transport classes say more of those. Fibre Channel tells the initiator port's name. iSCSI tells a
 * name, which all sessions have in common; the ISID, by which the target tells them apart, is shown
 * by some drivers, of which iscsi_tcp is none. The target port is in page 83h, which the kernel has
 * read when it found the disk.
 */
#include "doctor/nexus.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "ctl/sysfs.h"
#include "scsi/vpd.h"

#define NEXUS_NAME_MAX 256
#define NEXUS_PAGE_MAX 4096

/* The part of a path that begins like this and goes on with a digit: "session12". */
static bool nexus_find_part(const char *path, const char *begin, char *text, size_t size)
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

static bool nexus_read_iscsi(const char *session, struct nexus *ret)
{
    char name[NEXUS_NAME_MAX], isid[32], text[NEXUS_NAME_MAX + 48];

    if (!sysfs_read(name, sizeof(name), "/sys/class/iscsi_session/%s/initiatorname", session))
        return false;
    ret->complete = sysfs_read(isid, sizeof(isid), "/sys/class/iscsi_session/%s/isid", session) &&
                    isid[0];
    snprintf(text, sizeof(text), "%s,i,0x%s", name, isid);
    ret->complete = ret->complete && transportid_iscsi(text, &ret->initiator);
    return ret->complete || transportid_iscsi(name, &ret->initiator);
}

static bool nexus_read_fc(const char *host, struct nexus *ret)
{
    char text[NEXUS_NAME_MAX], *end;
    uint64_t name;

    if (!sysfs_read(text, sizeof(text), "/sys/class/fc_host/%s/port_name", host))
        return false;
    name = strtoull(text, &end, 16);
    if (end == text || *end || name == 0)
        return false;
    ret->initiator = transportid_fc(name);
    ret->complete = true;
    return true;
}

static void nexus_read_port(const char *where, struct nexus *ret)
{
    CLEANUP_CLOSE int fd = -1;
    char path[PATH_MAX + 16];
    uint8_t page[NEXUS_PAGE_MAX];
    ssize_t n;

    snprintf(path, sizeof(path), "%s/vpd_pg83", where);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : fdio_read_full(fd, page, sizeof(page));
    ret->has_port = n > 0 && vpd_target_port(page, (size_t)n, &ret->port);
}

void nexus_of_disk(const char *block, struct nexus *ret)
{
    char where[PATH_MAX], part[64];

    memset(ret, 0, sizeof(*ret));
    if (!sysfs_scsi_device(block, where, sizeof(where)))
        return;
    nexus_read_port(where, ret);
    if (nexus_find_part(where, "session", part, sizeof(part)) && nexus_read_iscsi(part, ret))
        return;
    if (nexus_find_part(where, "host", part, sizeof(part)))
        (void)nexus_read_fc(part, ret);
}

bool nexus_may_be_initiator(const struct nexus *nexus, const struct prin_registrant *one)
{
    return nexus->initiator.size == 0 || one->transportid.size == 0 ||
           transportid_covers(&nexus->initiator, &one->transportid) ||
           transportid_covers(&one->transportid, &nexus->initiator);
}

enum nexus_fit nexus_fit(const struct nexus *nexus, const struct prin_registrant *one)
{
    /* A device that gives a name of format 00b, or no port, has one registration for all of them.
     */
    bool certain = nexus->initiator.size > 0 && one->transportid.size > 0 &&
                   (nexus->complete || one->transportid.kind == TRANSPORTID_ISCSI_DEVICE);

    if (!nexus_may_be_initiator(nexus, one))
        return NEXUS_OTHER;
    if (!one->all_tg_pt && one->relative_target_port != 0) {
        if (nexus->has_port && nexus->port != one->relative_target_port)
            return NEXUS_OTHER;
        certain &= nexus->has_port;
    }
    return certain ? NEXUS_CERTAIN : NEXUS_MAYBE;
}
