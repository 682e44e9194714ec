// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef TESTS_CLIENT_SESSION_H
#define TESTS_CLIENT_SESSION_H

/* A client and a fake helper at work, and what a command must leave behind. */

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "fake_helper.h"
#include "prhelper.h"

#define CDB_BYTES  16
#define HEAD_BYTES 104
#define GREETING                                                                                   \
    {FAKE_SEND, "\0\0\0\1", 4},                                                                    \
    {                                                                                              \
        FAKE_TAKE, NULL, 4                                                                         \
    }
#define SHAKEN     4u /* bytes that the client sends for a handshake */
#define ALLOCATION 16
#define SOON_MS    40
#define LONG_MS    20000

static const uint8_t prin_cdb[10] = {0x5e, 0, 0, 0, 0, 0, 0, 0, ALLOCATION, 0};
static const uint8_t prout_cdb[10] = {0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0};
static const uint8_t parameters[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

struct reply_bytes {
    uint8_t bytes[HEAD_BYTES + 2 * ALLOCATION];
};

static inline struct reply_bytes make_reply(uint32_t status, uint32_t size)
{
    struct reply_bytes reply;

    memset(&reply, 0, sizeof(reply));
    store_be32(reply.bytes, status);
    store_be32(reply.bytes + 4, size);
    reply.bytes[8] = 0x70;
    reply.bytes[8 + 2] = 0x06;
    reply.bytes[8 + 95] = 0x95;
    for (unsigned i = 0; i < 2 * ALLOCATION; i++)
        reply.bytes[HEAD_BYTES + i] = (uint8_t)(0xa0 + i);
    return reply;
}

static inline struct prhelper *adopt(int sock)
{
    struct prhelper *helper = NULL;

    assert_int_equal(prhelper_adopt(sock, PRHELPER_FEATURES, LONG_MS, &helper), 0);
    assert_non_null(helper);
    return helper;
}

struct session {
    struct fake *fake;
    struct prhelper *helper;
    int sock; /* of `helper` */
};

/* A client of a helper that goes through these steps. */
static inline void session_begin(struct session *session, const struct fake_step *steps)
{
    session->fake = fake_start(steps, &session->sock);
    session->helper = adopt(session->sock);
}

/* Close it. The rest is as for fake_end(). */
static inline size_t session_end(struct session *session, uint8_t notes[FAKE_NOTES_MAX],
                                 unsigned *ret_fds)
{
    prhelper_close(session->helper);
    return fake_end(session->fake, notes, ret_fds);
}

static inline int prin(struct prhelper *helper, struct prhelper_result *result)
{
    return prhelper_execute(helper, STDIN_FILENO, prin_cdb, sizeof(prin_cdb), NULL, 0, result);
}

static inline int prout(struct prhelper *helper, struct prhelper_result *result)
{
    return prhelper_execute(helper, STDIN_FILENO, prout_cdb, sizeof(prout_cdb), parameters,
                            sizeof(parameters), result);
}

static inline void assert_zero(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        assert_uint_equal(((const uint8_t *)bytes)[i], 0);
}

/* Dead means: every command says so, and not a byte more goes to the helper. */
static inline void assert_dead(struct prhelper *helper)
{
    struct prhelper_result result;

    memset(&result, 0xee, sizeof(result));
    assert_int_equal(prin(helper, &result), PRHELPER_DEAD);
    assert_uint_equal(result.status, PRHELPER_STATUS_NONE);
    assert_false(result.outcome_unknown);
    assert_int_equal(prout(helper, &result), PRHELPER_DEAD);
    assert_int_equal(prhelper_cleanup(helper, STDIN_FILENO, &result), PRHELPER_DEAD);
}

/* A failure leaves nothing in the result that could be taken for an answer. */
static inline void assert_no_answer(const struct prhelper_result *result, bool outcome_unknown)
{
    assert_uint_equal(result->status, PRHELPER_STATUS_NONE);
    assert_int_equal(result->outcome_unknown, outcome_unknown);
    assert_uint_equal(result->size, 0);
    assert_zero(result->reserved, sizeof(result->reserved));
    assert_zero(result->sense, sizeof(result->sense));
    assert_zero(result->data, sizeof(result->data));
}

#endif
