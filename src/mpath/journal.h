// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The state of a map that outlives commands and this process: the engine's memory
 * (paths.h), and by which names the target knows the paths. A file for each map, by its uuid, in a
 * directory that belongs to user 0 and lasts until the next boot, as registrations' processes do.
 *
 * Helpers that run for one virtual machine each may share a map: the file's lock makes their
 * commands on it run one after the other, and the file is read again for each.
 *
 * Where there is no such directory all of it is kept in this process alone.
 */
#ifndef MPATH_JOURNAL_H
#define MPATH_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpath/path.h"
#include "paths/paths.h"

struct journal {
    int fd;        /* -1: kept here */
    uint8_t *kept; /* owned */
    size_t n_kept;
};

/*
 * Open the directory, making it if need be. Returns an fd, or a negative errno if it cannot be had
 * or is not user 0's alone; ret_error says why.
 */
int journal_open_directory(char *ret_error, size_t error_size);

/*
 * What the file of this map says, without opening it for longer. map: its paths' ids. ret_memory is
 * zeroed if there is no file.
 */
void journal_peek(int directory, const char *uuid, const struct paths_map *map,
                  struct paths_memory *ret_memory);

/* Open a map's file; directory -1: none. Returns 0 or a negative errno; then it is kept here. */
int journal_open(struct journal *journal, int directory, const char *uuid);
void journal_close(struct journal *journal);

/* Wait for the lock until deadline_ms (CLOCK_MONOTONIC). False: another process has it. */
bool journal_lock(struct journal *journal, int64_t deadline_ms);
void journal_unlock(struct journal *journal);

/*
 * Read it. ret_memory is zeroed if there is nothing, or nothing that can be understood. Of paths
 * (NULL: none) that are the same device as then, what was learnt is put in place first, since the
 * engine's part is by the ids of map->path.
 */
void journal_load(const struct journal *journal, const struct paths_map *map,
                  struct path *const *path, struct paths_memory *ret_memory);

/* Write it. Returns 0 or a negative errno. */
int journal_store(struct journal *journal, const struct paths_memory *memory,
                  const struct paths_map *map, struct path *const *path);

#endif
