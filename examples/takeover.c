// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * takeover SOCKET DISK KEY: register KEY for this host and take the reservation over from any
 * holder. The host that held it cannot write any more after that. If the outcome is not known, this
 * host must not write either: it ends with 1, and says why.
 *
 *     cc -o takeover takeover.c $(pkg-config --cflags --libs libprhelper)
 */
#include <fcntl.h>
#include <prhelper.h>
#include <stdio.h>
#include <stdlib.h>

#define TYPE       PRHELPER_WRITE_EXCLUSIVE_REGISTRANTS_ONLY
#define TIMEOUT_MS 30000

static struct prhelper *helper;
static struct prhelper_result result;
static int disk;

/* A unit attention is news of what others did, in place of the answer: send the command again. */
static bool is_news(int r)
{
    struct prhelper_sense sense;

    return r == 0 && result.status == PRHELPER_CHECK_CONDITION &&
           prhelper_sense_decode(result.sense, sizeof(result.sense), &sense) == 0 &&
           sense.key == 0x6 && prhelper_outcome(r, &result) == PRHELPER_OUTCOME_NOT_DONE;
}

static void must_be_good(const char *what, int r)
{
    static const char *const outcomes[] = {"done", "not done", "perhaps done"};
    char text[PRHELPER_TEXT_MAX];

    if (prhelper_is_good(r, &result))
        return;
    prhelper_describe(text, sizeof(text), r, &result);
    printf("%s: %s; it was %s\n", what, text, outcomes[prhelper_outcome(r, &result)]);
    exit(1);
}

/* The holder's key, 0: there is no reservation. */
static uint64_t read_holder(void)
{
    struct prhelper_reservation reservation;
    int r;

    do
        r = prhelper_read_reservation(helper, disk, &result);
    while (is_news(r));
    must_be_good("read reservation", r);
    r = prhelper_reservation_decode(result.data, result.size, &reservation);
    if (r != 0)
        must_be_good("read reservation", r);
    return reservation.held ? reservation.key : 0;
}

int main(int argc, char **argv)
{
    uint64_t key, holder;
    int r;

    if (argc != 4) {
        fprintf(stderr, "usage: %s SOCKET DISK KEY\n", argv[0]);
        return 2;
    }
    key = strtoull(argv[3], NULL, 16);
    disk = open(argv[2], O_RDWR | O_CLOEXEC);
    if (disk < 0) {
        perror(argv[2]);
        return 1;
    }
    r = prhelper_connect(argv[1], 0, TIMEOUT_MS, &helper);
    if (r != 0)
        must_be_good("connect", r);
    prhelper_set_timeout(helper, TIMEOUT_MS);
    prhelper_set_reconnect(helper, 5, 1000);

    do
        r = prhelper_register_ignore(helper, disk, key, 0, &result);
    while (is_news(r));
    must_be_good("register", r);
    holder = read_holder();
    if (holder != 0 && holder != key) {
        printf("held by %llx\n", (unsigned long long)holder);
        do
            r = prhelper_preempt(helper, disk, key, holder, TYPE, &result);
        while (is_news(r));
        must_be_good("preempt", r);
    } else if (holder == 0) {
        do
            r = prhelper_reserve(helper, disk, key, TYPE, &result);
        while (is_news(r));
        must_be_good("reserve", r);
    }
    printf("held by %llx\n", (unsigned long long)read_holder());
    prhelper_close(helper);
    return 0;
}
