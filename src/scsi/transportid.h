// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_TRANSPORTID_H
#define SCSI_TRANSPORTID_H

/*
 * TransportIDs: how SCSI names an initiator port in parameter data. SPC-4 7.6.4, TransportID
 * identifiers. Pure functions, safe in any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* The size of each TransportID except iSCSI's, whose size is at least this. */
#define TRANSPORTID_SIZE 24
/* Bytes in the ADDITIONAL LENGTH of an iSCSI one, at most: a name of 223 and what goes with it. */
#define TRANSPORTID_ISCSI_MAX 252
#define TRANSPORTID_SIZE_MAX  (4 + TRANSPORTID_ISCSI_MAX)

enum transportid_kind {
    TRANSPORTID_RAW,          /* of a protocol or format that we do not know; bytes as they came */
    TRANSPORTID_FC,           /* protocol 0h: N_Port_Name */
    TRANSPORTID_SRP,          /* protocol 4h: initiator port identifier of 16 bytes */
    TRANSPORTID_ISCSI_DEVICE, /* protocol 5h, format 00b: a name, that is every port of that name */
    TRANSPORTID_ISCSI_PORT,   /* protocol 5h, format 01b: name and ISID, that is one port */
    TRANSPORTID_SAS,          /* protocol 6h: SAS address */
};

/*
 * One TransportID in canonical form, so that equal ones have the same bytes: what is reserved is 0,
 * an ISID has lower case digits, padding is the least that the standard asks for. RAW ones are left
 * alone. The functions below make them; no other code fills one in.
 */
struct transportid {
    enum transportid_kind kind;
    uint16_t size; /* bytes; 0 only for a RAW one from a descriptor without */
    uint8_t bytes[TRANSPORTID_SIZE_MAX];
};

enum transportid_result {
    TRANSPORTID_OK,
    TRANSPORTID_TRUNCATED, /* it continues past the end of the data */
    TRANSPORTID_MALFORMED, /* a length or text that the standard does not allow */
};

/*
 * Take the next TransportID out of a list of them, where nothing but itself says how long it is.
 * Of an unknown protocol or format it is TRANSPORTID_SIZE bytes long. Unless OK is returned, `ret`
 * is untouched and the reader's position is undefined.
 */
enum transportid_result transportid_read(struct reader *reader, struct transportid *ret);

/*
 * Take the TransportID that fills exactly `size` bytes, as in a full status descriptor. What cannot
 * be understood is kept as RAW. False, with `ret` untouched, only if size is above
 * TRANSPORTID_SIZE_MAX.
 */
bool transportid_decode(const uint8_t *bytes, size_t size, struct transportid *ret);

/* Make one. Names and addresses in host byte order. */
struct transportid transportid_fc(uint64_t port_name);
struct transportid transportid_sas(uint64_t address);
struct transportid transportid_srp(const uint8_t identifier[16]);

/*
 * `name` is an iSCSI name, alone or followed by ",i,0x" and an ISID of up to twelve hexadecimal
 * digits. False and `ret` untouched if it is empty, too long, or has a bad ISID.
 */
bool transportid_iscsi(const char *name, struct transportid *ret);

/* The PROTOCOL IDENTIFIER field, SPC-4 7.6.1; 0 for an empty one. */
uint8_t transportid_protocol(const struct transportid *id);

/* Whether they name the same initiator port (or the same iSCSI device). */
bool transportid_equal(const struct transportid *a, const struct transportid *b);

/*
 * Whether `port` is one of the initiator ports that `id` stands for: an iSCSI TransportID of format
 * 00b stands for all ports with its name, any other for itself. SPC-4 7.6.4.6.
 */
bool transportid_covers(const struct transportid *id, const struct transportid *port);

/*
 * Write it as text, on one line, of printable ASCII only:
 *
 *   fc:21000024ff3a5b6c   sas:5000c500a1b2c3d4   srp:<32 digits>   raw:<all bytes, hexadecimal>
 *   iscsi:iqn.2026-01.example:node   iscsi:iqn.2026-01.example:node,i,0x00023d000001
 *
 * Bytes of an iSCSI name that are no printable ASCII, and '%', come as "%XX". `text` has room for
 * `size` bytes and is always terminated (unless size is 0); TRANSPORTID_TEXT_SIZE is always enough.
 * Returns the length of the whole text without its NUL, as snprintf().
 */
size_t transportid_format(char *text, size_t size, const struct transportid *id);
#define TRANSPORTID_TEXT_SIZE (6 + 3 * TRANSPORTID_ISCSI_MAX + 1)

/*
 * The reverse of transportid_format(). An iSCSI name that begins with "iqn.", "eui." or "naa."
 * needs no "iscsi:". False and `ret` untouched if the text is none of these.
 */
bool transportid_parse(const char *text, struct transportid *ret);

#endif
