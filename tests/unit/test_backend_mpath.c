// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The helper's side of the multipath worker: what becomes of a command when the worker answers,
 * when it does not, and when there is none. The workers are children of the test, which takes the
 * keeper's place; what they do with a command, its service action's place in the CDB says.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fdio.h"
#include "helper/backend_mpath.h"
#include "logged.h"
#include "passing.h"

#define DEVICE makedev(253, 7)

/* What a worker does: at its start, and in byte 1 of a CDB. */
enum deed {
    SAY_READY,
    SAY_UNREADY,
    SAY_LATER,
    SAY_NOTHING_AND_END,
    SAY_NONSENSE,

    ANSWER = 0x10,   /* with what it got: data for an IN, a conflict for an OUT */
    ANSWER_TOO_MUCH, /* with more data than there is room for */
    ANSWER_WITH_TEXT,
    ANSWER_NONSENSE,
    DROP, /* close the socket of the answer, as the death of a child does */
    KEEP, /* never answer */
    END,  /* end at once */
};

static struct {
    enum deed at_start;
    enum { NO_TABLE, TABLE, SHORT_TABLE, LOOSE_TABLE } table; /* that comes with the hello */
    int error; /* of keeper_start_worker, instead of a worker; 0: none */
    unsigned errors;
    unsigned starts;
    pid_t pid;
} keeper;

static int64_t now_ms;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_keeper_start_worker(struct keeper *unused);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    (void)clock;
    *ret = (struct timespec){.tv_sec = now_ms / 1000, .tv_nsec = now_ms % 1000 * 1000000};
    return 0;
}

static void worker_answer(int sock, const struct worker_request *request, enum deed deed)
{
    bool is_out = request->request.opcode == SPC_PERSISTENT_RESERVE_OUT;
    struct worker_reply reply = {.text = ""};
    uint8_t bytes[WORKER_REPLY_SIZE], data[WIRE_DATA_MAX];

    memset(data, 0xda, sizeof(data));
    reply_status(&reply.reply, is_out ? SPC_STATUS_RESERVATION_CONFLICT : SPC_STATUS_GOOD,
                 is_out ? 0 : 24);
    if (deed == ANSWER_TOO_MUCH)
        reply.reply.size = WIRE_DATA_MAX;
    if (deed == ANSWER_WITH_TEXT)
        strcpy(reply.text, "path sdz is down");
    worker_encode_reply(bytes, &reply, data);
    if (deed == ANSWER_NONSENSE)
        bytes[0] ^= 1;
    (void)!send(sock, bytes, sizeof(bytes), MSG_NOSIGNAL);
}

/* A table with one map and one that has gone. Returns its fd. */
static int worker_table(void)
{
    static const struct maptable_map map = {
        .major = 253, .minor = 7, .n_paths = 1, .path = {{.name = "sdb"}}};
    static const struct maptable_map gone;
    int fd = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t size = sizeof(struct maptable) - (keeper.table == SHORT_TABLE);
    struct maptable *table;

    if (ftruncate(fd, (off_t)size) < 0 ||
        (keeper.table != LOOSE_TABLE && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0))
        _exit(1);
    table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    maptable_write(table, 0, &gone);
    maptable_write(table, 1, &map);
    return fd;
}

static void worker_main(int channel, enum deed at_start)
{
    struct worker_hello hello = {.ready = at_start == SAY_READY, .pid = (uint32_t)getpid()};
    static uint8_t bytes[WORKER_REQUEST_SIZE];
    struct fdio_message message;

    hello.later = at_start == SAY_LATER;
    if (at_start == SAY_UNREADY || at_start == SAY_LATER)
        strcpy(hello.text, "no rights here");
    worker_encode_hello(bytes, &hello);
    if (at_start == SAY_NONSENSE)
        bytes[3]++;
    if (at_start != SAY_NOTHING_AND_END) {
        int fd = keeper.table == NO_TABLE ? -1 : worker_table();

        fdio_send_fds(channel, bytes, WORKER_HELLO_SIZE, &fd, fd >= 0);
    }
    if (at_start != SAY_READY)
        _exit(0);
    for (;;) {
        ssize_t n = fdio_receive(channel, bytes, sizeof(bytes), 0, &message);
        struct worker_request request;

        if (n <= 0)
            _exit(0);
        if (!worker_decode_request(bytes, (size_t)n, &request) || message.n_fds != 2)
            _exit(1);
        close(message.fds[0]);
        switch (request.request.cdb[1]) {
        case DROP:
            break;
        case KEEP:
            continue;
        case END:
            _exit(0);
        default:
            worker_answer(message.fds[1], &request, request.request.cdb[1]);
        }
        close(message.fds[1]);
    }
}

int __wrap_keeper_start_worker(struct keeper *unused)
{
    int pair[2];

    (void)unused;
    if (keeper.error && keeper.errors > 0) {
        keeper.errors--;
        return keeper.error;
    }
    keeper.starts++;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    keeper.pid = fork();
    assert_true(keeper.pid >= 0);
    if (keeper.pid == 0) {
        for (int fd = 3; fd < 256; fd++) { /* as if it had been executed */
            if (fd != pair[1])
                close(fd);
        }
        worker_main(pair[1], keeper.at_start);
    }
    close(pair[1]);
    return pair[0];
}

static struct mpath mpath;
static unsigned fds_before;

static int set_up(void **state)
{
    static const struct mpath_options options = {
        .deadline_ms = 100, .grace_ms = 200, .io_timeout_ms = 30000};
    static struct keeper any;

    assert_int_equal(logged_set_up(state), 0);
    memset(&keeper, 0, sizeof(keeper));
    now_ms = 1000000;
    fds_before = count_fds();
    mpath_init(&mpath, &options, &any, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mpath_deinit(&mpath);
    while (wait(NULL) > 0)
        ;
    assert_uint_equal(count_fds(), fds_before);
    return 0;
}

static __thread uint8_t data[WIRE_DATA_MAX];

/* Wait for the end of the worker; its exit code, or minus the signal that ended it. */
static int worker_end(void)
{
    int status;

    assert_int_equal(waitpid(keeper.pid, &status, 0), keeper.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A command with this deed; its answer. */
static bool execute(uint8_t opcode, enum deed deed, struct reply *ret)
{
    const uint8_t cdb[WIRE_CDB_SIZE] = {opcode, (uint8_t)deed, 0, 0, 0, 0, 0, 0, 24};
    struct request request;
    bool done;

    memset(ret, 0xee, sizeof(*ret));
    memset(data, 0, sizeof(data));
    assert_true(wire_decode_request(cdb, &request));
    request.data = data;
    request.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    done = mpath_execute(&mpath, &request, DEVICE, ret);
    close(request.fd);
    return done;
}

static void assert_out(enum deed deed, uint8_t status, struct spc_sense sense)
{
    struct reply reply, expected;

    assert_true(execute(SPC_PERSISTENT_RESERVE_OUT, deed, &reply));
    if (status == SPC_STATUS_CHECK_CONDITION)
        reply_sense(&expected, sense);
    else
        reply_status(&expected, status, 0);
    assert_uint_equal(reply.status, expected.status);
    assert_uint_equal(reply.size, expected.size);
    assert_memory_equal(reply.sense, expected.sense, SENSE_SIZE);
}

#define assert_status(deed, status) assert_out(deed, status, (struct spc_sense){0})
#define assert_sense(deed, sense)   assert_out(deed, SPC_STATUS_CHECK_CONDITION, sense)

static void assert_facts(enum mpath_condition condition, const char *problem)
{
    struct mpath_facts facts;

    mpath_get_facts(&mpath, &facts);
    assert_int_equal(facts.condition, condition);
    assert_string_equal(facts.problem, problem);
    assert_uint_equal(facts.pid, condition == MPATH_RUNNING ? keeper.pid : 0);
}

static void test_answers(void **state)
{
    struct reply reply;

    (void)state;
    assert_facts(MPATH_STOPPED, "");
    for (unsigned i = 0; i < 10; i++)
        assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_true(execute(SPC_PERSISTENT_RESERVE_IN, ANSWER, &reply));
    assert_uint_equal(reply.status, SPC_STATUS_GOOD);
    assert_uint_equal(reply.size, 24);
    assert_uint_equal(data[23], 0xda);

    /* Not a byte beyond the allocation length, no matter what the worker says. */
    assert_true(execute(SPC_PERSISTENT_RESERVE_IN, ANSWER_TOO_MUCH, &reply));
    assert_uint_equal(reply.size, 24);
    assert_uint_equal(data[23], 0xda);
    assert_uint_equal(data[24], 0);
    assert_status(ANSWER_TOO_MUCH, SPC_STATUS_RESERVATION_CONFLICT);

    assert_uint_equal(keeper.starts, 1);
    assert_facts(MPATH_RUNNING, "");
}

static void test_text(void **state)
{
    (void)state;
    logged();
    assert_status(ANSWER_WITH_TEXT, SPC_STATUS_RESERVATION_CONFLICT);
    assert_non_null(strstr(logged(), "device 253:7: path sdz is down"));
}

/* The worker that had the command has gone; others are served by the same worker. */
static void test_no_answer(void **state)
{
    (void)state;
    logged();
    assert_sense(DROP, SPC_LU_COMMUNICATION_FAILURE);
    assert_non_null(strstr(logged(), "exited before it replied: outcome unknown"));
    assert_sense(ANSWER_NONSENSE, SPC_LU_COMMUNICATION_FAILURE);
    assert_sense(KEEP, SPC_LU_COMMUNICATION_TIMEOUT);
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(keeper.starts, 1);
}

/* A worker dies with a command; the next command finds that out and gets another worker. */
static void test_worker_ends(void **state)
{
    (void)state;
    assert_sense(END, SPC_LU_COMMUNICATION_FAILURE);
    assert_int_equal(worker_end(), 0);
    now_ms += 1000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(keeper.starts, 2);

    kill(keeper.pid, SIGKILL); /* idle: no command is lost */
    assert_int_equal(worker_end(), -SIGKILL);
    now_ms += 2000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(keeper.starts, 3);
}

/* Ever more slowly, up to a limit; one that lived long is a good one. */
static void test_back_off(void **state)
{
    static const unsigned delays_s[] = {1, 2, 4, 8, 16, 30, 30};

    (void)state;
    for (size_t i = 0; i < sizeof(delays_s) / sizeof(delays_s[0]); i++) {
        assert_sense(END, SPC_LU_COMMUNICATION_FAILURE);
        assert_int_equal(worker_end(), 0);
        now_ms += delays_s[i] * 1000 - 1;
        assert_status(ANSWER, SPC_STATUS_BUSY);
        assert_uint_equal(keeper.starts, i + 1);
        now_ms += 1;
    }
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    now_ms += 61000;
    assert_sense(END, SPC_LU_COMMUNICATION_FAILURE);
    assert_int_equal(worker_end(), 0);
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
}

static unsigned count_maps(void)
{
    struct maptable_map map;
    unsigned at = 0, n = 0;

    while (mpath_next_map(&mpath, &at, &map)) {
        assert_string_equal(map.path[0].name, "sdb");
        assert_uint_equal(map.minor, 7);
        n++;
    }
    return n;
}

/* What a worker tells of its maps is there while it is; not if it could be cut short. */
static void test_table(void **state)
{
    static const int bad[] = {SHORT_TABLE, LOOSE_TABLE};

    (void)state;
    assert_uint_equal(count_maps(), 0);
    keeper.table = TABLE;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_uint_equal(count_maps(), 1);
    assert_uint_equal(count_maps(), 1);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        kill(keeper.pid, SIGKILL);
        assert_int_equal(worker_end(), -SIGKILL);
        now_ms += 1;
        assert_status(ANSWER, SPC_STATUS_BUSY);
        assert_uint_equal(count_maps(), 0);

        keeper.table = bad[i];
        now_ms += 60000;
        assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
        assert_uint_equal(count_maps(), 0);
    }
}

/* Idle, or with a command: reports know it before the next command; that one starts another. */
static void test_end_is_seen(void **state)
{
    (void)state;
    keeper.table = TABLE;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
    kill(keeper.pid, SIGKILL);
    assert_int_equal(worker_end(), -SIGKILL);
    assert_facts(MPATH_STOPPED, "");
    assert_uint_equal(count_maps(), 0);
    assert_facts(MPATH_STOPPED, "");
    assert_uint_equal(keeper.starts, 1);

    now_ms += 1000;
    assert_sense(END, SPC_LU_COMMUNICATION_FAILURE);
    assert_int_equal(worker_end(), 0);
    assert_facts(MPATH_STOPPED, "");

    now_ms += 2000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
    assert_uint_equal(count_maps(), 1);
    assert_uint_equal(keeper.starts, 3);
}

/* It says why it cannot work: that is said once, and tried again later. */
static void test_unready(void **state)
{
    struct reply reply;

    (void)state;
    keeper.at_start = SAY_UNREADY;
    logged();
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_non_null(strstr(logged(), "cannot serve persistent reservations on multipath maps: "
                                     "no rights here"));
    assert_uint_equal(reply.status, 0xee);
    assert_facts(MPATH_FAILED, "no rights here");
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_uint_equal(keeper.starts, 1);
    now_ms += 1000;
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_uint_equal(keeper.starts, 2);
    assert_string_equal(logged(), "");

    keeper.at_start = SAY_READY;
    now_ms += 2000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
}

static void test_bad_start(void **state)
{
    static const enum deed deeds[] = {SAY_NOTHING_AND_END, SAY_NONSENSE};
    static const char *const problems[] = {
        "the multipath worker exited during start-up",
        "the versions of the multipath worker and the helper differ",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        keeper.at_start = deeds[i];
        assert_status(ANSWER, SPC_STATUS_BUSY);
        assert_facts(MPATH_STOPPED, problems[i]);
        now_ms += 60000;
    }
    keeper.at_start = SAY_READY;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
}

static void test_keeper_fails(void **state)
{
    (void)state;
    keeper.error = -EPIPE;
    keeper.errors = 1;
    assert_status(ANSWER, SPC_STATUS_BUSY);
    now_ms += 1000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
}

/* What the last worker left behind is in the way of this one. */
static void test_not_yet(void **state)
{
    (void)state;
    keeper.at_start = SAY_LATER;
    assert_status(ANSWER, SPC_STATUS_BUSY);
    assert_facts(MPATH_STOPPED, "no rights here");
    assert_non_null(strstr(logged(), "the multipath worker is not available yet: no rights here"));
    keeper.at_start = SAY_READY;
    assert_status(ANSWER, SPC_STATUS_BUSY); /* not at once */
    now_ms += 1000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
}

/* The socket of the service that starts workers is not there, then has too much to do. */
static void test_no_service(void **state)
{
    struct reply reply;

    (void)state;
    mpath.options.service = "/run/its.sock";
    keeper.error = -ENOENT;
    keeper.errors = 1;
    logged();
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_facts(MPATH_FAILED, "cannot connect to /run/its.sock: No such file or directory (is "
                               "qemu-pr-mpath.socket started?)");
    assert_non_null(strstr(logged(), "is qemu-pr-mpath.socket started?"));
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply)); /* is not tried at once */
    now_ms += 1000;
    keeper.error = -EAGAIN;
    keeper.errors = 1;
    assert_status(ANSWER, SPC_STATUS_BUSY);
    assert_non_null(strstr(
        logged(), "the multipath worker is not available yet: cannot connect to /run/its.sock"));
    now_ms += 2000;
    assert_status(ANSWER, SPC_STATUS_RESERVATION_CONFLICT);
    assert_facts(MPATH_RUNNING, "");
}

static void test_none_possible(void **state)
{
    struct reply reply;

    (void)state;
    mpath_deinit(&mpath);
    mpath_init(&mpath, &(struct mpath_options){0}, NULL, "not as root");
    assert_facts(MPATH_IMPOSSIBLE, "not as root");
    logged();
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_non_null(strstr(logged(), "not as root"));
    logged();
    assert_false(execute(SPC_PERSISTENT_RESERVE_OUT, ANSWER, &reply));
    assert_string_equal(logged(), "");
    assert_uint_equal(keeper.starts, 0);
}

static void *many_main(void *index)
{
    struct reply reply;

    for (unsigned i = 0; i < 50; i++) {
        bool keep = ((uintptr_t)index + i) % 10 == 0;

        assert_true(execute(SPC_PERSISTENT_RESERVE_OUT, keep ? DROP : ANSWER, &reply));
        assert_uint_equal(reply.status,
                          keep ? SPC_STATUS_CHECK_CONDITION : SPC_STATUS_RESERVATION_CONFLICT);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    pthread_t threads[16];

    (void)state;
    for (uintptr_t i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_main, (void *)i), 0);
    for (unsigned i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
    assert_uint_equal(keeper.starts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worker_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_back_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unready, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keeper_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_service, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_none_possible, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("backend_mpath", tests, NULL, NULL);
}
