# SPDX-License-Identifier: LGPL-2.1-or-later
"""validate on the simulator: a unit by the book, units with quirks, units that are only unusual; what
it refuses to touch; that nothing is left behind."""
import json
import os
import signal
import subprocess
import time

from support import scaled, scsi
from support.client import reply
from support.process import environment
from support.tap import Skip, cases, limit, test
from support.tree import TOP

from ctl.fixture import DEVICE, GOOD, HELPER, INTERNAL, REFUSED, TROUBLE, UNKNOWN, USAGE

PROFILES = os.path.join(TOP, "dist", "validate")
NAMES = sorted(name[:-5] for name in os.listdir(PROFILES) if name != "quirks.json")
SEQUENCES = {name: len(json.load(open(os.path.join(PROFILES, f"{name}.json"),
                                      encoding="utf-8"))["sequences"]) for name in NAMES}

#: What a unit does wrong, what that is called, and who cannot use it. The simulator's quirks.
QUIRKS = [
    ("quirk one-registration", "one-registration-for-both",
     "lvm ocf-sg-persist opensvc pacemaker pnfs veritas windows"),
    ("quirk no-full-status", "no-read-full-status", ""),
    ("quirk no-capabilities", "no-report-capabilities", "lvm"),
    ("quirk no-aptpl", "aptpl-refused", "windows"),
    ("quirk no-preempt-abort", "no-preempt-abort", "lvm opensvc pacemaker pnfs veritas"),
    ("quirk no-type-5", "type-refused", "opensvc pacemaker veritas windows"),
    ("quirk no-type-7-listed", "type-not-reported", "lvm"),
    ("quirk preempt-does-nothing", "good-without-effect",
     "lvm ocf-sg-persist opensvc pacemaker pnfs veritas windows"),
    ("quirk reserve-does-nothing", "good-without-effect",
     "lvm ocf-sg-persist opensvc pacemaker pnfs veritas windows"),
    ("quirk stale-preempt-good", "stale-key-preempted", "windows"),
    ("quirk strangers-may-clear", "stranger-obeyed", "windows"),
    ("quirk two-holders", "second-reservation", "windows"),
    ("quirk sense-for-conflict", "sense-for-conflict", "windows"),
    ("quirk new-key-releases", "reservation-lost-by-new-key", "windows"),
    ("quirk self-preempt-removes", "self-preempt-hurts", "pacemaker"),
    ("quirk keys-swapped", "keys-swapped",
     "lvm ocf-sg-persist opensvc pacemaker pnfs veritas windows"),
    ("quirk attentions", "attentions-without-end",
     "lvm ocf-sg-persist opensvc pacemaker pnfs storage veritas windows"),
    ("quirk joining-conflicts", "joining-refused",
     "lvm ocf-sg-persist opensvc pacemaker pnfs windows"),
    ("quirk release-unregisters", "release-unregisters", "ocf-sg-persist opensvc"),
    ("sense 5/20/00", "no-reservations",
     "lvm ocf-sg-persist opensvc pacemaker pnfs storage veritas windows"),
]
#: Beside each of them one that is unusual in the same place, and that every cluster can use.
UNUSUAL = ["quirk sense-for-strangers", "quirk attention-first", "quirk keys-reversed",
           "quirk no-transport-ids", "quirk all-types-listed", "quirk generation-jumps",
           "quirk keys-twice", "quirk aptpl-always", "quirk preempt-attention",
           "quirk new-key-attention", "latency 20"]


def validate(t, lun, *argv, second=True, software="all", **arguments):
    if second:
        argv = ("--second", t.lab.simulator().sockets["b"], *argv)
    return t.ctl("validate", "--profiles", PROFILES, f"--for={software}", *t.host("a"), *argv, lun,
                 **arguments)


def verdicts(report):
    return {profile["name"]: profile["verdict"] for profile in report["profiles"]}


def steps(report):
    for profile in report["profiles"]:
        for sequence in profile["sequences"]:
            for step in sequence["steps"]:
                yield profile["name"], sequence["name"], step


def profile(t, **members):
    whole = {"format": 1, "name": "own", "title": "mine", "sequences": [
        {"name": "one", "nexuses": 1, "steps": [
            {"id": "1", "nexus": "A", "do": "register-ignore", "new": "k", "expect": "good"},
            {"id": "2", "nexus": "A", "do": "keys", "only": ["k"]}]}]}
    whole.update(members)
    path = os.path.join(t.directory(), "own.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(whole, file)
    return path


def untouched(t, lun):
    """No host is registered, and none holds it."""
    t.equal(t.expect(t.ctl("keys", "--json", *t.host("b"), lun), GOOD).json["keys"], [], "keys")
    t.equal(t.ctl("reservation", "--json", *t.host("b"), lun).json["reserved"], False, "reserved")


@test
def by_the_book(t):
    lun = t.make_lun()
    result = t.expect(validate(t, lun, "--yes", "--json"), GOOD, err="")
    t.equal(verdicts(result.json), {name: "pass" for name in NAMES}, "verdicts")
    for profile in result.json["profiles"]:
        t.equal(len(profile["sequences"]), SEQUENCES[profile["name"]], f"sequences of {profile['name']}")
        t.check(all(one["steps"] for one in profile["sequences"]), "a sequence without a step")
    t.equal([step for _, _, step in steps(result.json) if step["verdict"] not in ("pass", "skipped")],
            [], "steps")
    t.check({step["sent"] for _, _, step in steps(result.json) if step["verdict"] == "skipped"} <=
            {"a read", "a write", "(page 83h, as the kernel has read it)"}, "skipped")
    untouched(t, lun)


@test
def one_nexus(t):
    """What takes two is said to be left out, and is no failure."""
    lun = t.make_lun()
    result = t.expect(validate(t, lun, "--yes", "--json", second=False), GOOD)
    found = verdicts(result.json)
    t.equal({name for name, verdict in found.items() if verdict == "fail"}, set(), "failures")
    t.equal(found["windows"], "partly", "windows")
    text = t.expect(validate(t, lun, "--yes", second=False, software="windows"), GOOD).out
    t.matches(r"^  -     failover .*needs a second I_T nexus: --second", text, "text")
    t.matches("^windows +will pass as far as one I_T nexus can tell", text, "verdict")


@cases(*((what, what, name, losers) for what, name, losers in QUIRKS))
@limit(60)
def quirk(t, what, name, losers):
    """It is named, those that cannot use it are named, and no others."""
    lun = t.make_lun()
    t.fault(lun, what)
    status = TROUBLE if losers else GOOD
    report = t.expect(validate(t, lun, "--yes", "--json", timeout=30), status).json
    t.equal(sorted(one for one, verdict in verdicts(report).items() if verdict != "pass"),
            losers.split(), "software that will not work")
    bad = [step for _, _, step in steps(report) if step["verdict"] in ("fail", "note", "unknown")]
    t.check(name in {step.get("quirk") for step in bad}, f"{name} is not named: {bad}")
    t.check(all("quirk" in step and step["means"] and step["concerns"] for step in bad),
            f"one has no name: {bad}")
    os.unlink(t.lab.faults)
    if not what.startswith(("quirk attentions", "sense")):
        untouched(t, lun)


@cases(*UNUSUAL)
@limit(60)
def unusual(t, what):
    lun = t.make_lun()
    t.fault(lun, what)
    report = t.expect(validate(t, lun, "--yes", "--json", timeout=30), GOOD, err="").json
    t.equal(verdicts(report), {name: "pass" for name in NAMES}, "verdicts")
    t.equal([step for _, _, step in steps(report) if "quirk" in step], [], "named")


@test
@limit(90)
def slow(t):
    """An answer that takes longer than the owner's interval is found by its time alone."""
    lun = t.make_lun()
    t.fault(lun, "quirk slow-preempt")
    report = t.expect(validate(t, lun, "--yes", "--json", software="windows,ocf-sg-persist", timeout=60),
                      TROUBLE).json
    t.equal(verdicts(report), {"windows": "fail", "ocf-sg-persist": "pass"}, "verdicts")
    late = [step for _, _, step in steps(report) if step.get("quirk") == "slow"]
    t.check(any(step["answer"] == "GOOD" for step in late) and
            all(step["ms"] > 3000 for step in late), str(late))


@test
def failure_in_words(t):
    """Which command of which step got which answer, what it means, whom it concerns, and how that is
    known."""
    lun = t.make_lun()
    t.fault(lun, "quirk no-preempt-abort")
    text = t.expect(validate(t, lun, "--yes", software="pacemaker"), TROUBLE).out
    t.matches(r"^    FAIL  p6    B: PREEMPT AND ABORT, key 0x70720002, victim's key 0x70720001, type 5$",
              text, "step")
    t.matches(r"expected: good; found: sense 5/24/00; answer: CHECK CONDITION: ILLEGAL REQUEST", text,
              "answer")
    for wanted in ("Quirk: no-preempt-abort", "Meaning: PREEMPT AND ABORT is not supported",
                   "Affects: Pacemaker's fence_scsi", "Known of: virtual disks of VMware",
                   "Sent because: 'off': this is the fencing",
                   "Evidence: source code or specification read \\[1\\]"):
        t.matches(wanted, text, "words")
    t.matches("^pacemaker +WILL NOT PASS$", text, "verdict")


@test
def evidence_is_told(t):
    """What is believed of Windows is not told as what was read of Pacemaker."""
    lun = t.make_lun()
    t.fault(lun, "quirk no-aptpl")
    text = t.expect(validate(t, lun, "--yes", software="windows"), TROUBLE).out
    t.matches("Evidence: from memory, unconfirmed", text, "words")


@test
def registered_is_refused(t):
    lun = t.make_lun()
    t.expect(t.ctl("register", "-S", "abc", *t.host("b"), lun), GOOD)
    result = t.expect(validate(t, lun, "--yes"), REFUSED, "")
    t.matches("1 registrations exist\n.*\n +0xabc\n.*--force", result.err, "message")
    t.equal(t.ctl("keys", "--json", *t.host("b"), lun).json["keys"], ["0x0000000000000abc"], "keys")
    t.expect(validate(t, lun, "--yes", "--force", software="none"), GOOD)
    untouched(t, lun)


@test
def unanswered_question(t):
    lun = t.make_lun()
    result = t.expect(validate(t, lun, stdin=""), REFUSED, "")
    t.matches("not confirmed\n.*use --yes", result.err, "message")


@test
def two_units(t):
    """Another file is another unit."""
    result = t.ctl("validate", "--profiles", PROFILES, "--for=all", *t.host("a"), "--yes",
                   "--second", t.make_lun(), t.make_lun())
    t.matches("are different logical units", t.expect(result, REFUSED, "").err, "message")


@test
def cannot_begin(t):
    lun = t.make_lun()
    t.expect(validate(t, lun + ".none", "--yes"), DEVICE, "")
    t.expect(t.ctl("validate", "--profiles", PROFILES, "--for=all", "-k", "/none", "--yes", lun),
             HELPER, "")
    t.expect(validate(t, lun, "--yes", software="beos"), USAGE, "")
    result = t.ctl("validate", "--profiles=/none", "--for=all", *t.host("a"), "--yes", lun)
    t.matches("quirks.json: No such file.*\n.*--profiles; in a source tree it is dist/validate",
              t.expect(result, INTERNAL, "").err, "message")
    t.expect(t.ctl("validate", "--profiles", PROFILES, "--for=all"), USAGE, "")


@test
def hangs(t):
    """A device that does not answer: no verdict, soon."""
    lun = t.make_lun()
    t.fault(lun, "hang")
    result = t.expect(validate(t, lun, "--yes", "--timeout=0.3"), UNKNOWN, "")
    t.matches("READ KEYS: .*\n  Nothing was changed", result.err, "message")


@test
@limit(60)
def interrupted(t):
    """SIGINT in the middle: it ends, and tidies up before."""
    lun = t.make_lun()
    t.fault(lun, "latency 30")
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, "--for=pacemaker", *t.host("a"), "--second",
         t.lab.simulator().sockets["b"], "--yes", lun], env=environment(None),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while not t.ctl("keys", "--json", *t.host("b"), lun).json["keys"]:
        t.check(time.monotonic() < deadline, "it registers nothing")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=scaled(20))
    t.equal(process.returncode, UNKNOWN, "exit status")
    t.matches("interrupted\n  No registration and no reservation is left", err, "message")
    t.matches("^pacemaker +could not be determined$", out, "verdict")
    untouched(t, lun)


@test
@limit(60)
def fails_midway(t):
    """The device is lost in the middle: what is left is said, with what to do about it."""
    lun = t.make_lun()
    t.fault(lun, "latency 30")
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, "--for=pacemaker", *t.host("a"), "--second",
         t.lab.simulator().sockets["b"], "--yes", lun], env=environment(None),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while not t.ctl("keys", "--json", *t.host("b"), lun).json["keys"]:
        t.check(time.monotonic() < deadline, "it registers nothing")
    t.fault(lun, "status 08")
    _, err = process.communicate(timeout=scaled(20))
    t.equal(process.returncode, UNKNOWN, "exit status")
    t.matches("cannot clean up: READ KEYS: status 08", err, "message")
    t.matches(r"Warning: .*all hosts:\n +qemu-pr-ctl register-ignore --new-key=99 -k .*\n"
              r" +qemu-pr-ctl clear --key=99 -k ", err, "advice")


@test
def report(t):
    """For a ticket: as text, and the same as JSON."""
    lun, path = t.make_lun(), os.path.join(t.directory(), "report")
    t.fault(lun, "quirk no-aptpl")
    t.expect(validate(t, lun, "--yes", "--report", path), TROUBLE)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(f"{path}.json", encoding="utf-8") as file:
        whole = json.load(file)
    for wanted in (r"^version +qemu-pr-ctl \d", r"^library +libprhelper \d", "^kernel +Linux ", "^date +2",
                   "^windows +WILL NOT PASS$", "PREEMPT, key 0x[0-9a-f]+, victim's key 0x[0-9a-f]+, type 5$",
                   r"^        GOOD, after \d+\.\d\d ms$", r"^    \[4\] MS-CSVP"):
        t.matches(wanted, text, "text")
    t.equal(verdicts(whole)["windows"], "fail", "JSON")
    t.check(any(step.get("data") for _, _, step in steps(whole)), "no answer's data")


@test
def dry_run(t):
    """What would be sent, and nothing is."""
    lun = t.make_lun()
    text = t.expect(validate(t, lun, "--dry-run", software="pacemaker"), GOOD, err="").out
    t.matches("^    B: PREEMPT AND ABORT, key 0x70720002, victim's key 0x70720001, type 5$", text, "text")
    t.expect(validate(t, lun, "--dry-run", "--json"), GOOD, err="")
    t.equal(t.ctl("keys", "--json", *t.host("b"), lun).json["generation"], 0, "PRgeneration")


@test
@limit(60)
def another_host_comes(t):
    """It registers during the run: its registration stays, and ours go."""
    lun = t.make_lun()
    t.fault(lun, "latency 100")
    reading = [{"id": "2", "nexus": "A", "do": "keys", "report": True, "go_on": True}] * 10
    own = profile(t, sequences=[{"name": name, "nexuses": 1, "steps": [
        {"id": "1", "nexus": "A", "do": "register-ignore", "new": "k", "expect": "good"}, *reading]}
        for name in ("one", "two")])
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, f"--for={own}", *t.host("a"), "--yes", lun],
        env=environment(None), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while not t.ctl("keys", "--json", *t.host("b"), lun).json["keys"]:
        t.check(time.monotonic() < deadline, "it registers nothing")
    t.expect(t.ctl("register", "-S", "abc", *t.host("b"), lun), GOOD)
    _, err = process.communicate(timeout=scaled(30))
    t.equal(process.returncode, UNKNOWN, "exit status")
    t.matches("another host has registered meanwhile, with key 0xabc\n.*in use", err, "message")
    t.check("clear" not in err, "advice to clear")
    t.equal(t.ctl("keys", "--json", *t.host("b"), lun).json["keys"], ["0x0000000000000abc"], "keys")


@test
def unread_at_first(t):
    """A device that is busy once, and has a registration: it is not taken for unused."""
    fake = t.fake(reply(status=scsi.BUSY).encode(), *[reply(payload=scsi.read_keys_data(5)).encode()] * 9)
    result = t.expect(t.ctl("validate", "--profiles", PROFILES, "--for=pacemaker", "--yes", "-k",
                            fake.path, t.make_lun()), UNKNOWN, "")
    t.matches("could not be read at first", result.err, "message")
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")


def needs_device(t):
    if os.geteuid() != 0:
        raise Skip("only root has loop devices")
    return t.disk


@test
def something_on_it(t):
    """A file system is not overwritten; without --force nothing is sent."""
    disk = needs_device(t)
    helper = t.lab.helper()
    t.disk.answer(data=bytes(8))
    subprocess.run(["mkfs.ext2", "-q", "-F", disk.path], check=True, capture_output=True)
    try:
        result = t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "-k",
                       helper.socket_path, disk.path)
        t.matches("it is not empty: ext2", t.expect(result, REFUSED, "").err, "message")
        t.equal({call.cdb[:1].hex() for call in disk.calls()}, {"5e"}, "commands")
    finally:
        subprocess.run(["wipefs", "-q", "-a", disk.path], check=True)
