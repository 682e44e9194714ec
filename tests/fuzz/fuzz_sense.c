// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sense data of a device, and what it is called. Input: how much room the text gets, the sense. */
#include <prhelper.h>

#include "fuzz.h"
#include "scsi/sense.h"

static bool same(struct spc_sense a, struct spc_sense b)
{
    return a.key == b.key && a.asc == b.asc && a.ascq == b.ascq;
}

/* A code that lies behind the end, of the buffer or the one that the data gives, is 0. */
static uint8_t expect_byte(const uint8_t *sense, size_t size, size_t at)
{
    if ((sense[0] & 0x7f) < 0x72 && size > 7 && at >= 8u + sense[7])
        return 0;
    return at < size ? sense[at] : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader input = reader_over(data, size);
    size_t room = reader_u8(&input) % (SENSE_TEXT_SIZE + 8);
    char text[SENSE_TEXT_SIZE], cut[SENSE_TEXT_SIZE + 9];
    struct spc_sense code = {0xc3, 0xc3, 0xc3}, again;
    struct prhelper_sense public_code;
    uint8_t built[SENSE_SIZE];
    size_t sense_size, length;
    uint8_t *sense = fuzz_rest(&input, false, &sense_size);
    bool usable = sense_decode(sense, sense_size, &code);

    fuzz_check((prhelper_sense_decode(sense, sense_size, &public_code) == 0) == usable);
    if (!usable) {
        fuzz_check(same(code, (struct spc_sense){0xc3, 0xc3, 0xc3}));
    } else {
        fuzz_check((sense[0] & 0x7c) == 0x70 && code.key < 16);
        fuzz_check(public_code.key == code.key && public_code.asc == code.asc &&
                   public_code.ascq == code.ascq);
        fuzz_check(sense_key_name(code.key));
        fuzz_check(code.asc == expect_byte(sense, sense_size, sense[0] & 2 ? 2 : 12) &&
                   code.ascq == expect_byte(sense, sense_size, sense[0] & 2 ? 3 : 13));

        length = sense_describe(text, sizeof(text), code);
        fuzz_check(length < sizeof(text) && fuzz_printable(text, length));
        memset(cut, 0x7f, sizeof(cut));
        fuzz_check(sense_describe(cut, room, code) == length && cut[room] == 0x7f);
        if (room > 0)
            fuzz_check(strlen(cut) < room && strncmp(cut, text, strlen(cut)) == 0);

        sense_build(built, code);
        fuzz_check(sense_decode(built, sizeof(built), &again) && same(again, code));
    }
    free(sense);
    return 0;
}
