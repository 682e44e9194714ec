// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands to a SCSI device by the kernel's SG_IO, version 3 of its header. */
#ifndef SG_ISSUE_H
#define SG_ISSUE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/request.h"

/* What the kernel says of a command that it has carried out, as <scsi/sg.h> has it. */
struct sg_result {
    uint8_t status;         /* raw SAM status */
    uint16_t host_status;   /* DID_ of the kernel's <scsi/scsi_status.h> */
    uint16_t driver_status; /* DRIVER_ */
    uint8_t sense_size;     /* bytes of sense written */
    int32_t residual;       /* allocation length less bytes transferred, if the driver is right */
    uint8_t sense[SENSE_SIZE]; /* zeroed behind sense_size */
};

/*
 * Issue the request's command on request->fd: six bytes of its CDB or ten, by its group code (SPC-4
 * 4.2.5.1, Operation code), with request->data to the device for PERSISTENT RESERVE OUT and from it
 * otherwise. May block for as long as the device does; timeout_ms is for the kernel's error
 * handling. What may have had an effect is issued once; what cannot have had one, or changes
 * nothing, is tried again while the kernel says that it was interrupted or that a map is suspended.
 * Returns 0, or a negative errno, of which -EINTR means for PERSISTENT RESERVE OUT that its outcome
 * is unknown. Any thread.
 */
int sg_issue(const struct request *request, unsigned timeout_ms, struct sg_result *ret);

#endif
