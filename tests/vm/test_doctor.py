# SPDX-License-Identifier: LGPL-2.1-or-later
"""qemu-pr-ctl doctor finds what is wrong, and names the remedy.

One fault is planted at a time, on a real multipath map with the real multipathd or on a plain disk;
what was right before must still be said to be right.
"""
import contextlib
import json
import os
import pwd
import re
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional

import context
import guest
import lab
import multipath
from support import scsi, tap
from support.process import Helper, Program, environment
from support.tap import cases, limit, test

PACKAGES = ["multipath"]

CTL = "/payload/bin/qemu-pr-ctl"
MAP = "mpatha"
NODE = f"/dev/mapper/{MAP}"
CONF = "/etc/multipath.conf"
KEY, OTHER_KEY = 0x123ABC, 0xDEF456
GOOD, CONFLICT, TROUBLE = 0, 7, 11
NOBODY = pwd.getpwnam("nobody").pw_uid
#: Checks of a map, in their order.
OF_MAP = ["helper", "socket", "protocol", "device", "writing", "reservations", "types",
          "power-loss", "answers", "map", "multipathd", "paths", "queueing", "reservation_key",
          "registrations", "nexus", "error-policy"]


class Finding(NamedTuple):
    verdict: str
    text: str
    remedy: str


class Report(NamedTuple):
    status: int
    checks: Dict[str, Finding]

    def of(self, verdict: str) -> List[str]:
        return [name for name, one in self.checks.items() if one.verdict == verdict]


class Lab:
    """Made once: a disk with its map and another host's plain view of it, and a helper."""

    def __init__(self, settings: dict) -> None:
        self.program = settings["helper"]
        self._started = 0
        for path, line in (("/etc/passwd", "qemu-pr-helper:x:701:701::/:/bin/false\n"),
                           ("/etc/group", "qemu-pr-helper:x:701:\n")):
            with open(path, "a", encoding="ascii") as accounts:
                accounts.write(line)
        self.daemons = multipath.Multipath()
        with open(CONF, encoding="ascii") as file:
            self.configuration = file.read()
        self.disk = lab.Backstore("shared")
        self.target = lab.Iscsi(self.disk, 3)
        self.other = lab.Loopback(self.disk).initiator
        self.daemons.wait_paths(MAP, 3)
        lab.wait_for(NODE, lambda: os.path.exists(NODE))
        self.helper = self.start("--socket-mode=0666")

    def start(self, *options: str, user: Optional[int] = None) -> Helper:
        self._started += 1
        directory = f"/run/helper{self._started}"
        os.mkdir(directory)
        if user is not None:
            os.chown(directory, user, -1)
        return Helper(self.program, directory, options, before_exec=lambda: user is None
                      or os.setuid(user)).wait_ready()

    def close(self) -> None:
        self.helper.close()
        self.daemons.close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.lab, self.daemons, self.other = shared, shared.daemons, shared.other
        self.daemons.wait_paths(MAP, 3)
        self.other.drain()
        lab.pr_out(self.other.fd, scsi.REGISTER_AND_IGNORE, action_key=OTHER_KEY)
        lab.pr_out(self.other.fd, scsi.CLEAR, key=OTHER_KEY)
        with contextlib.suppress(OSError):
            self.daemons.ask(f"unsetprstatus map {MAP}")
            self.daemons.ask(f"unsetprkey map {MAP}")
        for initiator in shared.target.initiators:
            initiator.drain()
        self._said = ""

    def run(self, *argv: str, user: Optional[int] = None,
            env: Optional[Dict[str, str]] = None) -> "subprocess.CompletedProcess[str]":
        result = subprocess.run([CTL, *argv], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, check=False, env=environment(env), user=user,
                                extra_groups=None if user is None else [])
        self._said = result.stdout + result.stderr
        return result

    def doctor(self, device: Optional[str] = None, socket: Optional[str] = None,
               **arguments) -> Report:
        """What it finds, by name of the check."""
        result = self.run("doctor", "--json", "-k", socket or self.lab.helper.socket_path,
                          *([device] if device else []), **arguments)
        answer = json.loads(result.stdout)
        checks = {one["check"]: Finding(one["verdict"], one["text"], one.get("remedy", ""))
                  for one in answer["checks"]}
        report = Report(result.returncode, checks)
        self.equal(answer["exit_status"], result.returncode, "exit status in the JSON")
        self.equal(report.status, TROUBLE if report.of("failure") else GOOD, "exit status")
        for name, one in checks.items():
            self.check(one.remedy or one.verdict in ("good", "unknown"),
                       f"{name}: {one.verdict} without a remedy")
        return report

    def finds(self, report: Report, check: str, verdict: str, text: str, remedy: str,
              also: "tuple[str, ...]" = ()) -> None:
        """This is found, and apart from it no failure but in `also`."""
        self.check(check in report.checks, f"{check} was left out")
        found = report.checks[check]
        self.equal(found.verdict, verdict, f"verdict of {check} ({found.text!r})")
        self.matches(text, found.text, f"text of {check}")
        self.matches(remedy, found.remedy, f"remedy of {check}")
        self.equal(sorted(set(report.of("failure")) - {check, *also}), [], "further failures")

    def configure(self, old: str, new: str) -> None:
        """Another multipath.conf, for this test."""
        self.check(old in self.lab.configuration, f"{old!r} is in multipath.conf")
        self.cleanup.callback(self._configure, self.lab.configuration)
        self._configure(self.lab.configuration.replace(old, new))

    def _configure(self, text: str) -> None:
        lab.write(CONF, text)
        self.equal(self.daemons.ask("reconfigure").strip(), "ok", "multipathd reconfigure")
        lab.wait_for("multipathd configured", lambda: re.search(
            r"\b(idle|running)$", self.daemons.ask("show daemon").strip()))
        self.daemons.wait_paths(MAP, 3)

    def qemu(self, name: str, device: str, flags: int = os.O_RDWR,
             policy: str = "werror=report") -> int:
        """A process with the command line of a QEMU that has the device open; its pid."""
        fd = os.open(device, flags | os.O_CLOEXEC)
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-c", "import sys; sys.stdin.read()", "-name", name,
             "-machine", "pc-q35-11.0", "-object",
             f"pr-manager-helper,id=pr0,path={self.lab.helper.socket_path}", "-blockdev",
             f"driver=host_device,node-name=d0,filename={device},pr-manager=pr0", "-device",
             f"scsi-block,drive=d0,{policy}"],
            executable=sys.executable, stdin=subprocess.PIPE, pass_fds=[fd])
        os.close(fd)

        def end() -> None:
            process.stdin.close()
            process.wait()
        self.cleanup.callback(end)
        # It is a process of that name only when the kernel has executed the program.
        lab.wait_for("the command line", lambda: "scsi-block,drive=d0" in lab.read(
            f"/proc/{process.pid}/cmdline"))
        return process.pid

    def register(self, key: int = KEY) -> None:
        multipath.persist(NODE, "--out", "--register-ignore", f"--param-sark={key:x}")

    def log(self) -> str:
        return "\n".join([self._said, *self.daemons.log(), *guest.kernel_log(20)])


open_lab = context.opener(Lab, Context)


def generation(t: Context) -> int:
    return t.lab.disk.generation()


# -- nothing is wrong


@test
def healthy_map(t: Context) -> None:
    report = t.doctor(NODE)
    t.equal(list(report.checks), OF_MAP, "checks")
    t.equal(report.of("failure"), [], "failures")
    t.equal(report.checks["device"].text, f"it is the multipath map {MAP} (dm-0)", "device")
    t.matches("^the map has 3 paths$", report.checks["map"].text, "map")
    t.matches(r"@/org/kernel/linux/storage/multipathd", report.checks["multipathd"].text, "socket")
    t.matches("'file'", report.checks["reservation_key"].text, "reservation_key")
    t.matches("^0 of 3 paths are registered; prstatus is unset$",
              report.checks["registrations"].text, "registrations")
    t.matches("(^| )5( |$)", report.checks["types"].text, "types")
    t.matches("RESERVATION CONFLICT.*Windows", report.checks["error-policy"].remedy, "hint")


@test
def healthy_registered_map(t: Context) -> None:
    t.register()
    report = t.doctor(NODE)
    t.equal(report.of("failure"), [], "failures")
    t.equal(report.checks["answers"].text,
            "READ KEYS and READ FULL STATUS agree: 3 registrations", "answers")
    # iscsi_tcp does not show which sessions they are of; the command that is named tells.
    found = report.checks["registrations"]
    t.equal((found.verdict, found.text),
            ("unknown", "3 of 3 paths may be registered, by 3 registrations of this host; /sys does not "
                        "show whether they are current"), "registrations")
    command = re.search("'qemu-pr-ctl (register --direct .*)'$", found.remedy)
    t.check(command, f"no command: {found.remedy}")
    before = generation(t)
    t.equal(t.run(*command[1].split()).returncode, GOOD, "the command on a registered path")
    lab.pr_out(t.other.fd, scsi.REGISTER, action_key=OTHER_KEY)
    asked = command[1].replace(f"{KEY:#x}", "0x77").split()
    t.equal(t.run(*asked).returncode, CONFLICT, "the same of a key that is not registered")
    t.check(generation(t) > before, "PRgeneration")


@test
def healthy_disk(t: Context) -> None:
    pid = t.qemu("debug-threads=on,guest=alpha", t.other.path)
    report = t.doctor(t.other.path)
    t.equal((report.of("failure"), report.of("warning")), ([], []), "findings")
    t.equal(report.checks["nexus"].text,
            f"one virtual machine of this host uses it: alpha (pid {pid})", "nexus")
    t.equal(report.checks["pr-manager"].text,
            f"the guest has it as scsi-block with a pr-manager: alpha (pid {pid})", "pr-manager")
    t.equal(report.checks["error-policy"].text, "errors are reported to the guest", "policy")
    t.matches(r"^it is a SCSI device, \d+:0:1:0: LIO-ORG ", report.checks["device"].text, "device")


@test
def helper_alone(t: Context) -> None:
    t.equal(list(t.doctor().checks), ["helper", "socket", "protocol"], "checks")


@test
def changes_nothing(t: Context) -> None:
    """No registration, and no open for writing, after which udev would look at the disk anew."""
    before = generation(t)
    with open("/sys/block/" + t.other.block + "/stat", encoding="ascii") as file:
        written = file.read().split()[4]
    t.doctor(t.other.path)
    t.doctor(NODE)
    t.equal(generation(t), before, "PRgeneration")
    with open("/sys/block/" + t.other.block + "/stat", encoding="ascii") as file:
        t.equal(file.read().split()[4], written, "writes")
    trace = subprocess.run(["strace", "-f", "-e", "trace=open,openat,write", "-o", "/run/trace",
                            CTL, "doctor", "-k", t.lab.helper.socket_path, NODE],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    t.equal(trace.returncode, GOOD, "exit status under strace")
    with open("/run/trace", encoding="utf-8", errors="replace") as file:
        calls = file.read()
    t.check(NODE in calls, "the trace shows the device")
    t.equal(re.findall(rf'.*"(?:{NODE}|/dev/dm-|/dev/sd).*O_(?:RDWR|WRONLY).*', calls), [],
            "opened for writing")


@test
def text_for_people(t: Context) -> None:
    result = t.run("doctor", "-k", t.lab.helper.socket_path, NODE)
    lines = result.stdout.splitlines()
    t.equal(result.stderr, "", "standard error")
    t.equal([line.split()[1] for line in lines if re.match(r"(ok|\?|warn|FAIL) ", line)], OF_MAP,
            "a line for each check")
    t.check(all(len(line) <= 84 for line in lines if line.startswith("    ")), "remedies are wrapped")
    t.matches(r"^0 failures, \d warnings?, \d not known, \d+ as it should be$", lines[-1], "summary")


# -- planted faults


@test
def helper_down(t: Context) -> None:
    t.finds(t.doctor(t.other.path, "/run/none"), "helper", "failure", "No such file",
            "start qemu-pr-helper")


@test
def helper_killed(t: Context) -> None:
    """It left a socket behind, as a helper without a keeper does."""
    helper = t.lab.start()
    path = helper.socket_path + "-left"
    os.rename(helper.socket_path, path)
    helper.close()
    t.finds(t.doctor(socket=path), "helper", "failure", "Connection refused",
            "start qemu-pr-helper again")


@test
def socket_mode(t: Context) -> None:
    """Seen by who may not connect, and by root, who always may."""
    helper = t.lab.start("--socket-mode=0600")
    t.cleanup.callback(helper.close)
    os.chmod(os.path.dirname(helper.socket_path), 0o755)
    t.finds(t.doctor(socket=helper.socket_path, user=NOBODY), "helper", "failure",
            "Permission denied", r"root:root 0600.*--socket-mode")
    t.finds(t.doctor(socket=helper.socket_path), "socket", "warning", "only its owner.*root:root 0600",
            "--socket-mode=0660")


@test
def read_only_node(t: Context) -> None:
    os.chmod(t.other.path, 0o444)
    t.cleanup.callback(os.chmod, t.other.path, 0o660)
    t.finds(t.doctor(t.other.path, user=NOBODY), "writing", "failure", "may not write",
            "needs write permission")
    t.finds(t.doctor(t.other.path), "writing", "failure", "node is read-only", "chmod u\\+w")


@test
def read_only_disk(t: Context) -> None:
    lab.run("blockdev", "--setro", t.other.path)
    t.cleanup.callback(lab.run, "blockdev", "--setrw", t.other.path)
    t.finds(t.doctor(t.other.path), "writing", "failure", "read-only", "blockdev --setrw")


@test
def read_only_fd(t: Context) -> None:
    """A virtual machine that has opened it for reading only."""
    pid = t.qemu("beta", t.other.path, os.O_RDONLY)
    t.finds(t.doctor(t.other.path), "access", "warning", rf"beta \(pid {pid}\)", "read-only=on")


@test
def no_reservations(t: Context) -> None:
    t.finds(t.doctor(lab.scsi_debug(dev_size_mb=8).path), "reservations", "failure", "5/20/00",
            "does not support persistent reservations")


@test
def helper_without_capability(t: Context) -> None:
    """The helper says of it what it says of a device that knows no reservations."""
    helper = t.lab.start("--socket-mode=0666", user=NOBODY)
    t.cleanup.callback(helper.close)
    t.finds(t.doctor(t.other.path, helper.socket_path), "reservations", "failure", "5/20/00",
            "lacks CAP_SYS_RAWIO")


@test
def partition(t: Context) -> None:
    path = lab.add_partition(t.other.path)
    t.cleanup.callback(lab.delete_partition, t.other.path)
    t.finds(t.doctor(path), "device", "failure", "is a partition",
            rf"whole disk, {t.other.path}\.")


@test
def logical_volume(t: Context) -> None:
    path = lab.add_map("vg-lv", "LVM-" + "a" * 64, f"0 2048 linear {t.other.path} 0")
    t.cleanup.callback(lab.remove_map, "vg-lv")
    t.finds(t.doctor(path), "device", "failure", "logical volume.*" + t.other.path,
            f"whole disk, {t.other.path}")


@test
def path_of_map(t: Context) -> None:
    t.finds(t.doctor(t.lab.target.initiators[0].path), "device", "failure",
            f"one path of the multipath map {MAP}$", f"/dev/mapper/{MAP}")


@test
@limit(60)
def path_down(t: Context) -> None:
    path = t.lab.target.initiators[0]
    path.offline()
    t.cleanup.callback(t.daemons.wait_paths, MAP, 3)
    t.cleanup.callback(path.online)
    t.daemons.wait_paths(MAP, 2, failed=1)
    t.finds(t.doctor(NODE), "paths", "warning", rf"^1 of 3 paths are down: {path.block} \(",
            f"multipath -ll {MAP}")


@test
@limit(60)
def multipathd_down(t: Context) -> None:
    def start() -> None:
        directory = "/run/multipathd-again"
        os.makedirs(directory, exist_ok=True)
        program = Program(["multipathd", "-d", "-s"], directory)
        t.daemons.programs["multipathd"] = program
        program.wait_until("answering", answers)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return "configure" not in t.daemons.ask("show daemon")
        return False

    t.daemons.programs["multipathd"].stop()
    t.cleanup.callback(start)
    t.finds(t.doctor(NODE), "multipathd", "failure",
            "@/org/kernel/linux/storage/multipathd nor at /run/multipathd.socket",
            "systemctl start multipathd")


@test
@limit(60)
def no_reservation_key(t: Context) -> None:
    t.configure("    reservation_key file\n", "")
    t.finds(t.doctor(NODE), "reservation_key", "failure", "not set", "'reservation_key file'")


@test
@limit(60)
def map_that_queues(t: Context) -> None:
    t.configure("no_path_retry fail", "no_path_retry queue")
    t.finds(t.doctor(NODE), "queueing", "warning", "no_path_retry queue", "'no_path_retry fail'")


@test
@limit(90)
def key_mismatch(t: Context) -> None:
    """The key of multipath.conf is not the one that the guest has registered."""
    t.register()
    t.configure("reservation_key file", "reservation_key 0xbad")
    report = t.doctor(NODE)
    t.finds(report, "registrations", "failure", "key mismatch.*0xbad.*0x123abc",
            "'reservation_key file'")
    t.equal(report.checks["reservation_key"].verdict, "warning", "a fixed key")


@test
@limit(90)
def key_of_one_map(t: Context) -> None:
    """A map's own setting goes before the defaults."""
    wwid = lab.read("/sys/block/dm-0/dm/uuid").partition("-")[2]
    t.configure("overrides {", f"multipaths {{\n multipath {{\n  wwid {wwid}\n"
                               "  reservation_key 0xcafe\n }\n}\noverrides {")
    t.finds(t.doctor(NODE), "reservation_key", "warning", "0xcafe", "'reservation_key file'")


@test
def path_not_registered(t: Context) -> None:
    t.register()
    path = t.lab.target.initiators[1]
    lab.pr_out(path.fd, scsi.REGISTER, key=KEY)
    t.cleanup.callback(path.close)
    t.finds(t.doctor(NODE), "registrations", "failure", "at most 2 of 3 paths", "register again")


@test
def shared_nexus(t: Context) -> None:
    """By the disk's own node and by its SCSI generic node: it is one I_T nexus."""
    first = t.qemu("guest=alpha", t.other.path)
    second = t.qemu("beta", t.other.generic_path)
    t.finds(t.doctor(t.other.path), "nexus", "failure",
            rf"^virtual machines share one I_T nexus: .*{min(first, second)}", "NPIV.*anti-affinity")


@test
def paused_upon_errors(t: Context) -> None:
    t.qemu("guest=alpha", t.other.path, policy="werror=stop")
    t.finds(t.doctor(t.other.path), "error-policy", "warning", "alpha", "werror=report")


@test
def hostile_name(t: Context) -> None:
    """What a virtual machine is called cannot do anything to a terminal."""
    t.qemu("guest=\x1b]0;evil\x07\u202egnp", t.other.path)
    result = t.run("doctor", "-k", t.lab.helper.socket_path, t.other.path)
    t.equal([character for character in result.stdout
             if not (character.isprintable() or character == "\n")], [], "unprintable")
    t.matches(r"\\x1b\]0;evil\\x07\\xe2\\x80\\xaegnp", result.stdout, "name")


@test
def no_such_device(t: Context) -> None:
    t.finds(t.doctor("/dev/sdzz"), "device", "failure", "No such file", "lsblk")


@test
def regular_file(t: Context) -> None:
    t.finds(t.doctor(CONF), "device", "failure", "regular file", "lsblk -S", ("reservations",))
