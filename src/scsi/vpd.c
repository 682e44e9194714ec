// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scsi/vpd.h"

#include "base/bytes.h"

bool vpd_target_port(const uint8_t *page, size_t size, uint16_t *ret)
{
    struct reader reader = reader_over(page, size);
    const uint8_t *header = reader_take(&reader, 4);

    if (!header || (header[1] != 0x83))
        return false;
    for (;;) {
        const uint8_t *head = reader_take(&reader, 4), *designator;

        if (!head)
            return false;
        designator = reader_take(&reader, head[3]);
        if (!designator)
            return false;
        /* ASSOCIATION 01b, target port; DESIGNATOR TYPE 4h, relative target port identifier */
        if ((head[1] & 0x30) == 0x10 && (head[1] & 0x0f) == 0x4 && head[3] >= 4) {
            *ret = load_be16(designator + 2);
            return true;
        }
    }
}
