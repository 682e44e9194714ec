// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef LU_ACTIONS_H
#define LU_ACTIONS_H

/* The service actions that execute.c leads to. */

#include "lu/internal.h"

/* Processing of one service action; `result` is GOOD until one of the two below says otherwise. */
typedef void lu_prout_function(struct lu *lu, struct lu_command *command, struct lu_result *result);

lu_prout_function lu_prout_register;          /* REGISTER, REGISTER AND IGNORE EXISTING KEY */
lu_prout_function lu_prout_register_and_move; /* REGISTER AND MOVE */
lu_prout_function lu_prout_reserve;
lu_prout_function lu_prout_release;
lu_prout_function lu_prout_clear;
lu_prout_function lu_prout_preempt; /* PREEMPT, PREEMPT AND ABORT */

/* PERSISTENT RESERVE IN, all service actions. */
void lu_prin(const struct lu *lu, const struct cdb *cdb, uint8_t *data, size_t data_size,
             struct lu_result *result);

#endif
