// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A disk is a chain: -device names a node (or -drive) by drive=, a node names the one below it by
 * file=, and the last one names the file, and the pr-manager that is an -object. -drive may be all
 * of this at once. QEMU hands PERSISTENT RESERVE IN and OUT to the pr-manager of the node that has
 * the file open; models that pass no SCSI commands answer them by themselves.
 */
#include "doctor/qemu_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/qemu_option.h"

#define QEMU_CHAIN_MAX 16

enum qemu_kind { QEMU_BLOCKDEV, QEMU_DRIVE, QEMU_DEVICE, QEMU_OBJECT, QEMU_MACHINE, QEMU_GLOBAL };

static const struct qemu_word {
    const char *name;
    enum qemu_kind kind;
    const char *implied;
} qemu_words[] = {
    {"-blockdev", QEMU_BLOCKDEV, "driver"}, {"-drive", QEMU_DRIVE, NULL},
    {"-device", QEMU_DEVICE, "driver"},     {"-object", QEMU_OBJECT, "qom-type"},
    {"-machine", QEMU_MACHINE, "type"},     {"-M", QEMU_MACHINE, "type"},
    {"-global", QEMU_GLOBAL, NULL},         {"-hda", QEMU_DRIVE, "file"},
    {"-hdb", QEMU_DRIVE, "file"},           {"-hdc", QEMU_DRIVE, "file"},
    {"-hdd", QEMU_DRIVE, "file"},
};

struct qemu_line {
    struct qemu_argument {
        enum qemu_kind kind;
        struct json_object *option;
    } * list;
    size_t count;
    qemu_is_disk *is_disk;
    void *context;
};

static const struct qemu_word *qemu_find_word(const char *text)
{
    text += text[0] == '-' && text[1] == '-';
    for (size_t i = 0; i < sizeof(qemu_words) / sizeof(qemu_words[0]); i++) {
        if (strcmp(text, qemu_words[i].name) == 0)
            return &qemu_words[i];
    }
    return NULL;
}

static void qemu_line_add(struct qemu_line *line, enum qemu_kind kind, struct json_object *option)
{
    struct qemu_argument *list = option ? realloc(line->list, (line->count + 1) * sizeof(*list))
                                        : NULL;

    if (!list) {
        json_object_put(option);
        return;
    }
    line->list = list;
    list[line->count++] = (struct qemu_argument){kind, option};
}

static void qemu_line_parse(struct qemu_line *line, const char *command, size_t size)
{
    const struct qemu_word *word = NULL;

    for (const char *text = command; text < command + size; text += strlen(text) + 1) {
        if (word)
            qemu_line_add(line, word->kind, qemu_option_parse(text, word->implied));
        word = word ? NULL : qemu_find_word(text);
    }
}

static void qemu_line_free(struct qemu_line *line)
{
    for (size_t i = 0; i < line->count; i++)
        json_object_put(line->list[i].option);
    free(line->list);
}

static struct json_object *qemu_find(const struct qemu_line *line, enum qemu_kind kind,
                                     const char *key, const char *value)
{
    for (size_t i = 0; i < line->count; i++) {
        const char *found = line->list[i].kind == kind ? qemu_option_get(line->list[i].option, key)
                                                       : NULL;

        if (found && strcmp(found, value) == 0)
            return line->list[i].option;
    }
    return NULL;
}

/* "a.b.file" -> "file" */
static const char *qemu_last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot ? dot + 1 : name;
}

/* The pr-manager of the node whose file name this is: a member of the same node. */
static const char *qemu_find_manager(struct json_object *option, const char *name)
{
    const char *last = qemu_last_part(name);
    char sibling[256];

    /* -drive file=NAME,file.pr-manager=ID */
    if (strcmp(name, "file") == 0)
        return qemu_option_get(option, "file.pr-manager");
    snprintf(sibling, sizeof(sibling), "%.*spr-manager", (int)(last - name), name);
    return qemu_option_get(option, sibling);
}

/* Whether a node is, or lies on, the disk; and its pr-manager. */
static bool qemu_node_is_disk(const struct qemu_line *line, struct json_object *node,
                              const char **ret_manager, unsigned depth)
{
    json_object_object_foreach(node, name, member)
    {
        const char *last = qemu_last_part(name), *value = json_object_get_string(member);
        struct json_object *below;

        if (strcmp(last, "filename") != 0 && strcmp(last, "file") != 0)
            continue;
        below = qemu_find(line, QEMU_BLOCKDEV, "node-name", value);
        if (strcmp(last, "file") == 0 && below) {
            if (depth < QEMU_CHAIN_MAX && qemu_node_is_disk(line, below, ret_manager, depth + 1))
                return true;
        } else if (line->is_disk(line->context, value)) {
            *ret_manager = qemu_find_manager(node, name);
            return true;
        }
    }
    return false;
}

static bool qemu_is_stop(struct json_object *option)
{
    const char *write = qemu_option_get(option, "werror");
    const char *read = qemu_option_get(option, "rerror");

    return (write && strcmp(write, "stop") == 0) || (read && strcmp(read, "stop") == 0);
}

/* The type's version, as in pc-q35-9.2. Distributions have others, which say nothing. */
static bool qemu_machine_version(const char *machine, unsigned *ret_major)
{
    const char *version = strrchr(machine, '-');
    unsigned minor;
    int length = 0;

    return version && sscanf(version, "-%u.%u%n", ret_major, &minor, &length) == 2 &&
           version[length] == '\0';
}

static enum qemu_migration qemu_migration_of(const struct qemu_line *line,
                                             struct json_object *device, const char *machine)
{
    const char *value = qemu_option_get(device, "migrate-pr");
    unsigned major;

    for (size_t i = 0; i < line->count && !value; i++) {
        if (line->list[i].kind == QEMU_GLOBAL)
            value = qemu_option_get(line->list[i].option, "scsi-block.migrate-pr");
    }
    if (value)
        return strcmp(value, "on") == 0 ? QEMU_MIGRATION_ON : QEMU_MIGRATION_OFF;
    /* hw_compat_10_2: off for the machine types of 10.2 and before, which has a version 11.0 only
     */
    if (!qemu_machine_version(machine, &major))
        return QEMU_MIGRATION_UNKNOWN;
    return major >= 11 ? QEMU_MIGRATION_ON : QEMU_MIGRATION_OFF;
}

static void qemu_take_device(const struct qemu_line *line, const char *model,
                             struct json_object *device, const char *manager, struct qemu_disk *ret)
{
    struct qemu_disk found = {.stops = ret->stops || qemu_is_stop(device)};
    struct json_object *object;
    const char *path;

    memcpy(found.machine, ret->machine, sizeof(found.machine));
    snprintf(found.model, sizeof(found.model), "%s", model);
    found.passes = strcmp(model, "scsi-block") == 0 || strcmp(model, "scsi-generic") == 0;
    found.managed = manager && manager[0];
    object = found.managed ? qemu_find(line, QEMU_OBJECT, "id", manager) : NULL;
    path = object ? qemu_option_get(object, "path") : NULL;
    snprintf(found.helper, sizeof(found.helper), "%s", path ? path : "");
    if (strcmp(model, "scsi-block") == 0)
        found.migration = qemu_migration_of(line, device, found.machine);
    ret->stops = found.stops;
    if (!ret->model[0] || found.passes + found.managed < ret->passes + ret->managed)
        *ret = found;
}

/* All devices that have this node or -drive. */
static void qemu_take_users(const struct qemu_line *line, struct json_object *node,
                            const char *manager, struct qemu_disk *ret)
{
    const char *id = qemu_option_get(node, "id"), *name = qemu_option_get(node, "node-name");

    for (size_t i = 0; i < line->count; i++) {
        struct json_object *device = line->list[i].option;
        const char *drive = line->list[i].kind == QEMU_DEVICE ? qemu_option_get(device, "drive")
                                                              : NULL;
        const char *model = drive ? qemu_option_get(device, "driver") : NULL;

        if (model && ((id && strcmp(drive, id) == 0) || (name && strcmp(drive, name) == 0))) {
            ret->stops |= qemu_is_stop(node);
            qemu_take_device(line, model, device, manager, ret);
        }
    }
}

/* -drive with an interface makes the device, too. Without one it is the machine's own kind. */
static void qemu_take_drive(const struct qemu_line *line, struct json_object *drive,
                            const char *manager, struct qemu_disk *ret)
{
    const char *interface = qemu_option_get(drive, "if");
    char model[40];

    if (interface && strcmp(interface, "none") == 0)
        return;
    if (interface && strcmp(interface, "virtio") == 0)
        interface = "virtio-blk";
    else if (interface && strcmp(interface, "scsi") == 0)
        interface = "scsi-hd";
    snprintf(model, sizeof(model), "%s", interface ? interface : "ide-hd");
    qemu_take_device(line, model, drive, manager, ret);
}

void qemu_disk_find(const char *command, size_t size, qemu_is_disk *is_disk, void *context,
                    struct qemu_disk *ret)
{
    struct qemu_line line = {.is_disk = is_disk, .context = context};

    *ret = (struct qemu_disk){.model = ""};
    qemu_line_parse(&line, command, size);
    for (size_t i = 0; i < line.count; i++) {
        const char *type = line.list[i].kind == QEMU_MACHINE
                               ? qemu_option_get(line.list[i].option, "type")
                               : NULL;

        if (type)
            snprintf(ret->machine, sizeof(ret->machine), "%s", type);
    }
    for (size_t i = 0; i < line.count; i++) {
        enum qemu_kind kind = line.list[i].kind;
        struct json_object *node = line.list[i].option;
        const char *manager = NULL;

        if ((kind != QEMU_BLOCKDEV && kind != QEMU_DRIVE) ||
            !qemu_node_is_disk(&line, node, &manager, 0))
            continue;
        qemu_take_users(&line, node, manager, ret);
        if (kind == QEMU_DRIVE)
            qemu_take_drive(&line, node, manager, ret);
    }
    qemu_line_free(&line);
}

bool qemu_helper_find(const char *command, size_t size, char ret[QEMU_HELPER_MAX])
{
    struct qemu_line line = {.count = 0};
    struct json_object *object;
    const char *path;

    qemu_line_parse(&line, command, size);
    object = qemu_find(&line, QEMU_OBJECT, "qom-type", "pr-manager-helper");
    path = object ? qemu_option_get(object, "path") : NULL;
    if (path)
        snprintf(ret, QEMU_HELPER_MAX, "%s", path);
    qemu_line_free(&line);
    return path != NULL;
}
