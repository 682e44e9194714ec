// SPDX-License-Identifier: LGPL-2.1-or-later
/* One of qemu-pr-ctl's commands; each cmd_*.c defines one or some that belong together. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <json.h>
#include <prhelper.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;
struct outcome;
struct session;

/* Whether there is a DEVICE on its command line, and whom to do something to before it. */
enum command_device {
    COMMAND_DEVICE,
    COMMAND_DEVICE_OPTIONAL,
    COMMAND_NO_DEVICE,
    COMMAND_OPERAND_DEVICE,
};

struct command {
    const char *name;
    const char *summary; /* one line, for the list of commands */
    const char *about;   /* for its own --help: what else there is to know; may be NULL */
    unsigned takes;      /* OPTION_ bits of ctl/options.h */
    unsigned needs;      /* those of them that it cannot do without */
    unsigned lacks;      /* and those of OPTIONS_COMMON that it does not take */
    bool changes;        /* it needs a device that is open for writing */
    enum command_device wants;

    /*
     * Those that are more than one command for a device do everything themselves, and return the
     * exit status. The two below are NULL then.
     */
    int (*run)(const struct options *options);

    /*
     * Whether it may be sent, else the outcome says why not; the device is open. May leave in
     * session->note what it has found out of who loses something. May be NULL.
     */
    bool (*prepare)(struct session *session, struct outcome *outcome);

    /* Send it. Returns as libprhelper does. */
    int (*send)(struct prhelper *helper, int device, const struct options *options,
                struct prhelper_result *ret_result);

    /*
     * It was GOOD: tell what came of it, by adding to `json`, or on standard output if that is
     * NULL. `size` bytes at `data` are the answer. Returns 0, PRHELPER_TRUNCATED or
     * PRHELPER_MALFORMED if the data is not usable.
     */
    int (*show)(struct session *session, const uint8_t *data, size_t size,
                struct json_object *json);

    /* It reads a list, which may be longer than an answer of libprhelper's: by this service action.
     */
    bool lists;
    uint8_t service_action; /* enum spc_prin */
};

extern const struct command cmd_keys;
extern const struct command cmd_reservation;
extern const struct command cmd_capabilities;
extern const struct command cmd_full_status;
extern const struct command cmd_register;
extern const struct command cmd_register_ignore;
extern const struct command cmd_register_move;
extern const struct command cmd_reserve;
extern const struct command cmd_release;
extern const struct command cmd_clear;
extern const struct command cmd_preempt;
extern const struct command cmd_preempt_abort;
extern const struct command cmd_replace_lost;
extern const struct command cmd_cleanup;
extern const struct command cmd_fence;
extern const struct command cmd_doctor;
extern const struct command cmd_status;
extern const struct command cmd_metrics;
extern const struct command cmd_list;
extern const struct command cmd_validate;

#endif
