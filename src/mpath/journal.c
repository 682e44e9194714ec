// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The file, all big-endian:
 *
 *   0  "prmap" 0 0 1
 *   8  checksum of what follows
 *  12  bytes in all: there may be older ones behind them
 *  16  bytes of the engine's journal; number of ports
 *  20  the engine's journal
 *      for each path that the target has shown: id (8), serial of the device (8), relative target
 *      port identifier (2), bytes of the TransportID (2), TransportID
 *
 * It is written by one pwrite(2): a process that is killed leaves the old or the new, and a file
 * that is neither is taken for none.
 */
#include "mpath/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "mpath/hold.h"
#include "mpath/host.h"

#define JOURNAL_HEADER_SIZE 20
#define JOURNAL_SUM_FROM    12
#define JOURNAL_PORT_SIZE   20
#define JOURNAL_MAX                                                                                \
    (JOURNAL_HEADER_SIZE + PATHS_JOURNAL_MAX +                                                     \
     PATHS_MAX * (JOURNAL_PORT_SIZE + TRANSPORTID_SIZE_MAX))
#define JOURNAL_LOCK_PAUSE_MS 10

static const uint8_t journal_magic[8] = {'p', 'r', 'm', 'a', 'p', 0, 0, 1};

/* FNV-1a: against a file cut short or of another kind, not against malice. */
static uint32_t journal_checksum(const uint8_t *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return (uint32_t)(hash ^ hash >> 32);
}

int journal_open_directory(char *ret_error, size_t error_size)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat status;
    int r;

    if (mkdir(host_journal, 0700) < 0 && errno != EEXIST) {
        r = -errno;
        snprintf(ret_error, error_size, "cannot create %s: %s", host_journal, strerror(-r));
        return r;
    }
    fd = open(host_journal, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        r = -errno;
        snprintf(ret_error, error_size, "cannot open %s: %s", host_journal, strerror(-r));
        return r;
    }
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH))) {
        snprintf(ret_error, error_size, "%s is writable by other users", host_journal);
        return -EPERM;
    }
    return steal_fd(&fd);
}

int journal_open(struct journal *journal, int directory, const char *uuid)
{
    int r;

    journal->fd = -1;
    if (directory < 0)
        return 0;
    r = hold_open(directory, uuid);
    journal->fd = r < 0 ? -1 : r;
    return r < 0 ? r : 0;
}

void journal_peek(int directory, const char *uuid, const struct paths_map *map,
                  struct paths_memory *ret_memory)
{
    struct journal journal = {.fd = -1};

    memset(ret_memory, 0, sizeof(*ret_memory));
    if (directory < 0 || strchr(uuid, '/'))
        return;
    journal.fd = openat(directory, uuid, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (journal.fd < 0)
        return;
    journal_load(&journal, map, NULL, ret_memory);
    journal_close(&journal);
}

void journal_close(struct journal *journal)
{
    cleanup_close(&journal->fd);
    journal->fd = -1;
}

bool journal_lock(struct journal *journal, int64_t deadline_ms)
{
    const struct timespec pause = {.tv_nsec = JOURNAL_LOCK_PAUSE_MS * 1000000L};

    while (journal->fd >= 0 && flock(journal->fd, LOCK_EX | LOCK_NB) < 0) {
        /* ENOLCK: no memory for it now. Any other: no locks there, for other processes either. */
        if (errno != EWOULDBLOCK && errno != ENOLCK && errno != EINTR)
            return true;
        if (clock_now_ms() >= deadline_ms)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void journal_unlock(struct journal *journal)
{
    if (journal->fd >= 0)
        (void)!flock(journal->fd, LOCK_UN);
}

/* Returns the bytes, in `room` or elsewhere, or NULL. */
static const uint8_t *journal_read(const struct journal *journal, uint8_t *room, size_t *ret_size)
{
    ssize_t n;

    if (journal->fd < 0) {
        *ret_size = journal->n_kept;
        return journal->kept;
    }
    n = pread(journal->fd, room, JOURNAL_MAX, 0);
    if (n <= 0)
        return NULL;
    *ret_size = (size_t)n;
    return room;
}

static void journal_take_port(struct reader *reader, unsigned n_paths, struct path *const *path)
{
    uint64_t id = reader_be64(reader), serial = reader_be64(reader);
    uint16_t target_port = reader_be16(reader), size = reader_be16(reader);
    const uint8_t *bytes = reader_take(reader, size);
    struct transportid initiator;

    if (!bytes || !transportid_decode(bytes, size, &initiator))
        return;
    for (unsigned i = 0; i < n_paths; i++) {
        struct path *one = path[i];

        if (one->nexus.id != id || one->names.serial != serial || one->is_learnt ||
            (one->nexus.complete && one->has_target_port))
            continue;
        if (!one->nexus.complete)
            one->nexus.initiator = initiator;
        one->target_port = target_port;
        one->is_learnt = true;
    }
}

void journal_load(const struct journal *journal, const struct paths_map *map,
                  struct path *const *path, struct paths_memory *ret_memory)
{
    CLEANUP_FREE uint8_t *room = malloc(JOURNAL_MAX);
    const uint8_t *bytes, *engine;
    struct reader reader;
    uint16_t engine_size, n_ports;
    size_t size = 0;

    memset(ret_memory, 0, sizeof(*ret_memory));
    bytes = room ? journal_read(journal, room, &size) : NULL;
    if (!bytes || size < JOURNAL_HEADER_SIZE ||
        memcmp(bytes, journal_magic, sizeof(journal_magic)) != 0 || load_be32(bytes + 12) > size ||
        load_be32(bytes + 12) < JOURNAL_HEADER_SIZE)
        return;
    size = load_be32(bytes + 12);
    if (load_be32(bytes + 8) != journal_checksum(bytes + JOURNAL_SUM_FROM, size - JOURNAL_SUM_FROM))
        return;
    reader = reader_over(bytes + 16, size - 16);
    engine_size = reader_be16(&reader);
    n_ports = reader_be16(&reader);
    engine = reader_take(&reader, engine_size);
    if (!engine || n_ports > PATHS_MAX)
        return;
    (void)paths_journal_decode(engine, engine_size, map, ret_memory);
    for (unsigned i = 0; i < n_ports; i++)
        journal_take_port(&reader, path ? map->count : 0, path);
}

static size_t journal_encode(uint8_t *bytes, const struct paths_memory *memory,
                             const struct paths_map *map, struct path *const *path)
{
    struct writer writer = writer_over(bytes, JOURNAL_MAX);
    uint16_t n_ports = 0;
    size_t size;

    writer_put(&writer, journal_magic, sizeof(journal_magic));
    writer_zeros(&writer, JOURNAL_HEADER_SIZE - sizeof(journal_magic));
    size = paths_journal_encode(memory, map, bytes + JOURNAL_HEADER_SIZE);
    writer_patch_be16(&writer, 16, (uint16_t)size);
    writer.offset += size; /* it is there already */
    for (unsigned i = 0; i < map->count; i++) {
        const struct path *one = path[i];

        if (!one->is_learnt && !(one->nexus.complete && one->has_target_port))
            continue;
        writer_be64(&writer, one->nexus.id);
        writer_be64(&writer, one->names.serial);
        writer_be16(&writer, one->target_port);
        writer_be16(&writer, one->nexus.initiator.size);
        writer_put(&writer, one->nexus.initiator.bytes, one->nexus.initiator.size);
        n_ports++;
    }
    size = writer_stored(&writer);
    writer_patch_be16(&writer, 18, n_ports);
    writer_patch_be32(&writer, 12, (uint32_t)size);
    writer_patch_be32(&writer, 8,
                      journal_checksum(bytes + JOURNAL_SUM_FROM, size - JOURNAL_SUM_FROM));
    return size;
}

int journal_store(struct journal *journal, const struct paths_memory *memory,
                  const struct paths_map *map, struct path *const *path)
{
    CLEANUP_FREE uint8_t *bytes = malloc(JOURNAL_MAX);
    uint8_t *kept;
    size_t size;

    if (!bytes)
        return -ENOMEM;
    size = journal_encode(bytes, memory, map, path);
    if (journal->fd < 0) {
        kept = realloc(journal->kept, size);
        if (!kept)
            return -ENOMEM;
        memcpy(kept, bytes, size);
        journal->kept = kept;
        journal->n_kept = size;
        return 0;
    }
    errno = EIO; /* of one that was written in part */
    return pwrite(journal->fd, bytes, size, 0) == (ssize_t)size ? 0 : -errno;
}
