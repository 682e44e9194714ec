// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "ledger/audit.h"
#include "logged.h"
#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "serve/budget.h"
#include "serve/peer.h"

static uint8_t cdb[16], list[PROUT_SIZE];
static struct reply reply;
static struct request request = {.cdb = cdb, .data = list, .connection = 9};
static struct device_names names = {.name = "sdb", .wwn = "naa.6001405"};
static struct peer peer = {
    .pid = 4711, .uid = 107, .vm = "node-a", .label = "svirt:c1", .source = PEER_CGROUP};

static int set_up(void **state)
{
    const struct prout out = {.key = 0x1, .sa_key = 0xabc, .aptpl = true};

    cdb_encode_prout(cdb, SPC_PROUT_REGISTER, 0, 0, PROUT_SIZE);
    prout_encode(SPC_PROUT_REGISTER, &out, NULL, 0, list, sizeof(list));
    request.opcode = SPC_PERSISTENT_RESERVE_OUT;
    request.length = PROUT_SIZE;
    request.peer = &peer;
    reply_status(&reply, SPC_STATUS_GOOD, 0);
    request.account = NULL;
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
        "action=\"REGISTER\" type=0x0 scope=0x0 key=0x0000000000000001 sa_key=0x0000000000000abc "
        "aptpl=1 "
        "all_tg_pt=0 spec_i_pt=0 outcome=executed status=\"GOOD\" ms=1234.056 name=\"sdb\" "
        "wwn=\"naa.6001405\" "
        "vm=\"node-a\" vm_source=cgroup label=\"svirt:c1\"");
}

static void test_refused(void **state)
{
    (void)state;
    reply_sense(&reply, SPC_INVALID_OPERATION_CODE);
    request.peer = NULL;
    assert_string_equal(
        format(NULL, "for a reason"),
        " connection=9 pid=unknown uid=unknown device=none kind=other command=\"PERSISTENT RESERVE "
        "OUT\" action=\"REGISTER\" type=0x0 scope=0x0 key=0x0000000000000001 "
        "sa_key=0x0000000000000abc "
        "aptpl=1 all_tg_pt=0 spec_i_pt=0 outcome=refused status=\"CHECK CONDITION\" "
        "sense=\"ILLEGAL REQUEST, INVALID "
        "COMMAND OPERATION CODE (5/20/00)\" reason=\"for a reason\" ms=1234.056 name=unknown "
        "wwn=unknown vm=unknown label=unknown");
}

static void test_commands(void **state)
{
    static const struct {
        uint8_t bytes[3];
        uint32_t length;
        const char *said;
    } rows[] = {
        {{0x5f, 1, 5},
         24,
         "action=\"RESERVE\" type=write-exclusive-registrants-only scope=0x0 key=0x"},
        {{0x5f, 3, 0}, 24, "action=\"CLEAR\" type=0x0 scope=0x0 key=0x"},
        {{0x5f, 0x1f, 0xff}, 24, "action=0x1f type=0xf scope=0xf key=0x"},
        {{0x5f, 0, 0},
         0,
         "action=\"REGISTER\" type=0x0 scope=0x0 key=invalid sa_key=invalid outcome"},
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
        {"a b", " vm=\"a b\" vm_source=cgroup label"},
        {"\" uid=0 x=\"", " vm=\"\\\" uid=0 x=\\\"\" vm_source=cgroup label"},
        {"\\", " vm=\"\\\\\" vm_source=cgroup label"},
        {"a\nqemu-pr-helper: audit:",
         " vm=\"a\\x0aqemu-pr-helper: audit:\" vm_source=cgroup label"},
        {"\x1b[2J\x7f\t", " vm=\"\\x1b[2J\\x7f\\x09\" vm_source=cgroup label"},
        {"\xc3\xa9", " vm=\"\\xc3\\xa9\" vm_source=cgroup label"},
        {"unknown", " vm=\"unknown\" vm_source=cgroup label"},
        {"%s%n", " vm=\"%s%n\" vm_source=cgroup label"},
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
    assert_uint_in_range(strlen(line), 800, 1399 - strlen("audit: time=2026-11-22T19:04:05.678Z"));
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

/* SPEC_I_PT's TransportIDs, as many as fit; and what REGISTER AND MOVE has instead. */
static void test_transportids(void **state)
{
    static uint8_t long_list[1024];
    struct prout out = {.sa_key = 0xabc, .spec_i_pt = true, .all_tg_pt = true};
    struct transportid ids[12];
    const char *line;

    (void)state;
    request.data = long_list;
    for (unsigned i = 0; i < 12; i++)
        ids[i] = transportid_fc(0x21000024ff3a5b60 + i);
    request.length = (uint32_t)prout_encode(SPC_PROUT_REGISTER, &out, ids, 2, long_list,
                                            sizeof(long_list));
    assert_non_null(strstr(format(&names, NULL),
                           " aptpl=0 all_tg_pt=1 spec_i_pt=1 "
                           "transportids=\"fc:21000024ff3a5b60 fc:21000024ff3a5b61\" outcome"));
    request.length = (uint32_t)prout_encode(SPC_PROUT_REGISTER, &out, ids, 12, long_list,
                                            sizeof(long_list));
    line = format(&names, NULL);
    assert_non_null(strstr(line, "fc:21000024ff3a5b69 fc"));
    assert_non_null(strstr(line, "...\" outcome"));

    out = (struct prout){.sa_key = 0xabc, .unreg = true, .relative_target_port = 3};
    cdb_encode_prout(cdb, SPC_PROUT_REGISTER_AND_MOVE, 0, 0, 48);
    request.length = (uint32_t)prout_encode(SPC_PROUT_REGISTER_AND_MOVE, &out, ids, 1, long_list,
                                            sizeof(long_list));
    assert_non_null(strstr(format(&names, NULL), " aptpl=0 unreg=1 port=3 "
                                                 "transportids=\"fc:21000024ff3a5b60\" outcome"));
    request.data = list;
}

static unsigned count(const char *what)
{
    unsigned n = 0;

    for (const char *at = logged(); (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* What was refused, or had no effect, uses up no lines of what was executed; and one process's
 * flood none of another's. */
static void test_limit(void **state)
{
    const struct audit_event executed = {.request = &request, .reply = &reply};
    const struct audit_event nothing = {
        .request = &request, .reply = &reply, .has_no_effect = true};
    const struct audit_event refused = {.request = &request, .reply = &reply, .refused = "so"};
    const struct budget_limits limits = {.connections = 100, .threads = 100, .bytes = 100};
    struct budget_account *one, *other;
    struct budget budget;

    (void)state;
    budget_init(&budget, &limits);
    one = budget_open(&budget, 1, 1, 0);
    other = budget_open(&budget, 1, 2, 0);
    request.account = one;
    for (int i = 0; i < 500; i++)
        audit_write(i % 2 ? &nothing : &refused);
    assert_uint_equal(count("audit: "), 50);
    for (int i = 0; i < 150; i++)
        audit_write(&executed);
    assert_uint_equal(count(" outcome=executed"), 100);
    request.account = other;
    audit_write(&executed);
    assert_non_null(
        strstr(logged(), "test: 50 messages like the next one were suppressed\ntest: audit: "));
    audit_write(&nothing);
    assert_non_null(strstr(logged(), " outcome=nothing "));
    request.account = NULL;
    budget_close(one);
    budget_close(other);
    budget_deinit(&budget);
}

/* Commands that are in flight when the helper ends. */
static void test_unfinished(void **state)
{
    const struct device_sources sources = {.sys_dev_block = -1};
    struct ledger_command command;
    struct ledger ledger;
    struct peers peers;
    const char *line;

    (void)state;
    request.data = list;
    request.peer = NULL;
    peers_init(&peers, true);
    ledger_init(&ledger, &sources, &peers, true);
    ledger_begin(&ledger, &command, &request, DEVICE_BLOCK, makedev(8, 16));
    (void)logged();
    audit_write_unfinished(&ledger);
    line = logged();
    assert_non_null(strstr(line, " device=8:16 kind=block command=\"PERSISTENT RESERVE OUT\""));
    assert_non_null(strstr(line, " outcome=unknown ms="));
    assert_null(strstr(line, "status="));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1); /* one line */
    ledger_end(&ledger, &command, &reply, false);
    ledger_deinit(&ledger);
    peers_deinit(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_executed, set_up),
        cmocka_unit_test_setup(test_refused, set_up),
        cmocka_unit_test_setup_teardown(test_commands, set_up, table_report),
        cmocka_unit_test_setup_teardown(test_names_of_attackers, set_up, table_report),
        cmocka_unit_test_setup(test_long_names, set_up),
        cmocka_unit_test_setup(test_transportids, set_up),
        cmocka_unit_test_setup(test_limit, set_up),
        cmocka_unit_test_setup(test_unfinished, set_up),
    };

    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
