# SPDX-License-Identifier: LGPL-2.1-or-later
"""fence in the hands of those who press ^C, name nonsense, or have devices that tell little."""
import os
import signal
import subprocess
import time

from support import scaled, scsi
from support.client import reply
from support.process import environment
from support.tap import cases, limit, test

from ctl.fixture import GOOD, INTERNAL, REFUSED, UNKNOWN, hexkey
from ctl.machine import Machine, Registrant, full_status, iscsi_port, reservation as held_by
from ctl.suite_fence import B, NAME, fence, held_by_b, keys, reservation


def begin(t, lun, *argv):
    """It runs, slowly, and this host is registered by now."""
    t.fault(lun, "latency 300")
    process = subprocess.Popen([t.lab.ctl, "fence", *t.host("a"), "--yes", *argv, lun],
                               env=environment(None), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while len(keys(t, lun)) < 2:
        t.check(time.monotonic() < deadline, "it registers nothing")
    return process


@cases("INT", "TERM", "HUP")
@limit(60)
def interrupted(t, name):
    """Its own registration does not stay, unless it holds the reservation by then; what came of it is
    said."""
    lun = held_by_b(t)
    process = begin(t, lun, "b")
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, err = process.communicate(timeout=scaled(20))
    t.matches(r"^qemu-pr-ctl: fence: interrupted; waiting for the command in progress\. Interrupt again "
              r"to exit at once: key 0x70726665[0-9a-f]+ of this host may be left registered\.$", err, "notice")
    if process.returncode == GOOD:  # PREEMPT AND ABORT was under way
        own, = keys(t, lun)
        t.equal(reservation(t, lun), (own, 5), "reservation")
        t.matches("^fenced: ", out, "outcome")
        return
    t.equal(process.returncode, UNKNOWN, f"exit status: {err}")
    t.matches("interrupted; 0 of 1 keys have been preempted\n  The host is not fenced", err, "message")
    t.equal((keys(t, lun), reservation(t, lun)), ([hexkey(B)], (hexkey(B), 5)), "what is left")


@test
@limit(60)
def reader_goes_away(t):
    """It is carried out to its end, and checked."""
    lun = held_by_b(t)
    process = begin(t, lun, "b")
    process.stdout.close()
    err = process.stderr.read()
    t.equal(process.wait(timeout=scaled(20)), INTERNAL, f"exit status; {err}")
    own, = keys(t, lun)
    t.equal(reservation(t, lun), (own, 5), "reservation")


@cases("", ":", "iqn.2026-11.simulator", "iqn.2026-11.simulator:", "0", "0x", "-1", "%s%n", "b,", "*", "B\n")
def no_name_of_a_host(t, whom):
    """A part of a name is no name, and nothing is no host."""
    lun = held_by_b(t)
    result = t.expect(t.ctl("fence", *t.host("a"), "--yes", "--", whom, lun), REFUSED)
    t.matches("is not registered", result.err, "message")
    t.equal((keys(t, lun), reservation(t, lun)), ([hexkey(B)], (hexkey(B), 5)), "what is left")


THOUSAND = list(range(1, 1001))


def many(t, registered, whole):
    """A device with registrations 1 to so many, of which 7 holds the reservation."""
    answers = {0: scsi.read_keys_data(*registered), 1: held_by(7, 5), 3: whole[:8192]}
    return t.fake(by_action={action: reply(payload=data).encode() for action, data in answers.items()})


def thousand(t):
    """READ FULL STATUS has no room for all of them."""
    return many(t, THOUSAND, full_status(*(
        Registrant(key, iscsi_port(f"iqn.2026-01.org.example:h{key}"), 1, 5 if key == 7 else 0)
        for key in THOUSAND)))


def ask(t, fake, whom, status):
    result = t.expect(t.ctl("fence", "-k", fake.path, "--dry-run", whom, t.make_lun(), timeout=60), status)
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")
    return result


@test
def host_among_a_thousand(t):
    """Not all names fit into an answer, so a host is not taken for known by its name."""
    result = ask(t, thousand(t), "h7", REFUSED)
    t.matches("the owners of some registrations are unknown", result.err, "message")


@test
def key_among_a_thousand(t):
    result = ask(t, thousand(t), "7", GOOD)
    t.matches("key 0x0000000000000007", result.out, "who it is")


@test
def more_than_an_answer_holds(t):
    """The one that is meant may be among those that were not read, and so may be others with its key."""
    registered = range(1, 1501)
    answers = {0: scsi.read_keys_data(*registered)[:8192], 1: held_by(7, 5), 3: bytes(8)}
    fake = t.fake(by_action={action: reply(payload=data).encode() for action, data in answers.items()})
    result = ask(t, fake, "7", UNKNOWN)
    t.matches("the registrations could not be read\n  It has more registrations .* --direct to read",
              result.err,
              "message")


@test
def host_with_sixty_keys(t):
    """There is room for sixteen; others of its keys would stay."""
    registered = THOUSAND[:60]
    fake = many(t, registered, full_status(*(Registrant(key, iscsi_port("i:b"), 1, 5 if key == 7 else 0)
                                             for key in registered)))
    result = ask(t, fake, "b", REFUSED)
    t.check(result.err.count("\n") < 80, f"{result.err.count(chr(10))} lines")


@cases(("nothing", b""), ("half a header", bytes(4)), ("no descriptors", bytes(8)),
       ("cut in the middle", full_status(Registrant(B, iscsi_port(NAME), 1, 5))[:20]))
def full_status_of(t, data):
    """READ FULL STATUS with GOOD and next to nothing: the key can be named, the host not."""
    answers = {0: scsi.read_keys_data(B), 1: held_by(B, 5), 3: data}
    for whom, status in (("b", REFUSED), (f"{B:x}", GOOD)):
        ask(t, t.fake(by_action={action: reply(payload=given).encode() for action, given in answers.items()}),
            whom, status)


@test
def path_of_a_map(t):
    """By one path of several the others of this host would be kept out; --force is for that."""
    machine = Machine(t)
    machine.make_disk("sdb", 2)
    os.symlink("../../block/sdb",
               machine.path(f"sys/dev/block/{os.major(t.disk.rdev)}:{os.minor(t.disk.rdev)}"))
    for directory in ("sdb/holders/dm-3", "dm-3/dm"):
        os.makedirs(machine.path(f"sys/block/{directory}"))
    for attribute, value in (("uuid", "mpath-3600"), ("name", "mpatha")):
        with open(machine.path(f"sys/block/dm-3/dm/{attribute}"), "w", encoding="ascii") as file:
            file.write(f"{value}\n")
    machine.registered(Registrant(B, iscsi_port(NAME), 1, 5), held=held_by(B, 5))
    for options, status in (([], REFUSED), (["--force"], GOOD)):
        result = machine.run("fence", "--dry-run", *options, "b", t.disk.path)
        t.expect(result, status)
        t.equal("it is one path of the multipath map mpatha\n  A fence through one path" in result.err,
                not options,
                "message")
