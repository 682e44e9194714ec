# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units of dist/systemd under a real systemd.

It is process 1 of a container, with a control group and all namespaces of its own but for the
network, as systemd-nspawn would start it; process 1 of the virtual machine stays guest.py. /run and
/dev are shared, so the tests themselves are clients from outside. What the service may and may not
do is found out by a probe that takes the helper's place in the very same unit.
"""
import contextlib
import grp
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import Dict, List, Optional

import apparmor
import container
import context
import guest
import lab
import multipath
from support import accounts, client, procfs, scsi, tap
from support.client import Connection
from support.tap import cases, limit, ours, test

PACKAGES = ["systemd", "multipath", "apparmor", "exporter"]
#: The units' confinement is to be seen on a kernel as users have it; and that the helper starts and
#: serves in it, also a map.
EMULATED = {"process": "Landlock", "what_the_worker_needs": "Landlock",
            "what_the_helper_needs": "Landlock", "no_status_directory": "Landlock",
            "apparmor_profile": "AppArmor"}

UNIT, SOCKET_UNIT = "qemu-pr-helper.service", "qemu-pr-helper.socket"
TEMPLATES = ("qemu-pr-helper@.service", "qemu-pr-helper@.socket")
SOCKET = "/run/qemu-pr-helper.sock"
PROGRAM = "/usr/bin/qemu-pr-helper"
WORKER = "/usr/libexec/qemu-pr-mpath"
MAP = "mpatha"
NODE = f"/dev/mapper/{MAP}"
UNITS = "/usr/lib/systemd/system"
#: Administrators' units and drop-ins that are gone at the next boot; the tests' own.
RUNTIME = f"/run/systemd/system/{UNIT}.d"
MPATH_SOCKET_UNIT, MPATH_TEMPLATE = "qemu-pr-mpath.socket", "qemu-pr-mpath@.service"
MPATH_SOCKET = "/run/qemu-pr-mpath.sock"
EXPORTER_UNIT, EXPORTER = "qemu-pr-exporter.service", "/usr/bin/qemu-pr-exporter"
ADDRESS = "127.0.0.1:9979"
#: Where systemd takes the users of DynamicUser= from.
DYNAMIC_USERS = range(61184, 65520)
#: All of the exporter's tests, which take longer than the rest of its kind.
ALL = os.environ.get("TEST_SYSTEMD") == "all"
PROBE = "/payload/tests/vm/systemd_probe.py"
PROBE_RESULT = "/run/probe/result"
#: What a machine does at its boot and this container need not.
MASKED = ["systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
          "systemd-udev-trigger.service", "systemd-journald-audit.socket",
          "systemd-modules-load.service", "systemd-remount-fs.service", "systemd-sysctl.service",
          "systemd-sysusers.service", "systemd-tmpfiles-setup.service",
          "systemd-tmpfiles-setup-dev.service", "systemd-update-utmp.service",
          "systemd-journal-flush.service", "systemd-machine-id-commit.service",
          "kmod-static-nodes.service", "dev-hugepages.mount", "dev-mqueue.mount",
          "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
          "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount",
          "systemd-ask-password-console.path"]
JOINED = container.CLONE_NEWPID | container.CLONE_NEWNS | container.CLONE_NEWCGROUP
#: By `systemd-analyze security`, in tenths; 0 is best, 100 worst.
EXPOSURES = [("the helper", UNIT, 12), ("the worker", MPATH_TEMPLATE.replace("@", "@some"), 16),
             ("the exporter", EXPORTER_UNIT, 17)]
KEY = 0xA1A2A3A4A5A6A7A8
#: Where every helper of a host tells its status.
STATUS = "/run/qemu-pr-helper/status"
#: Any group but root's that there is.
QEMU_GROUP = "users"
EPERM, EROFS, EAFNOSUPPORT = 1, 30, 97


def install(helper: str) -> None:
    """The units, this program as the helper, and the worker."""
    for name in (UNIT, SOCKET_UNIT, *TEMPLATES, MPATH_SOCKET_UNIT, MPATH_TEMPLATE):
        shutil.copy(f"/payload/bin/{name}", UNITS)
    shutil.copy(helper, PROGRAM)
    os.makedirs(os.path.dirname(WORKER), exist_ok=True)
    shutil.copy("/payload/bin/qemu-pr-mpath", WORKER)
    if has_exporter():
        shutil.copy("/payload/bin/qemu-pr-exporter", EXPORTER)
        shutil.copy(f"/payload/bin/{EXPORTER_UNIT}", UNITS)
    make_status_directory()


def has_exporter() -> bool:
    """It is not built where libmicrohttpd is missing."""
    return os.path.exists("/payload/bin/qemu-pr-exporter")


def make_status_directory() -> None:
    """What sysusers.d and tmpfiles.d say; test_package has the files themselves."""
    for path, line in (("/etc/passwd", accounts.LINE),
                       ("/etc/group", f"{accounts.USER}:x:{accounts.NUMBER}:\n")):
        with open(path, "a+", encoding="utf-8") as file:
            file.seek(0)
            if not re.search(f"^{accounts.USER}:", file.read(), re.MULTILINE):
                file.write(line)
    os.makedirs(STATUS, exist_ok=True)
    os.chown(STATUS, 0, grp.getgrnam(accounts.USER).gr_gid)
    os.chmod(STATUS, 0o3775)


class Manager:
    """systemd; with a helper, our units are installed and the socket is open."""

    def __init__(self, helper: Optional[str] = None):
        if helper:
            install(helper)
        os.makedirs("/etc/systemd/system", exist_ok=True)
        for name in MASKED:
            os.symlink("/dev/null", f"/etc/systemd/system/{name}")
        os.makedirs("/etc/systemd/journald.conf.d")
        # All logs in one place, the kernel's, which is shown when a test fails.
        lab.write("/etc/systemd/journald.conf.d/kmsg.conf",
                  "[Journal]\nStorage=volatile\nForwardToKMsg=yes\nMaxLevelKMsg=debug\n")
        namespaces = (container.CLONE_NEWNS | container.CLONE_NEWPID | container.CLONE_NEWUTS |
                      container.CLONE_NEWIPC | container.CLONE_NEWCGROUP)
        self.program = container.start(
            ["/lib/systemd/systemd", "--unit=basic.target", "--log-target=kmsg"], "/run/manager",
            namespaces, cgroup=container.make_control_group("container"),
            env={"container": "nspawn"})
        self.pid = 0
        self.program.wait_until("process 1 of the container", self._find)
        self.program.wait_until("its socket", lambda: os.path.exists("/run/systemd/private"), 60)
        if helper:
            self.control("start", SOCKET_UNIT)

    def _find(self) -> bool:
        self.pid = (procfs.children(self.program.pid) or [0])[0]
        return self.pid != 0

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """A program in the container: systemd hears no process whose pid it cannot see."""
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              preexec_fn=container.join(self.pid, JOINED))

    def control(self, *words: str) -> str:
        result = self.run("systemctl", *words)
        if result.returncode:
            raise AssertionError(f"systemctl {' '.join(words)}: {result.stdout}")
        return result.stdout

    def show(self, *names: str, unit: str = UNIT) -> Dict[str, str]:
        lines = self.control("show", "-p", ",".join(names), unit).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def configure(self, drop_ins: List[str], **lines: str) -> None:
        """Shipped drop-ins, and settings of a test's own, instead of those from before."""
        shutil.rmtree(RUNTIME, ignore_errors=True)
        os.makedirs(RUNTIME)
        for name in drop_ins:
            shutil.copy(f"/payload/bin/{name}", RUNTIME)
        if lines:
            lab.write(f"{RUNTIME}/test.conf",
                      "[Service]\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
        self.control("daemon-reload")

    def close(self) -> None:
        self.program.close()


class Lab:
    """A LUN, and another one that is a multipath map as soon as it is wanted."""

    def __init__(self, settings: dict):
        self.disk = lab.Loopback(lab.Backstore("shared")).initiator
        self.disk.drain()
        lab.load("dm_mod")
        self.manager = Manager(settings["helper"])
        self.mapped: Optional[lab.Backstore] = None
        self.daemons: Optional[multipath.Multipath] = None

    def make_map(self) -> None:
        if not self.daemons:
            self.daemons = multipath.Multipath()
            self.mapped = lab.Backstore("mapped")
            lab.Iscsi(self.mapped, 2)
            self.daemons.wait_paths(MAP, 2)
            lab.wait_for(NODE, lambda: os.path.exists(NODE))

    def close(self) -> None:
        self.manager.close()
        if self.daemons:
            self.daemons.close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.lab, self.manager, self.disk = shared, shared.manager, shared.disk
        manager = shared.manager
        self.cleanup.callback(manager.control, "stop", UNIT)

    def log(self) -> str:
        state = self.manager.run("systemctl", "status", "--no-pager", "-l", UNIT, SOCKET_UNIT)
        daemons = self.lab.daemons.log() if self.lab.daemons else []
        return state.stdout + "\n".join([*daemons, *guest.kernel_log()])

    def connect(self, path: str = SOCKET) -> Connection:
        connection = Connection(path, timeout=20)
        self.cleanup.callback(connection.close)
        return connection

    def main_pid(self, unit: str = UNIT) -> int:
        """The service's process, by the pid that it has out here."""
        found = container.members(f"{container.CGROUPS}/container/system.slice/{unit}")
        mains = [pid for pid in found if procfs.parent(pid) not in found]
        self.equal(len(mains), 1, f"main processes among {found}")
        return mains[0]

    def register(self, connection: Connection) -> None:
        """Two commands that leave nothing behind."""
        for key, action_key in ((0, KEY), (KEY, 0)):
            parameters = scsi.parameters(key, action_key)
            self.equal(connection.command(scsi.pr_out(len(parameters)), self.disk.fd, parameters),
                       client.reply(), f"REGISTER of {action_key:#x}")

    def awaited(self, **wanted: str) -> None:
        """Until the service's properties are as wanted."""
        seen: Dict[str, str] = {}

        def look() -> bool:
            seen.update(self.manager.show(*wanted))
            return seen == wanted
        try:
            lab.wait_for(f"{wanted}", look, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen {seen}") from None


open_lab = context.opener(Lab, Context)


# -- the files themselves


@test
@ours("the units are ours")
def verify(t: Context) -> None:
    t.manager.configure([])
    # There are no manual pages in here.
    units = [UNIT, SOCKET_UNIT, MPATH_SOCKET_UNIT, *([EXPORTER_UNIT] if has_exporter() else []),
             *(one.replace("@", "@some") for one in (*TEMPLATES, MPATH_TEMPLATE))]
    result = t.manager.run("systemd-analyze", "--man=no", "verify", *units)
    t.equal((result.returncode, result.stdout), (0, ""), "systemd-analyze verify")


@cases(*EXPOSURES)
@ours("the units are ours")
def security(t: Context, unit: str, most: int) -> None:
    if unit == EXPORTER_UNIT and not has_exporter():
        raise tap.Skip("qemu-pr-exporter was not built")
    t.manager.configure([])
    result = t.manager.run("systemd-analyze", "--no-pager", f"--threshold={most}", "security", unit)
    level = re.search(r"Overall exposure level for \S+: (\d+\.\d)", result.stdout)
    t.check(level, f"no figure in {result.stdout!r}")
    print(f"# exposure {level.group(1)}, at most {most / 10}")
    weak = "\n".join(line for line in result.stdout.splitlines() if line.startswith("✗"))
    t.equal(result.returncode, 0, f"systemd-analyze security says {level.group(1)}:\n{weak}\n")


# -- its life


@test
@ours("the units are ours")
def activation(t: Context) -> None:
    t.manager.configure([])
    found = os.stat(SOCKET)
    t.equal((found.st_mode & 0o777, found.st_uid), (0o600, 0), "mode and owner of the socket")
    t.awaited(ActiveState="inactive")
    connection = t.connect()
    t.awaited(ActiveState="active", SubState="running", StatusText="Serving 1 client")
    t.register(connection)
    connection.close()
    t.awaited(StatusText="Serving 0 clients")
    t.manager.control("stop", UNIT)
    t.equal(t.manager.show("ActiveState", "Result", "ExecMainStatus"),
            {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, "at the end")
    t.equal(os.stat(SOCKET).st_ino, found.st_ino, "the socket's inode afterwards")


@test
@ours("the peer never says READY=1")
def ready(t: Context) -> None:
    """`systemctl start` returns when the helper serves, and no earlier."""
    t.manager.configure([])
    t.manager.control("start", UNIT)
    t.equal(t.manager.show("ActiveState", "StatusText"),
            {"ActiveState": "active", "StatusText": "Serving 0 clients"}, "after the start")
    # It has been through the whole start-up: the sandbox comes last.
    t.equal(procfs.status(t.main_pid())["Seccomp"], "2", "seccomp mode")


@test
@limit(60)
@ours("the units are ours")
def restart(t: Context) -> None:
    """No connect fails, and no command that was sent before."""
    t.manager.configure([])
    for _ in range(3):
        connection = t.connect()
        t.register(connection)
        connection.send_request(scsi.pr_in(8), [t.disk.fd])
        old = t.main_pid()
        restarting = subprocess.Popen(
            ["systemctl", "restart", UNIT], stdin=subprocess.DEVNULL,
            preexec_fn=container.join(t.manager.pid, JOINED))
        t.equal(connection.receive_reply().status, scsi.GOOD, "status of the command under way")
        t.equal(connection.receive_rest(), b"", "what else comes on the old connection")
        # While one instance ends and another one starts.
        t.register(t.connect())
        t.equal(restarting.wait(), 0, "exit status of systemctl restart")
        t.check(t.main_pid() != old, "it is the same process")


@test
@limit(60)
@ours("the units are ours")
def killed(t: Context) -> None:
    """systemd starts it again by itself, even when that happens often."""
    t.manager.configure([])
    t.manager.control("start", UNIT)
    inode = os.stat(SOCKET).st_ino
    for count in range(1, 8):
        os.kill(t.main_pid(), signal.SIGKILL)
        t.awaited(NRestarts=str(count), ActiveState="active")
    t.register(t.connect())
    t.equal(os.stat(SOCKET).st_ino, inode, "the socket's inode")
    t.equal(t.manager.show("ActiveState", unit=SOCKET_UNIT), {"ActiveState": "active"}, "socket")


@test
@limit(60)
@ours("the peer sends no WATCHDOG=1")
def watchdog(t: Context) -> None:
    t.manager.configure([], WatchdogSec="1s")
    t.manager.control("start", UNIT)
    connection = t.connect()

    def last_sign() -> int:
        return int(t.manager.show("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"])
    first = last_sign()
    # Longer than it could live without: the signs of life come, also with an idle client.
    lab.wait_for("signs of life for 3 s", lambda: last_sign() > first + 3_000_000, 20)
    t.equal(t.manager.show("NRestarts"), {"NRestarts": "0"}, "restarts of a healthy helper")
    t.register(connection)

    pid = t.main_pid()
    os.kill(pid, signal.SIGSTOP)
    t.cleanup.callback(lambda: procfs.state(pid) == "T" and os.kill(pid, signal.SIGCONT))
    t.awaited(NRestarts="1", ActiveState="active")
    t.check(any("Watchdog timeout" in line for line in guest.kernel_log()),
            "systemd does not say that it was the watchdog")
    t.register(t.connect())


# -- one helper for each group of machines


def drop_in(t: Context, unit: str, text: str) -> None:
    """Under a name of its own: an instance's would hide the template's of the same name."""
    directory = f"/run/systemd/system/{unit}.d"
    os.makedirs(directory, exist_ok=True)
    t.cleanup.callback(shutil.rmtree, directory)
    lab.write(f"{directory}/{unit}.conf", text)


def status(name: str = "service") -> dict:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"{STATUS}/{name}")
        with connection.makefile(encoding="utf-8") as file:
            return json.load(file)


@test
@limit(60)
@ours("the units are ours")
def instances(t: Context) -> None:
    """Each has a socket, a status and options of its own; one ends, and the other does not notice."""
    t.manager.configure([])
    drop_in(t, "qemu-pr-helper@.socket", "[Socket]\nSocketMode=0660\n")
    drop_in(t, "qemu-pr-helper@north.socket", f"[Socket]\nSocketGroup={QEMU_GROUP}\n")
    drop_in(t, "qemu-pr-helper@north.service",
            "[Service]\nEnvironment='OPTIONS=--io-timeout=20 --status-mode=640'\n")
    t.manager.control("daemon-reload")
    sockets = {name: f"/run/qemu-pr-helper-{name}.sock" for name in ("north", "south")}
    for name in sockets:
        for kind in ("socket", "service"):
            t.cleanup.callback(t.manager.control, "stop", f"qemu-pr-helper@{name}.{kind}")
        t.manager.control("start", f"qemu-pr-helper@{name}.socket")
    found = [os.stat(path) for path in sockets.values()]
    wanted = [("0o660", grp.getgrnam(QEMU_GROUP).gr_gid), ("0o660", 0)]
    t.equal([(oct(one.st_mode & 0o777), one.st_gid) for one in found], wanted,
            "mode and group of the sockets")
    connections = {name: t.connect(path) for name, path in sockets.items()}
    for name, connection in connections.items():
        t.register(connection)
        t.equal(len(status(f"service-{name}")["connections"]), 1, f"clients of {name}")
    modes = [oct(os.stat(f"{STATUS}/service-{name}").st_mode & 0o777) for name in sockets]
    t.equal(modes, ["0o640", "0o660"], "mode of the status sockets, by options of one instance")

    t.manager.control("stop", "qemu-pr-helper@north.socket", "qemu-pr-helper@north.service")
    t.equal(connections["north"].receive_rest(), b"", "what comes from the one that was stopped")
    t.equal([one for one in os.listdir(STATUS) if "north" in one], [], "what it has left behind")
    t.register(connections["south"])
    t.equal(len(status("service-south")["connections"]), 1, "clients of the other one")
    t.equal(t.manager.show("NRestarts", "ActiveState", unit="qemu-pr-helper@south.service"),
            {"NRestarts": "0", "ActiveState": "active"}, "the other one's service")

    t.manager.control("start", "qemu-pr-helper@north.socket")
    t.register(t.connect(sockets["north"]))


# -- what it may do


@test
@ours("it keeps more privileges")
def process(t: Context) -> None:
    """The helper has one capability and its own user, and works."""
    t.manager.configure([])
    connection = t.connect()
    t.register(connection)
    pid = t.main_pid()
    rawio = procfs.capability_mask("sys_rawio")
    for thread in procfs.threads(pid):
        t.equal((thread.permitted, thread.effective, thread.inheritable, thread.ambient),
                (rawio, rawio, 0, 0), "capabilities")
        t.equal((thread.no_new_privs, thread.seccomp), (1, 2), "no_new_privs and seccomp mode")
        t.equal(thread.uids, [accounts.NUMBER] * 4, "uids")
    t.equal(len(status()["connections"]), 1, "clients by the status")
    t.check(os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"),
            "the network is not private")


@test
@ours("the units are ours")
def configuration_of_libvirt(t: Context) -> None:
    """What is for helpers that libvirt starts as root is not the service's: a status socket where it may
    not write, a user that it cannot become."""
    lab.write("/etc/qemu-pr-helper.conf", "status-socket=/run/qemu-pr-helper-%d.status\n"
                                          f"user=daemon\ngroup={QEMU_GROUP}\n")
    t.cleanup.callback(os.unlink, "/etc/qemu-pr-helper.conf")
    t.manager.configure([])
    t.register(t.connect())
    t.equal(len(status()["connections"]), 1, "clients by the status")


@test
@limit(60)
@ours("the units are ours")
def no_status_directory(t: Context) -> None:
    """It serves without a status: nothing starts it again and again."""
    os.rename(STATUS, STATUS + ".away")
    t.cleanup.callback(os.rename, STATUS + ".away", STATUS)
    t.manager.configure([])
    t.register(t.connect())
    t.equal(t.manager.show("NRestarts", "ActiveState"), {"NRestarts": "0", "ActiveState": "active"},
            "the service")


def probe(t: Context, unit: str, template: str = "") -> Dict[str, object]:
    """What systemd_probe.py can do in this unit's place: errno or, for what worked, 0."""
    os.makedirs("/etc/multipath", exist_ok=True)
    shutil.rmtree(os.path.dirname(PROBE_RESULT), ignore_errors=True)
    os.makedirs(os.path.dirname(PROBE_RESULT))
    os.chmod(os.path.dirname(PROBE_RESULT), 0o777)
    listeners = []
    for address in ("/run/multipathd.socket", "\0/org/kernel/linux/storage/multipathd"):
        if address[0] == "/":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
        listeners.append(socket.socket(socket.AF_UNIX))
        listeners[-1].bind(address)
        listeners[-1].listen()
        t.cleanup.callback(listeners[-1].close)
    os.chmod("/run/multipathd.socket", 0o666)
    # An empty assignment takes the helper's command away.
    t.manager.configure([])
    drop_in(t, template or unit, "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\n"
            f"ReadWritePaths={os.path.dirname(PROBE_RESULT)}\nExecStart=\n"
            f"ExecStart=/usr/bin/python3 -IS {PROBE} {PROBE_RESULT} {t.disk.path}\n")
    t.manager.control("daemon-reload")
    t.manager.control("start", unit)
    with open(PROBE_RESULT, encoding="utf-8") as file:
        return json.load(file)


@test
@limit(60)
@ours("the units are ours")
def what_the_worker_needs(t: Context) -> None:
    found = probe(t, MPATH_TEMPLATE.replace("@", "@probe"), MPATH_TEMPLATE)
    for what in ("disk", "multipathd", "old multipathd", "execute", "PERSISTENT RESERVE IN"):
        t.equal(found.pop(what), 0, what)
    t.equal(found.pop("uid"), 0, "uid")
    t.equal(found.pop("permitted"), procfs.capability_mask("sys_rawio"), "capabilities")
    t.check(found.pop("proc devices") != 0, "what is no process's in /proc: allowed")
    del found["another's command line"]  # root's are seen, by kernels without hidepid= at least
    t.equal(found, {"control node": EPERM, "disk for writing": EPERM, "keys file": EROFS,
                    "write below /usr": EROFS, "write below /etc": EROFS, "root's disk": EPERM,
                    "internet socket": EAFNOSUPPORT, "user namespace": EPERM,
                    "mount": EPERM, "executable memory": EPERM}, "what is denied")


@test
@limit(60)
@ours("the units are ours")
def what_the_helper_needs(t: Context) -> None:
    found = probe(t, UNIT)
    t.equal(found.pop("uid"), accounts.NUMBER, "uid")
    t.equal(found.pop("permitted"), procfs.capability_mask("sys_rawio"), "capabilities")
    for what in ("another's command line", "proc devices"):
        t.equal(found.pop(what), 0, what)
    for what in ("control node", "disk", "disk for writing", "keys file", "old multipathd",
                 "write below /usr",
                 "write below /etc", "root's disk", "internet socket", "user namespace", "mount",
                 "executable memory"):
        t.check(found.pop(what) != 0, f"{what}: allowed")


# -- multipath maps, by a worker in a unit of its own


def register_map(t: Context, connection: Connection, key: int) -> client.Reply:
    parameters = scsi.parameters(0, key)
    fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
    try:
        return connection.command(scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE), fd,
                                  parameters)
    finally:
        os.close(fd)


def workers(t: Context) -> List[str]:
    """Their units."""
    lines = t.manager.control("list-units", "--all", "--plain", "--no-legend", "--full",
                              MPATH_TEMPLATE.replace("@", "@*")).splitlines()
    return [line.split()[0] for line in lines]


@test
@limit(120)
@ours("the peer registers one path of a map")
def multipath_map(t: Context) -> None:
    """A worker for each helper, which ends with it, or is replaced if it dies."""
    t.lab.make_map()
    t.manager.configure([])
    connection = t.connect()
    t.equal(register_map(t, connection, KEY), client.reply(), "REGISTER")
    t.equal([one.key for one in t.lab.mapped.registrations()], [KEY] * 2, "keys in configfs")
    unit, = workers(t)
    pid = int(t.manager.show("MainPID", unit=unit)["MainPID"])
    t.check(pid > 0 and unit not in str(t.manager.show("ControlGroup")), "a unit of its own")
    t.manager.control("kill", "--signal=SIGKILL", unit)
    seen: List[client.Reply] = []

    def served() -> bool:
        seen[:] = [register_map(t, connection, 0)]
        return seen[0] == client.reply()
    lab.wait_for("another worker", served, 30)
    t.equal([one.key for one in t.lab.mapped.registrations()], [], "keys in configfs")
    t.equal(len(workers(t)), 1, "workers")
    t.manager.control("stop", UNIT)
    lab.wait_for("its end with the helper", lambda: not workers(t), 30)


@test
@limit(120)
@ours("the units are ours")
def multipath_socket_masked(t: Context) -> None:
    """Maps are refused, all else is served, and the log says why; until it is there again."""
    t.lab.make_map()
    t.manager.configure([])
    t.manager.control("mask", "--runtime", "--now", MPATH_SOCKET_UNIT)
    t.cleanup.callback(t.manager.control, "unmask", "--runtime", MPATH_SOCKET_UNIT)
    connection = t.connect()
    t.equal(register_map(t, connection, KEY), client.check_condition(5, 0x20, 0), "REGISTER on a map")
    t.equal([one.key for one in t.lab.mapped.registrations()], [], "keys in configfs")
    t.register(connection)
    said = f"multipath maps: cannot connect to {MPATH_SOCKET}: .*{MPATH_SOCKET_UNIT}"
    lab.wait_for("the log says it",  # the journal hands it on to the kernel's
                 lambda: re.search(said, "\n".join(guest.kernel_log(1000))), 10)
    t.manager.control("unmask", "--runtime", MPATH_SOCKET_UNIT)
    t.manager.control("start", MPATH_SOCKET_UNIT)
    lab.wait_for("maps are served", lambda: register_map(t, connection, 0) == client.reply(), 30)


@test
@ours("the units are ours")
def multipath_socket_is_for_helpers(t: Context) -> None:
    """Others cannot connect; and if an administrator lets them, the worker sends them away."""
    t.manager.configure([])
    t.manager.control("start", MPATH_SOCKET_UNIT)
    found = os.stat(MPATH_SOCKET)
    t.equal((found.st_mode & 0o777, found.st_uid), (0o600, accounts.NUMBER), "mode and owner")

    def connect_as(uid: int) -> str:
        script = ("import os, socket, sys\n"
                  f"os.setresuid({uid}, {uid}, {uid})\n"
                  "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                  "try:\n"
                  f"    s.connect('{MPATH_SOCKET}')\n"
                  "except OSError as error:\n"
                  "    sys.exit(error.strerror)\n"
                  "print(s.recv(4096)[12:].rstrip(bytes(1)).decode())\n")
        return subprocess.run(["/usr/bin/python3", "-ISc", script], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, timeout=30).stdout.strip()
    t.equal(connect_as(65534), "Permission denied", "another user")
    t.equal(connect_as(accounts.NUMBER), "", "the helper's user")
    os.chmod(MPATH_SOCKET, 0o666)
    t.matches(f"is for user {accounts.NUMBER}, but a process of user 65534 connected to it",
              connect_as(65534), "with another mode")
    t.manager.control("restart", MPATH_SOCKET_UNIT)


# -- all helpers of the node, by the exporter's unit


def fetch(path: str) -> str:
    connection = http.client.HTTPConnection(ADDRESS, timeout=20)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read().decode()
    finally:
        connection.close()
    if reply.status != 200:
        raise AssertionError(f"{path}: {reply.status} {text}")
    return text


def start_exporter(t: Context) -> None:
    if not has_exporter():
        raise tap.Skip("qemu-pr-exporter was not built")
    t.manager.configure([])
    t.cleanup.callback(t.manager.control, "stop", EXPORTER_UNIT)
    t.manager.control("start", EXPORTER_UNIT)
    lab.wait_for("it serves", exporter_serves, 30)


def exporter_serves() -> bool:
    with contextlib.suppress(ConnectionError):
        return bool(fetch("/status.json"))
    return False


def looked_again(t: Context, pattern: str) -> None:
    """Until its numbers have such a line; a look serves others for a second."""
    lab.wait_for(pattern, lambda: bool(re.search(pattern, fetch("/metrics"), re.MULTILINE)), 30)


@test
@limit(60)
@ours("the units are ours")
def exporter_process(t: Context) -> None:
    """By default it finds the helper, whose status socket is for its group alone; it has no capability, a
    user of its own, both sandboxes, and as much memory as the unit says."""
    start_exporter(t)
    t.register(t.connect())
    looked_again(t, r'^qemu_pr_helper_up\{helper="service"\} 1$')
    t.matches("<h1>Persistent reservations on ", fetch("/"), "page")
    pid = t.main_pid(EXPORTER_UNIT)
    thread, = procfs.threads(pid)
    t.equal((thread.permitted, thread.effective, thread.inheritable, thread.ambient), (0, 0, 0, 0),
            "capabilities")
    t.equal((thread.no_new_privs, thread.seccomp), (1, 2), "no_new_privs and seccomp mode")
    t.check(set(thread.uids) <= set(DYNAMIC_USERS), f"uids {thread.uids}")
    t.check(str(grp.getgrnam(accounts.USER).gr_gid) in procfs.status(pid)["Groups"].split(), "its groups")
    for kind in ("mnt", "ipc"):
        t.check(os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/{t.manager.program.pid}/ns/{kind}"),
                f"namespace {kind}")
    seen = t.manager.show("MemoryMax", "TasksMax", unit=EXPORTER_UNIT)
    t.equal(seen, {"MemoryMax": str(256 << 20), "TasksMax": "4"}, "limits")


@test
@limit(90)
@ours("the units are ours")
def exporter_life(t: Context) -> None:
    """Restarted, reloaded, killed, beside a clock that is set: it serves, and no helper notices."""
    if not ALL:
        raise tap.Skip("only with TEST_SYSTEMD=all")
    start_exporter(t)
    connection = t.connect()
    t.register(connection)
    helper, first = t.main_pid(), t.main_pid(EXPORTER_UNIT)
    result = t.manager.run("systemctl", "reload", EXPORTER_UNIT)
    t.check(result.returncode != 0 and "not applicable" in result.stdout, f"reload: {result.stdout}")
    t.manager.control("daemon-reload")
    t.equal(t.main_pid(EXPORTER_UNIT), first, "the process after a reload, which it has not")
    for words in (("restart",), ("reload-or-restart",), ("kill", "--signal=SIGKILL")):
        old = t.main_pid(EXPORTER_UNIT)
        t.manager.control(*words, EXPORTER_UNIT)
        lab.wait_for("another process serves", lambda old=old: exporter_serves() and
                     t.main_pid(EXPORTER_UNIT) != old, 30)
        looked_again(t, r'^qemu_pr_helper_up\{helper="service"\} 1$')
    t.equal(t.manager.show("NRestarts", "ActiveState", unit=EXPORTER_UNIT),
            {"NRestarts": "1", "ActiveState": "active"}, "by systemd itself")

    def told(name: str) -> float:
        return float(re.search(rf"^{name} (\S+)$", fetch("/metrics"), re.MULTILINE).group(1))
    started, pid = told("qemu_pr_exporter_start_time_seconds"), t.main_pid(EXPORTER_UNIT)
    now, monotonic = time.time(), time.monotonic()
    t.cleanup.callback(lambda: time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - monotonic))
    for step in (86400, -400 * 86400, 0):
        looks = told("qemu_pr_exporter_looks_total")
        time.clock_settime(time.CLOCK_REALTIME, now + time.monotonic() - monotonic + step)
        lab.wait_for("it looks again", lambda looks=looks: told("qemu_pr_exporter_looks_total") > looks, 20)
        found = json.loads(fetch("/status.json"))
        t.equal([one["state"] for one in found["helpers"]], ["answered"], f"after a step of {step} s")
    t.equal((told("qemu_pr_exporter_start_time_seconds"), t.main_pid(EXPORTER_UNIT), t.main_pid()),
            (started, pid, helper), "its start, its process, the helper's")
    t.register(connection)


@test
@limit(120)
@ours("the units are ours")
def exporter_sees_the_worker(t: Context) -> None:
    """What the helper's worker tells of a map, and that its service has been stopped."""
    if not ALL:
        raise tap.Skip("only with TEST_SYSTEMD=all")
    t.lab.make_map()
    start_exporter(t)
    connection = t.connect()
    t.equal(register_map(t, connection, KEY), client.reply(), "REGISTER")
    looked_again(t, r'^qemu_pr_helper_lun_info\{.*map="mpatha"')
    found = json.loads(fetch("/status.json"))
    t.equal([one["worker"] for one in found["helpers"]], ["running"], "worker")
    use, = [use for unit in found["luns"] for use in unit["uses"] if use["map"] == MAP]
    t.equal([(path["state"], path["registered"]) for path in use["paths"]], [("up", True)] * 2, "paths")
    t.equal(register_map(t, connection, 0), client.reply(), "REGISTER of 0")
    t.manager.control("stop", UNIT)
    looked_again(t, r'^qemu_pr_exporter_helpers\{state="answered"\} 0$')


@test
@limit(120)
@ours("the peer has no profile")
def apparmor_profile(t: Context) -> None:
    """With the profiles as they are installed: the unit applies the helper's, and nothing that service
    and worker do is denied. The last test here: all later services would have it."""
    apparmor.load(attached=False)
    denials = apparmor.Denials()
    t.lab.make_map()
    t.manager.configure([])
    connection = t.connect()
    t.register(connection)
    for key in (KEY, 0):
        t.equal(register_map(t, connection, key), client.reply(), f"REGISTER of {key:#x}")
    unit, = workers(t)
    pid, = (one for one in map(int, filter(str.isdigit, os.listdir("/proc")))
            if procfs.command(one) == os.path.basename(WORKER) and procfs.children(one))
    found = container.members(f"{container.CGROUPS}/container/system.slice/{UNIT}")
    t.equal({apparmor.label(one) for one in found}, {f"{apparmor.HELPER} (enforce)"},
            f"labels of helper and keeper ({found})")
    t.equal({apparmor.label(one) for one in (pid, *procfs.children(pid))},
            {f"{apparmor.WORKER} (enforce)"}, f"labels of worker and opener ({unit})")
    t.equal(len(status("service")["connections"]), 1, "clients in the status document")
    denials.none()
