// SPDX-License-Identifier: LGPL-2.1-or-later
/* TransportIDs as people type them. */
#ifndef CTL_TRANSPORT_IDS_H
#define CTL_TRANSPORT_IDS_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Add what `text` stands for to an array that is on the heap, or NULL if it is empty: one
 * TransportID in libprhelper's notation or in one of sg_persist's (sas,HEX  fcp,HEX  srp,HEX, bytes
 * in hexadecimal with commas between them), or all in a file (file=NAME, or - for standard input:
 * one a line, # begins a comment). False with a message without newline; the array stays usable.
 */
bool transport_ids_parse(const char *text, struct prhelper_transportid **ids, size_t *n_ids,
                         char *message, size_t size);

#endif
