// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef LU_INTERNAL_H
#define LU_INTERNAL_H

/* What lu.c does for the other files of the logical unit. */

#include "lu/lu.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"

/* No registration. */
#define LU_NONE SIZE_MAX

/* A PERSISTENT RESERVE OUT whose CDB and parameter list are well formed. */
struct lu_command {
    unsigned nexus; /* on which it was received */
    struct cdb cdb;
    struct prout prout;
};

void lu_conflict(struct lu_result *result);
void lu_check_condition(struct lu_result *result, struct spc_sense code);

/* The registration of an I_T nexus, or LU_NONE. */
size_t lu_find(const struct lu *lu, const struct transportid *initiator, uint16_t target_port);
size_t lu_find_nexus(const struct lu *lu, unsigned nexus);

/*
 * The registration of the nexus that the command came from, if the command gives its key; otherwise
 * the command ends with RESERVATION CONFLICT and this returns LU_NONE. What every service action
 * but the registering ones asks for first: SPC-4 5.13.1.
 */
size_t lu_authenticate(const struct lu *lu, const struct lu_command *command,
                       struct lu_result *result);

/* Whether that registration is (one of) the persistent reservation holder(s). SPC-4 5.13.10. */
bool lu_is_holder(const struct lu *lu, size_t registration);

/* Whether an initiator port can be registered: one port, of the transport of the nexus. */
bool lu_is_initiator_port(const struct lu *lu, unsigned nexus, const struct transportid *id);

/* Append a registration; false if there is no room. The nexus must not be registered. */
bool lu_registration_add(struct lu *lu, const struct transportid *initiator, uint16_t target_port,
                         uint64_t key);

/* Remove one that is not the single holder of the reservation; later ones move down by one. */
void lu_registration_remove(struct lu *lu, size_t registration);

/* End the reservation; registrations stay. */
void lu_reservation_release(struct lu *lu);

/* Raise a unit attention for a registered I_T nexus, if it is present and is not `except`. */
void lu_attention_registered(struct lu *lu, size_t registration, unsigned except,
                             struct spc_sense code);

/* The same for every registered I_T nexus. */
void lu_attention_all(struct lu *lu, unsigned except, struct spc_sense code);

#endif
