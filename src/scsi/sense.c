// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sense data comes in two layouts that share only the response code in the low seven bits of byte 0
 * (SPC-4 4.5.1):
 *
 *   fixed (70h, 71h)        key in byte 2, ASC 12, ASCQ 13, bytes that follow byte 7 in byte 7
 *   descriptor (72h, 73h)   key in byte 1, ASC 2, ASCQ 3, descriptors from byte 8
 *
 * What we build is always fixed and current. Devices may answer with either, and some cut it short:
 * decoding uses the smaller of the length received and the length in the data.
 *
 * The names are for people who read logs. The table holds what a persistent reservation command may
 * meet on its way; the standard's full list has several hundred lines.
 */
#include "scsi/sense.h"

#include <stdio.h>
#include <string.h>

#define RESPONSE_CODE_MASK  0x7f
#define FIXED_CURRENT       0x70
#define FIXED_DEFERRED      0x71
#define DESCRIPTOR_CURRENT  0x72
#define DESCRIPTOR_DEFERRED 0x73
#define KEY_MASK            0x0f

/* Fixed format: offset of the additional length, and of the first byte that it counts. */
#define FIXED_LENGTH_AT    7
#define FIXED_COUNTED_FROM 8
#define FIXED_BUILT_SIZE   18

void sense_build(uint8_t sense[SENSE_SIZE], struct spc_sense code)
{
    memset(sense, 0, SENSE_SIZE);
    sense[0] = FIXED_CURRENT;
    sense[2] = code.key & KEY_MASK;
    sense[FIXED_LENGTH_AT] = FIXED_BUILT_SIZE - FIXED_COUNTED_FROM;
    sense[12] = code.asc;
    sense[13] = code.ascq;
}

static bool sense_decode_fixed(const uint8_t *sense, size_t length, struct spc_sense *ret)
{
    if (length < 3)
        return false;

    if (length > FIXED_LENGTH_AT) {
        size_t end = (size_t)sense[FIXED_LENGTH_AT] + FIXED_COUNTED_FROM;

        if (length > end)
            length = end;
    }
    *ret = (struct spc_sense){
        .key = sense[2] & KEY_MASK,
        .asc = length > 12 ? sense[12] : 0,
        .ascq = length > 13 ? sense[13] : 0,
    };
    return true;
}

static bool sense_decode_descriptor(const uint8_t *sense, size_t length, struct spc_sense *ret)
{
    if (length < 2)
        return false;

    *ret = (struct spc_sense){
        .key = sense[1] & KEY_MASK,
        .asc = length > 2 ? sense[2] : 0,
        .ascq = length > 3 ? sense[3] : 0,
    };
    return true;
}

bool sense_decode(const uint8_t *sense, size_t length, struct spc_sense *ret)
{
    if (length == 0)
        return false;

    switch (sense[0] & RESPONSE_CODE_MASK) {
    case FIXED_CURRENT:
    case FIXED_DEFERRED:
        return sense_decode_fixed(sense, length, ret);
    case DESCRIPTOR_CURRENT:
    case DESCRIPTOR_DEFERRED:
        return sense_decode_descriptor(sense, length, ret);
    default:
        return false;
    }
}

bool sense_is_deferred(const uint8_t *sense, size_t length)
{
    uint8_t response_code = length > 0 ? sense[0] & RESPONSE_CODE_MASK : 0;

    return response_code == FIXED_DEFERRED || response_code == DESCRIPTOR_DEFERRED;
}

bool sense_is_of_path(struct spc_sense code)
{
    if (code.key == SPC_SENSE_NOT_READY)
        return code.asc == 0x04 && code.ascq >= 0x0a && code.ascq <= 0x0c;
    return code.key == SPC_SENSE_ILLEGAL_REQUEST &&
           ((code.asc == 0x25 && code.ascq == 0x00) || (code.asc == 0x94 && code.ascq == 0x01));
}

const char *sense_key_name(uint8_t key)
{
    static const char *const names[16] = {
        [SPC_SENSE_NO_SENSE] = "NO SENSE",
        [SPC_SENSE_RECOVERED_ERROR] = "RECOVERED ERROR",
        [SPC_SENSE_NOT_READY] = "NOT READY",
        [SPC_SENSE_MEDIUM_ERROR] = "MEDIUM ERROR",
        [SPC_SENSE_HARDWARE_ERROR] = "HARDWARE ERROR",
        [SPC_SENSE_ILLEGAL_REQUEST] = "ILLEGAL REQUEST",
        [SPC_SENSE_UNIT_ATTENTION] = "UNIT ATTENTION",
        [SPC_SENSE_DATA_PROTECT] = "DATA PROTECT",
        [SPC_SENSE_BLANK_CHECK] = "BLANK CHECK",
        [SPC_SENSE_VENDOR_SPECIFIC] = "VENDOR SPECIFIC",
        [SPC_SENSE_COPY_ABORTED] = "COPY ABORTED",
        [SPC_SENSE_ABORTED_COMMAND] = "ABORTED COMMAND",
        [0xc] = "RESERVED",
        [SPC_SENSE_VOLUME_OVERFLOW] = "VOLUME OVERFLOW",
        [SPC_SENSE_MISCOMPARE] = "MISCOMPARE",
        [SPC_SENSE_COMPLETED] = "COMPLETED",
    };

    return names[key & KEY_MASK];
}

const char *sense_code_name(struct spc_sense code)
{
    /* Ascending by ASC and ASCQ; at this size a linear search is as good as any. */
    static const struct {
        uint8_t asc, ascq;
        const char *name;
    } names[] = {
        {0x00, 0x00, "NO ADDITIONAL SENSE INFORMATION"},
        {0x00, 0x06, "I/O PROCESS TERMINATED"},
        {0x04, 0x00, "LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE"},
        {0x04, 0x01, "LOGICAL UNIT IS IN PROCESS OF BECOMING READY"},
        {0x04, 0x02, "LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED"},
        {0x04, 0x03, "LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED"},
        {0x04, 0x0a, "LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION"},
        {0x04, 0x0b, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE"},
        {0x04, 0x0c, "LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE"},
        {0x05, 0x00, "LOGICAL UNIT DOES NOT RESPOND TO SELECTION"},
        {0x08, 0x00, "LOGICAL UNIT COMMUNICATION FAILURE"},
        {0x08, 0x01, "LOGICAL UNIT COMMUNICATION TIME-OUT"},
        {0x08, 0x02, "LOGICAL UNIT COMMUNICATION PARITY ERROR"},
        {0x11, 0x00, "UNRECOVERED READ ERROR"},
        {0x1a, 0x00, "PARAMETER LIST LENGTH ERROR"},
        {0x20, 0x00, "INVALID COMMAND OPERATION CODE"},
        {0x20, 0x02, "ACCESS DENIED - NO ACCESS RIGHTS"},
        {0x24, 0x00, "INVALID FIELD IN CDB"},
        {0x25, 0x00, "LOGICAL UNIT NOT SUPPORTED"},
        {0x26, 0x00, "INVALID FIELD IN PARAMETER LIST"},
        {0x26, 0x01, "PARAMETER NOT SUPPORTED"},
        {0x26, 0x02, "PARAMETER VALUE INVALID"},
        {0x26, 0x04, "INVALID RELEASE OF PERSISTENT RESERVATION"},
        {0x27, 0x00, "WRITE PROTECTED"},
        {0x27, 0x07, "SPACE ALLOCATION FAILED WRITE PROTECT"},
        {0x28, 0x00, "NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED"},
        {0x29, 0x00, "POWER ON, RESET, OR BUS DEVICE RESET OCCURRED"},
        {0x29, 0x01, "POWER ON OCCURRED"},
        {0x29, 0x02, "SCSI BUS RESET OCCURRED"},
        {0x29, 0x03, "BUS DEVICE RESET FUNCTION OCCURRED"},
        {0x29, 0x04, "DEVICE INTERNAL RESET"},
        {0x29, 0x07, "I_T NEXUS LOSS OCCURRED"},
        {0x2a, 0x01, "MODE PARAMETERS CHANGED"},
        {0x2a, 0x03, "RESERVATIONS PREEMPTED"},
        {0x2a, 0x04, "RESERVATIONS RELEASED"},
        {0x2a, 0x05, "REGISTRATIONS PREEMPTED"},
        {0x2a, 0x06, "ASYMMETRIC ACCESS STATE CHANGED"},
        {0x2a, 0x07, "IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED"},
        {0x2a, 0x09, "CAPACITY DATA HAS CHANGED"},
        {0x2e, 0x02, "COMMAND TIMEOUT DURING PROCESSING"},
        {0x2f, 0x00, "COMMANDS CLEARED BY ANOTHER INITIATOR"},
        {0x2f, 0x02, "COMMANDS CLEARED BY DEVICE SERVER"},
        {0x3a, 0x00, "MEDIUM NOT PRESENT"},
        {0x3e, 0x00, "LOGICAL UNIT HAS NOT SELF-CONFIGURED YET"},
        {0x3f, 0x03, "INQUIRY DATA HAS CHANGED"},
        {0x3f, 0x0e, "REPORTED LUNS DATA HAS CHANGED"},
        {0x44, 0x00, "INTERNAL TARGET FAILURE"},
        {0x47, 0x00, "SCSI PARITY ERROR"},
        {0x49, 0x00, "INVALID MESSAGE ERROR"},
        {0x4b, 0x00, "DATA PHASE ERROR"},
        {0x4e, 0x00, "OVERLAPPED COMMANDS ATTEMPTED"},
        {0x55, 0x03, "INSUFFICIENT RESOURCES"},
        {0x55, 0x04, "INSUFFICIENT REGISTRATION RESOURCES"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].asc == code.asc && names[i].ascq == code.ascq)
            return names[i].name;
    }
    return NULL;
}

size_t sense_describe(char *text, size_t size, struct spc_sense code)
{
    const char *name = sense_code_name(code);
    int length = snprintf(text, size, "%s%s%s (%X/%02X/%02X)", sense_key_name(code.key),
                          name ? ", " : "", name ? name : "", code.key & KEY_MASK, code.asc,
                          code.ascq);

    /* snprintf() fails only for encoding errors, which %s and %X do not know. */
    return length < 0 ? 0 : (size_t)length;
}
