// SPDX-License-Identifier: LGPL-2.1-or-later
/* How the node's page looks: dark and light, from 360 pixels on. */
#ifndef EXPORTER_PAGE_STYLE_H
#define EXPORTER_PAGE_STYLE_H

extern const char page_style[];

#endif
