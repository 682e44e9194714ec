// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A libmpathpersist that does as it is told, loaded by the worker of the tests. It lies in the
 * worker's working directory, and everything it reads or writes does, too.
 *
 * Each call is a line in the file "calls": service action, scope, type, both keys, flags, then the
 * TransportIDs as the library would have them. What to do then is in the key that the command is
 * about (that to be registered, else that of the sender): 53544E44 ("STND"), a verb, and arguments.
 * With any other key the answer is GOOD.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mpath_persist.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STANDIN_MAGIC 0x53544e44u

enum standin_verb {
    STANDIN_RETURN = 1, /* this code */
    STANDIN_EXIT,       /* exit() with it */
    STANDIN_RAISE,      /* this signal */
    STANDIN_OVERRUN,    /* allocate until there is no more, then abort() */
    STANDIN_HANG,       /* for ever */
    STANDIN_SUSPEND,    /* suspend the map of this minor number, then hang */
    STANDIN_SAY,        /* print a line, then return this code */
    STANDIN_GATE,       /* wait until somebody opens the FIFO gate-N for writing */
    STANDIN_FLOOD,      /* print 1 MB, then return this code */
    STANDIN_PRINT_EXIT, /* print a line, then exit() with this code */
};

unsigned mpath_mx_alloc_len;

static void standin_record(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void standin_record(const char *format, ...)
{
    int fd = open("calls", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    va_list arguments;

    va_start(arguments, format);
    vdprintf(fd, format, arguments);
    va_end(arguments);
    close(fd);
}

static uint64_t standin_key(const uint8_t *bytes)
{
    uint64_t key = 0;

    for (int i = 0; i < 8; i++)
        key = key << 8 | bytes[i];
    return key;
}

static void standin_record_call(int service_action, int scope, unsigned type,
                                const struct prout_param_descriptor *list)
{
    char line[32768];
    size_t used = 0;

    for (uint32_t i = 0; i < list->num_transportid; i++) {
        const struct transportid *id = list->trnptid_list[i];
        unsigned size = id->protocol_id == MPATH_PROTOCOL_ID_ISCSI ? 2u + id->iscsi_name[1] : 8;

        used += (size_t)snprintf(line + used, sizeof(line) - used, " %02x:", /* as on the wire */
                                 id->format_code | id->protocol_id);
        for (unsigned k = 0; k < size; k++)
            used += (size_t)snprintf(line + used, sizeof(line) - used, "%02x", id->iscsi_name[k]);
    }
    line[used] = '\0';
    standin_record("%d %d %u %" PRIx64 " %" PRIx64 " %02x%s\n", service_action, scope, type,
                   standin_key(list->key), standin_key(list->sa_key), list->sa_flags, line);
}

static void standin_overrun(void)
{
    const size_t piece = 64 << 20;
    size_t total = 0;

    /* An end there must be, in case nobody has set one. */
    while (total < (size_t)64 << 30 && malloc(piece))
        total += piece;
    if (total < (size_t)64 << 30) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
}

static void standin_suspend(unsigned minor)
{
    char name[32];
    int fd;

    snprintf(name, sizeof(name), "dm/%u", minor);
    fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) == 1)
        close(fd);
}

static void standin_gate(unsigned number)
{
    char name[32];

    snprintf(name, sizeof(name), "gate-%u", number);
    close(open(name, O_RDONLY | O_CLOEXEC));
}

static int standin_obey(enum standin_verb verb, unsigned argument, int code)
{
    switch (verb) {
    case STANDIN_RETURN:
        return code;
    case STANDIN_EXIT:
        exit((int)argument);
    case STANDIN_RAISE:
        raise((int)argument);
        return MPATH_PR_SUCCESS;
    case STANDIN_OVERRUN:
        standin_overrun();
        return MPATH_PR_SUCCESS;
    case STANDIN_SUSPEND:
        standin_suspend(argument);
        standin_record("suspended\n");
        /* fall through */
    case STANDIN_HANG:
        for (;;)
            poll(NULL, 0, -1);
    case STANDIN_SAY:
        fprintf(stderr, "first line\n12.345678 | mpatha: standing in\n");
        return code;
    case STANDIN_GATE:
        standin_gate(argument);
        return MPATH_PR_SUCCESS;
    case STANDIN_FLOOD:
        for (int i = 0; i < 20000; i++)
            fprintf(stderr, "%047d rising\n", i);
        return code;
    case STANDIN_PRINT_EXIT:
        fprintf(stderr, "device-mapper cannot be used\n");
        exit((int)argument);
    }
    return MPATH_PR_SUCCESS;
}

int libmpathpersist_init(void)
{
    return access("no-init", F_OK) == 0;
}

int libmpathpersist_exit(void)
{
    return 0;
}

int mpath_persistent_reserve_in(int fd, int rq_servact, struct prin_resp *resp, int noisy,
                                int verbose)
{
    abort(); /* it writes past its buffers: nobody may call it */
}

int mpath_persistent_reserve_out(int fd, int rq_servact, int rq_scope, unsigned rq_type,
                                 struct prout_param_descriptor *paramp, int noisy, int verbose)
{
    uint64_t key = standin_key(paramp->key);

    if (rq_servact == MPATH_PROUT_REG_SA || rq_servact == MPATH_PROUT_REG_IGN_SA)
        key = standin_key(paramp->sa_key);
    standin_record_call(rq_servact, rq_scope, rq_type, paramp);
    if (key >> 32 != STANDIN_MAGIC)
        return MPATH_PR_SUCCESS;
    return standin_obey((enum standin_verb)(key >> 24 & 0xff), key & 0xffff, (int16_t)key);
}
