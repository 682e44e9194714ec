// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands and answers as TAP comments, one line each. */
#include <stdio.h>

#include "conform.h"
#include "scsi/sense.h"

void report_answer(const char *who, const struct answer *answer)
{
    const char *status = spc_status_name(answer->status);
    char text[SENSE_TEXT_SIZE];

    printf("#   %s: %s", who, status ? status : "unknown status");
    if (answer->status == SPC_STATUS_CHECK_CONDITION) {
        sense_describe(text, sizeof(text), answer->sense);
        printf(", %s", text);
    }
    for (size_t i = 0; i < answer->length && i < 400; i++)
        printf("%s%02x", i % 8 ? "" : " ", answer->data[i]);
    printf("\n");
}

void report_step(const struct step *step)
{
    const char *name = NULL;
    uint8_t service_action = step->cdb[1] & 0x1f;

    if (step->cdb[0] == SPC_PERSISTENT_RESERVE_OUT)
        name = spc_prout_name(service_action);
    else if (step->cdb[0] == SPC_PERSISTENT_RESERVE_IN)
        name = spc_prin_name(service_action);
    else
        name = step->cdb[0] == SBC_READ_10    ? "READ"
               : step->cdb[0] == SBC_WRITE_10 ? "WRITE"
                                              : "TEST UNIT READY";
    printf("#   nexus %u %s:", step->nexus, name ? name : "unknown service action");
    for (size_t i = 0; i < CDB_SIZE; i++)
        printf(" %02x", step->cdb[i]);
    for (uint32_t i = 0; i < step->list_length; i++)
        printf("%s%02x", i % 8 ? "" : " ", step->list[i]);
    printf("\n");
}
