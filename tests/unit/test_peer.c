// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    assert_true(peers.early);
    one = peers_identify(&peers, pair[0]);
    two = peers_identify(&peers, pair[1]);
    assert_non_null(one);
    assert_non_null(two);
    assert_int_equal(one->pid, getpid());
    assert_int_equal(one->uid, getuid());
    assert_int_equal(one->gid, getgid());
    assert_int_equal(one->connection, pair[0]);
    assert_true(one->source == PEER_UNNAMED || one->vm);
    assert_true(peer_is_same(one, two));
    assert_false(peer_is_other_vm(one, two));

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

static void test_same(void **state)
{
    static const struct peer rows[] = {
        {.vm = "a", .pid = 10}, {.vm = "b", .pid = 20}, {.pid = 10, .uid = 1},
        {.pid = 30, .uid = 1},  {.pid = 0, .uid = 1},   {.pid = 10, .uid = 2},
    };
    const size_t n = sizeof(rows) / sizeof(rows[0]);
    const struct peer again = {.vm = "a", .pid = 11}, process = {.pid = 10, .uid = 1},
                      unknown = {.pid = 0, .uid = 1};

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(peer_is_same(&rows[i], &rows[j]), i == j);
            assert_int_equal(peer_is_other_vm(&rows[i], &rows[j]), i != j && i < 2 && j < 2);
        }
    }
    assert_true(peer_is_same(&rows[0], &again)); /* it was started again, say */
    assert_true(peer_is_same(&rows[2], &process));
    assert_false(peer_is_same(&rows[4], &unknown)); /* pid 0 is nobody in particular */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_same),
    };

    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
