// SPDX-License-Identifier: LGPL-2.1-or-later
/* TransportIDs between the public form, which only carries bytes, and our own. */
#ifndef CLIENT_TRANSPORT_IDS_H
#define CLIENT_TRANSPORT_IDS_H

#include <stddef.h>

#include "client/prhelper.h"
#include "scsi/transportid.h"

/*
 * Append `count` of them to a parameter list of *length bytes that prout_encode() has made, with
 * room for `size`. scratch: room for one, so that it need not be on the stack. 0, or BAD_ARGUMENT
 * if there is one that no list can hold, or too many.
 */
int transport_ids_append(uint8_t service_action, const struct prhelper_transportid *ports,
                         size_t count, struct transportid *scratch, uint8_t *list, size_t *length,
                         size_t size);

void transport_id_give(const struct transportid *id, struct prhelper_transportid *ret_port);

#endif
