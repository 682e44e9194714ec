# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong, and what is said to be done about it: exit status, words, next command."""
import errno
import os
import socket
import struct

from support import scsi
from support.client import check_condition, reply
from support.tap import Skip, cases, test

from ctl.fixture import (CHECK, CONFLICT, DATA, DEVICE, GOOD, HELPER, NOBODY, OTHER, REFUSED,
                         UNKNOWN, hexkey)


def said(t, result, status, *lines):
    """Exit status, nothing on standard output, and these lines on standard error."""
    t.expect(result, status, "")
    t.equal(result.err.splitlines(), list(lines), "standard error")


# -- the device


@test
def no_such_device(t):
    path = os.path.join(t.directory(), "disk")
    said(t, t.ctl("keys", "-k", "/nowhere", path), DEVICE,
         f"qemu-pr-ctl: {path}: keys: cannot open it for reading: No such file or directory",
         "  The file does not exist. 'lsblk -S' lists the SCSI disks.")


@test
def device_not_writable(t):
    if os.geteuid() != 0:
        raise Skip("not root, so there is no other user to be")
    lun = t.make_lun()
    os.chmod(lun, 0o644)
    said(t, t.ctl("clear", "--yes", *t.host("a"), "-K", "1", lun, user=NOBODY), DEVICE,
         f"qemu-pr-ctl: {lun}: clear: cannot open it for reading and writing: Permission denied",
         f"  This user lacks permission: see 'ls -l {lun}'. A helper needs no other permission from its "
         f"clients.")


@test
def directory_as_device(t):
    result = t.expect(t.ctl("clear", "--yes", *t.host("a"), "-K", "1", "/tmp"), DEVICE, "")
    t.matches("^  Name a device, such as /dev/sda.$", result.err, "hint")


@test
def no_device_driver(t):
    if os.geteuid() != 0:
        raise Skip("not root: no device node can be made")
    path = os.path.join(t.directory(), "node")
    os.mknod(path, 0o60666, os.makedev(8, 0xfff0))
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENODEV):
            raise Skip(f"device nodes do not work here: {error}") from None
    result = t.expect(t.ctl("keys", *t.host("a"), path), DEVICE, "")
    t.matches("^  No such device exists", result.err, "hint")


@test
def fifo_does_not_wait(t):
    path = os.path.join(t.directory(), "fifo")
    os.mkfifo(path)
    result = t.expect(t.ctl("keys", *t.host("a"), path), REFUSED, "")
    t.matches("^  This is neither a SCSI disk nor a SCSI generic device.$", result.err, "hint")


@test
def no_scsi_device(t):
    said(t, t.ctl("keys", *t.host("a"), "/dev/null"), REFUSED,
         "qemu-pr-ctl: /dev/null: keys: CHECK CONDITION: ILLEGAL REQUEST, INVALID COMMAND "
         "OPERATION CODE (5/20/00)", "  This is neither a SCSI disk nor a SCSI generic device.")


# -- the helper


@test
def no_helper(t):
    path = os.path.join(t.directory(), "socket")
    lun = t.make_lun()
    said(t, t.ctl("keys", "-k", path, lun), HELPER,
         f"qemu-pr-ctl: {lun}: keys: cannot reach the helper at {path}: No such file or directory",
         "  The socket does not exist: start qemu-pr-helper, or name the socket of a running helper "
         "with -k. Root can use --direct instead.")


@test
def stale_socket(t):
    path = os.path.join(t.directory(), "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
    result = t.expect(t.ctl("keys", "-k", path, t.make_lun()), HELPER, "")
    t.matches("Connection refused\n  The socket exists, but no process listens on it", result.err, "words")


@test
def socket_not_writable(t):
    if os.geteuid() != 0:
        raise Skip("not root, so there is no other user to be")
    path = t.lab.simulator().sockets["a"]
    os.chmod(path, 0o600)
    t.cleanup.callback(os.chmod, path, 0o777)
    result = t.expect(t.ctl("keys", "-k", path, t.make_lun(), user=NOBODY), HELPER, "")
    t.matches(f"Permission denied\n  This user may not write to the socket: see 'ls -l {path}'",
              result.err, "words")


@test
def without_root(t):
    """Given access to socket and device, nothing else is needed."""
    if os.geteuid() != 0:
        raise Skip("not root, so there is no other user to be")
    lun = t.make_lun()
    os.chmod(lun, 0o666)
    path = t.lab.simulator().sockets["a"]
    os.chmod(path, 0o777)
    t.expect(t.ctl("register", "-k", path, "-S", "1", lun, user=NOBODY), GOOD,
             f"registered with key {hexkey(1)}\n", "")
    t.expect(t.ctl("reserve", "-k", path, "-K", "1", "-T", "1", lun, user=NOBODY), GOOD)


@test
def silent_listener(t):
    path = os.path.join(t.directory(), "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        result = t.ctl("keys", "-k", path, "--timeout=0.05", t.make_lun())
    t.expect(result, HELPER, "")
    t.matches("timed out\n  Either the helper hangs, or the listening process is not a helper.",
              result.err, "words")


@cases(("at once", b""), ("in the greeting", b"\0\0"))
def closed(t, greeting):
    fake = t.fake(greeting=greeting, hang_up=True)
    result = t.expect(t.ctl("keys", "-k", fake.path, t.make_lun()), HELPER, "")
    t.matches("the helper closed the connection .*\n  Either the helper has reached --max-clients, or "
              "the listening process is not a helper.", result.err, "words")


@test
def cleanup_without_the_feature(t):
    fake = t.fake(reply().encode(), greeting=bytes(4))
    lun = t.make_lun()
    said(t, t.ctl("cleanup", "-k", fake.path, lun), HELPER,
         f"qemu-pr-ctl: {lun}: cleanup: the helper does not support this",
         "  This helper does not support CLEANUP.")
    t.equal(fake.requests, [], "requests")


GOOD_REPLY = reply().encode()
NONSENSE = (
    ("closed", None, "the helper closed the connection without an answer"),
    ("status", struct.pack(">ii", 256, 0) + bytes(96),
     "the helper answered with an invalid SCSI status"),
    ("negative status", struct.pack(">ii", -1, 0) + bytes(96),
     "the helper answered with an invalid SCSI status"),
    ("size", struct.pack(">ii", 0, 8193) + bytes(96 + 8193),
     "the helper answered with more data than was asked for"),
    ("negative size", struct.pack(">ii", 0, -1) + bytes(96),
     "the helper answered with more data than was asked for"),
    ("cut", GOOD_REPLY[:50], "the helper closed the connection in the middle of an answer"),
    ("two answers", GOOD_REPLY * 2, "the helper sent data without a request"))


@cases(*NONSENSE)
def nonsense_after_a_change(t, answer, words):
    """What a command that changes something has done is not known then, and how to find out."""
    fake = t.fake(answer)
    lun = t.make_lun()
    said(t, t.ctl("register", "-S", "1", "-k", fake.path, lun), UNKNOWN,
         f"qemu-pr-ctl: {lun}: register: {words}",
         "  The helper's log may say why; it may have exited, or not be a helper at all. It is not "
         "known whether the command was carried out. To check:",
         f"    qemu-pr-ctl full-status -k {fake.path} {lun}")
    t.equal(len(fake.requests), 1, "requests: it must not be sent again")


@cases(*NONSENSE)
def nonsense_after_reading(t, answer, words):
    fake = t.fake(answer)
    result = t.expect(t.ctl("keys", "-j", "-k", fake.path, t.make_lun()), UNKNOWN).json
    t.equal(result["error"], words, "error")
    t.equal(result["outcome_unknown"], False, "outcome_unknown")
    t.check("scsi_status" not in result, "there is no answer in it")


@cases(("clear", "clear", ["-K", "1", "--yes"], True), ("keys", "keys", [], False))
def device_hangs(t, command, argv, changes):
    lun = t.make_lun()
    t.fault(lun, "hang")
    result = t.ctl(command, *t.host("a"), *argv, "--timeout=0.2", "-j", lun)
    t.expect(result, UNKNOWN)
    t.equal(result.json["error"], os.strerror(110), "error")
    t.equal(result.json["outcome_unknown"], changes, "outcome_unknown")
    t.check(result.json["hint"].startswith("The device did not answer within --timeout."),
            result.json["hint"])


# -- what the device says


@test
def statuses(t):
    lun = t.make_lun()
    for status, words in ((0x08, "BUSY"), (0x28, "TASK SET FULL")):
        t.fault(lun, f"status {status:x}")
        said(t, t.ctl("clear", "--yes", *t.host("a"), "-K", "1", lun), OTHER,
             f"qemu-pr-ctl: {lun}: clear: {words}",
             "  The device or the helper is busy; try again.")
    t.fault(lun, "status 40")
    said(t, t.ctl("keys", *t.host("a"), lun), OTHER, f"qemu-pr-ctl: {lun}: keys: TASK ABORTED")
    t.fault(lun, "status 77")
    said(t, t.ctl("keys", *t.host("a"), lun), OTHER, f"qemu-pr-ctl: {lun}: keys: SCSI status 77h")


@cases(
    ("not supported", "5/20/00", REFUSED, "ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE",
     ["  This is a regular file; only qemu-pr-simulator takes those."]),
    ("field in CDB", "5/24/00", CHECK, "ILLEGAL REQUEST, INVALID FIELD IN CDB",
     ["  The device does not support this command or this type. To see what it supports:",
      "    qemu-pr-ctl capabilities WAY LUN"]),
    ("field in list", "5/26/00", CHECK, "ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST",
     ["  The device rejects one of the keys, flags or TransportIDs; on a multipath map also check "
      "reservation_key in multipath.conf. To see what the device supports:",
      "    qemu-pr-ctl capabilities WAY LUN"]),
    ("resources", "5/55/04", CHECK, "ILLEGAL REQUEST, INSUFFICIENT REGISTRATION RESOURCES",
     ["  The device has no room for one more registration."]),
    ("aborted", "b/00/06", UNKNOWN, "ABORTED COMMAND, I/O PROCESS TERMINATED",
     ["  The transport or the device gave up or was reset. It is not known whether the command was "
      "carried out. To check:", "    qemu-pr-ctl full-status WAY LUN"]),
    ("reset", "6/29/00", UNKNOWN, "UNIT ATTENTION, POWER ON, RESET, OR BUS DEVICE RESET OCCURRED",
     ["  The transport or the device gave up or was reset. It is not known whether the command was "
      "carried out. To check:", "    qemu-pr-ctl full-status WAY LUN"]),
    ("not ready", "2/04/01", CHECK,
     "NOT READY, LOGICAL UNIT IS IN PROCESS OF BECOMING READY",
     ["  The device is not ready; try again."]),
    ("hardware", "4/44/00", UNKNOWN, "HARDWARE ERROR, INTERNAL TARGET FAILURE",
     ["  The transport or the device gave up or was reset. It is not known whether the command was "
      "carried out. To check:", "    qemu-pr-ctl full-status WAY LUN"]),
    ("communication", "2/08/01", UNKNOWN, "NOT READY, LOGICAL UNIT COMMUNICATION TIME-OUT",
     ["  The transport or the device gave up or was reset. It is not known whether the command was "
      "carried out. To check:", "    qemu-pr-ctl full-status WAY LUN"]))
def sense(t, code, status, words, hint):
    lun = t.make_lun()
    t.fault(lun, f"sense {code}")
    way = " ".join(t.host("a"))
    said(t, t.ctl("register", *t.host("a"), "-S", "1", lun), status,
         f"qemu-pr-ctl: {lun}: register: CHECK CONDITION: {words} ({code.upper()})",
         *(line.replace("WAY", way).replace("LUN", lun) for line in hint))


@test
def sense_as_json(t):
    lun = t.make_lun()
    t.fault(lun, "sense b/2e/02")
    result = t.expect(t.ctl("clear", "--yes", *t.host("a"), "-K", "1", "-j", lun), UNKNOWN)
    t.check(result.err.startswith(f"qemu-pr-ctl: {lun}: clear: CHECK CONDITION"), result.err)
    found = result.json
    way = " ".join(t.host("a"))
    t.check(found.pop("hint").endswith(f"\n  qemu-pr-ctl full-status {way} {lun}"),
            "the hint does not end with a command")
    words = "ABORTED COMMAND, COMMAND TIMEOUT DURING PROCESSING (B/2E/02)"
    t.equal(found, {"format": 1, "command": "clear", "device": lun, "exit_status": UNKNOWN, "scsi_status": 2,
                    "scsi_status_name": "CHECK CONDITION",
                    "sense": {"key": 11, "asc": 0x2e, "ascq": 2, "text": words},
                    "outcome_unknown": True,
                    "error": f"CHECK CONDITION: {words}"}, "JSON")


@cases(("aborted by another", "status 40", True), ("no status", "status 77", True),
       ("unknown", "sense 4/44/00", True), ("declined", "sense 5/24/00", False),
       ("busy", "status 8", False), ("conflict", "status 18", False))
def outcome_as_json(t, fault, unknown):
    """Of what changes something. Who only reads need not care."""
    lun = t.make_lun()
    t.fault(lun, fault)
    result = t.ctl("clear", "--yes", *t.host("a"), "-K", "1", "-j", lun).json
    t.equal(result["outcome_unknown"], unknown, "outcome_unknown")
    t.equal("full-status" in result.get("hint", "") and "not known" in result["hint"], unknown,
            "the hint says so")
    t.fault(lun, fault)
    result = t.ctl("keys", *t.host("a"), "-j", lun).json
    t.equal(result["outcome_unknown"], False, "outcome_unknown after reading")


@test
def attentions_without_end(t):
    """After some of them one is the answer."""
    lun = t.make_lun()
    t.fault(lun, "sense 6/2a/03")
    result = t.expect(t.ctl("keys", *t.host("a"), "-j", lun), CHECK).json
    t.equal(len(result["unit_attentions"]), 8, "unit attentions")
    t.equal(result["sense"], result["unit_attentions"][0], "sense")


@test
def reset_before_reading(t):
    """Reading is not dangerous, so it is done again after a reset as well."""
    attention = check_condition(6, 0x29, 0).encode()
    fake = t.fake(attention, reply(payload=scsi.read_keys_data(5)).encode())
    result = t.expect(t.ctl("keys", "-k", fake.path, t.make_lun()), GOOD)
    t.equal(result.out, f"PRgeneration 0x1, 1 registered key:\n  {hexkey(5)}\n", "standard output")


@cases(("no header", b"\0\0\0\1", "truncated"), ("nothing", b"", "truncated"),
       ("malformed", struct.pack(">II", 1, 12) + bytes(12), "malformed"))
def bad_data(t, data, words):
    fake = t.fake(reply(payload=data).encode())
    result = t.expect(t.ctl("keys", "-k", fake.path, "-j", t.make_lun()), DATA).json
    t.equal(result["scsi_status_name"], "GOOD", "status")
    t.matches(f"the device's answer is malformed: the data (is )?{words}$",
              result["error"], "error")


@cases("reservation", "capabilities", "full-status")
def bad_data_of_others(t, command):
    fake = t.fake(reply(payload=bytes(3)).encode())
    t.expect(t.ctl(command, "-k", fake.path, t.make_lun()), DATA, "")


@test
def more_keys_than_fit(t):
    data = struct.pack(">II", 1, 8 * 2000) + b"".join(struct.pack(">Q", key)
                                                     for key in range(1, 1024))
    fake = t.fake(reply(payload=data).encode())
    lines = t.expect(t.ctl("keys", "-k", fake.path, t.make_lun()), GOOD, err="").out.splitlines()
    t.equal((lines[0], lines[1], lines[-2:]),
            ("PRgeneration 0x1, 2000 registered keys:", f"  {hexkey(1)}",
             [f"  {hexkey(0x3ff)}", "  and 977 more, which did not fit"]), "lines")
    fake = t.fake(reply(payload=data).encode())
    found = t.expect(t.ctl("keys", "-j", "-k", fake.path, t.make_lun()), GOOD).json
    t.equal((len(found["keys"]), found["truncated"]), (1023, True), "JSON")


# -- conflicts: which of the usual things it is


class Hosts:
    def __init__(self, t):
        self.t = t
        self.lun = t.make_lun()

    def do(self, host, command, *argv):
        return self.t.ctl(command, *self.t.host(host), *argv, self.lun)

    def conflict(self, host, command, *argv, hint):
        """It ends in a conflict with this hint, whose last line may be a command; WAY stands for
        what is to come behind it."""
        way = f"{' '.join(self.t.host(host))} {self.lun}"
        said(self.t, self.do(host, command, *argv), CONFLICT,
             f"qemu-pr-ctl: {self.lun}: {command}: RESERVATION CONFLICT",
             *(line.replace("WAY", way) for line in hint))


@cases(("reserve", "reserve", ["-T", "1"]), ("release", "release", ["-T", "1"]),
       ("clear", "clear", ["--yes"]), ("preempt", "preempt", ["-S", "2", "-T", "1", "--yes"]))
def conflict_not_registered(t, command, argv):
    Hosts(t).conflict("a", command, "-K", "abc", *argv, hint=[
        f"  Key {hexkey(0xabc)} is not registered. Register first:",
        f"    qemu-pr-ctl register --new-key={hexkey(0xabc)} WAY"])


LOOK = ["  To see who is registered:", "    qemu-pr-ctl full-status WAY"]
HERE = "  This registrant loses, if it is the one of this path:"
REPLACE = [
    "  Warning: register-ignore replaces any key that this host has on this path. A running virtual "
    "machine that registered it would lose it: its reservation commands fail, and other nodes cannot "
    "fence it by the key that they know.", *LOOK,
    "  Only if no virtual machine of this host uses the device:",
    f"    qemu-pr-ctl register-ignore --new-key={hexkey(2)} WAY"]
REMOVE = [
    "  Warning: a running virtual machine of this host that made the registration would lose it and "
    "its reservation: its own writes may fail, and other hosts may write.", *LOOK,
    "  Only if no virtual machine of this host uses the device:",
    f"    qemu-pr-ctl register-ignore --new-key={hexkey(0)} WAY"]


def holder_a(kind):
    return (f"  Key {hexkey(1)} holds the reservation, {kind}, from "
            f"iscsi:iqn.2026-11.simulator:a,i,0x000000000001.")


def loser(host, number, what):
    """One whose registration is listed, and what it loses."""
    return (f"    key {hexkey(number)}, iscsi:iqn.2026-11.simulator:{host},i,0x000000000001, port 0x1: "
            f"{what}")


@test
def conflict_registered_already(t):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    already = ("  This host is registered on this path already. To change its key, give the present one "
               "with --key.")
    hosts.conflict("a", "register", "-S", "2", hint=[
        already, HERE, loser("a", 1, "its key"), *REPLACE])
    hosts.conflict("a", "register", "-S", "0", "--yes", hint=[
        already, HERE, loser("a", 1, "its registration"), *REMOVE])
    hosts.do("a", "reserve", "-K", "1", "-T", "3")
    hosts.conflict("a", "register", "-S", "2",
                   hint=[already, holder_a("exclusive-access"), HERE, loser("a", 1, "its key"), *REPLACE])


@test
def conflict_nobody_has_that_key(t):
    hosts = Hosts(t)
    hosts.conflict("a", "register", "-K", "7", "-S", "2", hint=[
        "  No key is registered. For a first registration leave out --key:",
        f"    qemu-pr-ctl register --new-key={hexkey(2)} WAY"])
    hosts.conflict("a", "register", "-K", "7", "-S", "0", "--yes", hint=[
        "  No key is registered, so there is none to remove."])
    hosts.do("b", "register", "-S", "1")
    hosts.conflict("a", "register", "-K", "7", "-S", "2", hint=[
        f"  Key {hexkey(7)} is not registered. For a first registration leave out "
        "--key.", HERE, loser("b", 1, "its key"), *REPLACE])


@test
def conflict_key_of_another_host(t):
    hosts = Hosts(t)
    hosts.do("b", "register", "-S", "7")
    hosts.conflict("a", "register", "-K", "7", "-S", "2", hint=[
        f"  Key {hexkey(7)} is not the one under which this host is registered on this path, if it is "
        "registered at all.", HERE, loser("b", 7, "its key"), *REPLACE])
    hosts.conflict("a", "reserve", "-K", "7", "-T", "1", hint=[
        f"  Key {hexkey(7)} is registered, but not for this host on this path. To see who has it:",
        "    qemu-pr-ctl full-status WAY"])
    hosts.conflict("a", "clear", "--yes", "-K", "7", hint=[
        "  Is this host registered with that key, and does it hold the reservation? To check:",
        "    qemu-pr-ctl full-status WAY"])


@test
def conflict_reserved_by_another_host(t):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    hosts.do("a", "reserve", "-K", "1", "-T", "5")
    hosts.conflict("b", "reserve", "-K", "2", "-T", "3", hint=[
        f"  Key {hexkey(2)} is not registered.", holder_a("write-exclusive-registrants-only"),
        "  Warning: registered hosts may write. A virtual machine of this host that was fenced could "
        "write again despite the holder.", "  Only if there is none, register first:",
        f"    qemu-pr-ctl register --new-key={hexkey(2)} WAY"])
    hosts.do("b", "register", "-S", "2")
    hosts.conflict("b", "reserve", "-K", "2", "-T", "3", hint=[
        "  The device is reserved under another key.", holder_a("write-exclusive-registrants-only"),
        "  This registrant loses:", loser("a", 1, "its registration and the reservation"),
        "  Warning: if what runs there is alive, its writes fail from then on, and it loses the "
        "device. Check there whether it is alive.",
        "  To see which host that is:", "    qemu-pr-ctl full-status WAY",
        "  Only if it is down, and stays down:",
        f"    qemu-pr-ctl preempt --key={hexkey(2)} --victim-key={hexkey(1)} --type=exclusive-access WAY"])


@test
def conflict_reserved_by_this_host(t):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    hosts.do("a", "reserve", "-K", "1", "-T", "5")
    hosts.conflict("a", "reserve", "-K", "1", "-T", "1", hint=[
        "  There is a reservation already.", holder_a("write-exclusive-registrants-only"),
        "  This registrant loses:", loser("a", 1, "the reservation"),
        "  Warning: a running virtual machine of this host that made the reservation would lose it: "
        "other hosts may then write.", *LOOK,
        "  Only if no virtual machine of this host uses the device:",
        f"    qemu-pr-ctl release --key={hexkey(1)} --type=write-exclusive-registrants-only WAY"])


ALL_HOLD = "  All registered hosts hold the reservation, write-exclusive-all-registrants."
ENDS = ("  Warning: when one host releases it, the reservation ends for all registrants: hosts that it "
        "locks out may then write.")


@test
def conflict_reserved_by_all(t):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    hosts.do("a", "reserve", "-K", "1", "-T", "7")
    hosts.do("b", "register", "-S", "2")
    hosts.conflict("b", "reserve", "-K", "2", "-T", "1", hint=[
        "  There is a reservation already.", ALL_HOLD, "  These registrants lose:",
        loser("a", 1, "the reservation"), loser("b", 2, "the reservation"), ENDS, *LOOK,
        "  Only if no other registered host uses the device:",
        f"    qemu-pr-ctl release --key={hexkey(2)} --type=write-exclusive-all-registrants WAY"])


@test
def conflict_no_victim(t):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    hosts.conflict("a", "preempt", "--yes", "-K", "1", "-S", "9", "-T", "1", hint=[
        f"  There is nothing to preempt: key {hexkey(9)} is not registered. To see which keys are:",
        "    qemu-pr-ctl full-status WAY"])


@test
def suggested_command_works(t):
    """What is printed can be typed as it stands."""
    hosts = Hosts(t)
    hosts.do("b", "register", "-S", "2")
    hosts.do("b", "reserve", "-K", "2", "-T", "1")
    argv = ["reserve", "-K", "1", "-T", "1"]
    for wanted in ("register", "preempt"):
        result = t.expect(hosts.do("a", *argv), CONFLICT, "")
        command = result.err.splitlines()[-1].split()
        t.equal(command[:2], ["qemu-pr-ctl", wanted], "suggestion")
        t.expect(t.ctl(*command[1:], *(["--yes"] if wanted == "preempt" else [])), GOOD)
    t.matches(f"^  key    {hexkey(1)}$", hosts.do("a", "reservation").out, "reservation")


@cases(("5", "write-exclusive-registrants-only", holder_a("write-exclusive-registrants-only"),
        ["  Warning: a running virtual machine of this host that made the reservation would lose it: "
         "other hosts may then write."],
        "  Only if no virtual machine of this host uses the device:"),
       ("7", "write-exclusive-all-registrants", ALL_HOLD, [ENDS],
        "  Only if no other registered host uses the device:"))
def wrong_type_to_release(t, kind, holder, warning, only):
    hosts = Hosts(t)
    hosts.do("a", "register", "-S", "1")
    hosts.do("a", "reserve", "-K", "1", "-T", kind)
    way = f"{' '.join(t.host('a'))} {hosts.lun}"
    said(t, hosts.do("a", "release", "-K", "1", "-T", "1"), CHECK,
         f"qemu-pr-ctl: {hosts.lun}: release: CHECK CONDITION: ILLEGAL REQUEST, INVALID RELEASE OF "
         "PERSISTENT RESERVATION (5/26/04)", "  The reservation is of another type.", holder,
         "  This registrant loses:", loser("a", 1, "the reservation"), *warning,
         "  To see who is registered:", f"    qemu-pr-ctl full-status {way}", only,
         f"    qemu-pr-ctl release --key={hexkey(1)} --type={kind} {way}")


@test
def conflict_while_reading(t):
    lun = t.make_lun()
    t.fault(lun, "status 18")
    said(t, t.ctl("keys", *t.host("a"), lun), CONFLICT,
         f"qemu-pr-ctl: {lun}: keys: RESERVATION CONFLICT",
         "  Another host has reserved the device with the RESERVE command of SPC-2. Until it releases "
         "it, persistent reservations cannot even be read.")


@test
def conflict_and_nothing_can_be_read(t):
    """The hint is then a general one, and the exit status that of the command."""
    fake = t.fake(reply(scsi.RESERVATION_CONFLICT).encode())
    lun = t.make_lun()
    result = t.expect(t.ctl("reserve", "-K", "1", "-T", "1", "-k", fake.path, lun), CONFLICT, "")
    t.matches("^  Is this host registered with that key", result.err, "hint")


@test
def lio_has_no_conflict(t):
    """The Linux target answers 2/08/00 to who is not registered."""
    nothing = reply(payload=struct.pack(">II", 1, 0)).encode()
    fake = t.fake(check_condition(2, 8, 0).encode(), nothing, nothing)
    lun = t.make_lun()
    said(t, t.ctl("reserve", "-K", "1", "-T", "1", "-k", fake.path, lun), UNKNOWN,
         f"qemu-pr-ctl: {lun}: reserve: CHECK CONDITION: NOT READY, LOGICAL UNIT COMMUNICATION "
         "FAILURE (2/08/00)", f"  Key {hexkey(1)} is not registered. Register first:",
         f"    qemu-pr-ctl register --new-key={hexkey(1)} -k {fake.path} {lun}")
