// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "ledger/audit.h"
#include "logged.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "serve/peer.h"

static uint8_t cdb[16], list[PROUT_SIZE];
static struct reply reply;
static struct request request = {.cdb = cdb, .data = list, .connection = 9};
static struct device_names names = {.name = "sdb", .wwn = "naa.6001405"};
static struct peer peer = {.pid = 4711, .uid = 107, .vm = "node-a", .label = "svirt:c1"};

static int set_up(void **state)
{
    const struct prout out = {.key = 0x1, .sa_key = 0xabc, .aptpl = true};

    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 0, PROUT_SIZE);
    prout_encode(SPC_PROUT_REGISTER, &out, NULL, 0, list, sizeof(list));
    request.opcode = SPC_PERSISTENT_RESERVE_OUT;
    request.length = PROUT_SIZE;
    request.peer = &peer;
    reply_status(&reply, SPC_STATUS_GOOD, 0);
    memset(&peer.audit_limit, 0, sizeof(peer.audit_limit));
    return logged_set_up(state);
}

/* The line without its time. */
static const char *format(const struct device_names *of, const char *refused)
{
    const struct audit_event event = {
        .request = &request,
        .reply = &reply,
        .kind = of ? DEVICE_BLOCK : DEVICE_OTHER,
        .number = of ? makedev(8, 16) : 0,
        .names = of,
        .refused = refused,
        .duration_us = 1234056,
    };
    static char line[2048];
    int year, month, day, hour, minute, n = 0;
    float second;
    size_t length = audit_format(&event, line, sizeof(line));

    assert_int_equal(length, strlen(line));
    assert_int_equal(sscanf(line, "audit: time=%4d-%2d-%2dT%2d:%2d:%6fZ%n", &year, &month, &day,
                            &hour, &minute, &second, &n),
                     6);
    assert_true(n > 0);
    return line + n;
}

static void test_executed(void **state)
{
    (void)state;
    assert_string_equal(
        format(&names, NULL),
        " connection=9 pid=4711 uid=107 device=8:16 kind=block command=\"PERSISTENT RESERVE OUT\" "
        "action=\"REGISTER\" type=0x0 key=0x0000000000000001 sa_key=0x0000000000000abc aptpl=1 "
        "outcome=executed status=\"GOOD\" ms=1234.056 name=\"sdb\" wwn=\"naa.6001405\" "
        "vm=\"node-a\" label=\"svirt:c1\"");
}

static void test_refused(void **state)
{
    (void)state;
    reply_sense(&reply, SPC_INVALID_OPERATION_CODE);
    request.peer = NULL;
    assert_string_equal(
        format(NULL, "for a reason"),
        " connection=9 pid=unknown uid=unknown device=none kind=other command=\"PERSISTENT RESERVE "
        "OUT\" action=\"REGISTER\" type=0x0 key=0x0000000000000001 sa_key=0x0000000000000abc "
        "aptpl=1 outcome=refused status=\"CHECK CONDITION\" sense=\"ILLEGAL REQUEST, INVALID "
        "COMMAND OPERATION CODE (5/20/00)\" ms=1234.056 reason=\"for a reason\" name=unknown "
        "wwn=unknown vm=unknown label=unknown");
}

static void test_commands(void **state)
{
    static const struct {
        uint8_t bytes[3];
        uint32_t length;
        const char *said;
    } rows[] = {
        {{0x5f, 1, 5}, 24, "action=\"RESERVE\" type=write-exclusive-registrants-only key=0x"},
        {{0x5f, 3, 0}, 24, "action=\"CLEAR\" type=0x0 key=0x"},
        {{0x5f, 0x1f, 0xff}, 24, "action=0x1f type=0xf key=0x"},
        {{0x5f, 0, 0}, 0, "action=\"REGISTER\" type=0x0 key=invalid sa_key=invalid outcome"},
        {{0xff, 0, 0}, 0, "kind=block command=\"CLEANUP\" outcome"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].said;
        memcpy(cdb, rows[i].bytes, sizeof(rows[i].bytes));
        request.opcode = rows[i].bytes[0];
        request.length = rows[i].length;
        assert_non_null(strstr(format(&names, NULL), rows[i].said));
    }
    table_row = NULL;
}

/* No name can end its quotes, or the line, or look like another field. */
static void test_names_of_attackers(void **state)
{
    static const struct {
        const char *vm, *said;
    } rows[] = {
        {"a b", " vm=\"a b\" label"},
        {"\" uid=0 x=\"", " vm=\"\\\" uid=0 x=\\\"\" label"},
        {"\\", " vm=\"\\\\\" label"},
        {"a\nqemu-pr-helper: audit:", " vm=\"a\\x0aqemu-pr-helper: audit:\" label"},
        {"\x1b[2J\x7f\t", " vm=\"\\x1b[2J\\x7f\\x09\" label"},
        {"\xc3\xa9", " vm=\"\\xc3\\xa9\" label"},
        {"unknown", " vm=\"unknown\" label"},
        {"%s%n", " vm=\"%s%n\" label"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        table_row = rows[i].said;
        peer.vm = rows[i].vm;
        assert_non_null(strstr(format(&names, NULL), rows[i].said));
    }
    table_row = NULL;
    peer.vm = "node-a";
}

/* The longest texts that there can be are cut inside of their quotes, and the line is whole. */
static void test_long_names(void **state)
{
    static char text[PEER_TEXT_SIZE];
    const char *line;

    (void)state;
    /* The longest of everything else, too. */
    cdb_encode_prout(cdb, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0,
                     SPC_TYPE_EXCLUSIVE_ACCESS_ALL_REGISTRANTS, PROUT_SIZE);
    reply_sense(&reply, SPC_SPACE_ALLOCATION_FAILED);
    memset(text, '\x01', sizeof(text) - 1);
    memset(names.wwn, '\x01', sizeof(names.wwn) - 1);
    memset(names.map, '\x01', sizeof(names.map) - 1);
    memset(names.name, '\x01', sizeof(names.name) - 1);
    peer.vm = peer.label = text;
    line = format(&names, text);
    assert_uint_in_range(strlen(line), 800, 999 - strlen("audit: time=2026-11-22T19:04:05.678Z"));
    assert_string_equal(line + strlen(line) - 8, "\\x01...\"");
    audit_write(&(struct audit_event){
        .request = &request, .reply = &reply, .names = &names, .refused = text});
    line = logged();
    assert_string_equal(line + strlen(line) - 9, "\\x01...\"\n");
    peer.vm = "node-a";
    peer.label = "svirt:c1";
    strcpy(names.wwn, "naa.6001405");
    strcpy(names.name, "sdb");
    names.map[0] = '\0';
}

/* One client's flood leaves room for others, and what is left out is told. */
static void test_limit(void **state)
{
    struct peer other = {.pid = 1};
    const struct audit_event event = {.request = &request, .reply = &reply};
    unsigned lines = 0, before = log_count_left_out();

    (void)state;
    for (int i = 0; i < AUDIT_CLIENT_LINES + 50; i++)
        audit_write(&event);
    for (const char *at = logged(); (at = strstr(at, "audit: ")); at++)
        lines++;
    assert_int_equal(lines, AUDIT_CLIENT_LINES);
    assert_int_equal(log_count_left_out() - before, 50);

    request.peer = &other;
    audit_write(&event);
    assert_non_null(
        strstr(logged(), "test: 50 lines like the next one were left out\ntest: audit: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_executed, set_up),
        cmocka_unit_test_setup(test_refused, set_up),
        cmocka_unit_test_setup_teardown(test_commands, set_up, table_report),
        cmocka_unit_test_setup_teardown(test_names_of_attackers, set_up, table_report),
        cmocka_unit_test_setup(test_long_names, set_up),
        cmocka_unit_test_setup(test_limit, set_up),
    };

    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
