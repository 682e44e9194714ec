// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SOAK_COUNTS_H
#define SOAK_COUNTS_H

/*
 * All that is counted, each under the name that the report has. Everything but the violations has
 * to have happened by the end of a run: a load that no longer does what it should proves nothing.
 */

#include <stdatomic.h>

/* clang-format off */
#define COUNTS(X) \
    X(REQUESTS, "requests") \
    X(PIPELINED, "requests.pipelined") \
    X(COMMANDS, "commands.on_disks") \
    X(VETERAN, "commands.by_the_veteran") \
    X(CONNECTIONS, "connections") \
    X(REPLY_GOOD, "replies.good") \
    X(REPLY_SENSE, "replies.check_condition") \
    X(REPLY_CONFLICT, "replies.conflict") \
    X(REPLY_BUSY_THREADS, "replies.busy_for_want_of_threads") \
    X(REPLY_OTHER, "replies.other_status") \
    X(REFUSED, "replies.refused_by_policy") \
    X(CLEANUPS, "replies.cleanup") \
    X(CLOSED, "closed_for_a_bad_request") \
    X(ERRORS_BEFORE, "errors.before_the_disk") \
    X(ERRORS_AFTER, "errors.after_the_disk") \
    X(RETRIES, "errors.tried_again") \
    X(RESIDUALS, "errors.impossible_residual") \
    X(DELAYS, "delays") \
    X(HANGS, "hangs.of_a_disk") \
    X(HUNG, "hangs.commands") \
    X(DEATH_GREETING, "deaths.before_the_handshake") \
    X(DEATH_HANDSHAKE, "deaths.in_the_handshake") \
    X(DEATH_CDB, "deaths.in_the_cdb") \
    X(DEATH_LIST, "deaths.in_the_parameter_list") \
    X(DEATH_SENT, "deaths.after_the_request") \
    X(DEATH_WAITING, "deaths.while_waiting") \
    X(DEATH_REPLY, "deaths.in_the_reply") \
    X(DEATH_PROCESS, "deaths.of_a_process") \
    X(TERM, "restarts.sigterm") \
    X(KILL, "restarts.sigkill") \
    X(ACTIVATED, "restarts.with_a_passed_socket") \
    X(UNANSWERED_KILL, "unanswered.helper_killed") \
    X(CUT_OFF, "requests.cut_off_by_a_restart")

/* These may be 0, and some have to be. */
#define COUNTS_RARE(X) \
    X(UNANSWERED_HUNG, "unanswered.hung_beyond_the_stop_timeout") \
    X(WRONG_FOREIGN, "wrong.command_that_nobody_sent") \
    X(WRONG_ALTERED, "wrong.command_altered") \
    X(WRONG_TWICE, "wrong.executed_twice") \
    X(WRONG_INCOMPLETE, "wrong.executed_though_incomplete") \
    X(WRONG_REFUSED, "wrong.executed_though_to_be_refused") \
    X(WRONG_REPLY, "wrong.reply") \
    X(WRONG_NOT_DONE, "wrong.reply_to_what_was_not_done") \
    X(WRONG_LOST, "wrong.no_reply") \
    X(WRONG_STUCK, "wrong.no_reply_in_time") \
    X(WRONG_EXTRA, "wrong.bytes_that_nobody_asked_for") \
    X(WRONG_HELPER, "wrong.helper")
/* clang-format on */

#define COUNT_NAME(name, text) COUNT_##name,
enum count {
    COUNTS(COUNT_NAME) COUNTS_RARE(COUNT_NAME) COUNT_LAST,
};
#undef COUNT_NAME

#define COUNT_RARE        COUNT_UNANSWERED_HUNG
#define COUNT_FIRST_WRONG COUNT_WRONG_FOREIGN

extern _Atomic unsigned long counts[COUNT_LAST];
extern const char *const count_names[COUNT_LAST];

static inline void count(enum count which)
{
    atomic_fetch_add_explicit(&counts[which], 1, memory_order_relaxed);
}

#endif
