// SPDX-License-Identifier: LGPL-2.1-or-later
#include "filter/filter.h"

#include <errno.h>

void filter_begin(struct filter *ret)
{
    ret->context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    ret->error = ret->context ? 0 : -ENOMEM;
    /* Otherwise only the calling thread would end, and the process would hang. */
    filter_set(ret, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

void filter_set(struct filter *filter, enum scmp_filter_attr attribute, uint32_t value)
{
    if (filter->error == 0)
        filter->error = seccomp_attr_set(filter->context, attribute, value);
}

static void filter_add_one(struct filter *filter, uint32_t action, const char *name,
                           const struct scmp_arg_cmp *condition)
{
    int number = seccomp_syscall_resolve_name(name);
    int r;

    if (filter->error < 0 || number == __NR_SCMP_ERROR)
        return;
    r = seccomp_rule_add_array(filter->context, action, number, condition ? 1 : 0, condition);
    if (r < 0 && r != -EDOM)
        filter->error = r;
}

void filter_add(struct filter *filter, uint32_t action, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++)
        filter_add_one(filter, action, names[i], NULL);
}

void filter_allow_if(struct filter *filter, const struct filter_rule *rules, size_t n_rules)
{
    for (size_t i = 0; i < n_rules; i++)
        filter_add_one(filter, SCMP_ACT_ALLOW, rules[i].name, &rules[i].condition);
}

int filter_load(struct filter *filter)
{
    if (filter->error == 0)
        filter->error = seccomp_load(filter->context);
    if (filter->context)
        seccomp_release(filter->context);
    filter->context = NULL;
    return filter->error;
}
