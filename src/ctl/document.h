// SPDX-License-Identifier: LGPL-2.1-or-later
/* The status document of the helper that the command line means; node/document.h looks into it. */
#ifndef CTL_DOCUMENT_H
#define CTL_DOCUMENT_H

#include <json.h>
#include <stdbool.h>

#include "ctl/outcome.h"

/* The status socket that is meant. */
const char *document_socket(const struct options *options);

/* Where helpers of packages make their status sockets. */
const char *document_directory(void);

/*
 * Fetch the document from the status socket. True: the caller puts *ret_document. False: the
 * outcome says why, with what to do about it.
 */
bool document_fetch(const struct options *options, struct outcome *outcome,
                    struct json_object **ret_document);

#endif
