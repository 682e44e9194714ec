// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where a device is in the tree of devices, to which its link in /sys/dev leads, names its host
 * and, of iSCSI, its session; the kernel's transport classes say more of those
 * (Documentation/ABI/testing/sysfs-class-fc_host; scsi_transport_iscsi.c).
 */
#include "sg/initiator.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fdio.h"

/* The number behind "/host" or "/session" in a path, where that is all of the component. -1: none.
 */
static long initiator_find(const char *path, const char *wanted)
{
    for (const char *at = strstr(path, wanted); at; at = strstr(at + 1, wanted)) {
        const char *digits = at + strlen(wanted);
        char *end;
        long number = strtol(digits, &end, 10);

        if (end != digits && *end == '/' && number >= 0)
            return number;
    }
    return -1;
}

void initiator_of(const struct device_sources *sources, enum device_kind kind, dev_t number,
                  struct transportid *ret)
{
    char path[96], target[PATH_MAX], text[256], *end;
    long host, session;
    uint64_t name;
    ssize_t n;

    memset(ret, 0, sizeof(*ret));
    snprintf(path, sizeof(path), "%s%u:%u", kind == DEVICE_SG ? "../char/" : "", major(number),
             minor(number));
    n = readlinkat(sources->sys_dev_block, path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    session = initiator_find(target, "/session");
    host = initiator_find(target, "/host");
    snprintf(path, sizeof(path), "../../class/iscsi_session/session%ld/initiatorname", session);
    if (session >= 0 && fdio_read_text(sources->sys_dev_block, path, text, sizeof(text)) > 0 &&
        transportid_iscsi(text, ret))
        return;
    snprintf(path, sizeof(path), "../../class/fc_host/host%ld/port_name", host);
    if (host < 0 || fdio_read_text(sources->sys_dev_block, path, text, sizeof(text)) <= 0)
        return;
    name = strtoull(text, &end, 16);
    if (end != text && !*end && name)
        *ret = transportid_fc(name);
}
