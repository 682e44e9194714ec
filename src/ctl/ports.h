// SPDX-License-Identifier: LGPL-2.1-or-later
/* TransportIDs as people type them. */
#ifndef CTL_PORTS_H
#define CTL_PORTS_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Add what `text` stands for to an array that is on the heap, or NULL if it is empty: one
 * TransportID in libprhelper's notation or in one of sg_persist's (sas,HEX  fcp,HEX  srp,HEX, bytes
 * in hexadecimal with commas between them), or all in a file (file=NAME, or - for standard input:
 * one a line, # begins a comment). False with a message without newline; the array stays usable.
 */
bool ports_parse(const char *text, struct prhelper_transportid **ports, size_t *n_ports,
                 char *message, size_t size);

#endif
