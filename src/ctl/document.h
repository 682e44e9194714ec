// SPDX-License-Identifier: LGPL-2.1-or-later
/* The status document of the helper that the command line means; node/document.h looks into it. */
#ifndef CTL_DOCUMENT_H
#define CTL_DOCUMENT_H

#include <json.h>
#include <stdbool.h>

#include "ctl/outcome.h"

/* Where helpers make their status sockets by default. */
const char *document_directory(void);

/* One socket is named, not that of all helpers or a directory? */
bool document_is_one(const struct options *options);

/*
 * Fetch the documents of all helpers whose status sockets are in the directory where they are by
 * default; or, as --status-socket says, in another one, or of one socket. True: the caller puts
 * *ret_documents, an array of at least one; of those that could not be read standard error has a
 * line each. False: none could be read, and the outcome says why, with what to do about it.
 */
bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_documents);

#endif
