// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

/*
 * Bytes that come from or go to another program. SCSI, QEMU's protocol and the messages between our
 * processes are big-endian and unaligned, so nothing is ever overlaid with a struct: single values
 * go through load_be*()/store_be*(), anything with a length in it through a reader or a writer.
 *
 * Neither reader nor writer can leave its buffer, and neither has to be asked before each field:
 *
 * - A reader that runs out of bytes yields zeros and stays exhausted; the caller reads a whole
 *   fixed part and looks at reader_ok() once.
 * - A writer that runs out of room drops what does not fit, byte by byte, and goes on counting, as
 *   snprintf() does. That is what SCSI asks of an answer that is longer than the allocation length:
 *   the first bytes of the full answer, with the length fields of the full answer in it (SPC-4
 *   4.2.5.6, Allocation length).
 *
 * Functions of this file keep no state of their own and are safe in any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t load_be32(const uint8_t *bytes)
{
    return (uint32_t)load_be16(bytes) << 16 | load_be16(bytes + 2);
}

static inline uint64_t load_be64(const uint8_t *bytes)
{
    return (uint64_t)load_be32(bytes) << 32 | load_be32(bytes + 4);
}

static inline void store_be16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void store_be32(uint8_t *bytes, uint32_t value)
{
    store_be16(bytes, (uint16_t)(value >> 16));
    store_be16(bytes + 2, (uint16_t)value);
}

static inline void store_be64(uint8_t *bytes, uint64_t value)
{
    store_be32(bytes, (uint32_t)(value >> 32));
    store_be32(bytes + 4, (uint32_t)value);
}

/* Reads forward through `size` bytes that the caller keeps alive. */
struct reader {
    const uint8_t *bytes;
    size_t size;    /* bytes in all */
    size_t offset;  /* bytes consumed, never above size */
    bool exhausted; /* something was asked for that was not there */
};

static inline struct reader reader_over(const uint8_t *bytes, size_t size)
{
    return (struct reader){.bytes = bytes, .size = size};
}

/* Bytes that are left; 0 once exhausted. */
static inline size_t reader_left(const struct reader *reader)
{
    return reader->size - reader->offset;
}

/* True as long as everything that was asked for was there. */
static inline bool reader_ok(const struct reader *reader)
{
    return !reader->exhausted;
}

/*
 * Consume the next `count` bytes. Returns a pointer into the caller's bytes, or NULL (and the
 * reader is exhausted, regardless of what was left) if there are fewer.
 */
static inline const uint8_t *reader_take(struct reader *reader, size_t count)
{
    const uint8_t *taken;

    if (count > reader_left(reader)) {
        reader->offset = reader->size;
        reader->exhausted = true;
        return NULL;
    }
    /* An empty reader may have no bytes at all; NULL + 0 is undefined. */
    taken = count > 0 ? reader->bytes + reader->offset : (const uint8_t *)"";
    reader->offset += count;
    return taken;
}

static inline uint8_t reader_u8(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 1);

    return bytes ? bytes[0] : 0;
}

static inline uint16_t reader_be16(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 2);

    return bytes ? load_be16(bytes) : 0;
}

static inline uint32_t reader_be32(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 4);

    return bytes ? load_be32(bytes) : 0;
}

static inline uint64_t reader_be64(struct reader *reader)
{
    const uint8_t *bytes = reader_take(reader, 8);

    return bytes ? load_be64(bytes) : 0;
}

/* Writes forward into `size` bytes of the caller's. */
struct writer {
    uint8_t *bytes; /* may be NULL if size is 0 */
    size_t size;    /* bytes of room */
    size_t offset;  /* bytes that were asked to be written; may be above size */
};

static inline struct writer writer_over(uint8_t *bytes, size_t size)
{
    return (struct writer){.bytes = bytes, .size = size};
}

/* Bytes that are in the buffer. */
static inline size_t writer_stored(const struct writer *writer)
{
    return writer->offset < writer->size ? writer->offset : writer->size;
}

/* True as long as everything fitted. */
static inline bool writer_ok(const struct writer *writer)
{
    return writer->offset <= writer->size;
}

/*
 * Overwrite `count` bytes at `offset`, the part of them that lies inside the buffer. For a length
 * field whose value is known only after what follows it has been written.
 */
static inline void writer_patch(struct writer *writer, size_t offset, const uint8_t *source,
                                size_t count)
{
    size_t room = offset < writer->size ? writer->size - offset : 0;
    size_t stored = count < room ? count : room;

    if (stored > 0)
        memcpy(writer->bytes + offset, source, stored);
}

static inline void writer_patch_be16(struct writer *writer, size_t offset, uint16_t value)
{
    uint8_t bytes[2];

    store_be16(bytes, value);
    writer_patch(writer, offset, bytes, sizeof(bytes));
}

static inline void writer_patch_be32(struct writer *writer, size_t offset, uint32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, value);
    writer_patch(writer, offset, bytes, sizeof(bytes));
}

static inline void writer_put(struct writer *writer, const uint8_t *source, size_t count)
{
    writer_patch(writer, writer->offset, source, count);
    writer->offset += count;
}

static inline void writer_u8(struct writer *writer, uint8_t value)
{
    writer_put(writer, &value, 1);
}

static inline void writer_be16(struct writer *writer, uint16_t value)
{
    uint8_t bytes[2];

    store_be16(bytes, value);
    writer_put(writer, bytes, sizeof(bytes));
}

static inline void writer_be32(struct writer *writer, uint32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, value);
    writer_put(writer, bytes, sizeof(bytes));
}

static inline void writer_be64(struct writer *writer, uint64_t value)
{
    uint8_t bytes[8];

    store_be64(bytes, value);
    writer_put(writer, bytes, sizeof(bytes));
}

/* `count` reserved bytes: zeros; what was in the buffer before is overwritten. */
static inline void writer_zeros(struct writer *writer, size_t count)
{
    size_t start = writer_stored(writer);

    writer->offset += count;
    if (writer_stored(writer) > start)
        memset(writer->bytes + start, 0, writer_stored(writer) - start);
}

#endif
