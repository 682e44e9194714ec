// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A list of TransportIDs has no lengths but those inside of its members, so one of another size
 * than its bytes say would turn all that follow into nonsense. Those cannot be taken.
 */
#include "client/transport_ids.h"

#include <string.h>

#include "base/bytes.h"
#include "scsi/prout.h"

_Static_assert(PRHELPER_TRANSPORTID_MAX == TRANSPORTID_SIZE_MAX, "the same bytes");
_Static_assert(PRHELPER_TRANSPORTID_TEXT_MAX >= TRANSPORTID_TEXT_SIZE, "room for all of it");

int transport_ids_append(uint8_t service_action, const struct prhelper_transportid *ports,
                         size_t count, struct transportid *scratch, uint8_t *list, size_t *length,
                         size_t size)
{
    for (size_t i = 0; i < count; i++) {
        struct reader reader = reader_over(ports[i].bytes, ports[i].size);

        if (ports[i].size > sizeof(ports[i].bytes) ||
            transportid_read(&reader, scratch) != TRANSPORTID_OK || reader_left(&reader) > 0)
            return PRHELPER_BAD_ARGUMENT;
        *length = prout_append(service_action, scratch, list, *length, size);
        if (*length > size)
            return PRHELPER_BAD_ARGUMENT;
    }
    return 0;
}

void transport_id_give(const struct transportid *id, struct prhelper_transportid *ret_port)
{
    memset(ret_port, 0, sizeof(*ret_port));
    ret_port->size = id->size;
    memcpy(ret_port->bytes, id->bytes, id->size);
}

size_t prhelper_transportid_format(char *text, size_t size, const struct prhelper_transportid *port)
{
    struct transportid id;

    if (!transportid_decode(port->bytes, port->size, &id))
        id = (struct transportid){.kind = TRANSPORTID_RAW};
    return transportid_format(text, size, &id);
}

int prhelper_transportid_parse(const char *text, struct prhelper_transportid *ret_port)
{
    struct transportid id;

    if (!transportid_parse(text, &id))
        return PRHELPER_BAD_ARGUMENT;
    transport_id_give(&id, ret_port);
    return 0;
}
