// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands to a SCSI device by the kernel's SG_IO, version 3 of its header. */
#ifndef HELPER_BACKEND_SG_H
#define HELPER_BACKEND_SG_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/request.h"

/* What the kernel says of a command that it has carried out, as <scsi/sg.h> has it. */
struct sg_result {
    uint8_t status;         /* raw SAM status */
    uint16_t host_status;   /* DID_ of <scsi/scsi.h> */
    uint16_t driver_status; /* DRIVER_ */
    uint8_t sense_size;     /* bytes of sense written */
    int32_t residual;       /* allocation length less bytes transferred, if the driver is right */
    const uint8_t *sense;   /* SENSE_SIZE bytes, zeroed behind sense_size */
};

/*
 * Issue PERSISTENT RESERVE IN or OUT on request->fd, whose device number is `device`, and fill in
 * the reply. May block for as long as the device does; timeout_ms is for the kernel's error
 * handling. Any thread.
 */
void sg_execute(const struct request *request, dev_t device, unsigned timeout_ms,
                struct reply *reply);

/* The answer to an ioctl that failed with `error` (an errno, positive). Pure. */
void sg_reply_errno(int error, struct reply *reply);

/*
 * The answer to a command that was carried out. Pure. GOOD only if host, driver and device all say
 * so: of whatever is not known to be success, failure is the safe thing to say, since a guest that
 * is told GOOD believes that it has fenced its neighbour.
 */
void sg_reply_result(const struct sg_result *result, const struct request *request,
                     struct reply *reply);

#endif
