# SPDX-License-Identifier: LGPL-2.1-or-later
"""--faults: LUNs that hang, are slow or fail as a file says."""
import os
import re
import signal
import time

from support import scsi
from support.client import check_condition, reply
from support.process import serving
from support.tap import cases, test
from support.tree import TOP

WANT = "expected LUN and hang, latency MS, status HEX, sense K/AA/QQ or quirk NAME"


class Scene:
    """A simulator with a faults file, and a LUN that the file may name."""

    def __init__(self, t, text=None, *options):
        self.t = t
        self.lun = t.make_lun()
        self.path = os.path.join(t.directory(), "faults")
        if text is not None:
            self.write(text)
        self.simulator = t.start("--faults", self.path, *options)
        self.host = t.host(self.simulator, "a", self.lun)

    def write(self, text):
        """As an editor does it: a new file in the place of the old one."""
        with open(self.path + "~", "w", encoding="utf-8") as file:
            file.write(text.replace("LUN", self.lun))
        os.rename(self.path + "~", self.path)


@cases(*((fault, fault, wanted) for fault, wanted in (
    ("status 28", reply(scsi.TASK_SET_FULL)), ("status 8", reply(scsi.BUSY)),
    ("status 18", reply(scsi.RESERVATION_CONFLICT)), ("status 0x40", reply(0x40)),
    ("status ff", reply(0xFF)), ("sense 4/44/00", check_condition(4, 0x44, 0)),
    ("sense 2/4/0", check_condition(2, 4, 0)),
    ("sense F/ff/FF", check_condition(15, 0xFF, 0xFF)))))
def chosen_answer(t, fault, wanted):
    """For both commands; the command is not executed."""
    scene = Scene(t, f"LUN {fault}\n")
    t.replied(scene.host.query(), wanted, "READ KEYS")
    t.replied(scene.host.register(1), wanted, "REGISTER")
    scene.write("")
    t.equal(scene.host.keys(), (0, []), "keys")


@test
def other_luns_are_well(t):
    scene = Scene(t, "LUN status 28\n")
    other = t.host(scene.simulator, "a", t.make_lun())
    t.good(other.register(1), "REGISTER on the other LUN")
    t.equal(scene.host.query().status, scsi.TASK_SET_FULL, "status")


@test
def any_name_of_the_lun(t):
    scene = Scene(t, "")
    os.symlink(scene.lun, scene.lun + "-symlink")
    scene.write("LUN-symlink status 8\n")
    t.equal(scene.host.query().status, scsi.BUSY, "status")


@test
def latency(t):
    scene = Scene(t, "LUN latency 200\n")
    began = time.monotonic()
    t.good(scene.host.register(1), "REGISTER, which is executed")
    t.check(time.monotonic() - began >= 0.2, "the command took less than its latency")
    scene.write("")
    t.equal(scene.host.keys(), (1, [1]), "keys")


@test
def hang(t):
    """Until the line goes; meanwhile it holds up no other, not even on the same nexus."""
    scene = Scene(t, "LUN hang\n")
    scene.host.connection.send_request(scsi.pr_in(8), [scene.host.lun])
    other = t.host(scene.simulator, "a", t.make_lun())
    t.good(other.register(1), "REGISTER on another LUN")
    t.check(not scene.host.connection.readable(0.2), "it did not hang")
    scene.write("# nothing any more\n")
    t.equal(scene.host.connection.receive_reply(), reply(payload=bytes(8)), "answer")


@test
def hang_becomes_an_error(t):
    scene = Scene(t, "LUN hang\n")
    scene.host.connection.send_request(scsi.pr_in(8), [scene.host.lun])
    t.check(not scene.host.connection.readable(0.1), "it did not hang")
    scene.write("LUN sense B/2E/02\n")
    t.equal(scene.host.connection.receive_reply(), check_condition(0xB, 0x2E, 2), "answer")


@test
def many_hang(t):
    scene = Scene(t, "LUN hang\n")
    hung = [t.host(scene.simulator, "a", scene.lun) for _ in range(50)]
    for host in hung:
        host.connection.send_request(scsi.pr_in(8), [host.lun])
    other = t.host(scene.simulator, "b", t.make_lun())
    for key in range(1, 20):
        t.good(other.register(key, old=key - 1), "REGISTER on another LUN")
    os.unlink(scene.path)
    for host in hung:
        t.equal(host.connection.receive_reply(), reply(payload=bytes(8)), "answer")


@test
def end_while_a_lun_hangs(t):
    scene = Scene(t, "LUN hang\n")
    scene.host.connection.send_request(scsi.pr_in(8), [scene.host.lun])
    t.check(not scene.host.connection.readable(0.1), "it did not hang")
    scene.simulator.signal(signal.SIGTERM)
    t.equal(scene.simulator.wait_exit(5), 0, "exit code")
    t.equal(scene.host.connection.receive_rest(), b"", "sent before closing")
    for path in scene.simulator.sockets.values():
        t.check(not os.path.lexists(path), f"{path} was left behind")


@test
def client_gone_while_its_lun_hangs(t):
    scene = Scene(t, "LUN hang\n")
    scene.host.connection.send_request(scsi.pr_out(24) + scsi.parameters(0, 7), [scene.host.lun])
    t.check(not scene.host.connection.readable(0.1), "it did not hang")
    scene.host.connection.close()
    t.check(serving(scene.simulator.sockets["a"]), "it does not serve any more")
    os.unlink(scene.path)
    host = t.host(scene.simulator, "a", scene.lun)
    t.eventually("the command is executed all the same", lambda: host.keys() == (1, [7]))


@test
def need_not_exist(t):
    scene = Scene(t)
    t.good(scene.host.register(1))
    scene.write("LUN status 8\n")
    t.equal(scene.host.query().status, scsi.BUSY, "status")
    os.unlink(scene.path)
    t.equal(scene.host.query().status, scsi.GOOD, "status")
    scene.write("LUN status 8\n")
    t.equal(scene.host.query().status, scsi.BUSY, "status")
    t.equal(scene.simulator.log().count("\n"), 1, "lines on standard error")


@test
def every_change_counts(t):
    """Files of the same size, written faster than the clock of the file system ticks."""
    scene = Scene(t, "LUN status 8\n")
    for _ in range(100):
        for status in (scsi.TASK_SET_FULL, scsi.BUSY):
            scene.write(f"LUN status {status:02x}\n")
            t.equal(scene.host.query().status, status, "status")


@test
def comments_and_blanks(t):
    scene = Scene(t, "# LUN hang\n\n   \t\n \tLUN\t status   8 \t# busy\r\n#")
    t.equal(scene.host.query().status, scsi.BUSY, "status")
    t.equal(scene.simulator.log().count("\n"), 1, "lines on standard error")


@cases("LUN", "hang", "LUN frob", "LUN hang 1", "LUN latency", "LUN latency x", "LUN latency -1",
       "LUN latency 3600001", "LUN latency 1 2", "LUN status", "LUN status 100",
       "LUN status 100000028", "LUN status -8", "LUN status g", "LUN status 8x", "LUN status 0x",
       "LUN sense", "LUN sense 4", "LUN sense 4/44", "LUN sense 4/44/00/1", "LUN sense 10/44/00",
       "LUN sense 4/144/00", "LUN sense 4/44/100", "LUN sense 4/+4/00", "LUN sense 4/44/",
       "LUN sense 100000004/44/00", "LUN sense 4/ 44/00", "LUN quirk", "LUN quirk frob",
       "LUN quirk no-aptpl 1", "LUN quirk no-")
def bad_line(t, line):
    """Said once, with its number; it does nothing, and the other lines count."""
    other = t.make_lun()
    scene = Scene(t, f"# first\n{line}\n{other} status 8\n")
    t.equal(scene.host.query().status, scsi.GOOD, "status")
    t.equal(t.host(scene.simulator, "a", other).query().status, scsi.BUSY, "the other's status")
    t.equal(scene.simulator.log().splitlines()[1:],
            [f"qemu-pr-simulator: {scene.path}:2: {WANT}"], "standard error")


@test
def no_such_lun(t):
    scene = Scene(t, "/nowhere/lun hang\nLUN status 8\n")
    t.equal(scene.host.query().status, scsi.BUSY, "status")
    t.equal(scene.simulator.log().splitlines()[1:],
            [f"qemu-pr-simulator: {scene.path}:1: /nowhere/lun: No such file or directory"],
            "standard error")


@test
def too_many_lines(t):
    """The first 64 count."""
    scene = Scene(t, "")
    others = os.path.dirname(t.make_lun("0"))
    for number in range(1, 64):
        t.own(os.open(os.path.join(others, str(number)), os.O_CREAT | os.O_CLOEXEC))
    scene.write("".join(f"{others}/{number} status 8\n" for number in range(64)) +
                "LUN status 8\n")
    t.equal(scene.host.query().status, scsi.GOOD, "status")
    t.equal(t.host(scene.simulator, "a", os.path.join(others, "63")).query().status, scsi.BUSY,
            "status of the 64th")
    t.equal(scene.simulator.log().splitlines()[1:],
            [f"qemu-pr-simulator: {scene.path}:65: more than 64 faults"], "standard error")


@test
def file_too_large(t):
    """Half of a line must not be taken for a whole one."""
    scene = Scene(t, "")
    scene.write("LUN status 8\n" + "#" * 20000 + "\n")
    t.equal(scene.host.query().status, scsi.GOOD, "status")
    t.equal(scene.simulator.log().splitlines()[1:],
            [f"qemu-pr-simulator: cannot read {scene.path}: File too large"], "standard error")


@test
def unreadable_file(t):
    scene = Scene(t)
    os.mkdir(scene.path)
    for _ in range(2):
        t.equal(scene.host.query().status, scsi.GOOD, "status")
    t.equal(scene.simulator.log().splitlines()[1:],
            [f"qemu-pr-simulator: cannot read {scene.path}: Is a directory"], "standard error")


@test
def quirks_of_the_manual(t):
    """Each that the page names is one that the file may name, and no other."""
    with open(os.path.join(TOP, "man", "qemu-pr-simulator.1.rst"), encoding="utf-8") as file:
        page = file.read().partition("Quirks that violate the standard")[2].partition("SEE ALSO")[0]
    with open(os.path.join(TOP, "src", "simulator", "quirk.c"), encoding="utf-8") as file:
        names = re.findall(r"^    \[QUIRK_\w+\] = \"([a-z0-9-]+)\",$", file.read(), re.MULTILINE)
    t.equal(sorted(re.findall(r"\*\*([a-z0-9-]+)\*\*", page)), sorted(names), "quirks")
    scene = Scene(t, "".join(f"LUN quirk {name}\n" for name in names))
    scene.host.query()
    t.equal(scene.simulator.log().count("\n"), 1, "lines on standard error")
