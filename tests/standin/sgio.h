/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SGIO_H
#define SGIO_H

/*
 * The control block of the SG_IO stand-in: shared memory between the program under test, which has
 * the library preloaded, and the test, which writes what each device answers and reads what was
 * asked. tests/support/standin.py mirrors these structures; their sizes are asserted on both sides.
 *
 * A test writes a device's answer while no command runs on it; the socket message that starts the
 * next command orders those writes. Only hold, the counters and call numbers are shared while a
 * command runs, and they are atomic.
 */

#include <stdint.h>

#define SGIO_MAGIC         0x5347494f32303031u
#define SGIO_DEVICES       16
#define SGIO_CALLS         1024
#define SGIO_PARAMETERS    32
#define SGIO_DATA_MAX      16384
#define SGIO_PARAMETER_MAX 8192
#define SGIO_SENSE_MAX     256
#define SGIO_CDB_MAX       32
#define SGIO_TEXT_MAX      128

/* A slot with this rdev answers for each loop device that no earlier slot names. */
#define SGIO_EVERY_LOOP UINT64_MAX

struct sgio_device {
    uint64_t rdev;       /* st_rdev of the device; 0 ends the list */
    int32_t error;       /* errno of the ioctl, 0 for none */
    int32_t error_calls; /* this many calls still fail with error; negative: all of them */
    uint32_t status;     /* the four results of a command that the kernel took */
    uint32_t host_status;
    uint32_t driver_status;
    int32_t residual; /* counts if fixed_residual is set, else what data leaves of the buffer */
    uint32_t fixed_residual;
    uint32_t sense_size;
    uint32_t data_size;
    uint32_t delay_us; /* before the answer */
    uint32_t hold;     /* futex: no answer while this is not zero */
    uint32_t entered;  /* commands begun, and of those ended */
    uint32_t left;
    /*
     * A system call made in the middle of a command, so by a thread of the program under test:
     * what would it be allowed? Of the arguments those in probe_pointers (bit N: argument N) are
     * replaced by the address of probe_text.
     */
    uint32_t probe; /* do it */
    int64_t probe_number;
    uint64_t probe_argument[6];
    uint64_t probe_pointers;
    int64_t probe_result; /* negative errno if it failed */
    char probe_text[SGIO_TEXT_MAX];
    uint8_t sense[SGIO_SENSE_MAX];
    uint8_t data[SGIO_DATA_MAX];
};

struct sgio_call {
    uint64_t rdev;
    uint32_t number; /* 1 for the first; written last, so a record with its number is whole */
    int32_t interface_id;
    int32_t direction;
    uint32_t command_size;
    uint32_t sense_room;
    uint32_t transfer_size;
    uint32_t has_buffer; /* dxferp is not NULL */
    uint32_t timeout_ms;
    uint32_t flags;
    int32_t access; /* file status flags of the fd */
    uint8_t cdb[SGIO_CDB_MAX];
};

struct sgio_control {
    uint64_t magic;
    uint32_t calls;   /* records written so far; record N lies at (N - 1) % SGIO_CALLS */
    uint32_t foreign; /* SG_IO on what is no device of ours, and so sent on to the kernel */
    struct sgio_device device[SGIO_DEVICES];
    struct sgio_call call[SGIO_CALLS];
    /* What call N sent to its device, at (N - 1) % SGIO_PARAMETERS. */
    uint8_t parameters[SGIO_PARAMETERS][SGIO_PARAMETER_MAX];
};

_Static_assert(sizeof(struct sgio_device) == 64 + 72 + 128 + 256 + 16384,
               "standin.py mirrors this");
_Static_assert(sizeof(struct sgio_call) == 48 + 32, "standin.py mirrors this");
/* sb_len_wr is a byte, so it never asks for more sense than there is. */
_Static_assert(SGIO_SENSE_MAX > UINT8_MAX, "");

#endif
