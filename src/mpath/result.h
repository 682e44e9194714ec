// SPDX-License-Identifier: LGPL-2.1-or-later
/* The library's result codes, in SCSI's terms. Pure. */
#ifndef MPATH_RESULT_H
#define MPATH_RESULT_H

#include <stdbool.h>

#include "proto/request.h"

/* What the library's codes mean beside the answer that they become. */
enum result_kind {
    RESULT_ANSWER,     /* the device's, or one that needs no more words */
    RESULT_LESS,       /* CHECK CONDITION with a sense key of which the rest can be asked for */
    RESULT_KEY,        /* not the key that multipath.conf has */
    RESULT_NO_OUTCOME, /* the library itself failed, or something between it and the device */
};

/* Fill in reply for `code` of mpath_persistent_reserve_out(). */
enum result_kind result_reply(int code, struct reply *reply);

#endif
