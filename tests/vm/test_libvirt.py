# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's way: one helper for each virtual machine, started by libvirt inside that machine's own
mount namespace and control group, found by its PID file, ended with the machine.

First its every step by hand, so that a failure names the step; then Debian's libvirtd itself, with
a domain of <reservations managed='yes'/> on a LUN. No system runs in that domain: the test is the
driver of its SCSI host adapter (qtest.py).
"""
import contextlib
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
from typing import List, Optional, Sequence

import container
import context
import lab
import qtest
from host import WRITE_EXCLUSIVE, Host
from support import procfs, scsi
from support.process import Helper, Program, serving
from support.tap import cases, limit, ours, test

PACKAGES = ["libvirt", "qemu"]
MEMORY = 1024

QEMU_USER = 64055  # libvirt-qemu, of every Debian
DOMAINS = "/var/lib/libvirt/qemu"
PID_FILES = "/run/libvirt/qemu"
JOURNAL = "/run/systemd/journal/dev-log"
KEY, OTHER_KEY = 0xA1A2A3A4A5A6A7A8, 0x00000000000000B1
HELPER_LOST, HELPER_UNREACHABLE = (5, 0x24, 0), (0xB, 0, 6)
#: Of /dev, what a virtual machine without a display and KVM gets beside its disks.
NODES = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
         ("ptmx", 5, 2), ("mapper/control", 10, 236)]

DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <controller type='usb' model='none'/>
    <controller type='scsi' model='virtio-scsi'>
      <driver queues='1'/>
      <address type='pci' slot='{slot:#x}'/>
    </controller>
    <disk type='block' device='lun'>
      <driver name='qemu' type='raw'/>
      <source dev='{disk}'><reservations managed='yes'/></source>
      <target dev='sda' bus='scsi'/>
    </disk>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qtest'/><qemu:arg value='unix:{qtest},server=on,wait=off'/>
    <qemu:arg value='-qtest-log'/><qemu:arg value='/dev/null'/>
  </qemu:commandline>
  <qemu:override>
    <qemu:device alias='scsi0'>
      <qemu:frontend>
        <qemu:property name='virtqueue_size' type='unsigned' value='{queue}'/>
      </qemu:frontend>
    </qemu:device>
  </qemu:override>
</domain>
"""


class Libvirt:
    """libvirtd, without a service manager and with its QEMU driver alone."""

    def __init__(self, helper: str):
        self.helper = helper
        lab.write("/etc/libvirt/qemu.conf",
                  f'pr_helper = "{helper}"\n'
                  'security_driver = "none"\nstdio_handler = "file"\n')
        drivers = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver"
        for name in os.listdir(drivers):
            if name != "libvirt_driver_qemu.so":
                os.unlink(f"{drivers}/{name}")
        # What the package's scripts would have made.
        with open("/etc/passwd", "a", encoding="ascii") as file:
            file.write(f"libvirt-qemu:x:{QEMU_USER}:{QEMU_USER}::/var/lib/libvirt:/bin/false\n")
        with open("/etc/group", "a", encoding="ascii") as file:
            file.write(f"libvirt-qemu:x:{QEMU_USER}:\nkvm:x:106:\n")
        if not os.path.exists("/var/run"):
            os.symlink("/run", "/var/run")
        container.mount_control_groups()
        os.mkdir("/run/libvirtd")
        self.daemon = Program(["libvirtd"], "/run/libvirtd")
        self.daemon.wait_until("its socket",
                               lambda: os.path.exists("/run/libvirt/libvirt-sock"), 30)

    def virsh(self, *words: str) -> str:
        result = subprocess.run(["virsh", "-c", "qemu:///system", *words], text=True, check=False,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        if result.returncode:
            raise AssertionError(f"virsh {' '.join(words)}: {result.stdout.strip()}")
        return result.stdout.strip()

    def log(self, domains: Sequence[str]) -> List[str]:
        lines = [f"libvirtd: {line}"
                 for line in self.daemon.log().splitlines()[-context.LOG_LINES:]]
        for name in domains:
            # There is none of a domain that libvirtd has refused.
            with contextlib.suppress(FileNotFoundError), open(
                    f"/var/log/libvirt/qemu/{name}.log", encoding="utf-8",
                    errors="replace") as file:
                lines += [f"{name}: {line.rstrip()}" for line in file.readlines()[-6:]]
        return lines


class Lab:
    def __init__(self, settings: dict):
        self.helper, self.peer = settings["helper"], settings["peer"]
        self.disk = lab.Backstore("shared")
        self.initiators = lab.Iscsi(self.disk, 2).initiators
        self._libvirt: Optional[Libvirt] = None
        self.number = 0

    def libvirt(self) -> Libvirt:
        """Started by the first test that wants it."""
        if not self._libvirt:
            self._libvirt = Libvirt(self.helper)
        return self._libvirt

    def close(self) -> None:
        if self._libvirt:
            self._libvirt.daemon.close()


class Context(context.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(name)
        self.lab, self.disk = shared, shared.disk
        self.device = shared.initiators[0].path
        lab.reset(shared.initiators)
        shared.number += 1
        self.journal: Optional[socket.socket] = None
        self.domains: List[str] = []

    def log(self) -> str:
        if not self.domains:
            return super().log()
        return "\n".join([super().log(), *self.lab.libvirt().log(self.domains)])

    def host(self, socket_path: str, number: int = 0) -> Host:
        host = Host(socket_path, self.lab.initiators[number].path)
        self.cleanup.callback(host.close)
        return host

    def open_journal(self) -> None:
        """No other process is there in here to receive what programs say to syslog."""
        os.makedirs(os.path.dirname(JOURNAL), exist_ok=True)
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(JOURNAL)
        os.chmod(JOURNAL, 0o666)  # as systemd has it: helpers are not root
        self.journal.settimeout(10)
        self.cleanup.callback(os.unlink, JOURNAL)
        self.cleanup.callback(self.journal.close)

    def refused(self, host: Host) -> None:
        """A command that the helper has something to say about: no disk."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.equal(host.connection.command(scsi.pr_in(8), null).status, scsi.CHECK_CONDITION,
                       "status for /dev/null")
        finally:
            os.close(null)


open_lab = context.opener(Lab, Context)


def processes(program: str) -> List[int]:
    """The user that runs it."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            if file.read().split(b"\0")[0].decode() == program:
                found.append(int(name))
    return sorted(found)


# -- by hand


class Started:
    """A helper as libvirt's qemuProcessStartManagedPRDaemon starts it."""

    def __init__(self, t: Context, directory: Optional[str] = None):
        self.directory = directory or f"{DOMAINS}/domain-{t.lab.number}-vm"
        if not directory:
            os.makedirs(self.directory, 0o750)
            os.chown(self.directory, QEMU_USER, QEMU_USER)
        os.makedirs(PID_FILES, exist_ok=True)
        self.pid_path = f"{PID_FILES}/{t.lab.number}-vm-pr-helper0.pid"
        self.stderr, write_end = os.pipe()
        t.cleanup.callback(self.close_stderr)
        pid_fd = os.open(self.pid_path, os.O_RDWR | os.O_CREAT, 0o644)
        self.socket_path = f"{self.directory}/pr-helper0.sock"

        def prepare() -> None:
            # The lock is the child's, and stays with what it becomes.
            fcntl.lockf(pid_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(pid_fd, 0)
            os.write(pid_fd, b"%d" % os.getpid())
            self._private_dev(t.device)
        log_directory = f"/run/by-hand{t.lab.number}"
        os.mkdir(log_directory)
        self.program = t.watched("helper", Helper(
            t.lab.helper, log_directory, socket_path=self.socket_path, stderr=write_end,
            pass_fds=(pid_fd,), before_exec=container.enter(container.CLONE_NEWNS, prepare)))
        os.close(write_end)
        os.close(pid_fd)

    @staticmethod
    def _private_dev(disk: str) -> None:
        nodes = [(name, stat.S_IFCHR, os.makedev(major, minor)) for name, major, minor in NODES]
        nodes.append((os.path.basename(disk), stat.S_IFBLK, os.stat(disk).st_rdev))
        container.mount("devfs", "/dev", "tmpfs", container.MS_NOSUID, "mode=755,size=65536")
        os.mkdir("/dev/mapper")
        for name, kind, device in nodes:
            os.mknod(f"/dev/{name}", kind | 0o666, device)

    def close_stderr(self) -> None:
        if self.stderr >= 0:
            os.close(self.stderr)
        self.stderr = -1

    def locked(self) -> bool:
        """Whether a process holds the PID file's lock, which to libvirt means alive."""
        fd = os.open(self.pid_path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)


def confine(t: Context, helper: Started) -> None:
    """Put it into a control group that may open its disk and a few harmless nodes, no more."""
    hierarchy, group = "/run/devices", "/run/devices/vm"
    os.mkdir(hierarchy)
    container.mount("cgroup", hierarchy, "cgroup", data="devices")
    t.cleanup.callback(os.rmdir, hierarchy)
    t.cleanup.callback(container.unmount, hierarchy)
    os.mkdir(group)
    t.cleanup.callback(os.rmdir, group)
    t.cleanup.callback(helper.program.close)
    lab.write(f"{group}/devices.deny", "a")
    disk = os.stat(t.device).st_rdev
    for rule in [f"b {os.major(disk)}:{os.minor(disk)} rw",
                 *(f"c {major}:{minor} rw" for _, major, minor in NODES)]:
        lab.write(f"{group}/devices.allow", rule)
    lab.write(f"{group}/cgroup.procs", helper.program.pid)


@test
def by_hand(t: Context) -> None:
    """Each step of libvirt's, with what it relies on after each."""
    helper = Started(t)
    # It looks for the file, and QEMU tries to connect once.
    helper.program.wait_until("a file", lambda: os.path.exists(helper.socket_path))
    host = t.host(helper.socket_path)
    t.check(helper.program.running, "it went to the background")
    os.chown(helper.socket_path, QEMU_USER, QEMU_USER)
    confine(t, helper)
    helper.close_stderr()
    t.good(host.tell(scsi.REGISTER, action_key=KEY), "REGISTER")
    t.good(host.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY), "RESERVE")
    t.equal(t.disk.reservation()[0], t.lab.initiators[0].name, "holder in configfs")
    # Both helpers of a LUN's two virtual machines work like this.
    other = started_other(t)
    t.conflict(other.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY), "RESERVE of another machine")
    t.check(helper.locked(), "the PID file's lock is gone, so libvirt takes the helper for dead")
    t.equal(helper.program.stop(), 0, "exit status")
    t.check(not helper.locked(), "the PID file's lock outlived the helper")


def started_other(t: Context) -> Host:
    """A registered host of the other I_T nexus, by a helper of its own."""
    t.lab.number += 1
    helper = Started(t)
    helper.program.wait_until("a file", lambda: os.path.exists(helper.socket_path))
    host = t.host(helper.socket_path, 1)
    t.good(host.tell(scsi.REGISTER, action_key=OTHER_KEY), "REGISTER of another machine")
    return host


@test
@ours("the peer logs to standard error or not at all")
def log_after_stderr(t: Context) -> None:
    """Once standard error is closed messages go to the journal: /dev has no log in there."""
    t.open_journal()
    helper = Started(t)
    helper.program.wait_ready()
    helper.close_stderr()
    host = t.host(helper.socket_path)
    t.refused(host)
    t.matches(rf"qemu-pr-helper\[{helper.program.pid}\]: .*refused", t.journal.recv(4096).decode(),
              "what came to the journal")
    t.good(host.tell(scsi.REGISTER, action_key=KEY), "REGISTER")


@test
def reason(t: Context) -> None:
    """Of a helper that ends at once libvirt shows the first 1023 bytes of standard error."""
    helper = Started(t, "/var/lib/libvirt/nowhere")
    t.equal(helper.program.wait_exit(), 1, "exit status")
    t.matches(r"^qemu-pr-helper: .*No such file or directory",
              os.read(helper.stderr, 1023).decode(), "standard error")


@cases(("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL))
@ours("the peer may not remove its socket from QEMU's directory")
def killed(t: Context, number: int) -> None:
    helper = Started(t)
    helper.program.wait_ready()
    host = t.host(helper.socket_path)
    t.good(host.tell(scsi.REGISTER, action_key=KEY), "REGISTER")
    helper.program.signal(number)
    helper.program.wait_exit()
    lab.wait_for("an empty directory", lambda: not os.listdir(helper.directory))
    lab.wait_for("no process left", lambda: not processes(t.lab.helper))


# -- libvirtd itself


class Domain:
    """A virtual machine of libvirt's, in which no system runs."""

    def __init__(self, t: Context, name: str, host: int = 0):
        self.name, self.libvirt = name, t.lab.libvirt()
        directory = f"/run/test{t.lab.number}-{name}"
        t.domains.append(name)
        os.mkdir(directory)
        os.chown(directory, QEMU_USER, QEMU_USER)
        lab.write(f"{directory}/xml", DOMAIN.format(
            name=name, disk=t.lab.initiators[host].path, qtest=f"{directory}/qtest",
            slot=qtest.ADDRESS, queue=qtest.QUEUE_SIZE))
        self.libvirt.virsh("create", "--paused", f"{directory}/xml")
        self.running = True
        t.cleanup.callback(self.destroy)
        number = self.libvirt.virsh("domid", name)
        self.directory = f"{DOMAINS}/domain-{number}-{name}"
        self.pid_path = f"{PID_FILES}/{number}-{name}-pr-helper0.pid"
        self.socket_path = f"{self.directory}/pr-helper0.sock"
        self._qtest = qtest.Qtest(f"{directory}/qtest")
        t.cleanup.callback(self._qtest.close)
        self.adapter = qtest.VirtioScsi(self._qtest)

    def helper(self) -> int:
        """Its pid, found as libvirt does."""
        with open(self.pid_path, encoding="ascii") as file:
            return int(file.read())

    def qemu(self) -> int:
        with open(f"{PID_FILES}/{self.name}.pid", encoding="ascii") as file:
            return int(file.read())

    def connected(self) -> bool:
        answer = json.loads(self.libvirt.virsh("qemu-monitor-command", self.name,
                                               '{"execute": "query-pr-managers"}'))
        return answer["return"] == [{"id": "pr-helper0", "connected": True}]

    def tell(self, action: int, kind: int = 0, key: int = 0,
             action_key: int = 0) -> qtest.Completion:
        """A command of the guest's driver."""
        parameters = scsi.parameters(key, action_key)
        return self.adapter.command(scsi.pr_out(len(parameters), action, kind)[:10], parameters)

    def drain(self) -> None:
        while self.adapter.command(lab.TEST_UNIT_READY).sense_code[0] == lab.UNIT_ATTENTION:
            pass

    def destroy(self) -> None:
        if self.running:
            self.running = False
            self.libvirt.virsh("destroy", self.name)


def command_line(pid: int) -> List[str]:
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")[:-1]


def namespace(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


@test
@limit(90)
def managed(t: Context) -> None:
    """A domain's whole life."""
    domain = Domain(t, "vm-a")
    helper, qemu = domain.helper(), domain.qemu()
    t.equal(command_line(helper), [t.lab.helper, "-k", domain.socket_path], "argv of the helper")
    t.equal(namespace(helper, "mnt"), namespace(qemu, "mnt"), "its mount namespace and QEMU's")
    t.check(namespace(helper, "mnt") != namespace(os.getpid(), "mnt"), "there is but one")
    t.matches(r"^0::/machine/qemu-\d+-vm-a.libvirt-qemu$", lab.read(f"/proc/{helper}/cgroup"),
              "its control group")
    t.equal(os.stat(domain.socket_path).st_uid, QEMU_USER, "owner of the socket")
    t.check(domain.connected(), "QEMU says that it is not connected")

    domain.drain()
    t.equal(str(domain.tell(scsi.REGISTER, action_key=KEY)), "GOOD", "REGISTER")
    t.equal(str(domain.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)), "GOOD", "RESERVE")
    t.equal(t.disk.registrations(), [lab.Registration(t.lab.initiators[0].name, KEY)],
            "registrations in configfs")
    t.equal(t.disk.reservation()[0], t.lab.initiators[0].name, "holder in configfs")
    t.equal(str(domain.tell(scsi.RESERVE, WRITE_EXCLUSIVE, OTHER_KEY)), "RESERVATION CONFLICT",
            "RESERVE with another key")

    domain.destroy()
    t.check(procfs.state(helper) in "XZ", "the helper outlived its domain")
    lab.wait_for("no process left", lambda: not processes(t.lab.helper))
    t.check(not os.path.exists(domain.directory), "the domain's directory is still there")
    t.equal([name for name in os.listdir(f"{container.CGROUPS}/machine") if "vm-a" in name], [],
            "control groups left behind")
    # The reservation is the disk's, not the helper's.
    t.equal(t.disk.reservation()[0], t.lab.initiators[0].name, "holder in configfs")


@test
@limit(90)
def takes_over(t: Context) -> None:
    """Two domains, one LUN, a helper each: one fences the other."""
    a, b = Domain(t, "vm-a", 0), Domain(t, "vm-b", 1)
    t.check(a.helper() != b.helper(), "they share a helper")
    for domain, key in ((a, KEY), (b, OTHER_KEY)):
        domain.drain()
        t.equal(str(domain.tell(scsi.REGISTER, action_key=key)), "GOOD", f"REGISTER of {key:#x}")
    t.equal(str(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)), "GOOD", "RESERVE of a")
    t.equal(str(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE, OTHER_KEY)), "RESERVATION CONFLICT",
            "RESERVE of b")
    t.equal(str(b.tell(scsi.PREEMPT_AND_ABORT, WRITE_EXCLUSIVE, OTHER_KEY, KEY)), "GOOD",
            "PREEMPT AND ABORT of b")
    t.equal(t.disk.registrations(), [lab.Registration(t.lab.initiators[1].name, OTHER_KEY)],
            "registrations in configfs")
    a.drain()
    t.equal(str(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)), "RESERVATION CONFLICT",
            "RESERVE of a, fenced")
    a.destroy()
    t.check(serving(b.socket_path), "b's helper went with a's")
    t.equal(str(b.tell(scsi.RELEASE, WRITE_EXCLUSIVE, OTHER_KEY)), "GOOD", "RELEASE of b")


@test
@limit(90)
def restarted(t: Context) -> None:
    """A helper that was killed is replaced by libvirt as soon as QEMU misses it."""
    domain = Domain(t, "vm-c")
    domain.drain()
    t.equal(str(domain.tell(scsi.REGISTER, action_key=KEY)), "GOOD", "REGISTER")
    killed_one = domain.helper()
    os.kill(killed_one, signal.SIGKILL)
    procfs.wait_gone(killed_one, 10)
    # QEMU learns by this command; it may also find the new helper in time for it.
    answer = domain.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)
    t.check(str(answer) == "GOOD" or answer.sense_code in (HELPER_LOST, HELPER_UNREACHABLE),
            f"RESERVE without a helper: {answer}")

    def another() -> bool:
        with contextlib.suppress(FileNotFoundError, ValueError):  # there, but not written yet
            return domain.helper() != killed_one and procfs.state(domain.helper()) not in "XZ"
        return False

    def connected() -> bool:
        """It tries for five seconds with each command, for which libvirt may not be in time."""
        return domain.connected() or (
            str(domain.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)) == "GOOD" and domain.connected())

    lab.wait_for("another helper", another, 20)
    lab.wait_for("QEMU connected to it", connected, 20)
    t.equal(str(domain.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY)), "GOOD", "RESERVE")
    domain.destroy()
    lab.wait_for("no process left", lambda: not processes(t.lab.helper))


@test
@limit(60)
@ours("the peer logs to standard error or not at all")
def log_of_a_domain(t: Context) -> None:
    """libvirt has closed standard error; what the helper says can still be read."""
    t.open_journal()
    domain = Domain(t, "vm-d")
    t.refused(t.host(domain.socket_path))
    t.matches(rf"qemu-pr-helper\[{domain.helper()}\]: .*refused", t.journal.recv(4096).decode(),
              "what came to the journal")
