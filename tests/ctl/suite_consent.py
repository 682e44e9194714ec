# SPDX-License-Identifier: LGPL-2.1-or-later
"""Before a command that can take something from others: the question, --yes, --dry-run."""
import os
import subprocess

from support import scaled, scsi, terminal
from support.client import check_condition, reply
from support.process import environment
from support.tap import cases, test

from ctl.fixture import GOOD, REFUSED, hexkey
from ctl.machine import Registrant, full_status, iscsi_port, reservation

INITIATOR = "iscsi:iqn.2026-11.simulator:{},i,0x000000000001"
KIND = "write-exclusive-registrants-only"
NO_TERMINAL = "  Standard input is not a terminal, so the question cannot be asked: use --yes."

#: What asks, and which hosts' registration and reservation it takes, where host a holds the
#: reservation with key 1 and host b, which sends it, is registered with key 2.
ASKING = (
    ("preempt", ["-K", "2", "-S", "1", "-T", "5"], {"a": (True, True)}),
    ("preempt-abort", ["-K", "2", "-S", "1", "-T", "5"], {"a": (True, True)}),
    ("preempt", ["-K", "2", "-S", "2", "-T", "5"], {"b": (True, False)}),
    ("preempt", ["-K", "2", "-S", "9", "-T", "5"], {}),
    ("clear", ["-K", "2"], {"a": (True, True), "b": (True, False)}),
    ("register", ["-K", "2", "-S", "0"], {"b": (True, False)}),
    ("register", ["-S", "0"], {}),
    ("register-ignore", ["-S", "0"], {"a": (True, True), "b": (True, False)}),
    ("register-ignore", ["-S", "9"], {"a": (True, False), "b": (True, False)}),
    ("register-ignore", ["-S", "2"], {"a": (True, False)}),
    ("release", ["-K", "2", "-T", "7"], {}),
    ("release", ["-K", "2", "-T", "8"], {}))

#: What takes nothing, or what only the caller has.
SILENT = (["register", "-K", "2", "-S", "9"], ["reserve", "-K", "2", "-T", "5"],
          ["release", "-K", "2", "-T", "5"],
          ["register-move", "-K", "2", "-S", "9", "-X", "sas:5000c500a1b2c3d4", "-Q", "1"],
          ["replace-lost", "-S", "9", "-T", "1"])


class Scene:
    def __init__(self, t, kind="5"):
        self.t = t
        self.lun = t.make_lun()
        for host, new in (("a", "1"), ("b", "2")):
            t.expect(self.do(host, "register", "-S", new), GOOD)
        t.expect(self.do("a", "reserve", "-K", "1", "-T", kind), GOOD)

    def do(self, host, command, *argv, **arguments):
        return self.t.ctl(command, *argv, *self.t.host(host), self.lun, **arguments)

    def look(self):
        return self.do("a", "full-status", "-j").json["registrations"]


def losers(document):
    return {one["initiator"].split(":")[2][0]: (one["registration"], one["reservation"])
            for one in document["loses"]}


def named(cases_of):
    return [(f"{command} {' '.join(argv)}", command, argv, loses)
            for command, argv, loses in cases_of]


@cases(*named(ASKING))
def not_without_a_yes(t, command, argv, loses):
    scene = Scene(t)
    before = scene.look()
    result = t.expect(scene.do("b", command, *argv, "-j"), REFUSED)
    lines = result.err.splitlines()
    t.equal((lines[0], lines[-1]), (f"qemu-pr-ctl: {scene.lun}: {command}: not confirmed",
                                    NO_TERMINAL), "first and last line")
    t.equal(losers(result.json), loses, "who would lose what")
    t.equal(any(line.startswith("  Warning: ") for line in lines), bool(loses), "a warning")
    for host, what in loses.items():
        t.check(any(INITIATOR.format(host) in line and ("reservation" in line) == what[1]
                    for line in lines if line.startswith("    key ")), f"{host} is not in {lines}")
    for answer in ("n\n", "\n", "\x04", "x\n"):
        result = t.expect(scene.do("b", command, *argv, typed=answer), REFUSED, "")
        t.matches(r"Send it\? \[y/N\] qemu-pr-ctl: .*: not confirmed\n  Nothing was changed.\n$",
                  result.err, f"after {answer!r}")
    t.equal(scene.look(), before, "registrations")


@cases(*named(ASKING))
def with_a_yes(t, command, argv, loses):
    """The question and --yes have the same effect, and who loses it does."""
    left = []
    for options, arguments in ((["--yes"], {}), ([], {"typed": "y\n"}), ([], {"typed": "YES\n"})):
        scene = Scene(t)
        status = scene.do("b", command, *argv, *options, **arguments).status
        left.append((status, scene.look()))
    t.equal(left[1:], left[:1] * 2, "what came of it")
    after = {one["initiator"]: one for one in left[0][1]}
    lost = {host for host, key in (("a", 1), ("b", 2))
            if after.get(INITIATOR.format(host), {}).get("key") != hexkey(key)
            or (host == "a" and not after[INITIATOR.format(host)]["holder"])}
    t.check(lost <= set(loses), f"{lost} lost something, and only {set(loses)} was said")


@cases(*((" ".join(argv[:1]), argv) for argv in SILENT))
def others_do_not_ask(t, argv):
    result = Scene(t).do("b", *argv)
    t.check(result.status != REFUSED and "Send it?" not in result.err, result.err)


@test
def release_for_all(t):
    scene = Scene(t, "7")
    result = t.expect(scene.do("b", "release", "-K", "2", "-T", "7", "-j"), REFUSED)
    t.equal(losers(result.json), {"a": (False, True), "b": (False, True)}, "who would lose what")
    t.expect(scene.do("b", "release", "-K", "2", "-T", "7", typed="y\n"), GOOD)
    t.equal([one["holder"] for one in scene.look()], [False, False], "holders")


@cases(("named", full_status(Registrant(1, iscsi_port("iqn.2026-01.org.example:a"), 1, 5),
                             Registrant(2, iscsi_port("iqn.2026-01.org.example:b"), 1))),
       ("nameless", None))
def move_to_a_registered_host(t, status):
    """It has a key of its own, which is replaced by the new one."""
    target = "iqn.2026-01.org.example:b,i,0x00023d000001"
    move = ["register-move", "-K", "1", "-S", "9", "-X", target, "-Q", "1"]
    said = asked(t, [1, 2], reservation(1, 5), FAILED if status is None else status, *move)
    t.matches(f"^    key {hexkey(2)}.*: its key$", said, "loser")
    t.check(f"    key {hexkey(1)}" not in said, said)
    t.matches("^  Warning: .* loses its key", said, "warning")


@test
def preempt_of_all(t):
    scene = Scene(t, "7")
    result = t.expect(scene.do("b", "preempt", "-K", "2", "-S", "0", "-T", "7", "-j"), REFUSED)
    t.equal(losers(result.json), {"a": (True, True)}, "who would lose what")


@test
def news_is_not_lost(t):
    """What the device tells once, it may tell while it is read who would lose what."""
    scene = Scene(t)
    t.expect(scene.do("b", "preempt", "--yes", "-K", "2", "-S", "1", "-T", "5"), GOOD)
    result = t.expect(scene.do("a", "clear", "-K", "1", "-j"), REFUSED)
    t.equal([one["text"] for one in result.json["unit_attentions"]],
            ["UNIT ATTENTION, REGISTRATIONS PREEMPTED (6/2A/05)"], "unit attentions")
    t.matches(r"REGISTRATIONS PREEMPTED \(6/2A/05\): reported by the device; command sent again", result.err,
              "standard error")


@test
def register_ignore_on_a_free_disk(t):
    """None is registered, so there is nothing to ask."""
    lun = t.make_lun()
    t.expect(t.ctl("register-ignore", "-S", "1", *t.host("a"), lun), GOOD, err="")
    t.expect(t.ctl("register-ignore", "-S", "1", *t.host("a"), lun), GOOD, err="")


@test
def more_than_are_shown(t):
    """Sixteen lines, and how many more."""
    keys = scsi.read_keys_data(*[5] * 20)
    none = reply(payload=bytes(8)).encode()
    fake = t.fake(reply(payload=keys).encode(), none, none)
    result = t.expect(t.ctl("preempt", "-K", "1", "-S", "5", "-T", "1", "-k", fake.path,
                            t.make_lun()), REFUSED, "")
    t.equal(result.err.count(f"    key {hexkey(5)}: its registration\n"), 16, "lines")
    t.matches("^    and 4 more$", result.err, "the rest")


@cases(("keys", b""), ("keys, cut", scsi.read_keys_data(*range(1, 10))[:40]))
def cannot_be_read(t, answer):
    """Then it is said that it is not known, and asked all the same."""
    nothing = reply(payload=answer).encode()
    fake = t.fake(nothing, nothing, nothing)
    result = t.expect(t.ctl("register-ignore", "-S", "1", "-k", fake.path, t.make_lun()), REFUSED, "")
    t.matches("^  The registrations could not be read", result.err, "that it is not known")
    t.matches("^  Warning: ", result.err, "warning")


FAILED = check_condition(4, 0x44, 0).encode()


def asked(t, keys, held, status, *argv):
    """What is said before a command, by a device that tells that."""
    fake = t.fake(*(data if data == FAILED else reply(payload=data).encode()
                    for data in (scsi.read_keys_data(*keys), held, status)))
    return t.expect(t.ctl(*argv, "-k", fake.path, t.make_lun()), REFUSED, "").err


@cases("preempt", "preempt-abort", "clear", "register", "register-ignore", "release")
def reservation_unread(t, command):
    """A failed READ RESERVATION does not look as if there were no reservation."""
    argv = {"clear": ["-K", "2"], "register": ["-K", "2", "-S", "0"], "release": ["-K", "2", "-T", "7"],
            "register-ignore": ["-S", "0"]}.get(command, ["-K", "2", "-S", "1", "-T", "5"])
    said = asked(t, [1, 2], FAILED, FAILED, command, *argv)
    t.matches("^  The holder of the reservation could not be read", said, "that it is not known")
    t.matches("^  Warning: ", said, "warning")


@test
def all_of_an_unread_reservation(t):
    """Key 0 takes all others, if they hold the reservation together, which is not known."""
    said = asked(t, [1, 2], FAILED, FAILED, "preempt", "-K", "2", "-S", "0", "-T", "7")
    t.matches(f"^    key {hexkey(1)}: its registration", said, "loser")


@test
def holder_of_one_list_only(t):
    """READ FULL STATUS names no holder; by READ RESERVATION it is key 1."""
    status = full_status(*(Registrant(key, iscsi_port("iqn.2026-01.org.example:a"), 1, 0)
                           for key in (1, 2)))
    said = asked(t, [1, 2], reservation(1, 5), status, "preempt", "-K", "2", "-S", "1", "-T", "5")
    t.matches(f"^    key {hexkey(1)}, .*: its registration and the reservation$", said, "loser")


@test
def holder_that_is_not_listed(t):
    said = asked(t, [2], reservation(1, 5), FAILED, "preempt", "-K", "2", "-S", "1", "-T", "5")
    t.matches(f"^  Key {hexkey(1)} holds the reservation", said, "holder")
    t.matches("^  Warning: ", said, "warning")


@cases("1", "3")
def narrower_type(t, kind):
    """Those that are neither preempted nor the new holder lose the device by the type."""
    scene = Scene(t)
    t.expect(scene.do("b", "preempt", "-K", "2", "-S", "1", "-T", kind, typed="n\n"), REFUSED)
    t.check("stay" not in scene.do("b", "preempt", "-K", "2", "-S", "1", "-T", kind).err, "two hosts")
    said = asked(t, [1, 2, 3], reservation(1, 5), FAILED, "preempt", "-K", "2", "-S", "1", "-T", kind)
    t.matches("^  With the new type, .*, only this host may .*write: 1 that stays registered may "
              "not", said, "who is left out")
    said = asked(t, [1, 2, 3], reservation(1, 5), FAILED, "preempt", "-K", "2", "-S", "1", "-T", "6")
    t.check("With the new type" not in said, said)


@test
def changed_during_the_question(t):
    """Another host registers while it is asked: nothing is sent."""
    scene = Scene(t)
    with terminal.opened() as (person, stdin):
        process = subprocess.Popen(
            [t.lab.ctl, "clear", "-K", "2", *t.host("b"), scene.lun], env=environment(None),
            text=True, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        asked = ""
        while not asked.endswith("[y/N] "):
            piece = process.stderr.read(1)
            t.check(piece, f"no question, only {asked!r}")
            asked += piece
        t.expect(scene.do("a", "register", "-K", "1", "-S", "77"), GOOD)
        before = scene.look()
        os.write(person, b"y\n")
        _, error = process.communicate(timeout=scaled(10))
    t.equal(process.returncode, REFUSED, "exit status")
    t.matches("clear: the registrations or the reservation have changed in the meantime\n  Nothing was "
              f"sent. The effect would now be:\n  Key {hexkey(0x77)} holds", error, "message")
    t.equal(scene.look(), before, "registrations")


# -- --dry-run


@cases(*((" ".join([command, *argv]), [command, *argv]) for command, argv, _ in ASKING),
       *((" ".join(argv), argv) for argv in SILENT))
def dry_run(t, argv):
    """CDB and parameter list are those that the same command sends, and nothing changes."""
    scene = Scene(t)
    before = scene.look()
    shown = t.expect(scene.do("b", *argv, "--dry-run", "-j"), GOOD, err="").json
    t.equal(scene.look(), before, "registrations")
    fake = t.fake(reply().encode())
    sure = ["--yes"] if "--yes" in t.ctl(argv[0], "--help").out else []
    t.ctl(*argv, *sure, "-k", fake.path, scene.lun)
    cdb, parameters = fake.requests[0]
    t.equal((shown["cdb"], shown["parameter_list"]), (cdb[:10].hex(), parameters.hex()),
            "CDB and parameter list")
    text = t.expect(scene.do("b", *argv, "-N"), GOOD, err="").out
    digits = "".join(text.split("CDB")[1].split("\n  Key")[0].replace("parameter list", "").split())
    t.check(digits.startswith(shown["cdb"] + shown["parameter_list"]), text)


@test
def dry_run_opens_for_reading(t):
    if os.geteuid() != 0:
        lun = t.make_lun()
        os.chmod(lun, 0o444)
        t.expect(t.ctl("clear", "-K", "1", "-N", *t.host("a"), lun), GOOD)
        return
    t.disk.answer(scsi.read_keys_data(1))
    t.expect(t.ctl("clear", "-K", "1", "-N", "--direct", t.lab.disk().path,
                   env=t.lab.control().environment()), GOOD)
    calls = t.lab.disk().calls()
    t.equal({(call.cdb[0], call.access & os.O_ACCMODE) for call in calls},
            {(scsi.PR_IN, os.O_RDONLY)}, "on the device")


@test
def dry_run_of_cleanup(t):
    lun = t.make_lun()
    shown = t.expect(t.ctl("cleanup", "-N", "-j", *t.host("a"), lun), GOOD, err="").json
    t.equal((shown["cdb"], shown["parameter_list"]), ("ff", ""), "what would be sent")
    t.matches("not a multipath map", shown["warning"], "what it would do")
    t.expect(t.ctl("cleanup", *t.host("a"), lun), GOOD, "cleaned up\n", "")


@test
def readers_have_no_such_option(t):
    for command in ("keys", "full-status", "doctor", "status"):
        t.check("--dry-run" not in t.ctl(command, "--help").out, command)
