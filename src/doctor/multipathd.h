// SPDX-License-Identifier: LGPL-2.1-or-later
/* Questions to multipathd(8), by its socket. */
#ifndef DOCTOR_MULTIPATHD_H
#define DOCTOR_MULTIPATHD_H

/* Where it may listen: newer versions (0.12) at both. */
enum multipathd_socket { MULTIPATHD_ABSTRACT, MULTIPATHD_FILE, MULTIPATHD_SOCKETS };

/* Such as "@/org/kernel/linux/storage/multipathd". */
const char *multipathd_name(enum multipathd_socket where);

/*
 * Send one command and wait for the answer, which the caller frees; newlines at its end are cut
 * off. 0, or a negative errno: of socket(2) and connect(2), -ETIMEDOUT, -EPROTO (something else
 * listens there), -ENOMEM. multipathd's own refusals are answers. With a NULL command: can it be
 * connected to?
 */
int multipathd_ask(enum multipathd_socket where, const char *command, char **ret_answer);

#endif
