// SPDX-License-Identifier: LGPL-2.1-or-later
/* One connection's state machine, driven by the pool. */
#ifndef SERVE_CONN_H
#define SERVE_CONN_H

#include <stdint.h>

/* The pool's serve function; context is the struct conns. */
void conn_serve(void *context, int sock, uint32_t events);

#endif
