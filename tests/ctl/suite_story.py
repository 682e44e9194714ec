# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two simulated hosts and a LUN: every command does what it says, and says what it did."""
import os

from support.client import reply
from support.tap import cases, test

from ctl.fixture import CHECK, CONFLICT, GOOD, hexkey

WRITE_EXCLUSIVE_REGISTRANTS = "write-exclusive-registrants-only"


class Hosts:
    """Commands by name: hosts.a("keys") is host a's qemu-pr-ctl keys LUN."""

    def __init__(self, t):
        self.t = t
        self.lun = t.make_lun()

    def run(self, host, command, *argv, **arguments):
        return self.t.ctl(command, *self.t.host(host), *argv, self.lun, **arguments)

    def a(self, command, *argv, **arguments):
        return self.run("a", command, *argv, **arguments)

    def b(self, command, *argv, **arguments):
        return self.run("b", command, *argv, **arguments)

    def keys(self):
        return self.t.expect(self.a("keys", "--json"), GOOD).json["keys"]

    def reservation(self):
        found = self.t.expect(self.a("reservation", "--json"), GOOD).json
        return (found["key"], found["type"]) if found["reserved"] else None


@test
def nothing_there_yet(t):
    hosts = Hosts(t)
    t.expect(hosts.a("keys"), GOOD, "PRgeneration 0, 0 registered keys\n", "")
    t.expect(hosts.a("reservation"), GOOD, "PRgeneration 0, not reserved\n", "")
    t.expect(hosts.a("full-status"), GOOD, "PRgeneration 0, 0 registrations\n", "")


@test
def take_over(t):
    """The story of two hosts, one of which dies."""
    hosts = Hosts(t)
    t.expect(hosts.a("register", "--new-key=1"), GOOD, f"registered with key {hexkey(1)}\n", "")
    t.expect(hosts.b("register", "--new-key=2"), GOOD, f"registered with key {hexkey(2)}\n", "")
    t.expect(hosts.a("reserve", "--key=1", "--type=5"), GOOD,
             f"reserved with key {hexkey(1)}, {WRITE_EXCLUSIVE_REGISTRANTS}\n", "")
    t.expect(hosts.b("reserve", "--key=2", "--type=5"), CONFLICT, "")
    t.expect(hosts.b("preempt", "--yes", "--key=2", "--victim-key=1", "--type=1"), GOOD,
             f"preempted: key {hexkey(1)} is no longer registered\n", "")
    t.equal(hosts.reservation(), (hexkey(2), 1), "reservation")
    t.equal(hosts.keys(), [hexkey(2)], "keys")


@test
def tables(t):
    hosts = Hosts(t)
    hosts.a("register", "-S", "abc")
    hosts.b("register", "-S", "123456789abcdef0", "--all-tg-pt")
    hosts.a("reserve", "-K", "abc", "-T", "5")
    t.expect(hosts.b("keys"), GOOD,
             f"PRgeneration 0x2, 2 registered keys:\n  {hexkey(0xabc)}\n  0x123456789abcdef0\n", "")
    t.expect(hosts.b("reservation"), GOOD,
             "PRgeneration 0x2, reserved:\n"
             f"  key    {hexkey(0xabc)}\n"
             f"  type   {WRITE_EXCLUSIVE_REGISTRANTS} (5)\n", "")
    status = t.expect(hosts.b("full-status"), GOOD, err="").out.splitlines()
    t.equal(status[0], "PRgeneration 0x2, 2 registrations", "first line")
    columns = [status[1].index(name) for name in ("KEY", "HOLDER", "TYPE", "PORT", "INITIATOR")]
    cells = [[line[start:end].strip() for start, end in zip(columns, columns[1:] + [None])]
             for line in status[2:]]
    t.equal([row[:3] for row in cells],
            [[hexkey(0xabc), "yes", WRITE_EXCLUSIVE_REGISTRANTS], ["0x123456789abcdef0", "-", "-"]],
            "rows")
    t.equal(cells[0][3], "0x1", "port")
    t.check(cells[0][4].startswith("iscsi:iqn.2026-11.simulator:a,i,0x"), f"initiator {cells[0]}")


@test
def json_of_readers(t):
    hosts = Hosts(t)
    hosts.a("register", "-S", "ffffffffffffffff")
    hosts.a("reserve", "-K", "ffffffffffffffff", "-T", "3")
    common = {"format": 1, "device": hosts.lun, "exit_status": 0, "scsi_status": 0, "scsi_status_name": "GOOD"}
    t.equal(t.expect(hosts.a("keys", "-j"), GOOD, err="").json,
            {"command": "keys", **common, "generation": 1, "keys": ["0xffffffffffffffff"],
             "total": 1, "truncated": False}, "keys")
    t.equal(t.expect(hosts.a("reservation", "-j"), GOOD, err="").json,
            {"command": "reservation", **common, "generation": 1, "reserved": True,
             "key": "0xffffffffffffffff", "type": 3, "type_name": "exclusive-access", "scope": 0},
            "reservation")
    full = t.expect(hosts.a("full-status", "-j"), GOOD, err="").json
    initiator = full["registrations"][0].pop("initiator")
    t.check(initiator.startswith("iscsi:iqn.2026-11.simulator:a,i,0x"), f"initiator {initiator}")
    t.equal(full, {"command": "full-status", **common, "generation": 1, "total": 1, "truncated": False,
                   "registrations": [{"key": "0xffffffffffffffff", "holder": True, "type": 3,
                                      "type_name": "exclusive-access", "scope": 0,
                                      "all_tg_pt": False, "relative_target_port": 1}]},
            "full-status")
    t.equal(t.expect(hosts.a("capabilities", "-j"), GOOD, err="").json,
            {"command": "capabilities", **common, "persistent": True, "persistent_active": False,
             "all_tg_pt": True, "spec_i_pt": True, "replace_lost": False,
             "compatible_reservation_handling": False, "allow_commands": 1,
             "types": [1, 3, 5, 6, 7, 8]}, "capabilities")
    t.equal(t.expect(hosts.a("release", "-K", "ffffffffffffffff", "-T", "3", "-j"), GOOD,
                     err="").json, {"command": "release", **common}, "release")


@test
def capabilities_in_words(t):
    hosts = Hosts(t)
    before = t.expect(hosts.a("capabilities"), GOOD, err="").out
    t.matches(r"^no   and do so now \(PTPL_A\)$", before, "before --aptpl")
    t.matches(r"^yes  registering other initiator ports \(SIP_C\)$", before, "SIP_C")
    t.matches(r"^   8  exclusive-access-all-registrants$", before, "types")
    t.expect(hosts.a("register", "-S", "1", "--aptpl"), GOOD)
    t.matches(r"^yes  and do so now \(PTPL_A\)$", hosts.a("capabilities").out, "after --aptpl")


@test
def registration_changed_and_removed(t):
    hosts = Hosts(t)
    t.expect(hosts.a("register", "-S", "1"), GOOD)
    t.expect(hosts.a("register", "-K", "0x1", "-S", "0x2"), GOOD,
             f"registered with key {hexkey(2)} in place of {hexkey(1)}\n")
    t.equal(hosts.keys(), [hexkey(2)], "keys")
    t.expect(hosts.a("register-ignore", "--yes", "-S", "3"), GOOD, f"registered with key {hexkey(3)}\n")
    t.equal(hosts.keys(), [hexkey(3)], "keys")
    t.expect(hosts.a("register", "-K", "3", "-S", "0", "--yes"), GOOD, "unregistered\n")
    t.equal(hosts.keys(), [], "keys")


@test
def all_registrants(t):
    hosts = Hosts(t)
    hosts.a("register", "-S", "1")
    hosts.b("register", "-S", "2")
    t.expect(hosts.a("reserve", "-K", "1", "-T", "write-exclusive-all-registrants"), GOOD)
    t.matches(r"^  key    none: every registered host holds it$", hosts.b("reservation").out,
              "reservation")
    t.expect(hosts.b("preempt", "--yes", "-K", "2", "-S", "0", "-T", "7"), GOOD,
             "preempted: no other registration is left\n")
    t.equal(hosts.keys(), [hexkey(2)], "keys")


@cases("preempt", "preempt-abort")
def preempt(t, command):
    hosts = Hosts(t)
    hosts.a("register", "-S", "1")
    hosts.b("register", "-S", "2")
    t.expect(hosts.b(command, "-K", "2", "--param-sark", "1", "-T", "1", "--yes"), GOOD, err="")
    # Host a is told by the first command that it sends: a note, and the command goes on.
    t.expect(hosts.a("keys"), GOOD, f"PRgeneration 0x3, 1 registered key:\n  {hexkey(2)}\n",
             f"qemu-pr-ctl: {hosts.lun}: UNIT ATTENTION, REGISTRATIONS PREEMPTED (6/2A/05): reported by "
             f"the device; command sent again\n")
    t.expect(hosts.a("keys"), GOOD, err="")


@test
def attention_before_a_change(t):
    """A command that changes something is sent again as well, and carried out once."""
    hosts = Hosts(t)
    hosts.a("register", "-S", "1")
    hosts.b("register", "-S", "2")
    hosts.b("clear", "--yes", "-K", "2")
    result = t.expect(hosts.a("register", "-S", "5", "--json"), GOOD)
    t.equal([one["text"] for one in result.json["unit_attentions"]],
            ["UNIT ATTENTION, RESERVATIONS PREEMPTED (6/2A/03)"], "unit attentions")
    t.equal(hosts.keys(), [hexkey(5)], "keys")


@test
def release_and_clear(t):
    hosts = Hosts(t)
    hosts.a("register", "-S", "1")
    hosts.b("register", "-S", "2")
    hosts.a("reserve", "-K", "1", "-T", "1")
    t.expect(hosts.a("release", "-K", "1", "-T", "1"), GOOD,
             f"holds no reservation with key {hexkey(1)} (any more)\n")
    t.equal(hosts.reservation(), None, "reservation")
    t.expect(hosts.a("clear", "--yes", "-K", "1"), GOOD,
             "cleared: no reservation and no registration is left\n")
    t.equal(hosts.keys(), [], "keys")


@test
def moved(t):
    hosts = Hosts(t)
    hosts.b("register", "-S", "2")
    other = hosts.b("full-status", "-j").json["registrations"][0]["initiator"]
    hosts.b("register", "-K", "2", "-S", "0", "--yes")
    hosts.a("register", "-S", "1")
    hosts.a("reserve", "-K", "1", "-T", "5")
    t.expect(hosts.a("register-move", "-K", "1", "-S", "9", "-X", other, "-Q", "1", "--unreg"),
             GOOD, f"moved the reservation to key {hexkey(9)}, and unregistered\n")
    t.equal([(one["key"], one["holder"], one["initiator"])
             for one in hosts.b("full-status", "-j").json["registrations"]],
            [(hexkey(9), True, other)], "registrations")


@cases("iqn", "iscsi:iqn", "file", "standard input")
def others_registered(t, form):
    """SPEC_I_PT: host a registers host b."""
    hosts = Hosts(t)
    hosts.b("register", "-S", "2")
    other = hosts.b("full-status", "-j").json["registrations"][0]["initiator"]
    hosts.b("register", "-K", "2", "-S", "0", "--yes")
    text = f"# who else\n\n   {other[6:]}\t# host b\n"
    path = os.path.join(t.directory(), "ids")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    argument = {"iqn": other[6:], "iscsi:iqn": other, "file": f"file={path}",
                "standard input": "-"}[form]
    t.expect(hosts.a("register", "-S", "7", "-X", argument, stdin=text), GOOD, err="")
    found = [(one["key"], one["initiator"])
             for one in hosts.a("full-status", "-j").json["registrations"]]
    t.equal([key for key, _ in found], [hexkey(7)] * 2, "keys")
    t.check((hexkey(7), other) in found, f"host b is not among {found}")


SAS = "06000000" "5000c500a1b2c3d4" + 24 * "0"
FC = "00000000" "00000000" "10000000c9f3a571" + 16 * "0"


@cases(*((form, form, wanted) for form, wanted in (
    ("sas:5000c500a1b2c3d4", SAS), ("sas,5000c500a1b2c3d4", SAS), ("SAS,5000C500A1B2C3D4", SAS),
    ("6,0,0,0,50,0,c5,0,a1,b2,c3,d4", SAS), ("6 0 0 0 50 0 c5 0 a1 b2 c3 d4", SAS),
    ("fc:10000000c9f3a571", FC), ("fcp,10000000C9F3A571", FC),
    ("srp,000102030405060708090a0b0c0d0e0f",
     "04000000" "00000000" "000102030405060708090a0b0c0d0e0f"),
    ("iqn.a,i,0x1", "45000014" + b"iqn.a,i,0x1".hex() + 18 * "0"),
    ("9,8,7,6,5,4,3,2,1", "090807060504030201" + 30 * "0"))))
def transport_id(t, form, wanted):
    """Our notation and that of sg_persist."""
    fake = t.fake(reply().encode())
    t.expect(t.ctl("register", "-S", "1", "-X", form, "-k", fake.path, t.make_lun()), GOOD)
    _, parameters = fake.requests[0]
    t.equal(parameters[20:].hex(), "08000000" "00000018" + wanted, "behind the keys")


@test
def lost_reservation(t):
    """The simulator has no REPLACE LOST RESERVATION, so this much only: the command is sent, and refused as such."""
    hosts = Hosts(t)
    result = t.expect(hosts.a("replace-lost", "-S", "1", "-T", "1"), CHECK, "")
    t.matches(r"INVALID FIELD IN CDB \(5/24/00\)", result.err, "sense")


@test
def cleanup(t):
    hosts = Hosts(t)
    t.expect(hosts.a("cleanup"), GOOD, "cleaned up\n", "")
