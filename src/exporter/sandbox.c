// SPDX-License-Identifier: LGPL-2.1-or-later
#include "exporter/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/landlock.h"
#include "filter/filter.h"

/* clang-format off */
/* Each with its caller in the form FILE: FUNCTION: CALL. */
static const char *const sandbox_allowed[] = {
    /* memory */
    "brk",                    /* node/facts.c: facts_make_room: calloc */
    "munmap",                 /* node/facts.c: facts_deinit: free */
    "mremap",                 /* node/fetch.c: fetch_read: realloc */
    "madvise",                /* exporter/main.c: exporter_forget: malloc_trim */
    "getrandom",              /* node/fetch.c: fetch_parse: json_tokener_parse */
    "exit_group",             /* exporter/main.c: main: exit */
    "restart_syscall",        /* exporter/main.c: exporter_run: poll */
    "futex",                  /* exporter/http.c: http_run: MHD_run */
    "getpid",                 /* exporter/http.c: http_run: MHD_run */
    /* time */
    "clock_gettime",          /* base/clock.h: clock_now_ms: clock_gettime */
    "clock_gettime64",        /* base/clock.h: clock_now_ms: clock_gettime */
    "gettimeofday",           /* exporter/http.c: http_run: MHD_run */
    "time",                   /* exporter/http.c: http_run: MHD_run */
    /* status sockets, and their names */
    "connect",                /* node/fetch.c: fetch_connect: connect */
    "recvfrom",               /* node/fetch.c: fetch_read: recv */
    "recv",                   /* node/fetch.c: fetch_read: recv */
    "poll",                   /* node/crowd.c: crowd_go: poll */
    "ppoll",                  /* node/crowd.c: crowd_go: poll */
    "ppoll_time64",           /* node/crowd.c: crowd_go: poll */
    "close",                  /* node/crowd.c: crowd_end: close */
    "getdents64",             /* node/crowd_find.c: crowd_add_directory: readdir */
    "fstat",                  /* node/crowd_find.c: crowd_add_directory: opendir */
    "fstat64",                /* node/crowd_find.c: crowd_add_directory: opendir */
    "stat",                   /* node/crowd_find.c: crowd_find: stat */
    "stat64",                 /* node/crowd_find.c: crowd_find: stat */
    "newfstatat",             /* node/crowd_find.c: crowd_find: stat */
    "fstatat64",              /* node/crowd_find.c: crowd_find: stat */
    "statx",                  /* node/crowd_find.c: crowd_find: stat */
    "read",                   /* exporter/past.c: past_start_of: read */
    "uname",                  /* node/look.c: look_report_node: gethostname */
    /* HTTP, and the log */
    "accept4",                /* exporter/http.c: http_run: MHD_run */
    "accept",                 /* exporter/http.c: http_run: MHD_run */
    "epoll_wait",             /* exporter/http.c: http_run: MHD_run */
    "epoll_pwait",            /* exporter/http.c: http_run: MHD_run */
    "epoll_ctl",              /* exporter/http.c: http_run: MHD_run */
    "shutdown",               /* exporter/clients.c: clients_cut: shutdown */
    "setsockopt",             /* exporter/http.c: http_run: MHD_run */
    "getsockopt",             /* exporter/http.c: http_run: MHD_run */
    "getsockname",            /* exporter/http.c: http_run: MHD_run */
    "sendto",                 /* exporter/http.c: http_run: MHD_run */
    "send",                   /* exporter/http.c: http_run: MHD_run */
    "sendmsg",                /* exporter/http.c: http_run: MHD_run */
    "write",                  /* base/log.c: log_write_fd: write */
};

/* Those that are allowed with certain arguments only. */
static const struct filter_rule sandbox_conditional[] = {
    /* node/fetch.c: fetch_connect: socket */
    {"socket", SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX)},
    /* exporter/past.c: past_start_of: open */
    {"openat", SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)},
    /* node/fetch.c: fetch_read: realloc */
    {"mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* node/fetch.c: fetch_read: realloc */
    {"mmap2", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_GETFL)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETFL)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETFD)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_GETFL)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETFL)},
    /* exporter/http.c: http_run: MHD_run */
    {"fcntl64", SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, F_SETFD)},
};
/* clang-format on */

static int sandbox_enter_seccomp(void)
{
    struct filter filter;

    filter_begin(&filter);
    filter_add(&filter, SCMP_ACT_ALLOW, sandbox_allowed, FILTER_COUNT(sandbox_allowed));
    filter_allow_if(&filter, sandbox_conditional, FILTER_COUNT(sandbox_conditional));
    return filter_load(&filter);
}

/* A place need not be there yet: its directory may come with the first helper. */
static int sandbox_allow_place(const struct landlock *landlock, const char *place)
{
    char path[PATH_MAX];
    struct stat file;

    snprintf(path, sizeof(path), "%s", place);
    while (stat(path, &file) < 0 || !S_ISDIR(file.st_mode)) {
        char *slash = strrchr(path, '/');

        if (!slash || slash == path)
            return 0; /* connecting needs no right; there is no directory to read */
        *slash = '\0';
    }
    return landlock_allow(landlock, path, LANDLOCK_ACCESS_FS_READ_DIR);
}

static int sandbox_enter_landlock(const char *const *places, unsigned n_places)
{
    struct landlock landlock;
    int r = landlock_begin(&landlock);

    if (r == -ENOSYS || r == -EOPNOTSUPP)
        return 0;
    if (r == 0)
        r = landlock_allow(&landlock, "/proc", LANDLOCK_READ);
    for (unsigned i = 0; r == 0 && i < n_places; i++)
        r = sandbox_allow_place(&landlock, places[i]);
    return r == 0 ? landlock_enter(&landlock) : r;
}

static int sandbox_drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0)
        return -errno;
    return 0;
}

int sandbox_enter(const char *const *places, unsigned n_places, char *ret_error, size_t error_size)
{
    int r = sandbox_drop_capabilities();

    if (r < 0) {
        snprintf(ret_error, error_size, "cannot drop capabilities: %s", strerror(-r));
        return r;
    }
    r = sandbox_enter_landlock(places, n_places);
    if (r < 0) {
        snprintf(ret_error, error_size, "cannot enter the Landlock sandbox: %s", strerror(-r));
        return r;
    }
#ifdef SANITIZED
    return 0; /* a sanitizer's own system calls are not on the list */
#endif
    r = sandbox_enter_seccomp();
    if (r < 0)
        snprintf(ret_error, error_size, "cannot enter the seccomp sandbox: %s", strerror(-r));
    return r;
}
