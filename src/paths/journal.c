// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The journal of a map: struct paths_memory as bytes, all big-endian.
 *
 *   0  "prpaths" and the version, 2
 *   8  the key
 *  16  the key before it
 *  24  enum paths_aim; flags; number of paths; 0
 *  28  checksum of all the other bytes
 *  32  for each path that is remembered: id (8 bytes), flags, and a number that
 *     paths with one registration have in common, or 0
 *
 * Paths go by id, since their order in the map changes from one start to the next.
 */
#include <string.h>

#include "base/bytes.h"
#include "paths/internal.h"

#define JOURNAL_HEADER_SIZE 32
#define JOURNAL_PATH_SIZE   10
#define JOURNAL_COUNT_AT    26
#define JOURNAL_CHECKSUM_AT 28

#define JOURNAL_APTPL       0x01
#define JOURNAL_PLAIN       0x02
#define JOURNAL_APTPL_KNOWN 0x04

#define JOURNAL_PATH_HAD      0x01
#define JOURNAL_PATH_FAILED   0x02
#define JOURNAL_PATH_EXPECTED 0x04

static const uint8_t journal_magic[8] = {'p', 'r', 'p', 'a', 't', 'h', 's', 2};

/* FNV-1a: against a file cut short or of another kind, not against malice. */
static uint64_t journal_hash_bytes(uint64_t hash, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

#define HASH_BEGIN 0xcbf29ce484222325

uint64_t paths_nexus_id(const struct transportid *initiator, uint16_t target_port)
{
    uint8_t port[2];

    store_be16(port, target_port);
    return journal_hash_bytes(journal_hash_bytes(HASH_BEGIN, initiator->bytes, initiator->size),
                              port, sizeof(port));
}

static uint32_t journal_checksum(const uint8_t *bytes, size_t size)
{
    uint64_t hash = journal_hash_bytes(HASH_BEGIN, bytes, JOURNAL_CHECKSUM_AT);

    hash = journal_hash_bytes(hash, bytes + JOURNAL_HEADER_SIZE, size - JOURNAL_HEADER_SIZE);
    return (uint32_t)(hash ^ hash >> 32);
}

size_t paths_journal_encode(const struct paths_memory *memory, const struct paths_map *map,
                            uint8_t bytes[PATHS_JOURNAL_MAX])
{
    struct writer writer = writer_over(bytes, PATHS_JOURNAL_MAX);
    uint8_t count = 0, sum[4];

    writer_put(&writer, journal_magic, sizeof(journal_magic));
    writer_be64(&writer, memory->key);
    writer_be64(&writer, memory->old_key);
    writer_u8(&writer, memory->aim);
    writer_u8(&writer, (memory->aptpl ? JOURNAL_APTPL : 0) | (memory->plain ? JOURNAL_PLAIN : 0) |
                           (memory->aptpl_known ? JOURNAL_APTPL_KNOWN : 0));
    writer_zeros(&writer, JOURNAL_HEADER_SIZE - JOURNAL_COUNT_AT);
    for (unsigned path = 0; path < map->count; path++) {
        uint8_t flags = (memory->had >> path & 1 ? JOURNAL_PATH_HAD : 0) |
                        (memory->failed >> path & 1 ? JOURNAL_PATH_FAILED : 0) |
                        (memory->expected >> path & 1 ? JOURNAL_PATH_EXPECTED : 0);

        if (flags == 0 && memory->twin[path] == 0)
            continue;
        writer_be64(&writer, map->path[path].id);
        writer_u8(&writer, flags);
        writer_u8(&writer, memory->twin[path]);
        count++;
    }
    writer_patch(&writer, JOURNAL_COUNT_AT, &count, 1);
    store_be32(sum, journal_checksum(bytes, writer.offset));
    writer_patch(&writer, JOURNAL_CHECKSUM_AT, sum, sizeof(sum));
    return writer.offset;
}

static void journal_take_path(struct paths_memory *memory, const struct paths_map *map, uint64_t id,
                              uint8_t flags, uint8_t twin)
{
    for (unsigned path = 0; path < map->count; path++) {
        if (map->path[path].id != id)
            continue;
        if (flags & JOURNAL_PATH_HAD)
            memory->had |= (uint64_t)1 << path;
        if (flags & JOURNAL_PATH_FAILED)
            memory->failed |= (uint64_t)1 << path;
        if (flags & JOURNAL_PATH_EXPECTED)
            memory->expected |= (uint64_t)1 << path;
        memory->twin[path] = twin;
    }
}

bool paths_journal_decode(const uint8_t *bytes, size_t size, const struct paths_map *map,
                          struct paths_memory *ret)
{
    struct reader reader = reader_over(bytes, size);
    const uint8_t *magic = reader_take(&reader, sizeof(journal_magic));
    struct paths_memory memory = {.key = reader_be64(&reader)};
    uint8_t flags, count;

    memory.old_key = reader_be64(&reader);
    memory.aim = reader_u8(&reader);
    flags = reader_u8(&reader);
    count = reader_u8(&reader);
    memory.aptpl = flags & JOURNAL_APTPL;
    memory.aptpl_known = flags & JOURNAL_APTPL_KNOWN;
    memory.plain = flags & JOURNAL_PLAIN;
    if (reader_u8(&reader) != 0 || !reader_ok(&reader) || size < JOURNAL_HEADER_SIZE ||
        memcmp(magic, journal_magic, sizeof(journal_magic)) != 0 ||
        memory.aim > PATHS_AIM_WITHDRAW || count > PATHS_MAX ||
        size != JOURNAL_HEADER_SIZE + (size_t)count * JOURNAL_PATH_SIZE ||
        reader_be32(&reader) != journal_checksum(bytes, size))
        return false;
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = reader_be64(&reader);
        uint8_t path_flags = reader_u8(&reader);

        journal_take_path(&memory, map, id, path_flags, reader_u8(&reader));
    }
    paths_twins_settle(&memory); /* some of them may be gone */
    *ret = memory;
    return true;
}
