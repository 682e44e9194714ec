# SPDX-License-Identifier: LGPL-2.1-or-later
"""fence on the simulator: by key and by host, what it refuses, what it leaves."""
from support.tap import cases, test

from ctl.fixture import CONFLICT, GOOD, REFUSED, TROUBLE, hexkey

HOST_B = "iscsi:iqn.2026-11.simulator:b,i,0x000000000001"
A, B = 0xA1, 0xB1


def ctl(t, host, lun, *argv, status=GOOD):
    return t.expect(t.ctl(*argv, *t.host(host), lun), status)


def fence(t, lun, whom, *argv, status=GOOD, host="a"):
    return t.expect(t.ctl("fence", *t.host(host), *argv, whom, lun), status)


def held_by_b(t, kind="5"):
    """Host b is registered and holds a reservation."""
    lun = t.make_lun()
    ctl(t, "b", lun, "register", f"--new-key={B:x}")
    ctl(t, "b", lun, "reserve", f"--key={B:x}", f"--type={kind}")
    return lun


def keys(t, lun):
    return ctl(t, "a", lun, "keys", "--json").json["keys"]


def reservation(t, lun):
    found = ctl(t, "a", lun, "reservation", "--json").json
    return (found["key"], found["type"]) if found["reserved"] else None


@cases(("key", f"{B:x}"), ("key with 0x", f"0x{B:x}"), ("host", "b"), ("port", HOST_B),
       ("name", "iqn.2026-11.simulator:b"))
def holder(t, whom):
    """The host that holds the reservation: this one has it afterwards, and must keep it."""
    lun = held_by_b(t)
    result = fence(t, lun, whom, "--yes")
    t.matches(f"^{whom.replace('.', '.')}: key {hexkey(B)}, {HOST_B}, holds the reservation$", result.out,
              "who it is")
    t.matches(r"^fenced: .* has no registration any more \(it had 1\), and a reservation of type 5",
              result.out, "outcome")
    own, = keys(t, lun)
    t.check(own.startswith("0x70726665"), f"{own} is not of this program")
    t.equal(reservation(t, lun), (own, 5), "reservation")
    t.matches(f"qemu-pr-ctl register --key={own} --new-key=0 ", result.out, "how to give it up")
    ctl(t, "b", lun, "reserve", f"--key={B:x}", "--type=5", status=CONFLICT)


@test
def bystander(t):
    """One that does not hold the reservation: nothing of this host is left."""
    lun = t.make_lun()
    ctl(t, "a", lun, "register", f"--new-key={A:x}")
    ctl(t, "a", lun, "reserve", f"--key={A:x}", "--type=5")
    ctl(t, "b", lun, "register", f"--new-key={B:x}")
    result = fence(t, lun, "b", f"--key={A:x}", "--yes")
    t.check("This host holds" not in result.out, "advice")
    t.equal(keys(t, lun), [hexkey(A)], "keys")
    t.equal(reservation(t, lun), (hexkey(A), 5), "reservation")


@test
def all_registrants(t):
    """Type 7: the other registrant goes on holding it, and this host leaves."""
    lun = held_by_b(t, "7")
    ctl(t, "a", lun, "register", f"--new-key={A:x}")
    fence(t, lun, "b", f"--key={A:x}", "--yes")
    t.equal((keys(t, lun), reservation(t, lun)), ([hexkey(A)], ("0x0000000000000000", 7)), "left")


@test
def unreserved(t):
    """Without a reservation a fence stops nothing; --type makes one."""
    lun = t.make_lun()
    ctl(t, "b", lun, "register", f"--new-key={B:x}")
    result = fence(t, lun, "b", "--yes", status=REFUSED)
    t.matches("there is no reservation\n.*every host may write", result.err, "message")
    t.equal(keys(t, lun), [hexkey(B)], "keys")
    fence(t, lun, "b", "--yes", "--type=5")
    own, = keys(t, lun)
    t.equal(reservation(t, lun), (own, 5), "reservation")


@test
def who_is_not_there(t):
    lun = held_by_b(t)
    result = fence(t, lun, "c", "--yes", status=REFUSED)
    t.matches(f"c is not registered\n.*Registered are:\n +{hexkey(B)}  {HOST_B}  \\(holds", result.err,
              "message")
    result = fence(t, lun, "dead", "--yes", status=REFUSED)
    t.matches("dead is not registered", result.err, "message")
    t.equal(keys(t, lun), [hexkey(B)], "keys")


@test
def shared_key(t):
    """Two hosts with one key: PREEMPT would take both."""
    lun = held_by_b(t)
    ctl(t, "a", lun, "register", f"--new-key={B:x}")
    result = fence(t, lun, "b", "--yes", status=REFUSED)
    t.matches("others have a key of b as well", result.err, "message")
    t.equal(keys(t, lun), [hexkey(B), hexkey(B)], "keys")


@test
def own_key(t):
    lun = held_by_b(t)
    result = fence(t, lun, f"{B:x}", f"--key={B:x}", "--yes", host="b", status=REFUSED)
    t.matches("that is the key of this host", result.err, "message")


@test
def registered_already(t):
    """This host has a key, which is not guessed."""
    lun = held_by_b(t)
    ctl(t, "a", lun, "register", f"--new-key={A:x}")
    result = fence(t, lun, "b", "--yes", status=REFUSED)
    t.matches("this host is registered already\n.*--key", result.err, "message")
    t.equal(keys(t, lun), [hexkey(B), hexkey(A)], "keys")


@test
def unconfirmed(t):
    lun = held_by_b(t)
    result = t.expect(t.ctl("fence", *t.host("a"), "b", lun, stdin=""), REFUSED)
    t.matches("not confirmed\n.*\n.*loses by it:\n.*its registration and the reservation",
              result.err, "message")
    t.equal(keys(t, lun), [hexkey(B)], "keys")


@test
def dry_run(t):
    lun = held_by_b(t)
    result = fence(t, lun, "b", "--dry-run", "--json").json
    t.equal(result["cdb"][:6], "5f0505", "PREEMPT AND ABORT, type 5")
    t.equal([one["key"] for one in result["victims"]], [hexkey(B)], "victims")
    t.matches("Within 3 s it changed no registration", result["alive"], "what is seen of it")
    t.equal(keys(t, lun), [hexkey(B)], "keys")


@test
def without_abort(t):
    """PREEMPT does it, and that is said."""
    lun = held_by_b(t)
    t.fault(lun, "quirk no-preempt-abort")
    result = fence(t, lun, "b", "--yes")
    t.matches("no PREEMPT AND ABORT: what the host had sent before may still be written", result.out,
              "message")
    t.equal(len(keys(t, lun)), 1, "keys")


@test
def without_effect(t):
    """GOOD is not believed; what was made for it is taken back."""
    lun = held_by_b(t)
    t.fault(lun, "quirk preempt-does-nothing")
    result = fence(t, lun, "b", "--yes", "--json", status=TROUBLE)
    t.matches("b is NOT fenced: 1 of its registrations are left", result.err, "message")
    t.equal(result.json["fenced"], False, "fenced")
    t.equal(keys(t, lun), [hexkey(B)], "keys")


@test
def without_names(t):
    """Of a device without READ FULL STATUS a key can be named, a host not."""
    lun = held_by_b(t)
    t.fault(lun, "quirk no-full-status")
    fence(t, lun, "b", "--yes", status=REFUSED)
    fence(t, lun, f"{B:x}", "--yes")
    t.equal(len(keys(t, lun)), 1, "keys")
