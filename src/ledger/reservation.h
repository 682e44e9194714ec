// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is known of a device's reservation from the commands that passed through: READ RESERVATION,
 * and those that changed it and were answered GOOD. Other hosts change it unseen, hence the time.
 */
#ifndef LEDGER_RESERVATION_H
#define LEDGER_RESERVATION_H

#include "ledger/record.h"

/* A command for the device has been answered GOOD. Under the ledger's lock. */
void ledger_reservation_update(struct ledger_reservation *reservation,
                               const struct request *request, const struct reply *reply,
                               int64_t now_us);

/* A command was answered otherwise, but may have been carried out. Under the same lock. */
void ledger_reservation_doubt(struct ledger_reservation *reservation,
                              const struct request *request);

#endif
