// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The rule. Of a limit T with U taken, T - U is left. A process that has p may take
 *
 *   - up to its floor, which is what a client that means well needs, as long as anything is left;
 *   - more than that as long as it has at most twice of what is left, a quarter of T set aside.
 *
 * and the processes of one user together at most seven eighths of T. So a process that is alone
 * gets half of T, the next one that wants all a sixth, and so on; together they never touch the
 * last quarter, which is there for floors: an eighth for those of the same user's processes, an
 * eighth for those of others. However many processes a user starts, other users find that; but the
 * floors of very many processes of one user use up the user's own eighth. (The idea of granting a
 * share of what is left, so that no table of shares is needed, is that of dbus-broker's
 * accounting.)
 *
 * A limit is looked at before it is added to, and by several threads at once: it may be exceeded by
 * as many as there are threads that take at the same moment. None of the limits is that sharp.
 *
 * Lines of log count in windows of LOG_LIMIT_MS. Accounts stay for two of them when the last
 * connection has gone, or a client would be given a new one by connecting again.
 */
#include "serve/budget.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define BUDGET_IDLE_MAX 256 /* accounts without a connection */
#define BUDGET_IDLE_MS  (2LL * LOG_LIMIT_MS)

static const unsigned budget_floor[BUDGET_KINDS] = {
    [BUDGET_CONNECTIONS] = 8, /* QEMU has one for each of its pr-manager objects */
    [BUDGET_THREADS] = 4,
    [BUDGET_BYTES] = 2 * 8192,
};

/* Lines in LOG_LIMIT_MS: of a process; of all. A user has three quarters of the latter. */
static const struct {
    unsigned process, all;
} budget_line_limit[BUDGET_LINES] = {
    [BUDGET_MESSAGES] = {10, 200},
    [BUDGET_TAKINGS] = {100, 1000},
    [BUDGET_CHANGES] = {100, 1000},
    [BUDGET_OTHERS] = {50, 300},
};

void budget_init(struct budget *budget, const struct budget_limits *limits)
{
    memset(budget, 0, sizeof(*budget));
    pthread_mutex_init(&budget->lock, NULL);
    budget->limit[BUDGET_CONNECTIONS] = limits->connections;
    budget->limit[BUDGET_THREADS] = limits->threads;
    budget->limit[BUDGET_BYTES] = limits->bytes;
}

static unsigned budget_bucket(uid_t uid, pid_t pid, uint64_t process)
{
    return ((unsigned)pid ^ uid ^ (unsigned)process) % BUDGET_BUCKETS;
}

static struct budget_user *budget_get_user(struct budget *budget, uid_t uid)
{
    struct budget_user *user = budget->users;

    while (user && user->uid != uid)
        user = user->next;
    if (user)
        return user;
    user = calloc(1, sizeof(*user));
    if (user) {
        user->budget = budget;
        user->uid = uid;
        user->next = budget->users;
        budget->users = user;
    }
    return user;
}

static void budget_put_user(struct budget_user *user)
{
    struct budget_user **link = &user->budget->users;

    if (user->n_accounts)
        return;
    while (*link != user)
        link = &(*link)->next;
    *link = user->next;
    free(user);
}

static void budget_unlink_idle(struct budget *budget, struct budget_account *account)
{
    *(account->older ? &account->older->younger : &budget->oldest) = account->younger;
    *(account->younger ? &account->younger->older : &budget->youngest) = account->older;
    account->older = account->younger = NULL;
    budget->n_idle--;
}

static void budget_free(struct budget *budget, struct budget_account *account)
{
    struct budget_user *user = account->user;
    struct budget_account **link =
        &budget->buckets[budget_bucket(user->uid, account->pid, account->process)];

    budget_unlink_idle(budget, account);
    while (*link != account)
        link = &(*link)->next;
    *link = account->next;
    free(account);
    user->n_accounts--;
    budget_put_user(user);
}

/* Forget those whose lines do not count any more, and the oldest of too many. */
static void budget_forget(struct budget *budget)
{
    int64_t now = clock_coarse_ms();

    while (
        budget->oldest && !atomic_load(&budget->oldest->turns) &&
        (budget->n_idle > BUDGET_IDLE_MAX || now - budget->oldest->idle_since_ms >= BUDGET_IDLE_MS))
        budget_free(budget, budget->oldest);
}

void budget_deinit(struct budget *budget)
{
    while (budget->oldest)
        budget_free(budget, budget->oldest);
    pthread_mutex_destroy(&budget->lock);
}

static struct budget_account *budget_find(struct budget *budget, uid_t uid, pid_t pid,
                                          uint64_t process)
{
    struct budget_account *account = budget->buckets[budget_bucket(uid, pid, process)];

    while (account &&
           (account->pid != pid || account->process != process || account->user->uid != uid))
        account = account->next;
    return account;
}

static struct budget_account *budget_add(struct budget *budget, uid_t uid, pid_t pid,
                                         uint64_t process)
{
    struct budget_account **bucket = &budget->buckets[budget_bucket(uid, pid, process)];
    struct budget_account *account = calloc(1, sizeof(*account));
    struct budget_user *user = account ? budget_get_user(budget, uid) : NULL;

    if (!user) {
        free(account);
        return NULL;
    }
    user->n_accounts++;
    account->user = user;
    account->pid = pid;
    account->process = process;
    account->waiting.first = account->waiting.last = -1;
    account->next = *bucket;
    *bucket = account;
    return account;
}

struct budget_account *budget_open(struct budget *budget, uid_t uid, pid_t pid, uint64_t process)
{
    struct budget_account *account;

    pthread_mutex_lock(&budget->lock);
    budget_forget(budget);
    account = budget_find(budget, uid, pid, process);
    if (!account)
        account = budget_add(budget, uid, pid, process);
    else if (!account->references)
        budget_unlink_idle(budget, account);
    if (account)
        account->references++;
    pthread_mutex_unlock(&budget->lock);
    return account;
}

void budget_close(struct budget_account *account)
{
    struct budget *budget = account->user->budget;

    pthread_mutex_lock(&budget->lock);
    if (--account->references == 0) {
        account->idle_since_ms = clock_coarse_ms();
        account->older = budget->youngest;
        *(budget->youngest ? &budget->youngest->younger : &budget->oldest) = account;
        budget->youngest = account;
        budget->n_idle++;
    }
    pthread_mutex_unlock(&budget->lock);
}

static unsigned budget_used(const atomic_uint *used)
{
    return atomic_load_explicit(used, memory_order_relaxed);
}

static bool budget_may_take(const struct budget_account *account, enum budget_kind kind,
                            uint64_t amount)
{
    const struct budget *budget = account->user->budget;
    unsigned limit = budget->limit[kind], used = budget_used(&budget->used[kind]);
    unsigned left = used < limit ? limit - used : 0, aside = limit / 8;
    unsigned floor = budget_floor[kind] < limit / 4 ? budget_floor[kind] : limit / 4;
    uint64_t wanted = budget_used(&account->used[kind]) + amount;

    if (amount > left)
        return false;
    if (limit < BUDGET_SHARED_MIN)
        return true;
    if (budget_used(&account->user->used[kind]) + amount > limit - aside)
        return false;
    if (wanted <= floor)
        return true;
    left -= (unsigned)amount;
    return left >= 2 * aside && wanted <= 2ULL * (left - 2 * aside);
}

bool budget_take(struct budget_account *account, enum budget_kind kind, unsigned amount)
{
    if (!budget_may_take(account, kind, amount))
        return false;
    atomic_fetch_add(&account->used[kind], amount);
    atomic_fetch_add(&account->user->used[kind], amount);
    atomic_fetch_add(&account->user->budget->used[kind], amount);
    return true;
}

void budget_give(struct budget_account *account, enum budget_kind kind, unsigned amount)
{
    atomic_fetch_sub(&account->user->budget->used[kind], amount);
    atomic_fetch_sub(&account->user->used[kind], amount);
    atomic_fetch_sub(&account->used[kind], amount);
}

bool budget_is_exhausted(const struct budget *budget, enum budget_kind kind)
{
    return budget_used(&budget->used[kind]) >= budget->limit[kind];
}

bool budget_take_unpaid(struct budget_account *account)
{
    bool many = budget_used(&account->user->unpaid) >= BUDGET_UNPAID_USER_MAX;

    if (atomic_fetch_add(&account->unpaid, 1) >= (many ? 1 : BUDGET_UNPAID_MAX)) {
        atomic_fetch_sub(&account->unpaid, 1);
        return false;
    }
    atomic_fetch_add(&account->user->unpaid, 1);
    return true;
}

void budget_give_unpaid(struct budget_account *account)
{
    atomic_fetch_sub(&account->user->unpaid, 1);
    atomic_fetch_sub(&account->unpaid, 1);
}

/* One of the limits that a line has to pass. What is left out there is told by the next caller,
 * since this process may never have a line again. */
static bool budget_pass_line(struct budget *budget, enum budget_lines kind, struct log_limit *limit,
                             unsigned lines)
{
    unsigned left_out = 0;
    bool passed = log_limit_take_of(limit, lines, &left_out);

    if (!passed)
        left_out = atomic_exchange(&limit->suppressed, 0);
    if (left_out)
        atomic_fetch_add(&budget->lines[kind].suppressed, left_out);
    return passed;
}

bool budget_take_line(struct budget_account *account, enum budget_lines kind,
                      unsigned *ret_suppressed)
{
    struct budget *budget = account->user->budget;
    unsigned all = budget_line_limit[kind].all;

    return budget_pass_line(budget, kind, &account->lines[kind], budget_line_limit[kind].process) &&
           budget_pass_line(budget, kind, &account->user->lines[kind], all / 4 * 3) &&
           log_limit_take_of(&budget->lines[kind], all, ret_suppressed);
}
