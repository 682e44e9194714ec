// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lines of the simulator's file of faults. Input: one line. */
#include "fuzz.h"
#include "simulator/fault.h"

/* The line that says this. */
static void write_line(char *line, size_t size, const char *path, const struct fault *fault)
{
    int length = -1;

    switch (fault->kind) {
    case FAULT_HANG:
        length = snprintf(line, size, "%s hang", path);
        break;
    case FAULT_LATENCY:
        length = snprintf(line, size, "%s latency %u", path, fault->latency_ms);
        break;
    case FAULT_STATUS:
        length = snprintf(line, size, "%s status %02x", path, fault->status);
        break;
    case FAULT_SENSE:
        length = snprintf(line, size, "%s sense %x/%02X/0x%x", path, fault->sense.key,
                          fault->sense.asc, fault->sense.ascq);
        break;
    case FAULT_QUIRK:
        length = snprintf(line, size, "%s quirk %s", path, quirk_name(fault->quirk));
        break;
    case FAULT_NONE:
        break;
    }
    fuzz_check(length > 0 && (size_t)length < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char again[FUZZ_INPUT_MAX + 64];
    struct reader input = reader_over(data, size);
    size_t line_size;
    char *line = (char *)fuzz_rest(&input, true, &line_size);
    const char *path = "untouched", *path_again;
    struct fault fault, fault_again;

    if (fault_parse_line(line, &path, &fault) && path) {
        fuzz_check(*path && !strpbrk(path, " \t\r#"));
        fuzz_check(path >= line && path + strlen(path) <= line + line_size);
        fuzz_check(fault.kind != FAULT_NONE);
        fuzz_check(fault.latency_ms <= 3600000 && fault.sense.key < 16);
        write_line(again, sizeof(again), path, &fault);
        fuzz_check(fault_parse_line(again, &path_again, &fault_again));
        fuzz_check(path_again && strcmp(path_again, path) == 0);
        fuzz_check(fault_again.kind == fault.kind && fault_again.latency_ms == fault.latency_ms &&
                   fault_again.status == fault.status && fault_again.sense.key == fault.sense.key &&
                   fault_again.sense.asc == fault.sense.asc &&
                   fault_again.sense.ascq == fault.sense.ascq && fault_again.quirk == fault.quirk);
    }
    free(line);
    return 0;
}
