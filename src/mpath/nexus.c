// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fibre Channel tells the initiator port's name (fc_host). Software iSCSI tells its name but not
 * the ISID, so several sessions of one name look alike. Others tell nothing that a target would
 * show. What is missing is learnt by asking the target: see observe.c.
 */
#include "mpath/nexus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fdio.h"
#include "mpath/host.h"
#include "sg/device.h"

#define NEXUS_TEXT_SIZE 256

/* FNV-1a; the end of the text counts, so that two texts in a row are not another two. */
static uint64_t nexus_hash(uint64_t hash, const char *text)
{
    do
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3;
    while (*text++);
    return hash;
}

#define NEXUS_HASH_BEGIN 0xcbf29ce484222325

/* Is there such an attribute, and does it say something? *error: the first shortage, if any. */
static bool nexus_attribute(const char *class_name, const char *device, const char *attribute,
                            char text[NEXUS_TEXT_SIZE], int *error)
{
    char path[PATH_MAX];
    ssize_t n;

    text[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s/%s/%s", host_class, class_name, device, attribute);
    n = fdio_read_text(AT_FDCWD, path, text, NEXUS_TEXT_SIZE);
    if (n < 0 && *error == 0 && device_is_shortage((int)-n))
        *error = (int)n;
    return n > 0;
}

/* The number behind the last occurrence of "/word" in a path, or -1. */
static long nexus_number(const char *path, const char *word)
{
    char wanted[32];
    const char *at;
    long found = -1;

    snprintf(wanted, sizeof(wanted), "/%s", word);
    for (at = strstr(path, wanted); at; at = strstr(at + 1, wanted)) {
        char *end;
        long number = strtol(at + strlen(wanted), &end, 10);

        if (end != at + strlen(wanted) && *end == '/')
            found = number;
    }
    return found;
}

static bool nexus_read_iscsi(long session, struct nexus *ret, int *error)
{
    static const char *const attributes[] = {"targetname", "tpgt", "ifacename"};
    static const char *const addresses[] = {"persistent_address", "persistent_port"};
    char device[48], text[NEXUS_TEXT_SIZE];
    struct transportid initiator;

    snprintf(device, sizeof(device), "session%ld", session);
    if (!nexus_attribute("iscsi_session", device, "initiatorname", text, error) ||
        !transportid_iscsi(text, &initiator))
        return false;
    ret->initiator = initiator;
    ret->complete = false;
    ret->id = nexus_hash(NEXUS_HASH_BEGIN, text);
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        nexus_attribute("iscsi_session", device, attributes[i], text, error);
        ret->id = nexus_hash(ret->id, text);
    }
    snprintf(device, sizeof(device), "connection%ld:0", session);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        nexus_attribute("iscsi_connection", device, addresses[i], text, error);
        ret->id = nexus_hash(ret->id, text);
    }
    return true;
}

static bool nexus_read_fc(long host, const char *path, struct nexus *ret, int *error)
{
    char device[48], text[NEXUS_TEXT_SIZE];
    const char *target = strstr(path, "/target");
    char *end;
    uint64_t name;

    snprintf(device, sizeof(device), "host%ld", host);
    if (!nexus_attribute("fc_host", device, "port_name", text, error))
        return false;
    name = strtoull(text, &end, 16);
    if (end == text || *end || name == 0)
        return false;
    ret->initiator = transportid_fc(name);
    ret->complete = true;
    ret->id = nexus_hash(NEXUS_HASH_BEGIN, text);
    if (target) {
        snprintf(device, sizeof(device), "%.*s", (int)strcspn(target + 1, "/"), target + 1);
        nexus_attribute("fc_transport", device, "port_name", text, error);
        ret->id = nexus_hash(ret->id, text);
    }
    return true;
}

int nexus_read(dev_t path, struct nexus *ret)
{
    char name[256], link[PATH_MAX];
    struct nexus nexus = {0};
    const char *address;
    long host, session;
    int error = 0;
    ssize_t n;

    snprintf(name, sizeof(name), "%s/%u:%u", host_sysfs, major(path), minor(path));
    n = readlinkat(AT_FDCWD, name, link, sizeof(link) - 1);
    if (n < 0 && device_is_shortage(errno))
        return -errno;
    link[n > 0 ? n : 0] = '\0';
    session = nexus_number(link, "session");
    host = nexus_number(link, "host");
    if (!(session >= 0 && nexus_read_iscsi(session, &nexus, &error)) &&
        !(host >= 0 && nexus_read_fc(host, link, &nexus, &error))) {
        /* HOST:CHANNEL:TARGET:LUN, between the last "/target" and "/block"; or else the number. */
        address = strstr(link, "/target");
        nexus.id = nexus_hash(NEXUS_HASH_BEGIN, address ? address : name);
    }
    if (error)
        return error;
    *ret = nexus;
    return 0;
}

bool nexus_may_be(const struct nexus *nexus, const struct transportid *id)
{
    if (nexus->initiator.size == 0)
        return true;
    return nexus->complete ? transportid_equal(&nexus->initiator, id)
                           : transportid_covers(&nexus->initiator, id);
}
