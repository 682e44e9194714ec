// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the kernel says of a command, turned into a SCSI status and sense. Pure. */
#ifndef SG_REPLY_H
#define SG_REPLY_H

#include <stdbool.h>

#include "proto/request.h"
#include "sg/issue.h"

/* The answer to an ioctl that failed with `error` (an errno, positive). */
void sg_reply_errno(int error, struct reply *reply);

/*
 * The answer to a command that was carried out: GOOD only if host, driver and device all say so,
 * the driver also by sense data of a command that has succeeded; its size is request->length less
 * the residual.
 */
void sg_reply_result(const struct sg_result *result, const struct request *request,
                     struct reply *reply);

/*
 * Are sense data that came with GOOD about its success? NO SENSE, RECOVERED ERROR and COMPLETED are
 * (SPC-4 4.5.6, Sense key and additional sense code definitions); a deferred error is about another
 * command than this one.
 */
bool sg_sense_is_success(const struct sg_result *result);

/*
 * Was it the way to the logical unit that failed, or that spoke for itself alone (BUSY among it),
 * so that another path may do better? error as above, or 0 and a result. Only for commands that
 * change nothing: whether others had an effect is not known.
 */
bool sg_path_failed(int error, const struct sg_result *result);

#endif
