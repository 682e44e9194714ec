// SPDX-License-Identifier: LGPL-2.1-or-later
/* Landlock: which version there is, and that it leaves alone what was opened before. */
#include "probe.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define WHO "daemon/sandbox_landlock.c"

/* In a child, since there is no way back. Exit codes tell how far it came. */
static int restricted(int opened_before)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE};
    pid_t child = fork();
    char byte;
    int ruleset;

    need(child >= 0);
    if (child > 0)
        return probe_await(child);
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
    if (ruleset < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        _exit(3);
    if (open("/proc/self/status", O_RDONLY) >= 0 || errno != EACCES)
        _exit(2);
    _exit(read(opened_before, &byte, 1) == 1 ? 0 : 1);
}

int main(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int opened = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    int result;

    if (version < 0) {
        probe_skip(WHO, "Landlock is there", strerror(errno));
        return probe_end();
    }
    printf("# Landlock: interface version %ld\n", version);
    probe(version >= 1, WHO, "Landlock tells the version of its interface");
    need(opened >= 0);
    result = restricted(opened);
    probe(result < 2, WHO, "what is handled and not allowed cannot be opened");
    probe(result == 0, WHO, "files that were opened before, or by others, stay what they were");
    return probe_end();
}
