/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A system call filter (seccomp(2)) made of lists of names. What is on none of them fails with
 * ENOSYS, which makes a newer C library fall back to what it did before. A call by another
 * architecture's numbers (i386 on x86-64) kills the process. A name unknown to this architecture,
 * or to this libseccomp, is ignored.
 *
 * The first error is kept, and filter_load() returns it. Thread rule: one thread for each filter.
 */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include <seccomp.h>
#include <stddef.h>

#define FILTER_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct filter {
    scmp_filter_ctx context;
    int error; /* a negative errno */
};

/* A call that is allowed with a certain argument only. */
struct filter_rule {
    const char *name;
    struct scmp_arg_cmp condition;
};

void filter_begin(struct filter *ret);

void filter_set(struct filter *filter, enum scmp_filter_attr attribute, uint32_t value);

/* What happens at each of these calls: SCMP_ACT_ALLOW or another action. */
void filter_add(struct filter *filter, uint32_t action, const char *const *names, size_t n_names);

void filter_allow_if(struct filter *filter, const struct filter_rule *rules, size_t n_rules);

/* For the calling thread and those it starts from now on; with SCMP_FLTATR_CTL_TSYNC for all
 * threads. Needs no_new_privs. Ends the filter in any case. Returns 0 or a negative errno. */
int filter_load(struct filter *filter);

#endif
