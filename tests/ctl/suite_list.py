# SPDX-License-Identifier: LGPL-2.1-or-later
"""list on hosts that are made up: a /sys and a /dev of the test's own, whose disks are units of the
simulator, and status sockets that say what a test tells them."""
import os
import subprocess
import time

from simulator.fixture import Simulator
from support import scaled, scsi
from support.client import check_condition, reply
from support.sysfs import write
from support.tap import Skip, cases, limit, test

from ctl.fixture import GOOD, hexkey
from ctl.machine import Registrant, full_status, iscsi_port, reservation
from ctl.status_server import StatusServer, example

UNIT = "naa.60014051111111111111111111111111"  # of the status document's first device
A, B = "iqn.2026-11.simulator:a", "iqn.2026-11.simulator:b"
#: Stops the program as soon as the process that asks is there, until its time is over by far.
LATE = '''"$@" & until pgrep -P $! >/dev/null; do kill -0 $! || exit 98; done
kill -STOP $!; sleep SECONDS; kill -CONT $!; wait $!'''
#: What is promised, however many devices there are and no matter what hangs.
PROMISED = 5.0


class Machine:
    """Its /sys/block, its /dev, a directory of status sockets."""

    def __init__(self, t):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False,
                                               stderr=subprocess.DEVNULL).returncode != 0:
            raise Skip("no namespaces to be had: no root, or a container")
        self.t, self.directory = t, t.directory()
        for name in ("sys/block", "dev", "status"):
            os.makedirs(self.path(name))
        with open(self.path("dev/null"), "wb"):  # a shell opens it for what it starts with &
            pass
        self.options = ["-k", t.lab.simulator().sockets["a"]]

    def path(self, name):
        return os.path.join(self.directory, name)

    def _node(self, name):
        """Its node is a unit of the simulator."""
        path = self.path(f"dev/{name}")
        with open(path, "wb"):
            pass
        return path

    def disk(self, name, unit="", kind="0", holder=""):
        block = self.path(f"sys/block/{name}")
        write(f"{block}/dev", "8:0\n")
        write(f"{block}/device/scsi_level", "7\n")
        write(f"{block}/device/type", f"{kind}\n")
        if unit:
            write(f"{block}/device/wwid", f"{unit}\n")
        if holder:
            os.makedirs(f"{block}/holders/{holder}")
        return self._node(name)

    def map(self, number, name, unit, *paths, uuid="mpath-36001405"):
        block = self.path(f"sys/block/dm-{number}")
        write(f"{block}/dev", f"253:{number}\n")
        write(f"{block}/dm/uuid", f"{uuid}{number:024d}\n")
        write(f"{block}/dm/name", f"{name}\n")
        for path in paths:
            self.disk(path, unit, holder=f"dm-{number}")
            os.makedirs(f"{block}/slaves/{path}")
        return self._node(f"dm-{number}")

    def status(self, name, document, hang=False):
        server = StatusServer(self.path(f"status/{name}.sock"), [document], hang)
        self.t.cleanup.callback(server.close)

    def list(self, *argv, timeout=30, script='exec "$@"'):
        script = f'''mount --bind "$0/sys" /sys && mount --bind /dev/null "$0/dev/null" &&
mount --rbind "$0/dev" /dev || exit 99; {script}'''
        return self.t.run("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script,
                          self.directory, self.t.lab.ctl, "list", *self.options, "-s",
                          self.path("status"), *argv, timeout=timeout)

    def units(self, *argv, **arguments):
        result = self.t.expect(self.list("--json", *argv, **arguments), GOOD, err="")
        return {one["name"]: one for one in result.json["units"]}


def reserve(t, path, kind="5"):
    """Host a is registered, host b holds the reservation."""
    for host, key in (("a", "a1"), ("b", "b1")):
        t.expect(t.ctl("register", f"--new-key={key}", *t.host(host), path), GOOD)
    t.expect(t.ctl("reserve", "--key=b1", f"--type={kind}", *t.host("b"), path), GOOD)


@test
def one_line_each(t):
    machine = Machine(t)
    reserve(t, machine.disk("sda", UNIT))
    machine.disk("sdb", "naa.5")
    reserve(t, machine.map(0, "mpatha", "naa.6", "sdc", "sdd"), "7")
    machine.disk("sde", kind="5")  # a CD
    machine.map(1, "vg-lv", "", uuid="LVM-")
    units = machine.units()
    t.equal(sorted(units), ["mpatha", "sda"], "units with reservations")
    one = units["sda"]
    t.equal((one["state"], one["registrations"], one["reserved"], one["key"], one["type"], one["holder"],
             one["unit"], one["map"]),
            ("answered", 2, True, hexkey(0xb1), 5, B, UNIT, False), "sda")
    t.equal(one["hosts"], [{"initiator": A, "registrations": 1}, {"initiator": B, "registrations": 1}],
            "hosts of sda")
    t.equal((units["mpatha"]["unit"], units["mpatha"]["key"], units["mpatha"]["map"]),
            ("naa.6", hexkey(0), True), "the map")
    t.equal(sorted(machine.units("--all")), ["mpatha", "sda", "sdb"], "all")
    text = t.expect(machine.list(), GOOD, err="").out
    t.matches(rf"^{UNIT}  sda     {hexkey(0xb1)} {B}  write-exclusive-registrants-only  2: {A}, {B}  -  "
              rf"  -$", text,
              "line of sda")
    t.matches("^naa.6 +mpatha  all registrants ", text, "line of the map")


@test
def machines_and_alarms(t):
    """Of all helpers of the node, by the unit's name; one that hangs and one that lies are passed."""
    machine = Machine(t)
    reserve(t, machine.disk("sda", UNIT))
    machine.status("one", example())
    machine.status("mute", b"", hang=True)
    machine.status("liar", b"[1, 2")
    one = machine.units()["sda"]
    t.equal(one["vms"], 'build "7"', "virtual machines")
    t.check("HungCommand" in one["alarms"], f"alarms: {one['alarms']}")
    t.matches('build "7"  .*HungCommand', machine.list().out, "line")


@test
def nothing(t):
    machine = Machine(t)
    t.expect(machine.list(), GOOD, "this host has no SCSI disk and no multipath map\n", "")
    machine.disk("sda", UNIT)
    t.matches("^no reservations are used", t.expect(machine.list(), GOOD, err="").out, "text")


@test
def no_helper(t):
    """What could not be asked is listed, since it is not known that nothing is used there."""
    machine = Machine(t)
    machine.disk("sda", UNIT)
    machine.options = ["-k", "/none"]
    one = machine.units()["sda"]
    t.equal((one["state"], one["problem"]), ("failed", "No such file or directory"), "sda")


@test
def has_no_reservations(t):
    machine = Machine(t)
    t.fault(machine.disk("sda", UNIT), "sense 5/20/00")
    t.equal(machine.units(), {}, "without --all")
    t.equal(machine.units("--all")["sda"]["state"], "none", "state")


@test
def text_of_others(t):
    """What a unit or a map is called cannot do anything to a terminal."""
    machine = Machine(t)
    reserve(t, machine.map(0, "map\x1b[2J", "t10.\x1b[31m", "sdb"))
    text = t.expect(machine.list(), GOOD, err="").out
    t.check("\x1b" not in text, text)
    t.matches(r"^t10\.\\x1b\[31m +map\\x1b\[2J ", text, "line")


@cases(("some", 60), ("all", 500))
@limit(90)
def five_hundred_maps(t, hanging):
    """Within 5 s; each that answers is told of, and the rest is named."""
    machine, directory = Machine(t), t.directory()
    faults = os.path.join(directory, "faults")
    options = ["--device-latency=60000"] if hanging == 500 else ["--faults", faults]
    simulator = Simulator(t.lab.simulator_binary, directory, ("a", "b"), options).wait_ready()
    t.cleanup.callback(simulator.close)
    paths = [machine.map(number, f"mpath{number}", f"naa.{number}", f"sd{number}")
             for number in range(500)]
    registered = paths[99::100] if hanging < 500 else []
    for path in registered:
        t.expect(t.ctl("register", "--new-key=1", "-k", simulator.sockets["b"], path), GOOD)
    with open(faults, "w", encoding="utf-8") as file:
        file.writelines(f"{path} hang\n" for path in paths[:hanging])
    machine.options = ["-k", simulator.sockets["a"]]
    began = time.monotonic()
    units = machine.units("--all")
    took = time.monotonic() - began
    os.unlink(faults)
    print(f"# {hanging} of 500 hang: {took:.1f} s")
    t.equal(len(units), 500, "units")
    t.equal(sum(one["state"] == "silent" for one in units.values()), hanging,
            "units that do not answer")
    t.equal(sum(one.get("registrations", 0) for one in units.values()), len(registered),
            "registrations")
    t.check(took < scaled(PROMISED), f"{took:.1f} s")


@cases(("its answer", "latency {latency}", "answered"), ("silence", "hang", "silent"))
@limit(60)
def late(t, fault, state):
    """A program that gets no processor takes what was said in time, and a device's silence for
    silence, not for an error of its own process."""
    machine = Machine(t)
    one, other = machine.disk("sda", UNIT), machine.disk("sdb", UNIT)
    allowed = scaled(2)
    fault = fault.format(latency=round(200 * allowed))  # of two commands: less than half of the time
    t.fault(one, f"{fault}\n{other} {fault}")
    units = machine.units("--all", f"--timeout={allowed}",
                          script=LATE.replace("SECONDS", str(allowed + 1)))
    t.equal([(one["state"], one.get("problem")) for one in units.values()], 2 * [(state, None)],
            "units")


@test
@limit(60)
def killed_child_is_gone(t):
    """The process that asks ends with the program."""
    machine = Machine(t)
    t.fault(machine.disk("sda", UNIT), "hang")
    t.equal(machine.units()["sda"]["state"], "silent", "state")
    deadline = time.monotonic() + scaled(10)
    while any(t.lab.ctl in command for command in commands()):
        t.check(time.monotonic() < deadline, "there is one still")


def commands():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield file.read().split(b"\0")[0].decode(errors="replace")
        except OSError:
            pass


def told_by(t, held):
    """A machine with one disk, which has one registration and answers READ RESERVATION so."""
    keys = reply(payload=scsi.read_keys_data(1)).encode()
    fake = t.fake(keys, keys, held.encode(), check_condition(5, 0x24, 0).encode())
    machine = Machine(t)
    machine.options = ["-k", fake.path]
    machine.disk("sda", UNIT)
    return machine


@test
def reservation_unread(t):
    """That it could not be read is not that there is none."""
    one = told_by(t, check_condition(4, 0x44, 0)).units()["sda"]
    t.equal((one["state"], one["problem"]), ("failed", "READ RESERVATION failed"), "sda")


@test
def unknown_type(t):
    """A type that SPC-4 reserves."""
    text = t.expect(told_by(t, reply(payload=reservation(1, 15))).list(), GOOD, err="").out
    t.matches(" of unknown type 15 ", text, "line")


@cases(("nothing", b"", 1), ("half a header", bytes(4), 1), ("no descriptors", bytes(8), 1),
       ("a thousand", None, 1000))
def full_status_short(t, data, count):
    """READ FULL STATUS with GOOD that names few or none: the registrations are counted by READ KEYS."""
    registered = range(1, count + 1)
    if data is None:
        data = full_status(*(Registrant(key, iscsi_port(f"iqn.2026-01.org.example:h{key}"), 1, 0)
                             for key in registered))[:8192]
    answers = {0: scsi.read_keys_data(*registered), 1: reservation(1, 5), 3: data}
    fake = t.fake(by_action={action: reply(payload=given).encode() for action, given in answers.items()})
    machine = Machine(t)
    machine.options = ["-k", fake.path]
    machine.disk("sda", UNIT)
    one = machine.units()["sda"]
    t.equal((one["state"], one["registrations"], one["key"]), ("answered", count, hexkey(1)), "sda")


@test
def more_than_an_answer_holds(t):
    """There is room for 1,023 keys: of more it is said that they are too many, and not a number."""
    keys = scsi.read_keys_data(*range(1, 1501))[:8192]
    answers = {0: keys, 1: reservation(1, 5), 3: bytes(8)}
    fake = t.fake(by_action={action: reply(payload=given).encode() for action, given in answers.items()})
    machine = Machine(t)
    machine.options = ["-k", fake.path]
    machine.disk("sda", UNIT)
    one = machine.units()["sda"]
    t.equal((one["state"], one["problem"]), ("failed", "it has more registrations than fit into an answer"),
            "sda")
