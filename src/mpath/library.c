// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each child loads the library anew: an update of the package takes effect with the next command,
 * the plug-ins that the library loads in turn are always those of its own version, and the worker,
 * which has to live on, never runs a line of it.
 *
 * Symbols have had the version LIBMPATHPERSIST_2.1.0 since 0.8.9; before, another number stood for
 * the same functions. libmpathpersist_init() came with 0.8.6, and with it a library that brings
 * its own configuration; without it a program would have to define symbols for the library to find.
 */
#include "mpath/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "mpath/host.h"
#include "mpath/list.h"
#include "mpath/multipath.h"

#define LIBRARY_SYMBOLS  "LIBMPATHPERSIST_2.1.0"
#define LIBRARY_OLDEST   "0.8.6"
#define LIBRARY_PROBE_MS 20000 /* a machine that pages; else some milliseconds */
#define LIBRARY_VERBOSE  1     /* errors, and paths that are left out */

/* enum in libmultipath's devmapper.h, which is not installed; as of 0.8.6 to 0.14.3. */
#define LIBRARY_MULTIPATH_VERSION 3

static void *library_find(void *handle, const char *name)
{
#ifdef __GLIBC__ /* other C libraries know no versions of symbols */
    void *symbol = dlvsym(handle, name, LIBRARY_SYMBOLS);

    if (symbol)
        return symbol;
#endif
    return dlsym(handle, name);
}

bool library_open(struct library *ret, char *ret_error, size_t error_size)
{
    void *handle = dlopen(host_library, RTLD_NOW | RTLD_LOCAL);

    if (!handle) {
        snprintf(ret_error, error_size, "%s cannot be loaded: %s", host_library, dlerror());
        return false;
    }
    *(void **)&ret->init = library_find(handle, "libmpathpersist_init");
    *(void **)&ret->out = library_find(handle, "mpath_persistent_reserve_out");
    ret->handle = handle;
    if (ret->init && ret->out)
        return true;
    snprintf(ret_error, error_size, "%s is older than " LIBRARY_OLDEST ": it has no %s",
             host_library, ret->init ? "mpath_persistent_reserve_out" : "libmpathpersist_init");
    dlclose(handle);
    return false;
}

int library_out(const struct library *library, int fd, const struct cdb *cdb,
                const struct prout *prout)
{
    CLEANUP_FREE struct prout_param_descriptor *list = list_convert(prout);

    if (!list)
        return -ENOMEM;
    if (library->init() != 0)
        return MPATH_PR_DMMP_ERROR;
    return library->out(fd, cdb->service_action, cdb->scope, cdb->type, list, 0, LIBRARY_VERBOSE);
}

/* What the child that looks tells its parent; twice, since to ask for the version may kill it. */
struct library_findings {
    bool found;
    unsigned version[3];
    char error[256];
};

static void library_look(int result)
{
    struct library_findings findings = {0};
    int (*get_version)(int, unsigned[3]) = NULL;
    struct library library;

    findings.found = library_open(&library, findings.error, sizeof(findings.error));
    fdio_write_full(result, &findings, sizeof(findings));
    if (findings.found)
        *(void **)&get_version = dlsym(library.handle, "libmp_get_version"); /* of libmultipath */
    if (get_version && get_version(LIBRARY_MULTIPATH_VERSION, findings.version) == 0)
        fdio_write_full(result, &findings, sizeof(findings));
    _exit(EXIT_SUCCESS);
}

/* The next findings, until deadline_ms. */
static bool library_hear(int result, int64_t deadline_ms, struct library_findings *ret)
{
    struct pollfd event = {.fd = result, .events = POLLIN};
    struct library_findings findings;
    int64_t left = deadline_ms - clock_now_ms();

    if (left <= 0 || poll(&event, 1, (int)left) != 1 ||
        fdio_read_full(result, &findings, sizeof(findings)) != (ssize_t)sizeof(findings))
        return false;
    findings.error[sizeof(findings.error) - 1] = '\0';
    *ret = findings;
    return true;
}

bool library_probe(char *ret_version, size_t version_size, char *ret_error, size_t error_size)
{
    const int64_t deadline_ms = clock_now_ms() + LIBRARY_PROBE_MS;
    struct library_findings findings = {.error = "the process that was to load it ended"};
    CLEANUP_CLOSE int ours = -1;
    CLEANUP_CLOSE int theirs = -1;
    int pair[2];
    pid_t pid;

    ret_version[0] = '\0';
    if (pipe2(pair, O_CLOEXEC) < 0) {
        snprintf(ret_error, error_size, "cannot look for %s: %s", host_library, strerror(errno));
        return false;
    }
    ours = pair[0];
    theirs = pair[1];
    pid = fork();
    if (pid < 0) {
        snprintf(ret_error, error_size, "cannot look for %s: %s", host_library, strerror(errno));
        return false;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (fdio_null_standard() == 0)
            library_look(theirs);
        _exit(EXIT_FAILURE);
    }
    close(steal_fd(&theirs));

    if (library_hear(ours, deadline_ms, &findings) && findings.found &&
        library_hear(ours, deadline_ms, &findings))
        snprintf(ret_version, version_size, "%u.%u.%u", findings.version[0], findings.version[1],
                 findings.version[2]);
    kill(pid, SIGKILL); /* if it hangs; else it has ended, and waits for us */
    waitpid(pid, NULL, 0);
    if (!findings.found)
        snprintf(ret_error, error_size, "%s", findings.error);
    return findings.found;
}
