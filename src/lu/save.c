// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * State that outlives a loss of power, as bytes (big-endian):
 *
 *   0   4  "PRLU"
 *   4   2  version
 *   6   1  flags: bit 0 APTPL, bit 1 reserved
 *   7   1  scope (bits 7-4) and type (bits 3-0) of the reservation, else 0
 *   8   2  index of the holder; FFFFh if there is none or all registrants are
 *   10  2  number of registrations, each of them:
 *            0  8  key
 *            8  2  relative target port identifier
 *            10 2  size of the TransportID, which follows
 *
 * Loading takes what saving wrote and nothing else. A reservation that comes back wrong protects
 * the wrong node, so a file that breaks any invariant of struct lu is refused as a whole.
 */
#include <assert.h>
#include <string.h>

#include "lu/internal.h"

#define MAGIC      "PRLU"
#define MAGIC_SIZE 4
#define VERSION    1

#define FLAG_APTPL    0x01
#define FLAG_RESERVED 0x02

#define NO_HOLDER 0xffff

static_assert(LU_REGISTRATION_MAX < NO_HOLDER, "an index must not look like no holder");

size_t lu_save(const struct lu *lu, uint8_t *bytes, size_t size)
{
    struct writer writer = writer_over(bytes, size);
    bool reserved = lu->aptpl && lu->reserved;
    size_t count = lu->aptpl ? lu->registrations : 0;
    bool holder = reserved && !spc_type_is_all_registrants(lu->type);

    writer_put(&writer, (const uint8_t *)MAGIC, MAGIC_SIZE);
    writer_be16(&writer, VERSION);
    writer_u8(&writer, (uint8_t)((lu->aptpl ? FLAG_APTPL : 0) | (reserved ? FLAG_RESERVED : 0)));
    writer_u8(&writer, reserved ? (uint8_t)(SPC_SCOPE_LOGICAL_UNIT << 4 | lu->type) : 0);
    writer_be16(&writer, holder ? (uint16_t)lu->holder : NO_HOLDER);
    writer_be16(&writer, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        const struct lu_registration *registration = &lu->registration[i];

        writer_be64(&writer, registration->key);
        writer_be16(&writer, registration->target_port);
        writer_be16(&writer, registration->initiator.size);
        writer_put(&writer, registration->initiator.bytes, registration->initiator.size);
    }
    return writer.offset;
}

static bool lu_load_registration(struct lu *lu, struct reader *reader)
{
    uint64_t key = reader_be64(reader);
    uint16_t target_port = reader_be16(reader);
    uint16_t size = reader_be16(reader);
    const uint8_t *bytes = reader_take(reader, size);
    struct transportid id;

    if (!bytes || !transportid_decode(bytes, size, &id))
        return false;
    if (id.kind == TRANSPORTID_RAW || id.kind == TRANSPORTID_ISCSI_DEVICE)
        return false;
    /* Saved ones are in the canonical form. */
    if (id.size != size || memcmp(id.bytes, bytes, size) != 0)
        return false;
    if (key == 0 || target_port < 1 || target_port > lu->target_ports)
        return false;
    if (lu_find(lu, &id, target_port) != LU_NONE)
        return false;
    return lu_registration_add(lu, &id, target_port, key);
}

/* Everything behind the version. Registrations are added as they come. */
static bool lu_load_state(struct lu *lu, struct reader *reader)
{
    uint8_t flags = reader_u8(reader);
    uint8_t scope_type = reader_u8(reader);
    uint16_t holder = reader_be16(reader);
    uint16_t count = reader_be16(reader);
    bool aptpl = flags & FLAG_APTPL;
    bool reserved = flags & FLAG_RESERVED;

    if (!reader_ok(reader) || flags & ~(FLAG_APTPL | FLAG_RESERVED))
        return false;
    if (!aptpl && count > 0)
        return false;
    for (uint16_t i = 0; i < count; i++) {
        if (!lu_load_registration(lu, reader))
            return false;
    }
    if (reader_left(reader) > 0)
        return false;

    if (!reserved) {
        if (scope_type != 0 || holder != NO_HOLDER)
            return false;
    } else {
        /* With scope 0, the only one, the byte is the type. */
        if (!spc_type_is_valid(scope_type) || count == 0)
            return false;
        if (spc_type_is_all_registrants(scope_type) ? holder != NO_HOLDER : holder >= count)
            return false;
        lu->reserved = true;
        lu->type = scope_type;
        lu->holder = holder == NO_HOLDER ? 0 : holder;
    }
    lu->aptpl = aptpl;
    return true;
}

enum lu_load_result lu_load(struct lu *lu, const uint8_t *bytes, size_t size)
{
    struct reader reader = reader_over(bytes, size);
    const uint8_t *magic = reader_take(&reader, MAGIC_SIZE);
    uint16_t version = reader_be16(&reader);

    assert(lu->registrations == 0 && !lu->reserved && !lu->aptpl);
    if (!reader_ok(&reader) || memcmp(magic, MAGIC, MAGIC_SIZE) != 0 || version != VERSION)
        return LU_LOAD_FOREIGN;
    if (!lu_load_state(lu, &reader)) {
        lu->registrations = 0;
        return LU_LOAD_MALFORMED;
    }
    return LU_LOAD_OK;
}
