// SPDX-License-Identifier: LGPL-2.1-or-later
/* The initiator ports of this host: the names under which its paths are registered. */
#ifndef DOCTOR_INITIATOR_H
#define DOCTOR_INITIATOR_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>

#define INITIATOR_MAX 256

/*
 * The initiator port by which a SCSI disk ("sda") is reached, as the beginning of libprhelper's
 * notation: "iscsi:iqn.2026-01.example:node", "fc:21000024ff3a5b6c". False for other transports.
 */
bool initiator_of_disk(const char *block, char *text, size_t size);

/* Whether a TransportID is of this initiator; of iSCSI the name counts, not the session. */
bool initiator_matches(const char *initiator, const struct prhelper_transportid *port);

#endif
