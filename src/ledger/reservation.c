// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A GOOD does not always say what became of the reservation: to a RELEASE by another registrant it
 * is given without effect (SPC-4 5.13.11.2.2). Where that depends on what is not known, it is not
 * known afterwards.
 */
#include "ledger/reservation.h"

#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

static void reservation_set(struct ledger_reservation *reservation, bool held, uint64_t key,
                            uint8_t type, int64_t now_us)
{
    *reservation = (struct ledger_reservation){
        .at_us = now_us,
        .held = held,
        .key = held && !spc_type_is_all_registrants(type) ? key : 0,
        .type = held ? type : 0,
    };
}

static void reservation_forget(struct ledger_reservation *reservation)
{
    *reservation = (struct ledger_reservation){.at_us = 0};
}

/* The key is one that holds it, as far as is known. */
static bool reservation_is_by(const struct ledger_reservation *reservation, uint64_t key)
{
    return reservation->at_us && reservation->held &&
           !spc_type_is_all_registrants(reservation->type) && reservation->key == key;
}

/* 5.13.7 and 5.13.11.2.3: a holder may change its key, or go. */
static void reservation_register(struct ledger_reservation *reservation, bool ignores,
                                 const struct prout *list, int64_t now_us)
{
    if (!reservation->at_us || !reservation->held)
        return;
    if (ignores)
        reservation_forget(reservation); /* whose key it was is not in the command */
    else if (reservation_is_by(reservation, list->key))
        reservation_set(reservation, list->sa_key != 0, list->sa_key, reservation->type, now_us);
    else if (spc_type_is_all_registrants(reservation->type) && !list->sa_key)
        reservation_forget(reservation); /* it goes with the last of them */
}

/* 5.13.11.2.4.3: who takes the holder's registration gets the reservation. */
static void reservation_preempt(struct ledger_reservation *reservation, const struct prout *list,
                                uint8_t type, int64_t now_us)
{
    if (!reservation->at_us || !reservation->held)
        return;
    if (reservation_is_by(reservation, list->sa_key) ||
        (spc_type_is_all_registrants(reservation->type) && !list->sa_key))
        reservation_set(reservation, true, list->key, type, now_us);
}

static void reservation_update_out(struct ledger_reservation *reservation,
                                   const struct request *request, int64_t now_us)
{
    struct prout list;
    struct cdb cdb;

    cdb_decode(request->cdb, &cdb);
    if (prout_decode(cdb.service_action, request->data, request->length, &list) != PROUT_OK) {
        reservation_forget(reservation);
        return;
    }
    switch (cdb.service_action) {
    case SPC_PROUT_REGISTER:
    case SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY:
        reservation_register(reservation, cdb.service_action != SPC_PROUT_REGISTER, &list, now_us);
        break;
    case SPC_PROUT_RESERVE:
        reservation_set(reservation, true, list.key, cdb.type, now_us);
        break;
    case SPC_PROUT_RELEASE:
        if (reservation_is_by(reservation, list.key) ||
            (reservation->held && spc_type_is_all_registrants(reservation->type)))
            reservation_set(reservation, false, 0, 0, now_us);
        break;
    case SPC_PROUT_CLEAR:
        reservation_set(reservation, false, 0, 0, now_us);
        break;
    case SPC_PROUT_PREEMPT:
    case SPC_PROUT_PREEMPT_AND_ABORT:
        reservation_preempt(reservation, &list, cdb.type, now_us);
        break;
    case SPC_PROUT_REGISTER_AND_MOVE:
        if (reservation->at_us && reservation->held)
            reservation_set(reservation, true, list.sa_key, reservation->type, now_us);
        break;
    default:
        reservation_forget(reservation);
        break;
    }
}

void ledger_reservation_update(struct ledger_reservation *reservation,
                               const struct request *request, const struct reply *reply,
                               int64_t now_us)
{
    struct prin_reservation told;

    if (request->opcode == SPC_PERSISTENT_RESERVE_OUT) {
        reservation_update_out(reservation, request, now_us);
    } else if (request->opcode != SPC_PERSISTENT_RESERVE_IN) {
        reservation_forget(reservation); /* CLEANUP takes a registration, of any key */
    } else if ((request->cdb[1] & CDB_SERVICE_ACTION_MASK) == SPC_PRIN_READ_RESERVATION &&
               prin_reservation_decode(request->data, reply->size, &told) == PRIN_OK) {
        reservation_set(reservation, told.held, told.key, told.type, now_us);
    }
}

void ledger_reservation_doubt(struct ledger_reservation *reservation, const struct request *request)
{
    if (request->opcode != SPC_PERSISTENT_RESERVE_IN)
        reservation_forget(reservation);
}
