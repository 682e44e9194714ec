// SPDX-License-Identifier: LGPL-2.1-or-later
/* Status sockets by name. What is no socket is not looked at: it may be anything, and may block. */
#include "node/crowd_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"

#define CROWD_ROOM 64 /* members by which it grows */

/* -ENOMEM, or 0 with one member more, or none if there is no room. */
static int crowd_add(struct crowd *crowd, const char *name, const char *path)
{
    struct crowd_member *member;

    if (crowd->n_members == CROWD_MAX || strlen(path) >= sizeof(member->path)) {
        crowd->n_left_out++;
        return 0;
    }
    if (crowd->n_members % CROWD_ROOM == 0) {
        member = reallocarray(crowd->members, crowd->n_members + CROWD_ROOM, sizeof(*member));
        if (!member)
            return -ENOMEM;
        crowd->members = member;
    }
    member = &crowd->members[crowd->n_members++];
    *member = (struct crowd_member){.fd = -1};
    strcpy(member->path, path);
    escape_text(member->name, sizeof(member->name), name);
    return 0;
}

/* A name in a directory, without what all status sockets end with. */
static void crowd_name(const char *file, char *name, size_t size)
{
    size_t length = strlen(file);

    if (length > 5 && strcmp(file + length - 5, ".sock") == 0)
        length -= 5;
    snprintf(name, size, "%.*s", (int)length, file);
}

static int crowd_add_directory(struct crowd *crowd, const char *place)
{
    DIR *directory = opendir(place);
    struct dirent *entry;
    int r = 0;

    if (!directory) {
        crowd->n_unreadable++;
        return 0;
    }
    while (r == 0 && (entry = readdir(directory)) != NULL) {
        char path[512], name[NAME_MAX + 1];
        struct stat file;

        if (entry->d_name[0] == '.' ||
            fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISSOCK(file.st_mode))
            continue;
        snprintf(path, sizeof(path), "%s/%s", place, entry->d_name);
        crowd_name(entry->d_name, name, sizeof(name));
        r = crowd_add(crowd, name, path);
    }
    closedir(directory);
    return r;
}

static int crowd_compare(const void *a, const void *b)
{
    const struct crowd_member *one = a, *other = b;
    int r = strcmp(one->name, other->name);

    return r ? r : strcmp(one->path, other->path);
}

static int crowd_compare_paths(const void *a, const void *b)
{
    const struct crowd_member *one = a, *other = b;
    int r = strcmp(one->path, other->path);

    return r ? r : strcmp(one->name, other->name);
}

/* One that is in two places is one helper; in a directory no name is there twice. */
static void crowd_drop_twins(struct crowd *crowd)
{
    unsigned n = 0;

    qsort(crowd->members, crowd->n_members, sizeof(*crowd->members), crowd_compare_paths);
    for (unsigned i = 0; i < crowd->n_members; i++) {
        if (n > 0 && strcmp(crowd->members[n - 1].path, crowd->members[i].path) == 0)
            continue;
        if (n < i)
            crowd->members[n] = crowd->members[i];
        n++;
    }
    crowd->n_members = n;
}

static void crowd_name_by_path(struct crowd_member *member)
{
    escape_text(member->name, sizeof(member->name), member->path);
}

/* Two sockets of one name in different directories go by their paths. */
static void crowd_tell_apart(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->n_members; i++) {
        struct crowd_member *member = &crowd->members[i];
        bool twice = false;

        for (unsigned k = i + 1; k < crowd->n_members; k++) {
            if (strcmp(crowd->members[k].name, member->name) != 0)
                break;
            crowd_name_by_path(&crowd->members[k]);
            twice = true;
        }
        if (twice)
            crowd_name_by_path(member);
    }
}

int crowd_find(const char *const *places, unsigned n_places, struct crowd *crowd)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < n_places; i++) {
        struct stat file;

        if (stat(places[i], &file) < 0) {
            crowd->n_unreadable += errno != ENOENT && errno != ENOTDIR;
            continue;
        }
        if (S_ISDIR(file.st_mode))
            r = crowd_add_directory(crowd, places[i]);
        else if (S_ISSOCK(file.st_mode))
            r = crowd_add(crowd, places[i], places[i]);
    }
    if (crowd->n_members == 0)
        return r;
    if (n_places > 1)
        crowd_drop_twins(crowd);
    qsort(crowd->members, crowd->n_members, sizeof(*crowd->members), crowd_compare);
    crowd_tell_apart(crowd);
    return r;
}
