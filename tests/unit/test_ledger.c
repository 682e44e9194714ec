// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ledger over a tree of the test's own in the place of /sys/dev/block: which keys it lists, and
 * when it finds that two machines are one to the logical unit.
 */
#include "cmocka_compat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "ledger/ledger.h"
#include "logged.h"
#include "scratch.h"
#include "scsi/cdb.h"
#include "scsi/prin.h"
#include "scsi/prout.h"

static struct device_sources sources;
static struct peers peers;
static struct ledger ledger;
static int pair[2];
static struct peer *vm_a, *vm_b, *unknown;

/* A disk in the tree: a number, its logical unit and nexus. */
static void make_disk(const char *number, const char *wwid, const char *nexus)
{
    char path[128], target[64];

    snprintf(path, sizeof(path), "devices/%s/wwid", nexus);
    scratch_write(path, wwid);
    snprintf(path, sizeof(path), "dev/block/%s/size", number);
    scratch_write(path, "1");
    snprintf(path, sizeof(path), "dev/block/%s/device", number);
    snprintf(target, sizeof(target), "../../../devices/%s", nexus);
    assert_int_equal(symlink(target, scratch_path(path)), 0);
}

/* One whose place in the tree tells the port by which the host reaches it. */
static void make_disk_of_port(const char *number, const char *wwid, const char *nexus,
                              const char *port)
{
    char path[128], target[64];

    snprintf(path, sizeof(path), "devices/%s/wwid", nexus);
    scratch_write(path, wwid);
    snprintf(path, sizeof(path), "devices/%s/disk/size", port);
    scratch_write(path, "1");
    snprintf(path, sizeof(path), "devices/%s/disk/device", port);
    snprintf(target, sizeof(target), "../../%s", nexus);
    assert_int_equal(symlink(target, scratch_path(path)), 0);
    snprintf(path, sizeof(path), "dev/block/%s", number);
    snprintf(target, sizeof(target), "../../devices/%s/disk", port);
    assert_int_equal(symlink(target, scratch_path(path)), 0);
}

static struct peer *make_peer(const char *vm)
{
    struct peer *peer = peers_identify(&peers, pair[0], 7);

    assert_non_null(peer);
    peer->vm = vm;
    peer->source = vm ? PEER_ARGUMENT : PEER_UNNAMED;
    peer->pid = vm ? 1000 + vm[0] : 0;
    peer->process = vm ? 5000 + vm[0] : 0;
    return peer;
}

static int set_up(void **state)
{
    if (scratch_set_up(state) || logged_set_up(state) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    make_disk("8:16", "naa.1", "3:0:0:1");
    make_disk("8:32", "naa.1", "4:0:0:1"); /* by another port */
    make_disk("8:48", "naa.2", "3:0:0:2");
    make_disk("7:0", "naa.3", "no-scsi");
    make_disk_of_port("8:64", "naa.4", "7:0:0:1", "host7/session3");
    make_disk_of_port("8:80", "naa.5", "8:0:0:1", "host8/rport-8:0-0");
    scratch_write("class/iscsi_session/session3/initiatorname", "iqn.2026-01.example:this");
    scratch_write("class/fc_host/host8/port_name", "0x2100000000000001");
    scratch_write("dev/char/21:1/size", "1");
    if (symlink("../../../devices/3:0:0:1", scratch_path("dev/char/21:1/device")) < 0)
        return -1;
    sources.sys_dev_block = open(scratch_path("dev/block"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    peers_init(&peers, true);
    ledger_init(&ledger, &sources, &peers, true);
    vm_a = make_peer("a");
    vm_b = make_peer("b");
    unknown = make_peer(NULL);
    return 0;
}

static int tear_down(void **state)
{
    while (peers.first)
        peers_disconnect(&peers, peers.first);
    ledger_deinit(&ledger);
    peers_deinit(&peers);
    device_sources_deinit(&sources);
    close(pair[0]);
    close(pair[1]);
    return scratch_tear_down(state);
}

/* One request and its answer. */
struct deed {
    uint8_t cdb[CDB_FIELD_SIZE];
    uint8_t data[512];
    struct request request;
    struct reply reply;
    struct ledger_command command;
    enum device_kind kind;
    dev_t number;
    int64_t started_us; /* of a reading */
};

static void begin(struct deed *deed, struct peer *peer, dev_t number)
{
    bool is_sg = major(number) == 21;

    deed->request.cdb = deed->cdb;
    deed->request.opcode = deed->cdb[0];
    deed->request.data = deed->data;
    deed->request.peer = peer;
    reply_status(&deed->reply, SPC_STATUS_GOOD, 0);
    deed->kind = is_sg ? DEVICE_SG : DEVICE_BLOCK;
    deed->number = number;
    if (deed->cdb[0] == SPC_PERSISTENT_RESERVE_IN)
        deed->started_us = ledger_begin_read(&ledger, &deed->request, deed->kind, number);
    else
        ledger_begin(&ledger, &deed->command, &deed->request, deed->kind, number);
}

static void do_out(struct peer *peer, dev_t number, uint8_t action, uint64_t key, uint64_t sa_key)
{
    const struct prout list = {.key = key, .sa_key = sa_key};
    struct deed deed = {0};

    cdb_encode_prout(deed.cdb, action, 0, 5, PROUT_SIZE);
    deed.request.length = (uint32_t)prout_encode(action, &list, NULL, 0, deed.data, PROUT_SIZE);
    begin(&deed, peer, number);
    ledger_end(&ledger, &deed.command, &deed.reply, false);
}

static void do_register(struct peer *peer, dev_t number, uint64_t key)
{
    do_out(peer, number, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0, key);
}

static void begin_reading(struct deed *deed, dev_t number)
{
    cdb_encode_prin(deed->cdb, SPC_PRIN_READ_KEYS, sizeof(deed->data));
    deed->request.length = sizeof(deed->data);
    begin(deed, unknown, number);
}

static void end_reading(struct deed *deed, uint64_t key)
{
    struct writer writer = prin_list_begin(deed->data, sizeof(deed->data), 1);

    if (key)
        prin_key_add(&writer, key);
    deed->reply.size = (uint32_t)prin_list_end(&writer);
    ledger_end_read(&ledger, &deed->request, deed->kind, deed->number, deed->started_us,
                    &deed->reply);
}

#define SDB  makedev(8, 16)
#define SDC  makedev(8, 32)
#define SDD  makedev(8, 48)
#define SG1  makedev(21, 1)
#define LOOP makedev(7, 0)

/* "8:16 a:1 b:2* | 8:32 ..." in the order of their numbers; a star: replaced; a bang: alarm. */
static void expect(const char *wanted)
{
    const dev_t numbers[] = {LOOP,           SDB,           SDC, SDD, SG1, makedev(253, 0),
                             makedev(8, 64), makedev(8, 80)};
    struct ledger_copy *copies;
    unsigned n = ledger_copy(&ledger, &copies);
    char found[256] = "";

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        for (unsigned j = 0; j < n; j++) {
            const struct ledger_device *device = &copies[j].device;

            if (device->number != numbers[i] || device->n_keys == 0)
                continue;
            sprintf(found + strlen(found), "%s%u:%u%s", *found ? " | " : "", major(device->number),
                    minor(device->number), copies[j].n_shared ? "!" : "");
            for (unsigned k = 0; k < device->n_keys; k++)
                sprintf(found + strlen(found), " %s:%llx%s",
                        device->keys[k].peer->vm ? device->keys[k].peer->vm : "?",
                        (unsigned long long)device->keys[k].key,
                        device->keys[k].replaced ? "*" : "");
        }
    }
    ledger_free_copies(copies, n);
    assert_string_equal(found, wanted);
}

static unsigned alarms(void)
{
    const char *text = logged();
    unsigned n = 0;

    while ((text = strstr(text, "ALARM"))) {
        text++;
        n++;
    }
    return n;
}

static void test_names(void **state)
{
    struct device_names names;
    uint64_t serial = 0;

    (void)state;
    device_describe(&sources, DEVICE_BLOCK, SDB, &names);
    assert_string_equal(names.wwn, "naa.1");
    assert_string_equal(names.nexus, "3:0:0:1");
    assert_true(names.serial != 0);
    assert_false(names.cut_short);
    assert_int_equal(device_serial(&sources, DEVICE_BLOCK, SDB, &serial), 0);
    assert_true(names.serial == serial);
    device_describe(&sources, DEVICE_SG, SG1, &names);
    assert_string_equal(names.nexus, "3:0:0:1");
    device_describe(&sources, DEVICE_BLOCK, LOOP, &names);
    assert_string_equal(names.nexus, "");
    assert_string_equal(names.wwn, "naa.3");
    scratch_write("dev/block/253:0/dm/uuid", "mpath-36001\n");
    scratch_write("dev/block/253:0/dm/name", "mpatha\n");
    device_describe(&sources, DEVICE_DM_MULTIPATH, makedev(253, 0), &names);
    assert_string_equal(names.wwn, "mpath-36001");
    assert_string_equal(names.map, "mpatha");
    device_describe(&sources, DEVICE_BLOCK, makedev(8, 240), &names);
    assert_string_equal(names.wwn, "");
    assert_true(names.serial == 0);
    assert_true(names.cut_short);
    assert_int_equal(device_serial(&sources, DEVICE_BLOCK, makedev(8, 240), &serial), -ENOENT);
    assert_true(serial != 0); /* untouched */
}

static void test_registering(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    expect("8:16 a:a1");
    do_out(vm_a, SDB, SPC_PROUT_REGISTER, 0xa1, 0xa2);
    expect("8:16 a:a2");
    do_register(vm_a, SDD, 0xa3);
    expect("8:16 a:a2 | 8:48 a:a3");
    do_out(vm_a, SDB, SPC_PROUT_RESERVE, 0xa2, 0);
    expect("8:16 a:a2 | 8:48 a:a3");
    do_out(vm_a, SDB, SPC_PROUT_REGISTER, 0xa2, 0);
    expect("8:48 a:a3");
    do_register(unknown, SDB, 0xc1);
    expect("8:16 ?:c1 | 8:48 a:a3");
    assert_int_equal(alarms(), 0);
}

/* Answers other than GOOD change nothing. */
static void test_failing(void **state)
{
    const struct prout list = {.sa_key = 0xa1};
    struct deed deed = {0};

    (void)state;
    cdb_encode_prout(deed.cdb, SPC_PROUT_REGISTER, 0, 0, PROUT_SIZE);
    deed.request.length = (uint32_t)prout_encode(SPC_PROUT_REGISTER, &list, NULL, 0, deed.data,
                                                 PROUT_SIZE);
    begin(&deed, vm_a, SDB);
    reply_sense(&deed.reply, SPC_INVALID_FIELD_IN_CDB);
    ledger_end(&ledger, &deed.command, &deed.reply, false);
    expect("");
}

/* By the block device and by the SCSI generic one: the same nexus; by another port: none of it. */
static void test_alarm(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    do_register(vm_b, SDC, 0xb1);
    expect("8:16 a:a1 | 8:32 b:b1");
    assert_int_equal(alarms(), 0);

    do_register(vm_b, SG1, 0xb2);
    expect("8:16! a:a1* | 8:32 b:b1 | 21:1! b:b2");
    assert_int_equal(alarms(), 1);
    do_register(vm_a, SDB, 0xa1);
    do_register(vm_b, SG1, 0xb2);
    assert_int_equal(alarms(), 0); /* no news */
    assert_int_equal(ledger.n_alarms, 1);

    do_out(vm_b, SG1, SPC_PROUT_REGISTER, 0xb2, 0); /* for all of the nexus */
    expect("8:32 b:b1");
}

/* Every device that there is a record of is shared by the two, and that since then. */
static void expect_shared_since(int64_t from, int64_t to, unsigned n_devices)
{
    struct ledger_copy *copies;
    unsigned n = ledger_copy(&ledger, &copies);

    assert_int_equal(n, n_devices);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(copies[i].n_shared, 2);
        assert_uint_in_range(copies[i].shared_since_us, from, to);
    }
    ledger_free_copies(copies, n);
}

/* A device of the nexus that comes into use later has the same alarm, as old as it is. */
static void test_alarm_of_a_later_device(void **state)
{
    int64_t before = clock_now_us(), after;
    struct deed reading = {0};

    (void)state;
    do_register(vm_a, SDB, 0xa1);
    do_register(vm_b, SDB, 0xb1);
    after = clock_now_us();
    begin_reading(&reading, SG1);
    expect_shared_since(before, after, 2);
    end_reading(&reading, 0);
}

/* Who was not there when the other one registered, and comes back. */
static void test_shared_without_an_alarm(void **state)
{
    int64_t before;

    (void)state;
    do_register(vm_a, SDB, 0xa1);
    peers_disconnect(&peers, vm_a);
    before = clock_now_us();
    do_register(vm_b, SDB, 0xb1);
    assert_int_equal(alarms(), 0);
    vm_a = make_peer("a");
    expect_shared_since(before, clock_now_us(), 1);
}

static void test_alarm_ends_with_a_client(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    do_register(vm_b, SDB, 0xb1);
    expect("8:16! a:a1* b:b1");
    peers_disconnect(&peers, vm_a);
    expect("8:16 a:a1* b:b1");
    vm_a = make_peer("a"); /* it is back */
    expect("8:16! a:a1* b:b1");
}

/* Of devices that sysfs does not know as SCSI, each stands for itself. */
static void test_without_nexus(void **state)
{
    (void)state;
    do_register(vm_a, LOOP, 0xa1);
    do_register(vm_b, LOOP, 0xb1);
    expect("7:0! a:a1* b:b1");
    do_register(unknown, LOOP, 0xc1);
    expect("7:0! a:a1* b:b1* ?:c1");
    assert_int_equal(alarms(), 1);
}

static void test_clear_and_preempt(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    do_register(vm_b, SDC, 0xb1);
    do_register(vm_a, SDD, 0xa1);
    do_out(vm_a, SDB, SPC_PROUT_PREEMPT, 0xa1, 0xff);
    expect("8:16 a:a1 | 8:32 b:b1 | 8:48 a:a1");
    do_out(vm_b, SDC, SPC_PROUT_PREEMPT_AND_ABORT, 0xb1, 0xa1);
    expect("8:32 b:b1 | 8:48 a:a1"); /* another unit's key of the same value stays */
    do_register(vm_a, SDB, 0xa1);
    do_out(vm_b, SDC, SPC_PROUT_CLEAR, 0xb1, 0);
    expect("8:48 a:a1");
}

/* What a list of keys tells: not about keys that came while it was read. */
static void test_reading(void **state)
{
    struct deed reading = {0};

    (void)state;
    do_register(vm_a, SDB, 0xa1);
    begin_reading(&reading, SDC);
    do_register(vm_b, SDC, 0xb1);
    end_reading(&reading, 0xa1);
    expect("8:16 a:a1 | 8:32 b:b1");
    usleep(1); /* the clock counts microseconds */
    begin_reading(&reading, SDC);
    end_reading(&reading, 0xb1);
    expect("8:32 b:b1");
    begin_reading(&reading, SDC);
    end_reading(&reading, 0);
    expect("");
}

/* A map registers by all of its paths: it is one nexus with each, no matter what their names tell.
 */
static void test_map_and_its_paths(void **state)
{
    const dev_t map = makedev(253, 0);

    (void)state;
    scratch_write("dev/block/253:0/dm/uuid", "mpath-31\n");
    scratch_write("dev/block/253:0/dm/name", "mpatha\n");
    do_register(vm_a, map, 0xa1);
    do_register(vm_b, SDD, 0xb1); /* another unit's */
    assert_int_equal(alarms(), 0);
    do_register(vm_b, SDB, 0xb1);
    assert_int_equal(alarms(), 1);
    do_register(vm_b, SDC, 0xb2); /* its other path */
    expect("8:16! b:b1 | 8:32! b:b2 | 8:48 b:b1 | 253:0! a:a1*");
    do_out(vm_a, map, SPC_PROUT_REGISTER, 0xa1, 0); /* by all paths */
    expect("8:48 b:b1");
}

/* Of a machine that was started again there is one entry: that of its last process has been
 * replaced by its own. While both are there they are two. */
static void test_machine_started_again(void **state)
{
    struct peer *again = make_peer("a");

    (void)state;
    again->process = 9999;
    do_register(vm_a, SDB, 0xa1);
    peers_disconnect(&peers, vm_a);
    do_register(again, SDB, 0xa2);
    expect("8:16 a:a2");
    assert_int_equal(alarms(), 0);
    vm_a = make_peer("a");
    do_register(vm_a, SDB, 0xa3);
    assert_int_equal(alarms(), 1);
}

/* What the device is called is not there for a moment: no reason to forget whose key is on it. */
static void test_serial_that_cannot_be_read(void **state)
{
    char there[PATH_MAX], away[PATH_MAX];

    (void)state;
    snprintf(there, sizeof(there), "%s", scratch_path("dev/block/8:16"));
    snprintf(away, sizeof(away), "%s", scratch_path("dev/block/away"));
    do_register(vm_a, SDB, 0xa1);
    assert_int_equal(rename(there, away), 0);
    do_out(vm_a, SDB, SPC_PROUT_RESERVE, 0xa1, 0);
    expect("8:16 a:a1");
    assert_int_equal(rename(away, there), 0);
    do_out(vm_a, SDB, SPC_PROUT_RESERVE, 0xa1, 0);
    expect("8:16 a:a1");
    assert_int_equal(alarms(), 0);
}

/* No fd is left while the record is made: its names, and with them the nexus, are found out later.
 */
static void test_names_that_cannot_be_read(void **state)
{
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    do_register(vm_a, SDB, 0xa1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    do_out(vm_a, SDB, SPC_PROUT_RESERVE, 0xa1, 0);
    do_register(vm_b, SG1, 0xb1);
    expect("8:16! a:a1* | 21:1! b:b1");
    assert_int_equal(alarms(), 1);
}

/* The same number, but another disk. */
static void test_number_that_is_reused(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    assert_int_equal(rename(scratch_path("dev/block/8:16"), scratch_path("dev/block/old")), 0);
    make_disk("8:16", "naa.9", "9:0:0:1");
    do_register(vm_b, SDB, 0xb1);
    expect("8:16 b:b1");
    assert_int_equal(alarms(), 0);
}

/* However many devices and clients there are, the memory has a bound. */
static void test_bounds(void **state)
{
    struct deed held = {0}, reading = {0};
    const struct peer *kept = vm_a;

    (void)state;
    do_register(vm_a, SDB, 0xa1);
    begin_reading(&held, SDD);
    for (unsigned i = 0; i < 2 * LEDGER_DEVICES_MAX; i++) {
        begin_reading(&reading, makedev(100, i));
        end_reading(&reading, 1);
    }
    assert_int_equal(ledger.n_devices, LEDGER_DEVICES_MAX);
    assert_int_equal(ledger.n_forgotten, LEDGER_DEVICES_MAX + 2);
    expect("8:16 a:a1"); /* its client is there: others went first */
    end_reading(&held, 0);

    for (unsigned i = 0; i < 3 * LEDGER_KEYS_MAX; i++)
        do_register(make_peer(NULL), SDB, 0xc0 + i);
    assert_int_equal(ledger.first->number, SDB);
    assert_int_equal(ledger.first->n_keys, LEDGER_KEYS_MAX);
    assert_int_equal(ledger.first->n_keys_left_out, 2 * LEDGER_KEYS_MAX + 1);
    assert_ptr_equal(ledger.first->keys[0].peer, kept);
}

#define ledger_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* What a client reads as READ FULL STATUS: one key, by the initiator port of this name. */
static void read_full_status(dev_t number, uint64_t key, const char *port, size_t size)
{
    struct prin_registrant registrant = {.key = key, .relative_target_port = 1};
    struct deed deed = {0};
    struct writer writer;

    assert_true(transportid_parse(port, &registrant.transportid));
    cdb_encode_prin(deed.cdb, SPC_PRIN_READ_FULL_STATUS, (uint16_t)size);
    deed.request.length = (uint32_t)size;
    begin(&deed, unknown, number);
    writer = prin_list_begin(deed.data, size, 1);
    prin_registrant_add(&writer, &registrant);
    deed.reply.size = (uint32_t)prin_list_end(&writer);
    ledger_end_read(&ledger, &deed.request, deed.kind, number, deed.started_us, &deed.reply);
}

/* Of the first key of the device that was used last. */
static bool first_is(bool (*what)(const struct ledger_key *key))
{
    return ledger.first->n_keys > 0 && what(&ledger.first->keys[0]);
}

static bool seen(const struct ledger_key *key)
{
    return key->seen;
}

static bool doubtful(const struct ledger_key *key)
{
    return key->doubtful;
}

/* A vanished client's key is left behind if the device has it on a nexus of this host. */
static void test_left_behind(void **state)
{
    const struct {
        dev_t number;
        const char *ours, *other, *entry;
    } rows[] = {
        {makedev(8, 64), "iscsi:iqn.2026-01.example:this,i,0x00023d000001",
         "iscsi:iqn.2026-01.example:that,i,0x00023d000001", "8:64 a:a1"},
        {makedev(8, 80), "fc:2100000000000001", "fc:2100000000000002", "8:80 a:a1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        do_register(vm_a, rows[i].number, 0xa1);
        read_full_status(rows[i].number, 0xa1, rows[i].ours, 512);
        assert_false(first_is(seen)); /* its client is there */
        read_full_status(rows[i].number, 0xa1, rows[i].other, 512);
        expect(rows[i].entry); /* what a client says of itself is better */
        peers_disconnect(&peers, vm_a);
        assert_false(first_is(seen));
        read_full_status(rows[i].number, 0xa1, rows[i].ours, 16);
        assert_false(first_is(seen)); /* the list was cut */
        read_full_status(rows[i].number, 0xa1ull << 56, rows[i].ours, 512);
        expect(rows[i].entry); /* an array that swaps bytes there */
        assert_false(first_is(seen));
        read_full_status(rows[i].number, 0xa1, rows[i].ours, 512);
        assert_true(first_is(seen));
        read_full_status(rows[i].number, 0xa1, rows[i].other, 512);
        expect(""); /* a live migration has taken machine and key there */
        vm_a = make_peer("a");
    }
}

/* By whom the host reaches a device is not always known. */
static void test_left_behind_unknown(void **state)
{
    (void)state;
    do_register(vm_a, SDB, 0xa1);
    peers_disconnect(&peers, vm_a);
    read_full_status(SDB, 0xa1, "fc:2100000000000001", 512);
    expect("8:16 a:a1");
    assert_false(first_is(seen));
    vm_a = make_peer("a");
}

/* A nexus that preempts its own key keeps its registration as the holder only: READ KEYS tells. */
static void test_own_preempt(void **state)
{
    struct deed reading = {0};

    (void)state;
    do_register(vm_a, SDB, 0xa1);
    do_out(vm_a, SDB, SPC_PROUT_PREEMPT, 0xa1, 0xa1);
    assert_true(first_is(doubtful));
    begin_reading(&reading, SDB);
    end_reading(&reading, 0xa1);
    expect("8:16 a:a1");
    assert_false(first_is(doubtful));
    do_out(vm_a, SDB, SPC_PROUT_PREEMPT_AND_ABORT, 0xa1, 0xa1);
    assert_true(first_is(doubtful));
    memset(&reading, 0, sizeof(reading));
    begin_reading(&reading, SDB);
    end_reading(&reading, 0xb1);
    expect("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ledger_test(test_names),
        ledger_test(test_registering),
        ledger_test(test_failing),
        ledger_test(test_alarm),
        ledger_test(test_alarm_of_a_later_device),
        ledger_test(test_shared_without_an_alarm),
        ledger_test(test_alarm_ends_with_a_client),
        ledger_test(test_without_nexus),
        ledger_test(test_clear_and_preempt),
        ledger_test(test_reading),
        ledger_test(test_map_and_its_paths),
        ledger_test(test_machine_started_again),
        ledger_test(test_serial_that_cannot_be_read),
        ledger_test(test_names_that_cannot_be_read),
        ledger_test(test_number_that_is_reused),
        ledger_test(test_bounds),
        ledger_test(test_left_behind),
        ledger_test(test_left_behind_unknown),
        ledger_test(test_own_preempt),
    };

    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
