// SPDX-License-Identifier: LGPL-2.1-or-later
/* TransportIDs between the public form, which only carries bytes, and our own. */
#ifndef CLIENT_TRANSPORT_IDS_H
#define CLIENT_TRANSPORT_IDS_H

#include <stddef.h>

#include "client/prhelper.h"
#include "scsi/transportid.h"

/*
 * Take `count` of them for a parameter list. 0: *ret_ids is the caller's to free. BAD_ARGUMENT if
 * there is one that no list can hold; -ENOMEM.
 */
int transport_ids_take(const struct prhelper_transportid *ports, size_t count,
                       struct transportid **ret_ids);

void transport_id_give(const struct transportid *id, struct prhelper_transportid *ret_port);

#endif
