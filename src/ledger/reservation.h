// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is known of a device's reservation, by what passed through: what READ RESERVATION told, and
 * what commands that were answered GOOD made of it. Other hosts change it unseen, hence the time.
 */
#ifndef LEDGER_RESERVATION_H
#define LEDGER_RESERVATION_H

#include "ledger/record.h"

/* A command for the device has been answered GOOD. Under the ledger's lock. */
void ledger_reservation_update(struct ledger_reservation *reservation,
                               const struct request *request, const struct reply *reply,
                               int64_t now_us);

/* One was answered otherwise, and may have been carried out all the same. The same. */
void ledger_reservation_doubt(struct ledger_reservation *reservation,
                              const struct request *request);

#endif
