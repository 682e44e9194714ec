// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A list of TransportIDs has no lengths but those inside of its members, so one of another size
 * than its bytes say would turn all that follow into nonsense. Those cannot be taken.
 */
#include "client/transport_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "client/connection.h"
#include "proto/wire.h"

_Static_assert(PRHELPER_TRANSPORTID_MAX == TRANSPORTID_SIZE_MAX, "the same bytes");
_Static_assert(PRHELPER_TRANSPORTID_TEXT_MAX >= TRANSPORTID_TEXT_SIZE, "room for all of it");

int transport_ids_take(const struct prhelper_transportid *ports, size_t count,
                       struct transportid **ret_ids)
{
    CLEANUP_FREE struct transportid *ids = NULL;

    if (count > WIRE_DATA_MAX / TRANSPORTID_SIZE)
        return PRHELPER_BAD_ARGUMENT;
    ids = calloc(count, sizeof(*ids));
    if (!ids)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct reader reader = reader_over(ports[i].bytes, ports[i].size);

        if (ports[i].size > sizeof(ports[i].bytes) ||
            transportid_read(&reader, &ids[i]) != TRANSPORTID_OK || reader_left(&reader) > 0)
            return PRHELPER_BAD_ARGUMENT;
    }
    *ret_ids = steal_pointer(&ids);
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
