// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include "serve/budget.h"

static const struct budget_limits limits = {.connections = 800, .threads = 8, .bytes = 1 << 20};

static struct budget budget;

static int set_up(void **state)
{
    (void)state;
    budget_init(&budget, &limits);
    return 0;
}

/* Everything was closed. */
static int tear_down(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < BUDGET_KINDS; kind++)
        assert_uint_equal(budget.used[kind], 0);
    budget_deinit(&budget);
    assert_null(budget.users);
    return 0;
}

/* Take one by one, as long as it may. Returns how many. */
static unsigned take_all(struct budget_account *account, enum budget_kind kind)
{
    unsigned n = 0;

    while (budget_take(account, kind, 1))
        n++;
    return n;
}

static void close_all(struct budget_account *account)
{
    for (unsigned kind = 0; kind < BUDGET_KINDS; kind++)
        budget_give(account, kind, account->used[kind]);
    budget_close(account);
}

static void test_alone(void **state)
{
    struct budget_account *account = budget_open(&budget, 1, 10, 0);

    (void)state;
    assert_uint_equal(take_all(account, BUDGET_CONNECTIONS), 800 / 2);
    assert_false(budget_is_exhausted(&budget, BUDGET_CONNECTIONS));
    assert_false(budget_is_scarce(&budget, BUDGET_CONNECTIONS));
    budget_give(account, BUDGET_CONNECTIONS, 1);
    assert_true(budget_take(account, BUDGET_CONNECTIONS, 1));
    assert_false(budget_take(account, BUDGET_CONNECTIONS, 1));
    assert_false(budget_take(account, BUDGET_BYTES, 1 << 20));
    assert_false(budget_take(account, BUDGET_BYTES, UINT32_MAX));
    assert_true(budget_take(account, BUDGET_BYTES, 1 << 19));
    close_all(account);
}

/* However many of them want everything, of any user, the floor is there for the next. */
static void test_many_greedy(void **state)
{
    struct budget_account *greedy[8], *modest;
    unsigned before = UINT32_MAX, sum = 0;

    (void)state;
    for (int i = 0; i < 8; i++) {
        unsigned n;

        greedy[i] = budget_open(&budget, (uid_t)i % 3, 10 + i, 0);
        n = take_all(greedy[i], BUDGET_CONNECTIONS);
        assert_true(n >= 1 && n <= before);
        before = n;
        sum += n;
    }
    assert_true(sum <= 800 - 8);
    modest = budget_open(&budget, 9, 99, 0);
    assert_uint_equal(take_all(modest, BUDGET_CONNECTIONS), 8);
    for (int i = 0; i < 8; i++)
        close_all(greedy[i]);
    close_all(modest);
}

/* One user's processes, without end, leave an eighth to the others. */
static void test_many_of_one_user(void **state)
{
    struct budget_account *mine[200], *other = budget_open(&budget, 2, 5, 0);
    unsigned sum = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        mine[i] = budget_open(&budget, 1, 1000 + i, 0);
        sum += take_all(mine[i], BUDGET_CONNECTIONS);
    }
    assert_uint_equal(sum, 800 - 800 / 8);
    assert_uint_equal(take_all(other, BUDGET_CONNECTIONS), 8);
    for (int i = 0; i < 200; i++)
        close_all(mine[i]);
    close_all(other);
}

/* Some greedy processes leave the floors of others of the same user, and of other users. */
static void test_greedy_of_one_user(void **state)
{
    struct budget_account *greedy[12], *modest[12], *other = budget_open(&budget, 2, 5, 0);
    unsigned taken = 0, full = 0;

    (void)state;
    for (int i = 0; i < 12; i++) {
        greedy[i] = budget_open(&budget, 1, 1000 + i, 0);
        taken += take_all(greedy[i], BUDGET_CONNECTIONS);
    }
    assert_uint_in_range(taken, 800 - 800 / 4, 800 - 800 / 8 - 5 * 8);
    for (int i = 0; i < 12; i++) {
        modest[i] = budget_open(&budget, 1, 2000 + i, 0);
        full += take_all(modest[i], BUDGET_CONNECTIONS) == 8;
    }
    assert_uint_equal(full, (800 - 800 / 8 - taken) / 8);
    assert_uint_equal(take_all(other, BUDGET_CONNECTIONS), 8);
    for (int i = 0; i < 12; i++) {
        close_all(greedy[i]);
        close_all(modest[i]);
    }
    close_all(other);
}

/* What is too small to be shared out is first come, first served. */
static void test_small(void **state)
{
    struct budget_account *account = budget_open(&budget, 1, 10, 0);

    (void)state;
    assert_uint_equal(take_all(account, BUDGET_THREADS), 8);
    assert_true(budget_is_exhausted(&budget, BUDGET_THREADS));
    close_all(account);
}

static void test_unpaid(void **state)
{
    struct budget_account *accounts[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        unsigned n = 0;

        accounts[i] = budget_open(&budget, 1, 10 + i, 0);
        while (budget_take_unpaid(accounts[i]))
            n++;
        assert_uint_equal(n, i < 4 ? BUDGET_UNPAID_MAX : 1);
    }
    for (int i = 0; i < 8; i++) {
        while (accounts[i]->unpaid)
            budget_give_unpaid(accounts[i]);
        budget_close(accounts[i]);
    }
}

/* By user, pid and hidden number; the same for each of a process's connections, and for a while
 * after the last one. */
static void test_accounts(void **state)
{
    struct budget_account *one = budget_open(&budget, 1, 10, 0), *again;

    (void)state;
    assert_ptr_equal(budget_open(&budget, 1, 10, 0), one);
    budget_close(one);
    for (int i = 0; i < 3; i++) {
        struct budget_account *other = budget_open(&budget, i == 0 ? 2 : 1, i == 1 ? 11 : 10,
                                                   i == 2 ? 7 : 0);

        assert_ptr_not_equal(other, one);
        budget_close(other);
    }
    budget_close(one);
    assert_uint_equal(budget.n_idle, 4);
    again = budget_open(&budget, 1, 10, 0);
    assert_ptr_equal(again, one);
    assert_uint_equal(budget.n_idle, 3);
    budget_close(again);
    for (int i = 0; i < 1000; i++)
        budget_close(budget_open(&budget, 3, 1000 + i, 0));
    assert_true(budget.n_idle <= 300);
}

/* A turn that has not ended keeps the account of a process that has gone. */
static void test_account_with_a_turn(void **state)
{
    struct budget_account *account = budget_open(&budget, 1, 10, 0);

    (void)state;
    atomic_fetch_add(&account->turns, 1);
    budget_close(account);
    for (int i = 0; i < 1000; i++)
        budget_close(budget_open(&budget, 3, 1000 + i, 0));
    assert_true(budget_take_unpaid(account));
    budget_give_unpaid(account);
    atomic_fetch_sub(&account->turns, 1);
}

static unsigned count_lines(struct budget_account *account, enum budget_lines kind,
                            unsigned *left_out)
{
    unsigned n = 0, suppressed;

    for (int i = 0; i < 5000; i++) {
        if (budget_take_line(account, kind, &suppressed)) {
            *left_out += suppressed;
            n++;
        }
    }
    return n;
}

static void test_lines(void **state)
{
    struct budget_account *loud = budget_open(&budget, 1, 10, 0), *other;
    unsigned left_out = 0;

    (void)state;
    assert_uint_equal(count_lines(loud, BUDGET_OTHERS, &left_out), 50);
    assert_uint_equal(count_lines(loud, BUDGET_CHANGES, &left_out), 100); /* not used up by those */
    assert_uint_equal(left_out, 0);
    budget_close(loud);
    loud = budget_open(&budget, 1, 10, 0); /* it connects again */
    assert_uint_equal(count_lines(loud, BUDGET_CHANGES, &left_out), 0);
    for (int i = 0; i < 100; i++) { /* as another process, again and again */
        other = budget_open(&budget, 1, 100 + i, 0);
        count_lines(other, BUDGET_CHANGES, &left_out);
        budget_close(other);
    }
    other = budget_open(&budget, 2, 5, 0);
    left_out = 0;
    assert_uint_equal(count_lines(other, BUDGET_CHANGES, &left_out), 100);
    assert_true(left_out > 0); /* told by the next one */
    budget_close(other);
    budget_close(loud);
}

#define budget_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        budget_test(test_alone),
        budget_test(test_many_greedy),
        budget_test(test_many_of_one_user),
        budget_test(test_greedy_of_one_user),
        budget_test(test_small),
        budget_test(test_unpaid),
        budget_test(test_accounts),
        budget_test(test_account_with_a_turn),
        budget_test(test_lines),
    };

    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
