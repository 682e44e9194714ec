# SPDX-License-Identifier: LGPL-2.1-or-later
"""fence on the simulator: by key and by host, what it refuses, what it leaves."""
from support import scsi
from support.client import check_condition, reply
from support.tap import cases, test

from ctl.fixture import CONFLICT, GOOD, REFUSED, TROUBLE, UNKNOWN, hexkey
from ctl.machine import Registrant, capabilities, full_status, iscsi_port, reservation as held_by

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
    t.matches(f"c is not registered\n.*Registered keys:\n +{hexkey(B)}  {HOST_B}  \\(holds", result.err,
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
    t.matches("other hosts also have a key of b", result.err, "message")
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
    t.matches("not confirmed\n.*\n.*loses:\n.*its registration and the reservation",
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
    result = fence(t, lun, "b", "--yes", status=REFUSED)
    t.matches("the owners of some registrations are unknown\n.*Give its key", result.err,
              "message")
    fence(t, lun, f"{B:x}", "--yes")
    t.equal(len(keys(t, lun)), 1, "keys")


@test
def not_there_and_unreserved(t):
    """One that is not registered may write nevertheless, if there is no reservation."""
    result = fence(t, t.make_lun(), "b", "--yes", status=REFUSED)
    t.matches("b is not registered\n.*no reservation either, so it may still write", result.err,
              "message")


@cases(("5", "hosts that are not registered"), ("1", "all other hosts, registered or not,"))
def says_that_it_reserves(t, whom):
    kind = "1" if "or not" in whom else "5"
    lun = t.make_lun()
    ctl(t, "b", lun, "register", f"--new-key={B:x}")
    result = fence(t, lun, "b", "--dry-run", f"--type={kind}")
    t.matches(f"^This host reserves it first, .*: {whom} can no longer write", result.out, "message")


@test
def keeps_aptpl(t):
    """That reservations outlast a loss of power is of the whole device, and stays as it is."""
    active = capabilities(active=True)
    fake = t.fake(*b_told(B), reply(payload=active).encode(), GOOD_ANSWER, GOOD_ANSWER,
                  *told([0xA1], full_status(Registrant(0xA1, iscsi_port(NAME + "c"), 1, 5)),
                        held_by(0xA1, 5)), GOOD_ANSWER)
    t.expect(t.ctl("fence", "-k", fake.path, "b", t.make_lun(), "--yes"), GOOD)
    sent = [(cdb[1], data[20] & 1) for cdb, data in fake.requests if cdb[0] == scsi.PR_OUT]
    t.equal(sent, [(0, 1), (5, 0), (0, 1)], "service actions, and APTPL")


# -- Devices that do not tell all

NAME = "iqn.2026-01.org.example:b"
GOOD_ANSWER = reply().encode()
REFUSAL = check_condition(5, 0x24, 0).encode()


def told(keys_told, status, held):
    """Answers to the three commands by which it is found out who is registered."""
    return [reply(payload=data).encode() if isinstance(data, bytes) else data.encode()
            for data in (scsi.read_keys_data(*keys_told), held, status)]


def b_told(*keys_told, held=held_by(B, 5)):
    return told(keys_told, full_status(*(
        Registrant(key, iscsi_port(NAME, f"00000000000{at}"), 1, 5 if key == B else 0)
        for at, key in enumerate(keys_told))), held)


@test
def reservation_unread(t):
    """Then nothing is sent: it is not known what would happen."""
    fake = t.fake(*b_told(B, held=check_condition(4, 0x44, 0)))
    result = t.expect(t.ctl("fence", "-k", fake.path, "b", t.make_lun(), "--yes"), UNKNOWN)
    t.matches("the holder of the reservation could not be read", result.err, "message")
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")


@test
def key_of_several(t):
    """The host has another key by another path: the one key does not fence it."""
    fake = t.fake(*b_told(B, 0xB2))
    result = t.expect(t.ctl("fence", "-k", fake.path, f"{B:x}", t.make_lun(), "--yes"), REFUSED)
    t.matches("also has other keys\n.*Name the host", result.err, "message")
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")


@test
def unread_afterwards(t):
    """This host may hold the reservation by then: it does not unregister, which would release it."""
    broken = check_condition(4, 0x44, 0).encode()
    fake = t.fake(*b_told(B), REFUSAL, GOOD_ANSWER, GOOD_ANSWER, *[broken] * 4, GOOD_ANSWER)
    result = t.expect(t.ctl("fence", "-k", fake.path, "b", t.make_lun(), "--yes"), UNKNOWN)
    t.matches("could not determine whether b is fenced", result.err, "message")
    t.matches("may hold the reservation now, with key 0x70726665", result.err, "what it holds")
    t.equal([cdb[1] for cdb, _ in fake.requests if cdb[0] == scsi.PR_OUT], [0, 5], "commands")


@test
def nameless_afterwards(t):
    """The host may have come back by another key, and no name tells it."""
    keys_then = scsi.read_keys_data(0xA1, 0xB7)
    fake = t.fake(*b_told(B), REFUSAL, GOOD_ANSWER, GOOD_ANSWER, reply(payload=keys_then).encode(),
                  reply(payload=held_by(0xA1, 5)).encode(), REFUSAL, GOOD_ANSWER)
    result = t.expect(t.ctl("fence", "-k", fake.path, "b", t.make_lun(), "--yes", "--json"), UNKNOWN)
    t.equal(result.json["fenced"], False, "fenced")


@test
def second_key_fails(t):
    """By the first one this host holds the reservation, and keeps it."""
    fake = t.fake(*b_told(B, 0xB2), REFUSAL, GOOD_ANSWER, GOOD_ANSWER,
                  check_condition(4, 0x44, 0).encode())
    result = t.expect(t.ctl("fence", "-k", fake.path, "b", t.make_lun(), "--yes", "--timeout=1"), UNKNOWN)
    t.matches("may hold the reservation now", result.err, "message")
    t.equal([cdb[1] for cdb, _ in fake.requests if cdb[0] == scsi.PR_OUT], [0, 5, 5], "commands")
