// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands to a SCSI device by the kernel's SG_IO, version 3 of its header. */
#ifndef SG_ISSUE_H
#define SG_ISSUE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/request.h"

/* DID_ codes that SG_IO reports (include/scsi/scsi_status.h of the kernel; not in its uapi). */
enum sg_host_status {
    SG_HOST_OK = 0x00,
    SG_HOST_NO_CONNECT = 0x01,
    SG_HOST_BUS_BUSY = 0x02,
    SG_HOST_TIME_OUT = 0x03,
    SG_HOST_BAD_TARGET = 0x04,
    SG_HOST_ABORT = 0x05,
    SG_HOST_PARITY = 0x06,
    SG_HOST_RESET = 0x08,
    SG_HOST_IMM_RETRY = 0x0c,
    SG_HOST_REQUEUE = 0x0d,
    SG_HOST_TRANSPORT_DISRUPTED = 0x0e,
    SG_HOST_TRANSPORT_FAILFAST = 0x0f,
    SG_HOST_TARGET_FAILURE = 0x10,
    SG_HOST_RESERVATION_CONFLICT = 0x11, /* NEXUS_FAILURE until 5.18, with the same meaning */
    SG_HOST_ALLOC_FAILURE = 0x12,
    SG_HOST_MEDIUM_ERROR = 0x13,
    SG_HOST_TRANSPORT_MARGINAL = 0x14,
};

/* The low half of a driver status; the high one has been a suggestion. */
#define SG_DRIVER_MASK 0x0f

enum sg_driver_status {
    SG_DRIVER_OK = 0x0,
    SG_DRIVER_TIMEOUT = 0x6,
    SG_DRIVER_SENSE = 0x8,
};

/* What the kernel says of a command that it has carried out, as <scsi/sg.h> has it. */
struct sg_result {
    uint8_t status;         /* raw SAM status */
    uint16_t host_status;   /* enum sg_host_status, or one that is not known here */
    uint16_t driver_status; /* enum sg_driver_status in its low half */
    uint8_t sense_size;     /* bytes of sense written */
    int32_t residual;       /* allocation length less bytes transferred, if the driver is right */
    uint8_t sense[SENSE_SIZE]; /* if there is any: zeroed behind sense_size */
};

/* Sense data: 70h to 73h and the vendor's 7Fh; a device that sends zeros sends no sense. */
static inline bool sg_has_sense(const struct sg_result *result)
{
    return result->sense_size > 0 && (result->sense[0] & 0x7f) >= 0x70;
}

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
