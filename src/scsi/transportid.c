// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Byte 0 says which protocol (bits 3-0) and which of its formats (bits 7-6) follows; bits 5-4 are
 * reserved and ignored. All but iSCSI's are 24 bytes with a binary name at a fixed place. iSCSI's
 * has a length at bytes 2-3 and then text: the name, for format 01b ",i,0x" and the ISID, a NUL,
 * and padding to a multiple of four.
 *
 * All input is taken apart and built anew, so there is one way in (the functions that make
 * a TransportID) and everything else may compare bytes.
 */
#include "scsi/transportid.h"

#include <string.h>

#define FORMAT_AND_PROTOCOL_MASK 0xcf
#define PROTOCOL_MASK            0x0f

#define BYTE0_FC           0x00
#define BYTE0_SRP          0x04
#define BYTE0_ISCSI_DEVICE 0x05
#define BYTE0_ISCSI_PORT   0x45
#define BYTE0_SAS          0x06

/* Where the name lies. */
#define FC_NAME_AT      8
#define FC_NAME_SIZE    8
#define SRP_NAME_AT     8
#define SRP_NAME_SIZE   16
#define SAS_NAME_AT     4
#define SAS_NAME_SIZE   8
#define ISCSI_LENGTH_AT 2
#define ISCSI_NAME_AT   4

/* SPC-4 7.6.4.6: the ADDITIONAL LENGTH is at least 20 and a multiple of four. */
#define ISCSI_ADDITIONAL_MIN 20

#define ISID_SEPARATOR  ",i,0x"
#define ISID_DIGITS_MAX 12

/*
 * One that is as long as they all are, with this name in it. In place: a temporary one for each
 * protocol was more of the stack than the library promises its callers to need.
 */
static void transportid_fill(enum transportid_kind kind, uint8_t byte0, size_t name_at,
                             const uint8_t *name, size_t name_size, struct transportid *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->kind = kind;
    ret->size = TRANSPORTID_SIZE;
    ret->bytes[0] = byte0;
    memcpy(ret->bytes + name_at, name, name_size);
}

static void transportid_fill_fc(const uint8_t *name, struct transportid *ret)
{
    transportid_fill(TRANSPORTID_FC, BYTE0_FC, FC_NAME_AT, name, FC_NAME_SIZE, ret);
}

static void transportid_fill_sas(const uint8_t *name, struct transportid *ret)
{
    transportid_fill(TRANSPORTID_SAS, BYTE0_SAS, SAS_NAME_AT, name, SAS_NAME_SIZE, ret);
}

static void transportid_fill_srp(const uint8_t *name, struct transportid *ret)
{
    transportid_fill(TRANSPORTID_SRP, BYTE0_SRP, SRP_NAME_AT, name, SRP_NAME_SIZE, ret);
}

struct transportid transportid_fc(uint64_t port_name)
{
    uint8_t name[FC_NAME_SIZE];
    struct transportid id;

    store_be64(name, port_name);
    transportid_fill_fc(name, &id);
    return id;
}

struct transportid transportid_sas(uint64_t address)
{
    uint8_t name[SAS_NAME_SIZE];
    struct transportid id;

    store_be64(name, address);
    transportid_fill_sas(name, &id);
    return id;
}

struct transportid transportid_srp(const uint8_t identifier[16])
{
    struct transportid id;

    transportid_fill_srp(identifier, &id);
    return id;
}

/* isxdigit() and tolower() know about locales; these bytes do not. -1 if it is no digit. */
static int transportid_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool transportid_iscsi(const char *name, struct transportid *ret)
{
    /* A name has no comma in it (RFC 3722), so the first separator is the only one. */
    const char *separator = strstr(name, ISID_SEPARATOR);
    size_t length = strlen(name), isid_at = length;
    size_t additional = (length + 1 + 3) / 4 * 4;

    if (length == 0 || separator == name || length >= TRANSPORTID_ISCSI_MAX)
        return false;
    if (additional < ISCSI_ADDITIONAL_MIN)
        additional = ISCSI_ADDITIONAL_MIN;
    if (separator) {
        isid_at = (size_t)(separator - name) + strlen(ISID_SEPARATOR);
        if (length == isid_at || length - isid_at > ISID_DIGITS_MAX)
            return false;
        for (size_t i = isid_at; i < length; i++) {
            if (transportid_hex_value(name[i]) < 0)
                return false;
        }
    }

    memset(ret, 0, sizeof(*ret));
    ret->kind = separator ? TRANSPORTID_ISCSI_PORT : TRANSPORTID_ISCSI_DEVICE;
    ret->size = (uint16_t)(ISCSI_NAME_AT + additional);
    ret->bytes[0] = separator ? BYTE0_ISCSI_PORT : BYTE0_ISCSI_DEVICE;
    store_be16(ret->bytes + ISCSI_LENGTH_AT, (uint16_t)additional);
    memcpy(ret->bytes + ISCSI_NAME_AT, name, length);
    for (size_t i = isid_at; i < length; i++)
        ret->bytes[ISCSI_NAME_AT + i] =
            (uint8_t) "0123456789abcdef"[transportid_hex_value(name[i])];
    return true;
}

static enum transportid_result transportid_read_iscsi(uint8_t byte0, struct reader *reader,
                                                      struct transportid *ret)
{
    const char *text;
    size_t length;

    reader_take(reader, 1);
    length = reader_be16(reader);
    if (!reader_ok(reader))
        return TRANSPORTID_TRUNCATED;
    if (length > TRANSPORTID_ISCSI_MAX || length % 4 != 0)
        return TRANSPORTID_MALFORMED;
    text = (const char *)reader_take(reader, length);
    if (!text)
        return TRANSPORTID_TRUNCATED;
    if (!memchr(text, '\0', length))
        return TRANSPORTID_MALFORMED;
    /* The text must be of the format that byte 0 promised. */
    if ((strstr(text, ISID_SEPARATOR) != NULL) != (byte0 == BYTE0_ISCSI_PORT))
        return TRANSPORTID_MALFORMED;
    return transportid_iscsi(text, ret) ? TRANSPORTID_OK : TRANSPORTID_MALFORMED;
}

static enum transportid_result transportid_read_fixed(uint8_t byte0, struct reader *reader,
                                                      struct transportid *ret)
{
    const uint8_t *rest = reader_take(reader, TRANSPORTID_SIZE - 1);

    if (!rest)
        return TRANSPORTID_TRUNCATED;

    switch (byte0) {
    case BYTE0_FC:
        transportid_fill_fc(rest + FC_NAME_AT - 1, ret);
        break;
    case BYTE0_SAS:
        transportid_fill_sas(rest + SAS_NAME_AT - 1, ret);
        break;
    case BYTE0_SRP:
        transportid_fill_srp(rest + SRP_NAME_AT - 1, ret);
        break;
    default:
        transportid_fill(TRANSPORTID_RAW, byte0, 0, rest - 1, TRANSPORTID_SIZE, ret);
        break;
    }
    return TRANSPORTID_OK;
}

enum transportid_result transportid_read(struct reader *reader, struct transportid *ret)
{
    uint8_t byte0 = reader_u8(reader) & FORMAT_AND_PROTOCOL_MASK;

    if (!reader_ok(reader))
        return TRANSPORTID_TRUNCATED;
    if (byte0 == BYTE0_ISCSI_DEVICE || byte0 == BYTE0_ISCSI_PORT)
        return transportid_read_iscsi(byte0, reader, ret);
    return transportid_read_fixed(byte0, reader, ret);
}

bool transportid_decode(const uint8_t *bytes, size_t size, struct transportid *ret)
{
    struct reader reader = reader_over(bytes, size);

    if (size > TRANSPORTID_SIZE_MAX)
        return false;
    if (transportid_read(&reader, ret) == TRANSPORTID_OK && reader_left(&reader) == 0)
        return true;

    *ret = (struct transportid){.kind = TRANSPORTID_RAW, .size = (uint16_t)size};
    if (size > 0)
        memcpy(ret->bytes, bytes, size);
    return true;
}

uint8_t transportid_protocol(const struct transportid *id)
{
    return id->bytes[0] & PROTOCOL_MASK;
}

bool transportid_equal(const struct transportid *a, const struct transportid *b)
{
    return a->kind == b->kind && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool transportid_covers(const struct transportid *id, const struct transportid *port)
{
    size_t length;

    if (id->kind != TRANSPORTID_ISCSI_DEVICE || port->kind != TRANSPORTID_ISCSI_PORT)
        return transportid_equal(id, port);

    length = strlen((const char *)id->bytes + ISCSI_NAME_AT);
    return strncmp((const char *)port->bytes + ISCSI_NAME_AT,
                   (const char *)id->bytes + ISCSI_NAME_AT, length) == 0 &&
           strncmp((const char *)port->bytes + ISCSI_NAME_AT + length, ISID_SEPARATOR,
                   strlen(ISID_SEPARATOR)) == 0;
}

/* A writer for text: it counts on as writer_put() does; format_end() terminates what is there. */
static void transportid_put_text(struct writer *writer, const char *text)
{
    writer_put(writer, (const uint8_t *)text, strlen(text));
}

static void transportid_put_hex(struct writer *writer, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        writer_u8(writer, (uint8_t) "0123456789abcdef"[bytes[i] >> 4]);
        writer_u8(writer, (uint8_t) "0123456789abcdef"[bytes[i] & 15]);
    }
}

static void transportid_put_escaped(struct writer *writer, const uint8_t *text)
{
    for (; *text; text++) {
        if (*text > ' ' && *text < 0x7f && *text != '%') {
            writer_u8(writer, *text);
        } else {
            writer_u8(writer, '%');
            transportid_put_hex(writer, text, 1);
        }
    }
}

size_t transportid_format(char *text, size_t size, const struct transportid *id)
{
    struct writer writer = writer_over((uint8_t *)text, size > 0 ? size - 1 : 0);

    switch (id->kind) {
    case TRANSPORTID_FC:
        transportid_put_text(&writer, "fc:");
        transportid_put_hex(&writer, id->bytes + FC_NAME_AT, 8);
        break;
    case TRANSPORTID_SAS:
        transportid_put_text(&writer, "sas:");
        transportid_put_hex(&writer, id->bytes + SAS_NAME_AT, 8);
        break;
    case TRANSPORTID_SRP:
        transportid_put_text(&writer, "srp:");
        transportid_put_hex(&writer, id->bytes + SRP_NAME_AT, SRP_NAME_SIZE);
        break;
    case TRANSPORTID_ISCSI_DEVICE:
    case TRANSPORTID_ISCSI_PORT:
        transportid_put_text(&writer, "iscsi:");
        transportid_put_escaped(&writer, id->bytes + ISCSI_NAME_AT);
        break;
    case TRANSPORTID_RAW:
        transportid_put_text(&writer, "raw:");
        transportid_put_hex(&writer, id->bytes, id->size);
        break;
    }
    if (size > 0)
        text[writer_stored(&writer)] = '\0';
    return writer.offset;
}

/* Exactly 2 * count digits, or with `ret_count` any even number of them up to that. */
static bool transportid_parse_hex(const char *text, uint8_t *bytes, size_t count, size_t *ret_count)
{
    size_t digits = strlen(text);

    if (digits % 2 != 0 || digits / 2 > count || (!ret_count && digits / 2 != count))
        return false;
    for (size_t i = 0; i < digits; i++) {
        int value = transportid_hex_value(text[i]);

        if (value < 0)
            return false;
        bytes[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : bytes[i / 2] | value);
    }
    if (ret_count)
        *ret_count = digits / 2;
    return true;
}

static bool transportid_parse_iscsi(const char *text, struct transportid *ret)
{
    char name[TRANSPORTID_ISCSI_MAX];
    size_t length = 0;

    while (*text) {
        uint8_t byte = (uint8_t)*text++;

        if (length == sizeof(name) - 1)
            return false;
        if (byte <= ' ' || byte >= 0x7f)
            return false;
        if (byte == '%') {
            char digits[3] = "";

            strncat(digits, text, 2);
            if (!transportid_parse_hex(digits, &byte, 1, NULL) || byte == 0)
                return false;
            text += 2;
        }
        name[length++] = (char)byte;
    }
    name[length] = '\0';
    return transportid_iscsi(name, ret);
}

/* Whether text begins with `prefix`; then *ret_rest is what follows it. */
static bool transportid_strip(const char *text, const char *prefix, const char **ret_rest)
{
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return false;
    *ret_rest = text + strlen(prefix);
    return true;
}

bool transportid_parse(const char *text, struct transportid *ret)
{
    uint8_t bytes[TRANSPORTID_SIZE_MAX] = {0};
    const char *rest;
    size_t count;

    if (transportid_strip(text, "fc:", &rest)) {
        if (!transportid_parse_hex(rest, bytes, FC_NAME_SIZE, NULL))
            return false;
        transportid_fill_fc(bytes, ret);
        return true;
    }
    if (transportid_strip(text, "sas:", &rest)) {
        if (!transportid_parse_hex(rest, bytes, SAS_NAME_SIZE, NULL))
            return false;
        transportid_fill_sas(bytes, ret);
        return true;
    }
    if (transportid_strip(text, "srp:", &rest)) {
        if (!transportid_parse_hex(rest, bytes, SRP_NAME_SIZE, NULL))
            return false;
        transportid_fill_srp(bytes, ret);
        return true;
    }
    if (transportid_strip(text, "raw:", &rest))
        return transportid_parse_hex(rest, bytes, sizeof(bytes), &count) &&
               transportid_decode(bytes, count, ret);
    if (transportid_strip(text, "iscsi:", &rest))
        return transportid_parse_iscsi(rest, ret);
    if (transportid_strip(text, "iqn.", &rest) || transportid_strip(text, "eui.", &rest) ||
        transportid_strip(text, "naa.", &rest))
        return transportid_parse_iscsi(text, ret);
    return false;
}
