// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * TransportIDs, as bytes of a list, as bytes of a given size, and as text. Input: which of the
 * three, how much room the text gets, the bytes.
 */
#include "fuzz.h"
#include "scsi/transportid.h"

/* No matter how it came in: it has one form, and its text means the same. */
static void check_id(const struct transportid *id, size_t room)
{
    char text[TRANSPORTID_TEXT_SIZE + 1], cut[257];
    size_t length = transportid_format(text, TRANSPORTID_TEXT_SIZE, id);
    struct transportid again;

    fuzz_check(id->size <= TRANSPORTID_SIZE_MAX);
    fuzz_check(length < TRANSPORTID_TEXT_SIZE && fuzz_printable(text, length));
    fuzz_check(!memchr(text, ' ', length));
    fuzz_check(transportid_parse(text, &again) && transportid_equal(id, &again));
    fuzz_check(transportid_equal(id, id) && transportid_covers(id, id));
    fuzz_check(transportid_decode(id->bytes, id->size, &again) && transportid_equal(id, &again));
    fuzz_check(transportid_protocol(id) < 16);

    memset(cut, 0x7f, sizeof(cut));
    fuzz_check(transportid_format(cut, room, id) == length);
    fuzz_check(cut[room] == 0x7f);
    if (room > 0) {
        size_t kept = length < room - 1 ? length : room - 1;

        fuzz_check(memcmp(cut, text, kept) == 0 && cut[kept] == '\0');
    }
}

static void check_list(const uint8_t *bytes, size_t size, size_t room)
{
    struct reader reader = reader_over(bytes, size);
    struct transportid id, previous = {.kind = TRANSPORTID_RAW};

    while (reader_left(&reader) > 0) {
        size_t before = reader.offset;

        if (transportid_read(&reader, &id) != TRANSPORTID_OK)
            break;
        fuzz_check(reader.offset >= before + 4 && reader.offset <= size && id.size > 0);
        check_id(&id, room);
        /* Equality and covering look at both in the same way. */
        fuzz_check(transportid_equal(&id, &previous) == transportid_equal(&previous, &id));
        if (transportid_covers(&id, &previous) && transportid_covers(&previous, &id))
            fuzz_check(transportid_equal(&id, &previous));
        previous = id;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    uint8_t kind = reader_u8(&input) % 4;
    size_t room = reader_u8(&input);
    size_t rest_size;
    uint8_t *rest = fuzz_rest(&input, kind > 1, &rest_size);
    struct transportid id;

    switch (kind) {
    case 0:
        check_list(rest, rest_size, room);
        break;
    case 1:
        if (transportid_decode(rest, rest_size, &id)) {
            fuzz_check(rest_size <= TRANSPORTID_SIZE_MAX);
            fuzz_check(id.kind != TRANSPORTID_RAW ||
                       (id.size == rest_size && memcmp(id.bytes, rest, rest_size) == 0));
            check_id(&id, room);
        } else {
            fuzz_check(rest_size > TRANSPORTID_SIZE_MAX);
        }
        break;
    case 2:
        if (transportid_parse((const char *)rest, &id))
            check_id(&id, room);
        break;
    default:
        if (transportid_iscsi((const char *)rest, &id)) {
            fuzz_check(id.size % 4 == 0 && id.size >= TRANSPORTID_SIZE);
            check_id(&id, room);
        }
        break;
    }
    free(rest);
    return 0;
}
