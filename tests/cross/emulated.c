// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * In the place of a program of another machine: executes it by qemu-user. What is to be preloaded
 * is of that machine as well, so this one must not see it; it is linked statically for that reason.
 *
 * Built for each program, with EMULATED_BY, EMULATED_ROOT, EMULATED_LIBRARIES and EMULATED_PROGRAM.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EMULATED_ARGUMENTS_MAX 128

int main(int argc, char **argv)
{
    const char *preload = getenv("LD_PRELOAD");
    char *arguments[EMULATED_ARGUMENTS_MAX + 8];
    char setting[4096];
    int n = 0;

    if (argc > EMULATED_ARGUMENTS_MAX)
        return 127;
    arguments[n++] = (char *)EMULATED_BY;
    arguments[n++] = (char *)"-L";
    arguments[n++] = (char *)EMULATED_ROOT;
    arguments[n++] = (char *)"-E";
    arguments[n++] = (char *)"LD_LIBRARY_PATH=" EMULATED_LIBRARIES;
    if (preload) {
        snprintf(setting, sizeof(setting), "LD_PRELOAD=%s", preload);
        arguments[n++] = (char *)"-E";
        arguments[n++] = setting;
        unsetenv("LD_PRELOAD");
    }
    arguments[n++] = (char *)EMULATED_PROGRAM;
    memcpy(arguments + n, argv + 1, (size_t)argc * sizeof(*argv)); /* with the NULL */
    execvp(EMULATED_BY, arguments);
    perror(EMULATED_BY);
    return 127;
}
