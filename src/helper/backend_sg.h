// SPDX-License-Identifier: LGPL-2.1-or-later
/* The backend for everything that takes SG_IO: the kernel's answer is ours. */
#ifndef HELPER_BACKEND_SG_H
#define HELPER_BACKEND_SG_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/request.h"

/*
 * Issue PERSISTENT RESERVE IN or OUT on request->fd, whose device number is `device`, and fill in
 * the reply. May block for as long as the device does; timeout_ms is for the kernel's error
 * handling. Returns false if the transport failed, so that another path may do better. Any thread.
 */
bool sg_execute(const struct request *request, dev_t device, unsigned timeout_ms,
                struct reply *reply);

#endif
