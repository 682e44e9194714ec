// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SCSI_PRIN_H
#define SCSI_PRIN_H

/*
 * Parameter data of PERSISTENT RESERVE IN, both ways. SPC-4 6.15.
 *
 * Decoding believes no length in the data. An answer that is longer than the allocation length was
 * is cut by the device server without a word, its length fields still those of the full answer;
 * that is told apart from an answer that cannot be right. Encoding cuts in the same way: give it
 * the buffer with the size of the allocation length.
 *
 * Pure functions, safe in any thread. Decoded structs hold pointers into the caller's bytes where
 * that is said, and are valid as long as those are. All values are in host byte order.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "scsi/spc.h"
#include "scsi/transportid.h"

enum prin_result {
    PRIN_OK,        /* decoded, or: here is the next one */
    PRIN_END,       /* all of the list has been handed out */
    PRIN_TRUNCATED, /* it goes on behind the bytes that came, for want of allocation length */
    PRIN_MALFORMED, /* lengths that contradict each other */
};

/* Bytes before the list of READ KEYS, READ FULL STATUS and READ RESERVATION. */
#define PRIN_HEADER_SIZE       8
#define PRIN_RESERVATION_SIZE  24
#define PRIN_CAPABILITIES_SIZE 8

/*
 * A walk through the answer to READ KEYS (6.15.2) or READ FULL STATUS (6.15.5). Holds a pointer
 * into the decoded bytes.
 */
struct prin_list {
    uint32_t generation; /* PRGENERATION */
    uint64_t needed;     /* bytes of the full answer, that is the allocation length that holds it */
    struct reader reader;
    bool cut; /* fewer than `needed` bytes came */
};

/*
 * Start the walk over `length` bytes. OK, or TRUNCATED with `ret` untouched if not even the header
 * came. Bytes behind the end that the header gives are ignored: not every transport reports how
 * much of the buffer was written.
 */
enum prin_result prin_list_decode(const uint8_t *data, size_t length, struct prin_list *ret);

/*
 * The next registered key, one for each I_T nexus: two may be equal. OK, END, TRUNCATED or
 * MALFORMED; `ret` untouched unless OK.
 */
enum prin_result prin_key_next(struct prin_list *list, uint64_t *ret);

/* One full status descriptor. */
struct prin_registrant {
    uint64_t key;
    bool all_tg_pt;      /* ALL_TG_PT: through every target port, not only the one given */
    bool holder;         /* R_HOLDER: (one of) the persistent reservation holder(s) */
    uint8_t scope, type; /* of the reservation, meaningful if holder */
    uint16_t relative_target_port;  /* its identifier, meaningful if not all_tg_pt */
    struct transportid transportid; /* RAW where it is not understood */
};

/* The next full status descriptor. OK, END, TRUNCATED or MALFORMED; `ret` untouched unless OK. */
enum prin_result prin_registrant_next(struct prin_list *list, struct prin_registrant *ret);

/* The answer to READ RESERVATION. 6.15.3. */
struct prin_reservation {
    uint32_t generation;
    bool held;    /* if not, the fields below are 0 */
    uint64_t key; /* the holder's; 0 for the all registrants types */
    uint8_t scope, type;
};

/* OK, TRUNCATED or MALFORMED; `ret` untouched unless OK. */
enum prin_result prin_reservation_decode(const uint8_t *data, size_t length,
                                         struct prin_reservation *ret);

/* The answer to REPORT CAPABILITIES. 6.15.4. */
struct prin_capabilities {
    bool replace_lost;      /* RLR_C: REPLACE LOST RESERVATION */
    bool compatible;        /* CRH: SPC-2 RESERVE and RELEASE are let through as SPC-3 says */
    bool spec_i_pt;         /* SIP_C: SPEC_I_PT of one */
    bool all_tg_pt;         /* ATP_C: ALL_TG_PT of one */
    bool persistent;        /* PTPL_C: reservations can persist through power loss */
    bool persistent_active; /* PTPL_A: and do so now */
    uint8_t allow_commands; /* ALLOW COMMANDS, three bits */
    bool types_valid;       /* TMV: `types` means something */
    uint16_t types;         /* 1 << type for each type that is supported */
};

/* OK, TRUNCATED or MALFORMED; `ret` untouched unless OK. */
enum prin_result prin_capabilities_decode(const uint8_t *data, size_t length,
                                          struct prin_capabilities *ret);

/*
 * What a multipath map does not serve: SPEC_I_PT, ALL_TG_PT and REPLACE LOST RESERVATION are for
 * single I_T nexuses. Clears their bits in `length` bytes of the answer, be it whole or cut.
 */
void prin_capabilities_mask(uint8_t *data, size_t length);

/*
 * Encoding. `size` is the allocation length, `data` has room for it. Each returns the number of
 * bytes it put there, never above `size`. Bytes behind that are left alone.
 */

/* An answer with a list: begin, add any number of either keys or registrants, end. */
struct writer prin_list_begin(uint8_t *data, size_t size, uint32_t generation);
void prin_key_add(struct writer *writer, uint64_t key);
void prin_registrant_add(struct writer *writer, const struct prin_registrant *registrant);
size_t prin_list_end(struct writer *writer);

size_t prin_reservation_encode(uint8_t *data, size_t size,
                               const struct prin_reservation *reservation);
size_t prin_capabilities_encode(uint8_t *data, size_t size,
                                const struct prin_capabilities *capabilities);

#endif
