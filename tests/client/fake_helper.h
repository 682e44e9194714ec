// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_CLIENT_FAKE_HELPER_H
#define TESTS_CLIENT_FAKE_HELPER_H

/*
 * A helper that does exactly what a test tells it, right or wrong: a thread at the other end of a
 * socket pair that goes through a list of steps. It only acts and takes notes; the test judges, in
 * its own thread, after fake_end().
 */

#include <stddef.h>
#include <stdint.h>

enum fake_step_kind {
    FAKE_END,        /* the list's last: wait until the client closes */
    FAKE_SEND,       /* send `size` bytes at once */
    FAKE_DRIP,       /* send `size` bytes one by one, each a message of its own */
    FAKE_SEND_FD,    /* the same as SEND, with an fd attached */
    FAKE_TAKE,       /* receive `size` bytes */
    FAKE_WAIT,       /* until `count` reaches `size` */
    FAKE_DEAF,       /* shut down the receiving side */
    FAKE_CLOSE,      /* close, and be done */
    FAKE_TAKE_CLOSE, /* close when there is something to read, without having read it */
};

struct fake_step {
    enum fake_step_kind kind;
    const void *bytes;
    size_t size;
};

#define FAKE_NOTES_MAX 16384

struct fake;

/* Start it. *ret_sock is the client's end, for the caller to close. */
struct fake *fake_start(const struct fake_step *steps, int *ret_sock);

/* The same for the next client of a listening socket, which stays the caller's. */
struct fake *fake_start_at(int listener, const struct fake_step *steps);

/*
 * A counter, 0 when a fake is started: FAKE_WAIT waits for it, FAKE_DEAF and FAKE_CLOSE count when
 * they are done. fake_count() is async-signal-safe.
 */
void fake_count(void);
unsigned fake_counted(void);
void fake_await(unsigned count);

/*
 * Wait for its end and free it; the client must have closed, unless the last step is CLOSE. Returns
 * the number of bytes that it took, the first of which are in `notes`; *ret_fds is the number of
 * fds that came with them.
 */
size_t fake_end(struct fake *fake, uint8_t notes[FAKE_NOTES_MAX], unsigned *ret_fds);

#endif
