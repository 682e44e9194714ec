// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What devices say of their reservations, all asked at once by a process that may hang in our
 * place: an open, an ioctl or a close of a dead device can keep its thread in the kernel for as
 * long as it likes, and with it the process at its end.
 */
#ifndef INVENTORY_ASK_H
#define INVENTORY_ASK_H

#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/options.h"
#include "inventory/scan.h"

#define ASK_HOSTS_MAX 12
#define ASK_HOST_MAX  128

enum ask_state {
    ASK_SILENT, /* no answer until the deadline */
    ASK_ANSWERED,
    ASK_NONE,   /* it knows no persistent reservations */
    ASK_FAILED, /* `problem` says what was wrong */
};

/* Registrations of one initiator port; its name "" if the device does not tell it. */
struct ask_host {
    char name[ASK_HOST_MAX];
    unsigned count;
};

struct ask_answer {
    uint32_t index; /* of the device in the scan */
    enum ask_state state;
    char problem[PRHELPER_TEXT_MAX];
    uint32_t n_keys;
    bool held;
    uint8_t type;
    uint64_t key; /* the holder's; 0: all registrants */
    char holder[ASK_HOST_MAX];
    unsigned n_hosts, more_hosts; /* of which there was no room for the latter */
    struct ask_host hosts[ASK_HOSTS_MAX];
};

/*
 * Ask the scan's devices by the helper of `options`, or --direct, for at most timeout_ms. There is
 * an answer for each, in their order: *ret_answers is the caller's to free. Returns 0 or a negative
 * errno.
 */
int ask_devices(const struct options *options, const struct scan *scan, int timeout_ms,
                struct ask_answer **ret_answers);

#endif
