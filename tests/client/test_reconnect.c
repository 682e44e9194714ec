// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A helper is restarted: a command connects again, as QEMU's client does. It does so only while it
 * is certain that the command has not been carried out.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"
#include "peer.h"
#include "scratch.h"

#define REQUEST     (CDB_BYTES + sizeof(parameters))
#define INTERVAL_MS 20

static char path[64];

static int set_up(void **state)
{
    if (scratch_set_up(state) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", scratch);
    return 0;
}

/* A helper at the path with a client that is connected and tries so often. */
struct scene {
    struct prhelper *helper;
    struct prhelper_result result;
    int listener, sock;
};

static void begin(struct scene *scene, unsigned tries, int interval_ms)
{
    scene->listener = peer_listen(path, 8);
    assert_int_equal(prhelper_start_connect(path, PRHELPER_FEATURES, LONG_MS, &scene->helper),
                     PRHELPER_PENDING);
    scene->sock = peer_accept(scene->listener);
    peer_shake_hands(scene->sock, scene->helper);
    assert_int_equal(prhelper_set_reconnect(scene->helper, tries, interval_ms), 0);
    prhelper_set_timeout(scene->helper, LONG_MS);
    memset(&scene->result, 0xee, sizeof(scene->result));
}

static void stop_listening(struct scene *scene)
{
    close(scene->listener);
    scene->listener = -1;
    unlink(path);
}

static void end(struct scene *scene)
{
    prhelper_close(scene->helper);
    close(scene->sock);
    if (scene->listener >= 0)
        stop_listening(scene);
}

/* Go on until it has a socket, through at most `pauses` states without one. */
static void follow_to_socket(struct scene *scene, unsigned pauses)
{
    while (prhelper_fd(scene->helper) < 0) {
        assert_true(pauses-- > 0);
        assert_true(prhelper_timeout(scene->helper) >= 0);
        poll(NULL, 0, prhelper_timeout(scene->helper));
        assert_int_equal(prhelper_continue(scene->helper), PRHELPER_PENDING);
    }
}

/* The new helper, up to the answer to the command. */
static void serve(struct scene *scene)
{
    uint8_t bytes[4 + REQUEST];
    int fd;

    close(scene->sock);
    scene->sock = peer_accept(scene->listener);
    peer_say(scene->sock, "\0\0\0\1", 4);
    assert_int_equal(prhelper_continue(scene->helper), PRHELPER_PENDING);
    peer_take(scene->sock, bytes, sizeof(bytes), &fd);
    assert_memory_equal(bytes, "\0\0\0\1", 4);
    assert_memory_equal(bytes + 4, prout_cdb, sizeof(prout_cdb));
    assert_memory_equal(bytes + 4 + CDB_BYTES, parameters, sizeof(parameters));
    assert_true(fd >= 0);
    close(fd);
    peer_reply(scene->sock, 0, 0);
    assert_int_equal(prhelper_continue(scene->helper), 0);
    assert_true(prhelper_is_good(0, &scene->result));
}

/* It has been replaced while nothing was asked of it. The caller sees a state without a socket,
 * though the next one has the number of the last. */
static void test_restarted_while_idle(void **state)
{
    static const struct {
        const char *name;
        bool told;   /* the caller has looked before */
        bool unread; /* it closed with something unread, which resets the connection */
    } rows[] = {{"not noticed", false, false}, {"noticed", true, false}, {"reset", false, true}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene scene;
        int before;

        table_row = rows[i].name;
        begin(&scene, 5, 1000);
        before = prhelper_fd(scene.helper);
        if (rows[i].unread)
            assert_int_equal(send(before, "x", 1, 0), 1);
        shutdown(scene.sock, SHUT_RDWR);
        if (rows[i].unread)
            close(scene.sock);
        if (rows[i].told) {
            assert_int_equal(prhelper_continue(scene.helper), PRHELPER_CLOSED);
            assert_int_equal(prhelper_continue(scene.helper), PRHELPER_DEAD);
            assert_waits(scene.helper, 0, false);
        }
        assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
        if (!rows[i].told) {
            assert_waits(scene.helper, 0, true);
            assert_int_equal(prhelper_timeout(scene.helper), 0);
            assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
        }
        assert_waits(scene.helper, POLLIN, true);
        if (rows[i].unread)
            scene.sock = -1;
        serve(&scene);
        end(&scene);
    }
    table_row = NULL;
}

/* It comes back after some tries; time passes between them. */
static void test_waits_for_the_new_helper(void **state)
{
    struct scene scene;
    int64_t started;

    begin(&scene, 5, INTERVAL_MS);
    stop_listening(&scene);
    shutdown(scene.sock, SHUT_RDWR);
    started = clock_now_ms();
    assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
    assert_int_equal(prhelper_timeout(scene.helper), 0);
    assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
    for (unsigned tries = 0; tries < 3; tries++) {
        assert_waits(scene.helper, 0, true);
        assert_true(prhelper_timeout(scene.helper) <= INTERVAL_MS);
        /* Too early is not harmful. */
        assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
        poll(NULL, 0, prhelper_timeout(scene.helper));
        assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
    }
    assert_true(clock_now_ms() - started >= 3 * INTERVAL_MS);
    scene.listener = peer_listen(path, 8);
    follow_to_socket(&scene, 2);
    serve(&scene);
    end(&scene);
}

/* It does not: the command fails with what the last try said, and was not carried out. */
static void test_tries_run_out(void **state)
{
    for (unsigned tries = 1; tries <= 3; tries++) {
        struct scene scene;
        unsigned seen = 0;
        int r;

        begin(&scene, tries, 0);
        close(scene.listener); /* the name stays: ECONNREFUSED */
        shutdown(scene.sock, SHUT_RDWR);
        r = start_prout(scene.helper, STDIN_FILENO, &scene.result);
        for (; r == PRHELPER_PENDING; seen++)
            r = prhelper_continue(scene.helper);
        assert_int_equal(r, -ECONNREFUSED);
        assert_uint_equal(seen, tries);
        assert_no_answer(&scene.result, false);
        assert_int_equal(prhelper_outcome(r, &scene.result), PRHELPER_OUTCOME_NOT_DONE);
        assert_waits(scene.helper, 0, false);
        /* The next command tries anew, and one that is given up has not been sent. */
        unlink(path);
        r = start_prout(scene.helper, STDIN_FILENO, &scene.result);
        for (seen = 1; r == PRHELPER_PENDING; seen++)
            r = prhelper_continue(scene.helper);
        assert_int_equal(r, -ENOENT);
        assert_uint_equal(seen, tries);
        scene.listener = peer_listen(path, 8);
        assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
        assert_int_equal(prhelper_cancel(scene.helper), PRHELPER_CANCELLED);
        assert_no_answer(&scene.result, false);
        end(&scene);
    }
}

/* A helper that cannot take it closes at once, or in the middle of its greeting. */
static void test_fails_in_the_handshake(void **state)
{
    struct scene scene;
    int r;

    begin(&scene, 3, 0);
    shutdown(scene.sock, SHUT_RDWR);
    r = start_prout(scene.helper, STDIN_FILENO, &scene.result);
    for (unsigned tries = 0; tries < 3; tries++) {
        assert_int_equal(r, PRHELPER_PENDING);
        follow_to_socket(&scene, 2);
        close(scene.sock);
        scene.sock = peer_accept(scene.listener);
        peer_say(scene.sock, "\0\0\0", tries);
        shutdown(scene.sock, SHUT_RDWR);
        r = prhelper_continue(scene.helper);
    }
    assert_int_equal(r, PRHELPER_CUT);
    assert_no_answer(&scene.result, false);
    end(&scene);
}

/* What has been handed over whole is never sent again. */
static void test_not_after_it_was_sent(void **state)
{
    struct scene scene;
    uint8_t bytes[REQUEST];

    begin(&scene, 5, 0);
    assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
    peer_take(scene.sock, bytes, sizeof(bytes), NULL);
    shutdown(scene.sock, SHUT_RDWR);
    assert_int_equal(prhelper_continue(scene.helper), PRHELPER_CLOSED);
    assert_no_answer(&scene.result, true);
    assert_int_equal(accept(scene.listener, NULL, NULL), -1);
    /* The next one is another matter. */
    assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
    follow_to_socket(&scene, 1);
    serve(&scene);
    end(&scene);
}

/* It went away with a part of the command, which is then sent again from its beginning. */
static void test_closed_while_sending(void **state)
{
    static const uint8_t out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0x20, 0, 0};
    static const uint8_t list[PRHELPER_DATA_MAX];
    static uint8_t got[4 + CDB_BYTES + PRHELPER_DATA_MAX];
    int device = memfd_create("device", MFD_CLOEXEC), fd;
    struct stat sent, received;
    struct scene scene;

    begin(&scene, 5, 0);
    assert_int_equal(fstat(device, &sent), 0);
    assert_int_equal(
        setsockopt(prhelper_fd(scene.helper), SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    assert_int_equal(prhelper_start_execute(scene.helper, device, out, sizeof(out), list,
                                            sizeof(list), &scene.result),
                     PRHELPER_PENDING);
    assert_waits(scene.helper, POLLOUT, true);
    close(device);
    close(scene.sock);
    assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
    follow_to_socket(&scene, 2);
    scene.sock = peer_accept(scene.listener);
    peer_say(scene.sock, "\0\0\0\0", 4);
    assert_int_equal(prhelper_continue(scene.helper), PRHELPER_PENDING);
    peer_take(scene.sock, got, sizeof(got), &fd);
    /* Not what has got its number meanwhile. */
    assert_int_equal(fstat(fd, &received), 0);
    assert_uint_equal(received.st_ino, sent.st_ino);
    assert_uint_equal(received.st_dev, sent.st_dev);
    close(fd);
    peer_reply(scene.sock, 0, 0);
    assert_int_equal(prhelper_continue(scene.helper), 0);
    end(&scene);
}

/* The new helper does not offer what the command needs. */
static void test_feature_is_gone(void **state)
{
    uint8_t answer[4];
    struct scene scene;

    begin(&scene, 5, 0);
    shutdown(scene.sock, SHUT_RDWR);
    assert_int_equal(prhelper_start_cleanup(scene.helper, STDIN_FILENO, &scene.result),
                     PRHELPER_PENDING);
    follow_to_socket(&scene, 2);
    close(scene.sock);
    scene.sock = peer_accept(scene.listener);
    peer_say(scene.sock, "\0\0\0\0", 4);
    assert_int_equal(prhelper_continue(scene.helper), PRHELPER_NO_FEATURE);
    assert_no_answer(&scene.result, false);
    assert_uint_equal(prhelper_features(scene.helper), 0);
    peer_take(scene.sock, answer, sizeof(answer), NULL);
    peer_finds_nothing(scene.sock);
    /* The connection is as good as any. */
    assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_PENDING);
    peer_drain(scene.sock, REQUEST);
    peer_reply(scene.sock, 0, 0);
    assert_int_equal(prhelper_continue(scene.helper), 0);
    end(&scene);
}

/* The time for a command includes that of connecting. */
static void test_timeout(void **state)
{
    struct scene scene;
    int r;

    begin(&scene, 1000, 5);
    stop_listening(&scene);
    shutdown(scene.sock, SHUT_RDWR);
    prhelper_set_timeout(scene.helper, SOON_MS);
    r = start_prout(scene.helper, STDIN_FILENO, &scene.result);
    while (r == PRHELPER_PENDING) {
        poll(NULL, 0, prhelper_timeout(scene.helper));
        r = prhelper_continue(scene.helper);
    }
    assert_int_equal(r, -ETIMEDOUT);
    assert_no_answer(&scene.result, false);
    /* The calls that wait do the same. */
    assert_int_equal(prout(scene.helper, &scene.result), -ETIMEDOUT);
    assert_no_answer(&scene.result, false);
    end(&scene);
}

static void test_bad_arguments(void **state)
{
    struct prhelper *helper;
    struct scene scene;
    int sock;

    begin(&scene, 5, 0);
    assert_int_equal(prhelper_set_reconnect(scene.helper, 1, -1), PRHELPER_BAD_ARGUMENT);
    /* And not at all any more. */
    assert_int_equal(prhelper_set_reconnect(scene.helper, 0, 0), 0);
    shutdown(scene.sock, SHUT_RDWR);
    assert_int_equal(start_prout(scene.helper, STDIN_FILENO, &scene.result), PRHELPER_CLOSED);
    assert_dead(scene.helper);
    end(&scene);

    helper = peer_adopt(&sock);
    assert_int_equal(prhelper_set_reconnect(helper, 5, 1000), PRHELPER_BAD_ARGUMENT);
    prhelper_close(helper);
    close(sock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        table_test(test_restarted_while_idle),
        cmocka_unit_test(test_waits_for_the_new_helper),
        cmocka_unit_test(test_tries_run_out),
        cmocka_unit_test(test_fails_in_the_handshake),
        cmocka_unit_test(test_not_after_it_was_sent),
        cmocka_unit_test(test_closed_while_sending),
        cmocka_unit_test(test_feature_is_gone),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_bad_arguments),
    };

    return cmocka_run_group_tests(tests, set_up, scratch_tear_down);
}
