// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passing.h"
#include "serve/peer.h"

/* Ourselves, by a socket of our own. */
static void test_identify(void **state)
{
    struct peers peers;
    struct peer *one, *two;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peers_init(&peers, true);
    assert_true(peers.all);
    one = peers_identify(&peers, pair[0], 7);
    two = peers_identify(&peers, pair[1], 8);
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(one->pid, getpid());
    assert_int_equal(one->uid, getuid());
    assert_int_equal(one->gid, getgid());
    assert_int_equal(one->connection, 7);
    assert_true(one->source == PEER_UNNAMED || one->vm);
    assert_true(peer_is_same(one, two));
    assert_false(peer_is_other(one, two));
    assert_int_equal(one->started != 0, !peers.pidfs); /* one of the two says it all */
    assert_int_equal(one->process != 0, peers.pidfs);

    peer_ref(one);
    peers_disconnect(&peers, one);
    assert_false(one->connected);
    assert_true(peers_is_connected(&peers, one)); /* by the other one */
    peers_disconnect(&peers, two);
    assert_false(peers_is_connected(&peers, one));
    assert_null(peers.first);
    peer_unref(one);
    peers_deinit(&peers);
    close(pair[0]);
    close(pair[1]);
}

/* With a table that has room for some of the fds that it takes: all is known, or nothing is said.
 */
static void test_short_of_fds(void **state)
{
    struct peer *whole, *found;
    struct peers peers;
    unsigned before;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peers_init(&peers, true);
    whole = peers_identify(&peers, pair[0], 7);
    assert_non_null(whole);
    before = count_fds();
    for (unsigned room = 0; room < 4; room++) {
        fd_room_limit(room);
        found = peers_identify(&peers, pair[0], 8);
        fd_room_restore();
        assert_true(room > 0 || !found);
        assert_true(room < 3 || found);
        if (!found)
            continue;
        assert_true(peer_is_same(whole, found));
        assert_int_equal(found->source, whole->source);
        peers_disconnect(&peers, found);
    }
    assert_uint_equal(count_fds(), before);
    peers_disconnect(&peers, whole);
    peers_deinit(&peers);
    close(pair[0]);
    close(pair[1]);
}

/* On a kernel that can tell whether the process is still there, there is time until it matters. */
static void test_late(void **state)
{
    struct peers peers;

    (void)state;
    peers_init(&peers, false);
    if (peers.early)
        print_message("# no SO_PEERPIDFD in this kernel\n");
    peers_deinit(&peers);
}

/* By the kernel's number of the process, by pid and time, or not at all; a name does not matter. */
static void test_same(void **state)
{
    static const struct peer rows[] = {
        {.vm = "a", .pid = 10, .process = 100, .started = 1},
        {.vm = "a", .pid = 10, .process = 101, .started = 1},
        {.vm = "b", .pid = 0, .process = 102},
        {.vm = "b", .pid = 20, .started = 1},
        {.vm = "b", .pid = 20, .started = 2},
        {.vm = "b", .pid = 0},
        {.vm = "b", .pid = 0},
    };
    const size_t n = sizeof(rows) / sizeof(rows[0]), n_known = n - 2;
    const struct peer renamed = {.vm = "z", .pid = 10, .process = 100, .started = 1},
                      other_user = {.pid = 20, .started = 1, .uid = 7},
                      hidden = {.pid = 0, .process = 102};

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(peer_is_known(&rows[i]), i < n_known);
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(peer_is_same(&rows[i], &rows[j]), i == j);
            assert_int_equal(peer_is_other(&rows[i], &rows[j]),
                             i != j && i < n_known && j < n_known);
        }
    }
    assert_true(peer_is_same(&rows[0], &renamed));
    assert_true(peer_is_same(&rows[2], &hidden));
    assert_true(peer_is_same(&rows[3], &other_user)); /* it has changed its user */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_short_of_fds),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_same),
    };

    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
