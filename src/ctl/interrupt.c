// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ctl/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupt_signal;
static char interrupt_notice[512];

static void interrupt_on_signal(int number)
{
    int saved = errno;

    interrupt_signal = number;
    if (write(STDERR_FILENO, interrupt_notice, strlen(interrupt_notice)) < 0)
        interrupt_notice[0] = '\0'; /* there is no other way to say it */
    errno = saved;
}

void interrupt_catch(const char *notice)
{
    const struct sigaction action = {.sa_handler = interrupt_on_signal,
                                     .sa_flags = (int)SA_RESETHAND | SA_RESTART};

    snprintf(interrupt_notice, sizeof(interrupt_notice), "%s", notice);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool interrupt_came(void)
{
    return interrupt_signal != 0;
}
