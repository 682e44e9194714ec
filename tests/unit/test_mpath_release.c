// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the multipath worker does on single paths: RELEASE, reading, and the repair after a PREEMPT
 * of the own key. The paths lead to a logical unit of the simulator's, by an sg_issue() of the
 * test's own; each is an I_T nexus, may fail, and counts what comes by it.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lu/lu.h"
#include "mpath/command.h"
#include "mpath/release.h"
#include "scratch.h"
#include "sg/issue.h"

#define KEY       0xabcu
#define OTHER_KEY 0xdefu
#define TYPE      SPC_TYPE_WRITE_EXCLUSIVE_REGISTRANTS_ONLY

/* Devices that are there everywhere stand for the paths: the number is that of the nexus. */
static const char *const names[] = {"null", "zero", "full"};
#define PATHS 3
#define OTHER 3 /* the nexus of another host */

static struct lu lu;
static bool down[PATHS];
static unsigned sent[PATHS]; /* PERSISTENT RESERVE OUT */
static unsigned kept_down;   /* READ RESERVATION after this many commands fails everywhere */
static struct command command;
static char home[PATH_MAX];

int __wrap_sg_issue(const struct request *request, unsigned timeout_ms, struct sg_result *ret);

int __wrap_sg_issue(const struct request *request, unsigned timeout_ms, struct sg_result *ret)
{
    struct lu_result result;
    struct stat status, node;
    char path[64];

    assert_uint_equal(timeout_ms, 1234);
    memset(ret, 0, sizeof(*ret));
    assert_int_equal(fstat(request->fd, &status), 0);
    for (unsigned i = 0; i < PATHS; i++) {
        bool out = request->opcode == SPC_PERSISTENT_RESERVE_OUT;

        snprintf(path, sizeof(path), "/dev/%s", names[i]);
        assert_int_equal(stat(path, &node), 0);
        if (node.st_rdev != status.st_rdev)
            continue;
        if (down[i] || (kept_down && !out && sent[0] + sent[1] + sent[2] >= kept_down)) {
            ret->host_status = 1; /* DID_NO_CONNECT */
            return 0;
        }
        sent[i] += out;
        lu_execute(&lu, i, request->cdb, out ? request->data : NULL, out ? request->length : 0,
                   out ? NULL : request->data, out ? 0 : request->length, &result);
        ret->status = result.status;
        ret->residual = (int32_t)(request->length - result.length);
        if (result.status == SPC_STATUS_CHECK_CONDITION) {
            sense_build(ret->sense, result.sense);
            ret->sense_size = 18;
        }
        return 0;
    }
    fail_msg("a command to something else");
    return -ENOTTY;
}

/* Straight to the logical unit. */
static uint8_t out(unsigned nexus, uint8_t action, uint64_t key, uint64_t sa_key)
{
    const struct prout prout = {.key = key, .sa_key = sa_key};
    uint8_t list[PROUT_SIZE], cdb[CDB_SIZE];
    struct lu_result result;

    prout_encode(action, &prout, NULL, 0, list, sizeof(list));
    cdb_encode_prout(cdb, action, 0, TYPE, sizeof(list));
    lu_execute(&lu, nexus, cdb, list, sizeof(list), NULL, 0, &result);
    return result.status;
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A map of three paths, all registered. */
static int map_set_up(void **state)
{
    char path[128], number[32];
    struct stat status;

    if (scratch_set_up(state) < 0 || !getcwd(home, sizeof(home)) || chdir(scratch) < 0)
        return -1;
    setenv("MULTIPATH_SOCKET_NAME", "./nobody", 1);
    memset(&command, 0, sizeof(command));
    memset(down, 0, sizeof(down));
    memset(sent, 0, sizeof(sent));
    kept_down = 0;
    lu_init(&lu, 2);

    if (mkdir("sys", 0700) < 0 || mkdir("sys/253:0", 0700) < 0 ||
        mkdir("sys/253:0/slaves", 0700) < 0)
        return -1;
    for (unsigned i = 0; i <= PATHS; i++) {
        struct transportid initiator = transportid_sas(0x5000 + i);

        assert_true(lu_nexus_add(&lu, i, &initiator, 1));
        if (i == OTHER)
            break;
        snprintf(path, sizeof(path), "sys/253:0/slaves/%s", names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/dev");
        snprintf(number, sizeof(number), "/dev/%s", names[i]);
        assert_int_equal(stat(number, &status), 0);
        snprintf(number, sizeof(number), "%u:%u\n", major(status.st_rdev), minor(status.st_rdev));
        make_file(path, number);
        assert_uint_equal(out(i, SPC_PROUT_REGISTER, 0, KEY), SPC_STATUS_GOOD);
    }
    command.map = (struct map){.number = makedev(253, 0), .name = "mpatha"};
    command.io_timeout_ms = 1234;
    return 0;
}

static int map_tear_down(void **state)
{
    lu_deinit(&lu);
    return chdir(home) < 0 ? -1 : scratch_tear_down(state);
}

#define map_test(function) cmocka_unit_test_setup_teardown(function, map_set_up, map_tear_down)

/* Have the worker's code execute RELEASE with this key. */
static void release_by(uint64_t key, uint8_t type)
{
    static uint8_t list[PROUT_SIZE], cdb[CDB_FIELD_SIZE];
    const struct prout prout = {.key = key};

    prout_encode(SPC_PROUT_RELEASE, &prout, NULL, 0, list, sizeof(list));
    cdb_encode_prout(cdb, SPC_PROUT_RELEASE, 0, type, sizeof(list));
    cdb_decode(cdb, &command.cdb);
    command.request = (struct request){.cdb = cdb,
                                       .opcode = SPC_PERSISTENT_RESERVE_OUT,
                                       .length = sizeof(list),
                                       .data = list,
                                       .fd = -1};
    memset(&command.answer, 0, sizeof(command.answer));
    command_release(&command, &prout);
}

static void assert_status(uint8_t status)
{
    assert_uint_equal(command.answer.reply.status, status);
    assert_uint_equal(command.answer.reply.size, 0);
    assert_string_equal(command.answer.text, "");
}

static void assert_sense(struct spc_sense wanted, const char *text)
{
    struct spc_sense code;

    assert_uint_equal(command.answer.reply.status, SPC_STATUS_CHECK_CONDITION);
    assert_true(sense_decode(command.answer.reply.sense, SENSE_SIZE, &code));
    assert_uint_equal(code.key, wanted.key);
    assert_uint_equal(code.asc, wanted.asc);
    assert_uint_equal(code.ascq, wanted.ascq);
    if (!strstr(command.answer.text, text))
        fail_msg("no \"%s\" in \"%s\"", text, command.answer.text);
}

static void test_release(void **state)
{
    (void)state;
    assert_uint_equal(out(1, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    release_by(KEY, TYPE);
    assert_status(SPC_STATUS_GOOD);
    assert_false(lu.reserved);
    assert_uint_equal(lu.registrations, PATHS);
    for (unsigned i = 0; i < PATHS; i++)
        assert_true(sent[i] > 0);
}

static void test_release_of_nothing(void **state)
{
    (void)state;
    release_by(KEY, TYPE);
    assert_status(SPC_STATUS_GOOD);
}

static void test_release_by_non_holder(void **state)
{
    (void)state;
    assert_uint_equal(out(OTHER, SPC_PROUT_REGISTER, 0, OTHER_KEY), SPC_STATUS_GOOD);
    assert_uint_equal(out(OTHER, SPC_PROUT_RESERVE, OTHER_KEY, 0), SPC_STATUS_GOOD);
    release_by(KEY, TYPE);
    assert_status(SPC_STATUS_GOOD);
    assert_true(lu.reserved);
    assert_uint_equal(lu.registrations, PATHS + 1);
}

static void test_release_wrong_key(void **state)
{
    (void)state;
    assert_uint_equal(out(0, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    release_by(KEY + 1, TYPE);
    assert_status(SPC_STATUS_RESERVATION_CONFLICT);
    assert_true(lu.reserved);
}

/* One path's CHECK CONDITION counts more than the others' GOOD. */
static void test_release_wrong_type(void **state)
{
    (void)state;
    assert_uint_equal(out(2, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    release_by(KEY, SPC_TYPE_WRITE_EXCLUSIVE);
    assert_sense(SPC_INVALID_RELEASE, "");
    assert_true(lu.reserved);
}

static void test_release_holder_down(void **state)
{
    (void)state;
    assert_uint_equal(out(1, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    down[1] = true;
    release_by(KEY, TYPE);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "cannot be used: zero; its holder is sas:");
    assert_true(lu.reserved);
    assert_uint_equal(lu.registrations, PATHS);
}

static void test_release_other_path_down(void **state)
{
    (void)state;
    assert_uint_equal(out(1, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    down[0] = down[2] = true;
    release_by(KEY, TYPE);
    assert_status(SPC_STATUS_GOOD);
    assert_false(lu.reserved);
}

static void test_release_all_down(void **state)
{
    (void)state;
    down[0] = down[1] = down[2] = true;
    release_by(KEY, TYPE);
    assert_sense(SPC_LU_NO_RESPONSE, "none of its 3 paths answers");
}

static void test_release_unit_attention(void **state)
{
    (void)state;
    assert_uint_equal(out(0, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    for (unsigned i = 0; i < PATHS; i++)
        lu_attention_raise(&lu, i, SPC_RESET_OCCURRED);
    release_by(KEY, TYPE);
    assert_status(SPC_STATUS_GOOD);
    assert_false(lu.reserved);
}

static void test_release_outcome_unknown(void **state)
{
    (void)state;
    assert_uint_equal(out(0, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    kept_down = PATHS;
    release_by(KEY, TYPE);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "outcome unknown");
}

static void test_read(void **state)
{
    static uint8_t data[64], cdb[CDB_FIELD_SIZE];

    (void)state;
    cdb_encode_prin(cdb, SPC_PRIN_READ_KEYS, sizeof(data));
    command.request = (struct request){.cdb = cdb,
                                       .opcode = SPC_PERSISTENT_RESERVE_IN,
                                       .length = sizeof(data),
                                       .data = data,
                                       .fd = -1};
    down[0] = down[1] = true;
    command_read(&command);
    assert_uint_equal(command.answer.reply.status, SPC_STATUS_GOOD);
    assert_uint_equal(command.answer.reply.size, PRIN_HEADER_SIZE + PATHS * 8);
    assert_uint_equal(load_be64(data + PRIN_HEADER_SIZE), KEY);
    down[2] = true;
    command_read(&command);
    assert_sense(SPC_LU_NO_RESPONSE, "none of its 3 paths answers");
}

/* As the library does it: by one path. Then the worker's part. */
static void preempt_own(uint64_t sa_key)
{
    const struct prout prout = {.key = KEY, .sa_key = sa_key};

    assert_uint_equal(out(0, SPC_PROUT_PREEMPT, KEY, sa_key), SPC_STATUS_GOOD);
    memset(sent, 0, sizeof(sent));
    reply_status(&command.answer.reply, SPC_STATUS_GOOD, 0);
    command_repair_preempt(&command, &prout);
}

static void test_preempt_repaired(void **state)
{
    (void)state;
    assert_uint_equal(out(1, SPC_PROUT_RESERVE, KEY, 0), SPC_STATUS_GOOD);
    preempt_own(KEY);
    assert_uint_equal(command.answer.reply.status, SPC_STATUS_GOOD);
    assert_non_null(strstr(command.answer.text, "registered again"));
    assert_uint_equal(lu.registrations, PATHS);
    assert_true(lu.reserved);
    for (unsigned i = 0; i < PATHS; i++)
        assert_uint_equal(lu.registration[i].key, KEY);
}

static void test_preempt_all_registrants(void **state)
{
    static const uint8_t type = SPC_TYPE_WRITE_EXCLUSIVE_ALL_REGISTRANTS;
    const struct prout prout = {.key = KEY};
    uint8_t list[PROUT_SIZE], cdb[CDB_SIZE];
    struct lu_result result;

    (void)state;
    prout_encode(SPC_PROUT_RESERVE, &prout, NULL, 0, list, sizeof(list));
    cdb_encode_prout(cdb, SPC_PROUT_RESERVE, 0, type, sizeof(list));
    lu_execute(&lu, 0, cdb, list, sizeof(list), NULL, 0, &result);
    assert_uint_equal(result.status, SPC_STATUS_GOOD);
    preempt_own(0);
    assert_uint_equal(command.answer.reply.status, SPC_STATUS_GOOD);
    assert_uint_equal(lu.registrations, PATHS);
}

static void test_preempt_of_another(void **state)
{
    (void)state;
    assert_uint_equal(out(OTHER, SPC_PROUT_REGISTER, 0, OTHER_KEY), SPC_STATUS_GOOD);
    preempt_own(OTHER_KEY);
    assert_status(SPC_STATUS_GOOD);
    assert_uint_equal(sent[0] + sent[1] + sent[2], 0);
}

/* A library that has kept them all: nothing to do. */
static void test_preempt_whole(void **state)
{
    const struct prout prout = {.key = KEY, .sa_key = KEY};

    (void)state;
    reply_status(&command.answer.reply, SPC_STATUS_GOOD, 0);
    command_repair_preempt(&command, &prout);
    assert_status(SPC_STATUS_GOOD);
    assert_uint_equal(sent[0] + sent[1] + sent[2], 0);
}

/* A path that is down is multipathd's business, when it comes back. */
static void test_preempt_path_down(void **state)
{
    (void)state;
    down[2] = true;
    preempt_own(KEY);
    assert_uint_equal(command.answer.reply.status, SPC_STATUS_GOOD);
    assert_uint_equal(lu.registrations, PATHS - 1);
}

static void test_preempt_not_repaired(void **state)
{
    (void)state;
    kept_down = 1; /* the list cannot be read after the first REGISTER */
    preempt_own(KEY);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "not all of its paths have the key");
}

static void test_preempt_aptpl_stays(void **state)
{
    const struct prout prout = {.sa_key = KEY, .key = KEY, .aptpl = true};
    uint8_t list[PROUT_SIZE], cdb[CDB_SIZE];
    struct lu_result result;

    (void)state;
    prout_encode(SPC_PROUT_REGISTER, &prout, NULL, 0, list, sizeof(list));
    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 0, sizeof(list));
    lu_execute(&lu, 0, cdb, list, sizeof(list), NULL, 0, &result);
    assert_true(lu.aptpl);
    preempt_own(KEY);
    assert_true(lu.aptpl);
}

/* Have the worker's code look for a TransportID with this key after a REGISTER. */
static void confirm(uint64_t key, const struct transportid *id)
{
    struct prout prout = {.sa_key = key, .spec_i_pt = true};
    uint8_t list[512];
    size_t length = prout_encode(SPC_PROUT_REGISTER, &prout, id, 1, list, sizeof(list));

    assert_int_equal(prout_decode(SPC_PROUT_REGISTER, list, length, &prout), PROUT_OK);
    memset(&command.answer, 0, sizeof(command.answer));
    command_confirm_transportids(&command, &prout);
}

static void test_confirm_transportids(void **state)
{
    const struct transportid registered = transportid_sas(0x5000 + 1);
    const struct transportid missing = transportid_sas(0x5000 + OTHER);

    (void)state;
    confirm(KEY, &registered);
    assert_status(SPC_STATUS_GOOD);
    confirm(OTHER_KEY, &registered);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "not all of the initiator ports");
    confirm(KEY, &missing);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "not all of the initiator ports");
    down[0] = down[1] = down[2] = true;
    confirm(KEY, &registered);
    assert_sense(SPC_LU_COMMUNICATION_FAILURE, "not all of the initiator ports");
}

/* Every order of every set of answers: what counts does not depend on which path gave it. */
static void test_judge(void **state)
{
    static const uint8_t statuses[] = {SPC_STATUS_GOOD, SPC_STATUS_CHECK_CONDITION,
                                       SPC_STATUS_RESERVATION_CONFLICT, SPC_STATUS_CHECK_CONDITION};
    static const enum path_verdict ranks[] = {PATH_CHECK, PATH_GOOD, PATH_STATUS, PATH_FAILED};
    const struct prin_reservation none = {0}, ours = {.held = true, .key = KEY, .type = TYPE};

    (void)state;
    for (unsigned set = 0; set < 4 * 4 * 4; set++) {
        const unsigned which[3] = {set % 4, set / 4 % 4, set / 16};
        struct path_answer answers[3];
        enum path_verdict best = PATH_FAILED;
        struct reply reply;

        for (unsigned i = 0; i < 3; i++) {
            answers[i].verdict = (enum path_verdict)which[i];
            if (statuses[which[i]] == SPC_STATUS_CHECK_CONDITION)
                reply_sense(&answers[i].reply,
                            which[i] == PATH_CHECK ? SPC_INVALID_RELEASE : SPC_LU_NO_RESPONSE);
            else
                reply_status(&answers[i].reply, statuses[which[i]], 0);
        }
        for (unsigned rank = 4; rank > 0; rank--) {
            for (unsigned i = 0; i < 3; i++) {
                if (answers[i].verdict == ranks[rank - 1])
                    best = ranks[rank - 1];
            }
        }
        assert_int_equal(release_judge(answers, 3, &ours, &none, KEY, &reply), RELEASE_ANSWERED);
        assert_uint_equal(reply.status, statuses[best]);
        if (best == PATH_CHECK)
            assert_uint_equal(reply.sense[12], 0x26);
        assert_int_equal(release_judge(answers, 3, &ours, &ours, KEY, &reply),
                         best == PATH_GOOD ? RELEASE_LEFT : RELEASE_ANSWERED);
        assert_int_equal(release_judge(answers, 3, &ours, NULL, KEY, &reply),
                         best == PATH_GOOD ? RELEASE_UNKNOWN : RELEASE_ANSWERED);
        assert_true(best != PATH_GOOD || reply.status == SPC_STATUS_CHECK_CONDITION);
    }
}

static void test_judge_what_is_left(void **state)
{
    const uint8_t all = SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
    const struct prin_reservation none = {0}, ours = {.held = true, .key = KEY, .type = TYPE},
                                  foreign = {.held = true, .key = OTHER_KEY, .type = TYPE},
                                  shared = {.held = true, .type = all};
    const struct path_answer good = {.verdict = PATH_GOOD};
    struct reply reply;

    (void)state;
    assert_int_equal(release_judge(&good, 1, &ours, &none, KEY, &reply), RELEASE_ANSWERED);
    assert_int_equal(release_judge(&good, 1, &ours, &foreign, KEY, &reply), RELEASE_ANSWERED);
    assert_int_equal(release_judge(&good, 1, &none, &ours, KEY, &reply), RELEASE_LEFT);
    assert_int_equal(release_judge(&good, 1, &shared, &shared, KEY, &reply), RELEASE_LEFT);
    assert_int_equal(release_judge(&good, 1, &none, &shared, KEY, &reply), RELEASE_ANSWERED);
    assert_int_equal(release_judge(NULL, 0, &none, &none, KEY, &reply), RELEASE_ANSWERED);
    assert_uint_equal(reply.sense[12], 0x05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        map_test(test_release),
        map_test(test_release_of_nothing),
        map_test(test_release_by_non_holder),
        map_test(test_release_wrong_key),
        map_test(test_release_wrong_type),
        map_test(test_release_holder_down),
        map_test(test_release_other_path_down),
        map_test(test_release_all_down),
        map_test(test_release_unit_attention),
        map_test(test_release_outcome_unknown),
        map_test(test_read),
        map_test(test_preempt_repaired),
        map_test(test_preempt_all_registrants),
        map_test(test_preempt_of_another),
        map_test(test_preempt_whole),
        map_test(test_preempt_path_down),
        map_test(test_preempt_not_repaired),
        map_test(test_preempt_aptpl_stays),
        map_test(test_confirm_transportids),
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_judge_what_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
