// SPDX-License-Identifier: LGPL-2.1-or-later
/* The node's page, for people: HTML and CSS in one document, without script and without network. */
#ifndef EXPORTER_PAGE_H
#define EXPORTER_PAGE_H

#include <stdio.h>

#include "node/look.h"

void page_write(FILE *file, const struct look *look);

/* What is served under a path that is none, with links to those that are. */
void page_write_missing(FILE *file);

#endif
