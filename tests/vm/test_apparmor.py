# SPDX-License-Identifier: LGPL-2.1-or-later
"""The AppArmor profiles in enforce mode: what they deny by themselves, and that all else works.

What is denied is tried in processes of root's that have a profile and nothing else, neither a filter nor
fewer capabilities, and in a helper with --sandbox=off; each attempt succeeds without the profile.
That nothing is denied that helper, worker and qemu-pr-ctl need is also what other suites show by
`tests/vm/run --confined`.
"""
import contextlib
import errno
import http.client
import json
import os
import shutil
import signal
import time
from typing import Callable, Dict, Iterator, Optional

import apparmor
import container
import guest
import lab
import maps
from host import GOOD, Host
from support import inject, procfs, scsi, tap
from support.attempts import ATTEMPTS, MEMORY, NUMBERS, Target
from support.process import Helper, Program
from support.tap import cases, test

PACKAGES = ["multipath", "apparmor"]
EMULATED = {"*": "AppArmor"}

EXPORTER = "/payload/bin/qemu-pr-exporter"
ADDRESS = "127.0.0.1:9979"
CLIENT = "lab-client"
CLIENT_PROFILE = f"""abi <abi/3.0>,
profile {CLIENT} flags=(attach_disconnected) {{
  file, network, unix, capability, signal, ptrace, mount,
}}
"""

#: What a profile is asked about: files, capabilities, sockets, signals, tracing, mounts. All other
#: attempts are seccomp's alone; "read a process" reads no byte.
ASKED = ("list /", "open the disk by name", "open the disk for writing", "open /dev/null for writing",
         "open, the old call", "open its memory", "open another's memory", "read /etc/shadow",
         "read /etc/passwd", *MEMORY, "make a file", "make a file without a name",
         "make a file by creat", "change a mode", "remove a file", "execute a program", "TCP socket",
         "unix socket", "netlink socket", "packet socket", "trace a process",
         "signal a process", "mount", "name space", "change the root", "become another user",
         "change groups", "flush the disk")
EVERYWHERE = ("open /dev/null for writing", "open, the old call", "unix socket")
#: What a profile allows, since its program needs it: the helper for its start, and to receive a disk from
#: a client that has a profile, too.
NEEDED = {
    apparmor.HELPER: (*EVERYWHERE, "read /etc/passwd", "become another user", "change groups",
                      "open the disk by name", "open the disk for writing"),
    apparmor.WORKER: (*EVERYWHERE, "open the disk by name"),
    apparmor.EXPORTER: (*EVERYWHERE, "TCP socket"),
}
KEY = 0xA1A2A3A4A5A6A7A8


class Lab:
    """A disk that is a map, too; a helper with its profile, and one with --sandbox=off."""

    def __init__(self, settings: dict):
        apparmor.load()
        lab.write("/run/client", CLIENT_PROFILE)
        lab.run("apparmor_parser", "--replace", "--skip-cache", "/run/client")
        self.program = settings["helper"]
        self.devices = maps.Devices()
        if not os.path.exists("/bin/true"):
            os.symlink("/usr/bin/busybox", "/bin/true")
        os.mkdir("/run/logs")
        lab.write("/etc/shadow", "root:*:1::::::\n")
        self.directory = "/root/attempts"
        os.mkdir(self.directory)
        self.helper = self.start("confined")
        self.open = self.start("open", "-u", "root", "--sandbox=off")
        self.denials = apparmor.Denials()

    def start(self, name: str, *options: str, program: str = "") -> Helper:
        directory = f"/run/{name}"
        os.mkdir(directory)
        return Helper(program or self.program, directory,
                      [f"--mpath-worker={maps.WORKER}", *options]).wait_ready()

    def close(self) -> None:
        self.helper.close()
        self.open.close()
        self.devices.close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.lab = shared
        shared.devices.reset()
        shared.denials.collect()

    def log(self) -> str:
        return "\n".join([*self.lab.helper.log().splitlines()[-8:], *guest.kernel_log(20)])

    def watched(self, program: Program) -> Program:
        self.cleanup.callback(program.close)
        return program


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    with contextlib.closing(Lab(settings)) as shared:
        yield lambda one: Context(shared, one.full_name)


@contextlib.contextmanager
def process(profile: Optional[str]) -> Iterator[int]:
    """Of root's, with a profile from now on; it waits."""
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            container.libc.unshare(container.CLONE_NEWNS)
            container.mount("none", "/", flags=container.MS_REC | container.MS_PRIVATE)
            if profile:
                apparmor.become(profile)
            time.sleep(1000)
        os._exit(1)
    try:
        lab.wait_for("the process waits",
                     lambda: procfs.system_call(pid) == NUMBERS["clock_nanosleep"])
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def attempt(name: str, pid: int, target: Target) -> str:
    """"done", or the name of an error."""
    result = ATTEMPTS[name].make(pid, target)
    return "done" if result >= 0 else errno.errorcode[-result]


# -- what runs under which profile


def label_of_worker(t: Context, helper: Helper) -> str:
    with contextlib.closing(Host(helper.socket_path, maps.NODE, timeout=20)) as host:
        t.equal(host.tell(scsi.REGISTER, action_key=KEY).encode(), GOOD.encode(), "REGISTER")
        worker = maps.find_worker(helper)
        t.check(worker, "there is no worker")
        t.equal({apparmor.label(pid) for pid in procfs.children(worker)}, {apparmor.label(worker)},
                "label of the opener")
        return apparmor.label(worker)


@test
def enforced(t: Context) -> None:
    """Helper and keeper have the helper's profile, the worker that one and its own."""
    helper = t.lab.helper
    t.equal({apparmor.label(pid) for pid in (helper.pid, *procfs.children(helper.pid))},
            {f"{apparmor.HELPER} (enforce)"}, "labels of helper and keeper")
    t.equal(label_of_worker(t, helper), f"{apparmor.HELPER}//&{apparmor.WORKER} (enforce)",
            "label of the worker")
    t.lab.denials.none()


@test
def worker_of_a_helper_without_profile(t: Context) -> None:
    """Such as libvirt's: the worker has its profile all the same."""
    os.makedirs("/run/elsewhere", exist_ok=True)
    program = shutil.copy(t.lab.program, "/run/elsewhere/helper")
    helper = t.lab.start("plain", program=program)
    t.watched(helper)
    t.equal(apparmor.label(helper.pid), "unconfined", "label of the helper")
    t.equal(label_of_worker(t, helper), f"{apparmor.WORKER} (enforce)", "label of the worker")
    t.lab.denials.none()


# -- what is denied



@cases(*sorted(set(ASKED)))
def denied(t: Context, name: str) -> None:
    """By each profile alone, unless its program needs it; without a profile it succeeds."""
    inject.needs_injection()
    path = t.lab.devices.target.initiators[0].path
    fd = os.open(path, os.O_RDWR)
    t.cleanup.callback(os.close, fd)
    with process(None) as victim:
        target = Target(path, fd, t.lab.directory, victim)
        with process(None) as pid:
            result = attempt(name, pid, target)
        if result != "done":
            raise tap.Skip(f"no process can do that here: {result}")
        found: Dict[str, str] = {}
        for profile, needed in NEEDED.items():
            with process(profile) as pid:
                found[profile] = attempt(name, pid, target)
        t.equal({profile: "done" if result == "done" else result in ("EACCES", "EPERM")
                 for profile, result in found.items()},
                {profile: "done" if name in needed else True
                 for profile, needed in NEEDED.items()}, f"{name}: {found}")
        if name not in NEEDED[apparmor.HELPER] and name != "flush the disk":
            t.check(attempt(name, t.lab.open.pid, target) in ("EACCES", "EPERM"),
                    f"{name}, by a helper with --sandbox=off")


# -- what works


def as_client(t: Context, path: str, run: Callable[[Host], object]) -> object:
    """With a profile of its own and a /dev of its own, as libvirt's QEMU: run(), with the disk's fd."""
    rdev = os.stat(path).st_rdev
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            container.libc.unshare(container.CLONE_NEWNS)
            container.mount("none", "/", flags=container.MS_REC | container.MS_PRIVATE)
            container.mount("tmpfs", "/dev", "tmpfs")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.mknod(path, 0o660 | 0o60000, rdev)
            apparmor.become(CLIENT)
            with contextlib.closing(Host(t.lab.helper.socket_path, path, timeout=20)) as host:
                result = {"good": run(host)}
        except BaseException as error:  # pylint: disable=broad-except
            result = {"bad": f"{type(error).__name__}: {error}"}
        os.write(write_end, json.dumps(result).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    result = json.loads(text or '{"bad": "no answer"}')
    t.check("good" in result, f"{path}: {result.get('bad')}")
    return result["good"]


@cases(("a LUN", lambda devices: devices.target.initiators[0].path),
       ("a map", lambda devices: maps.NODE),
       ("a map by its number", lambda devices: os.path.realpath(maps.NODE)))
def client_with_a_profile(t: Context, path_of: Callable[[maps.Devices], str]) -> None:
    """The kernel asks the helper's profile about the fd, and it is of another /dev."""
    def register(host: Host) -> object:
        return [host.tell(scsi.REGISTER, action_key=KEY).status, host.keys()[1],
                host.tell(scsi.REGISTER, key=KEY).status]
    status, keys, last = as_client(t, path_of(t.lab.devices), register)
    t.equal((status, set(keys), last), (scsi.GOOD, {KEY}, scsi.GOOD), "REGISTER, keys, REGISTER")
    t.lab.denials.none()


@test
def other_places(t: Context) -> None:
    """A socket where the profile does not let the helper make one, until the local file says so."""
    os.makedirs("/var/cluster", exist_ok=True)
    helper = t.watched(Helper(t.lab.program, "/run/logs", [], socket_path="/var/cluster/socket"))
    t.check(helper.wait_exit() != 0, "it serves")
    t.check(t.lab.denials.collect(), "nothing was denied")
    apparmor.add(apparmor.HELPER, "/var/cluster/{,**} rwkl,")
    helper = t.watched(Helper(t.lab.program, "/run/logs", [], socket_path="/var/cluster/socket"))
    helper.wait_ready()
    t.lab.denials.none()


@test
def exporter(t: Context) -> None:
    status = "/run/exported"
    os.mkdir(status)
    t.watched(t.lab.start("watched", f"--status-socket={status}/one"))
    os.mkdir("/run/exporter")
    program = t.watched(Program([EXPORTER, f"--status={status}", f"--listen={ADDRESS}"],
                                "/run/exporter"))

    def metrics() -> str:
        with contextlib.suppress(ConnectionError):
            connection = http.client.HTTPConnection(ADDRESS, timeout=20)
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        return ""
    program.wait_until("serving", lambda: bool(metrics()))
    t.matches(r"^qemu_pr_helper_up(\{.*\})? 1", metrics(), "metrics")
    t.equal(apparmor.label(program.pid), f"{apparmor.EXPORTER} (enforce)", "label")
    t.lab.denials.none()
