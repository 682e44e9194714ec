// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Names of numbers and back. Each table is indexed by the number; holes are NULL. The numbers come
 * from the wire, so every look-up is bounded.
 */
#include "scsi/spc.h"

#include <stddef.h>
#include <string.h>

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *const type_names[] = {
    [SPC_TYPE_WRITE_EXCLUSIVE] = "write-exclusive",
    [SPC_TYPE_EXCLUSIVE_ACCESS] = "exclusive-access",
    [SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY] = "write-exclusive-registrants-only",
    [SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY] = "exclusive-access-registrants-only",
    [SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS] = "write-exclusive-all-registrants",
    [SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS] = "exclusive-access-all-registrants",
};

const char *spc_prin_name(uint8_t service_action)
{
    static const char *const names[] = {
        [SPC_PRIN_READ_KEYS] = "READ KEYS",
        [SPC_PRIN_READ_RESERVATION] = "READ RESERVATION",
        [SPC_PRIN_REPORT_CAPABILITIES] = "REPORT CAPABILITIES",
        [SPC_PRIN_READ_FULL_STATUS] = "READ FULL STATUS",
    };

    return service_action < LENGTH_OF(names) ? names[service_action] : NULL;
}

const char *spc_prout_name(uint8_t service_action)
{
    static const char *const names[] = {
        [SPC_PROUT_REGISTER] = "REGISTER",
        [SPC_PROUT_RESERVE] = "RESERVE",
        [SPC_PROUT_RELEASE] = "RELEASE",
        [SPC_PROUT_CLEAR] = "CLEAR",
        [SPC_PROUT_PREEMPT] = "PREEMPT",
        [SPC_PROUT_PREEMPT_AND_ABORT] = "PREEMPT AND ABORT",
        [SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY] = "REGISTER AND IGNORE EXISTING KEY",
        [SPC_PROUT_REGISTER_AND_MOVE] = "REGISTER AND MOVE",
        [SPC_PROUT_REPLACE_LOST_RESERVATION] = "REPLACE LOST RESERVATION",
    };

    return service_action < LENGTH_OF(names) ? names[service_action] : NULL;
}

const char *spc_type_name(uint8_t type)
{
    return type < LENGTH_OF(type_names) ? type_names[type] : NULL;
}

const char *spc_status_name(uint8_t status)
{
    static const char *const names[] = {
        [SPC_STATUS_GOOD] = "GOOD",
        [SPC_STATUS_CHECK_CONDITION] = "CHECK CONDITION",
        [SPC_STATUS_CONDITION_MET] = "CONDITION MET",
        [SPC_STATUS_BUSY] = "BUSY",
        [SPC_STATUS_RESERVATION_CONFLICT] = "RESERVATION CONFLICT",
        [SPC_STATUS_TASK_SET_FULL] = "TASK SET FULL",
        [SPC_STATUS_ACA_ACTIVE] = "ACA ACTIVE",
        [SPC_STATUS_TASK_ABORTED] = "TASK ABORTED",
    };

    return status < LENGTH_OF(names) ? names[status] : NULL;
}

bool spc_type_parse(const char *text, uint8_t *ret)
{
    /* All types are below ten, so a number is one digit, which is the same in both bases. */
    const char *digit = strncmp(text, "0x", 2) == 0 ? text + 2 : text;

    for (uint8_t type = 0; type < LENGTH_OF(type_names); type++) {
        if (!type_names[type])
            continue;
        if (strcmp(text, type_names[type]) == 0 || (digit[0] == '0' + type && digit[1] == '\0')) {
            *ret = type;
            return true;
        }
    }
    return false;
}

bool spc_type_is_valid(uint8_t type)
{
    return spc_type_name(type) != NULL;
}

bool spc_type_is_exclusive_access(uint8_t type)
{
    return type == SPC_TYPE_EXCLUSIVE_ACCESS ||
           type == SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY ||
           type == SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

bool spc_type_is_registrants_only(uint8_t type)
{
    return type == SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY ||
           type == SPC_TYPE_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY;
}

bool spc_type_is_all_registrants(uint8_t type)
{
    return type == SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
           type == SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}
