# SPDX-License-Identifier: LGPL-2.1-or-later
"""KubeVirt's way (1.6 and later): one helper for all virtual machines of a node.

It is process 1 of a privileged container, started by the image's /entrypoint.sh: its own root, processes
and mounts, the node's /dev and /sys, and of the node's file system a directory for the socket. Another
container, virt-handler, watches that directory: it takes the socket's appearing for "ready", its going
for "gone", and makes it QEMU's as soon as it sees it. It mounts the node's multipathd there, if there is
one. QEMU runs as user 107 in a pod for each virtual machine.
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import threading
from typing import Callable, Iterator, List, Optional

import container
import context
import guest
import lab
import multipath
from host import WRITE_EXCLUSIVE_REGISTRANTS, Host
from support import procfs, scsi
from support.inotify import Watch
from support.process import Helper, serving
from support.tap import limit, ours, test

PACKAGES = ["multipath"]

QEMU_USER = 107
NODE_DIRECTORY = "/var/lib/kubevirt/daemons/pr"
DIRECTORY, NAME = "/var/run/kubevirt/daemons/pr", "pr-helper.sock"
SOCKET = f"{NODE_DIRECTORY}/{NAME}"
PROGRAM = "/usr/bin/qemu-pr-helper"
WORKER = "/usr/libexec/qemu-pr-mpath"
CTL = "/payload/bin/qemu-pr-ctl"
ENTRY_POINT = "/payload/bin/entrypoint.sh"
CONFIGURATION = "/payload/bin/qemu-pr-helper.conf"
STATUS = f"{DIRECTORY}/status-1.sock"
MULTIPATHD = f"{NODE_DIRECTORY}/multipathd.socket"
MAP = "mpatha"
MAP_NODE = f"/dev/mapper/{MAP}"
JOURNAL = "qemu-pr-mpath"
NAMESPACES = (container.CLONE_NEWNS | container.CLONE_NEWPID | container.CLONE_NEWUTS |
              container.CLONE_NEWIPC | container.CLONE_NEWCGROUP | container.CLONE_NEWNET)
MACHINES = 4
FIRST_KEY = 0xC0DE0000


class Lab:
    def __init__(self, settings: dict):
        if settings["helper"] != PROGRAM:
            container.bind(settings["helper"], PROGRAM)
            container.bind("/payload/bin/qemu-pr-mpath", WORKER)
        self.disk = lab.Backstore("shared")
        self.initiators = lab.Iscsi(self.disk, MACHINES).initiators
        container.mount_control_groups()
        os.makedirs(NODE_DIRECTORY)
        self.number = 0
        self.daemons: Optional[multipath.Multipath] = None
        self.mapped: Optional[lab.Backstore] = None

    def make_map(self) -> None:
        """The node's multipathd, and a map; it takes no disk that was there before."""
        if self.daemons:
            return
        names = "|".join(os.path.basename(initiator.path) for initiator in self.initiators)
        os.makedirs("/etc/multipath/conf.d", exist_ok=True)
        lab.write("/etc/multipath/conf.d/plain.conf", f'blacklist {{ devnode "^({names})$" }}\n')
        self.daemons = multipath.Multipath()
        self.mapped = lab.Backstore("mapped")
        lab.Iscsi(self.mapped, 2)
        self.daemons.wait_paths(MAP, 2)
        lab.wait_for(MAP_NODE, lambda: os.path.exists(MAP_NODE))

    def close(self) -> None:
        if self.daemons:
            self.daemons.close()


class Relay:
    """The socket that virt-handler mounts for the helper, with the node's multipathd behind it: versions
    before 0.12 have an abstract socket only, which a pod's network namespace does not reach."""

    def __init__(self) -> None:
        self.served = 0
        self._to = ("/run/multipathd.socket" if guest.version("multipath-tools") >= (0, 12)
                    else multipath.SOCKET)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(MULTIPATHD)
        self._socket.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._to)
                self.served += 1
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.unlink(MULTIPATHD)


def enter_image() -> None:
    """The helper's container: what is in its image, and what is mounted into it."""
    root = "/run/image"
    os.makedirs(root, exist_ok=True)
    container.mount("image", root, "tmpfs", container.MS_NOSUID)
    for name in ("usr", "payload", "dev", "sys", "proc"):
        os.mkdir(f"{root}/{name}")
        container.mount(f"/{name}", f"{root}/{name}",
                        flags=container.MS_BIND | container.MS_REC)
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{name}", f"{root}/{name}")
    container.bind(NODE_DIRECTORY, root + DIRECTORY)
    os.makedirs(f"{root}/etc/multipath")
    os.makedirs(f"{root}/run")
    shutil.copy(ENTRY_POINT, root + "/entrypoint.sh")
    shutil.copy(CONFIGURATION, root + "/etc")
    os.chroot(root)
    os.chdir("/")


class Context(context.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(name)
        self.lab, self.disk = shared, shared.disk
        lab.reset(shared.initiators)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)
        self.watch = Watch(NODE_DIRECTORY)
        self.cleanup.callback(self.watch.close)

    def start(self) -> Helper:
        self.lab.number += 1
        directory = f"/run/helper{self.lab.number}"
        os.mkdir(directory)
        group = container.make_control_group(f"pod{self.lab.number}")
        self.cleanup.callback(self.remove_group, group)
        helper = Helper("/entrypoint.sh", directory, socket_path=f"{DIRECTORY}/{NAME}",
                        before_exec=container.enter(NAMESPACES, enter_image, group))
        self.watched(f"helper {self.lab.number}", helper)
        return helper

    @staticmethod
    def remove_group(group: str) -> None:
        """As soon as its last process is gone for good."""
        def removed() -> bool:
            with contextlib.suppress(OSError):
                os.rmdir(group)
            return not os.path.exists(group)
        lab.wait_for(f"{group} gone", removed)

    def appeared(self) -> None:
        """What the watcher does as soon as it hears of the socket."""
        self.watch.wait("create", NAME)
        os.chown(SOCKET, QEMU_USER, QEMU_USER)

    def started(self) -> Helper:
        """For tests of what comes later."""
        helper = self.start()
        self.appeared()
        lab.wait_for("serving", lambda: serving(SOCKET))
        return helper

    def neighbour(self, *command: str) -> str:
        """What a program says in another container of the same pod: the same image, the shared directory,
        no helper."""
        self.lab.number += 1
        program = container.start(command, f"/run/neighbour{self.lab.number}", NAMESPACES,
                                  prepare=enter_image)
        self.watched(f"neighbour {self.lab.number}", program)
        program.wait_exit(60)
        return program.output()

    def main(self, helper: Helper) -> int:
        """Process 1 of the container, by the node's pid."""
        return procfs.children(helper.pid)[0]

    def events(self) -> List[str]:
        return [event for event, name in self.watch.collect()
                if name == NAME and event != "attrib"]


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[object], Context]]:
    with contextlib.closing(Lab(settings)) as shared:
        yield lambda one: Context(shared, one.full_name)


class Pod:
    """A process of QEMU's in a virtual machine's pod: user 107, no capability, other namespaces. It
    has its disk's fd and runs what it is given; what that returns comes back."""

    def __init__(self, t: Context, number: int, run: Callable[[Host], object]):
        self.name = f"machine {number}"
        self._read_end, write_end = os.pipe()
        t.cleanup.callback(os.close, self._read_end)
        self.pid = os.fork()
        if self.pid:
            os.close(write_end)
            return
        os.dup2(write_end, 3)
        try:
            # The intermediate process closes all but the standard fds.
            container.enter(container.CLONE_NEWNS | container.CLONE_NEWPID)()
            host = Host(SOCKET, t.lab.initiators[number].path, name=self.name, user=QEMU_USER)
            result = {"good": run(host)}
        except BaseException as error:  # pylint: disable=broad-except
            result = {"bad": f"{type(error).__name__}: {error}"}
        os.write(3, json.dumps(result).encode())
        os._exit(0)

    def result(self) -> object:
        parts = []
        while part := os.read(self._read_end, 65536):
            parts.append(part)
        os.waitpid(self.pid, 0)
        result = json.loads(b"".join(parts) or b'{"bad": "no answer"}')
        if "bad" in result:
            raise AssertionError(f"{self.name}: {result['bad']}")
        return result["good"]


def key_of(number: int) -> int:
    return FIRST_KEY + number


@test
@ours("the peer's socket can be seen before it can be connected to")
def appears_and_goes(t: Context) -> None:
    """Exactly one Create and one Remove of the exact name, and in between it can be used."""
    helper = t.start()
    t.appeared()
    # KubeVirt does not try twice.
    host = Host(SOCKET, t.lab.initiators[0].path)
    t.cleanup.callback(host.close)
    t.good(host.tell(scsi.REGISTER, action_key=key_of(0)), "REGISTER")
    found = os.stat(SOCKET)
    t.equal((found.st_uid, found.st_gid), (QEMU_USER, QEMU_USER), "owner of the socket")
    os.kill(t.main(helper), signal.SIGTERM)
    t.watch.wait("delete", NAME)
    t.equal(helper.wait_exit(), 0, "exit status of the container")
    t.equal(t.events(), ["create", "delete"], "what the watcher saw of the name")
    t.equal(os.listdir(NODE_DIRECTORY), [JOURNAL], "what is left in the directory")


@test
def machines(t: Context) -> None:
    """Several virtual machines at once, each with its own I_T nexus of the same LUN."""
    t.started()

    def register(number: int) -> Callable[[Host], object]:
        def run(host: Host) -> object:
            for _ in range(10):  # the others are at it, too
                for old, new in ((0, key_of(number)), (key_of(number), 0)):
                    t.good(host.tell(scsi.REGISTER, key=old, action_key=new), "REGISTER")
            t.good(host.tell(scsi.REGISTER, action_key=key_of(number)), "REGISTER")
            return os.getpid()
        return run
    pods = [Pod(t, number, register(number)) for number in range(MACHINES)]
    # Each is the first process of its namespace: the helper cannot know their pids.
    t.equal([pod.result() for pod in pods], [1] * MACHINES, "answers")
    t.equal([one.key for one in t.disk.registrations()],
            [key_of(number) for number in range(MACHINES)], "keys in configfs")

    def reserve(number: int) -> Callable[[Host], object]:
        return lambda host: host.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS,
                                      key_of(number)).status
    pods = [Pod(t, number, reserve(number)) for number in range(MACHINES)]
    t.equal(sorted(pod.result() for pod in pods),
            [scsi.GOOD] + [scsi.RESERVATION_CONFLICT] * (MACHINES - 1), "answers to RESERVE")
    holder = t.disk.reservation()[0]
    winner = [initiator.name for initiator in t.lab.initiators].index(holder)
    loser = (winner + 1) % MACHINES
    answer = Pod(t, loser, lambda host: host.tell(
        scsi.PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, key_of(loser),
        key_of(winner)).status).result()
    t.equal(answer, scsi.GOOD, "status of PREEMPT AND ABORT")
    t.equal(t.disk.reservation()[0], t.lab.initiators[loser].name, "holder in configfs")


def restart(t: Context) -> Helper:
    """Another container after the first, whose socket is still there."""
    second = t.start()
    if t.events() == ["create"]:
        t.watch.wait("delete", NAME)
    lab.wait_for("the socket's second appearing", lambda: t.events().count("create") == 2)
    os.chown(SOCKET, QEMU_USER, QEMU_USER)
    lab.wait_for("serving", lambda: serving(SOCKET))
    return second


@test
def restarted(t: Context) -> None:
    """The container is replaced: clients of the old one are let go, the watcher sees both."""
    first = t.started()
    host = Host(SOCKET, t.lab.initiators[0].path)
    t.cleanup.callback(host.close)
    t.good(host.tell(scsi.REGISTER, action_key=key_of(0)), "REGISTER")
    os.kill(t.main(first), signal.SIGKILL)  # process 1: that ends a namespace, and all others
    first.wait_exit()
    t.equal(host.connection.receive_rest(), b"", "what comes on the old connection")
    second = restart(t)
    host.reconnect()
    t.good(host.tell(scsi.REGISTER, key=key_of(0)), "REGISTER by the new helper")
    t.equal(t.events(), ["create", "delete", "create"], "what the watcher saw of the name")
    os.kill(t.main(second), signal.SIGTERM)
    t.equal(second.wait_exit(), 0, "exit status of the container")


@test
def shared_directory(t: Context) -> None:
    """multipathd's socket is where virt-handler mounts it, also later; the journal is the node's."""
    helper = t.started()
    root = f"/proc/{t.main(helper)}/root"
    link = os.readlink(f"{root}/run/multipathd.socket")
    t.equal(link, f"{DIRECTORY}/multipathd.socket", "where multipathd is looked for")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{NODE_DIRECTORY}/multipathd.socket")
        t.cleanup.callback(os.unlink, f"{NODE_DIRECTORY}/multipathd.socket")
        t.check(os.path.samestat(os.stat(root + link),
                                 os.stat(f"{NODE_DIRECTORY}/multipathd.socket")), "another file")
    kept = os.stat(f"{NODE_DIRECTORY}/{JOURNAL}")
    t.check(os.path.samestat(os.stat(f"{root}/run/{JOURNAL}"), kept), "a journal of its own")
    t.equal((kept.st_uid, oct(kept.st_mode & 0o777)), (0, "0o700"), "owner and mode of the journal")


@test
@ours("the peer's log is its own affair")
def log(t: Context) -> None:
    """There is no journal and no syslog: standard error is the container's log."""
    helper = t.started()
    host = Host(SOCKET, "/dev/null")
    t.cleanup.callback(host.close)
    t.equal(host.ask(scsi.READ_KEYS).status, scsi.CHECK_CONDITION, "status for /dev/null")
    helper.wait_log(r"^qemu-pr-helper: .*refused")


# -- multipath maps, and who looks from beside


def map_registered(t: Context, *keys: int) -> None:
    t.equal([one.key for one in t.lab.mapped.registrations()], list(keys), "keys in configfs")


@test
@limit(120)
@ours("the peer wants multipathd's abstract socket")
def multipath_map(t: Context) -> None:
    """By the worker in the container: it reaches the node's multipathd by what virt-handler mounts, and
    the next container knows what the one before has done."""
    t.lab.make_map()
    relay = Relay()
    t.cleanup.callback(relay.close)
    first = t.started()
    host = Host(SOCKET, MAP_NODE, timeout=30)
    t.cleanup.callback(host.close)
    t.good(host.tell(scsi.REGISTER, action_key=key_of(0)), "REGISTER")
    map_registered(t, key_of(0), key_of(0))
    t.check(relay.served > 0, "multipathd was not asked")
    t.equal(t.lab.daemons.key(MAP), key_of(0), "key that multipathd knows")
    t.good(host.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, key_of(0)), "RESERVE")
    t.equal(host.keys()[1], [key_of(0)] * 2, "keys that the guest reads: one for each path")

    os.kill(t.main(first), signal.SIGKILL)
    first.wait_exit()
    second = restart(t)
    host.reconnect()
    t.equal(host.keys()[1], [key_of(0)] * 2, "keys that the guest reads of the new container")
    t.good(host.tell(scsi.RELEASE, WRITE_EXCLUSIVE_REGISTRANTS, key_of(0)), "RELEASE")
    t.good(host.tell(scsi.REGISTER, key=key_of(0)), "REGISTER of 0")
    map_registered(t)
    os.kill(t.main(second), signal.SIGTERM)
    t.equal(second.wait_exit(), 0, "exit status of the container")


@test
@limit(120)
@ours("the peer has no status")
def seen_by_a_neighbour(t: Context) -> None:
    """qemu-pr-ctl in another container of the pod, on a plain LUN and on a map."""
    t.lab.make_map()
    relay = Relay()
    t.cleanup.callback(relay.close)
    t.started()
    hosts = [Host(SOCKET, path, timeout=30) for path in (t.lab.initiators[0].path, MAP_NODE)]
    for number, host in enumerate(hosts):
        t.cleanup.callback(host.close)
        t.good(host.tell(scsi.REGISTER, action_key=key_of(number)), "REGISTER")
    told = json.loads(t.neighbour(CTL, "status", f"--status-socket={STATUS}", "--json"))
    t.equal({key["key"] for device in told["devices"] for key in device["keys"]},
            {f"0x{key_of(number):016x}" for number in range(2)}, "keys in the status")
    for host, number in zip(hosts, range(2)):
        # As docs/kubevirt.md has it.
        found = json.loads(t.neighbour(
            "/bin/sh", "-c", f"ln -sfn {DIRECTORY}/multipathd.socket /run/multipathd.socket && "
            f"exec {CTL} doctor -k {DIRECTORY}/{NAME} --json {host.name}"))
        t.equal([one for one in found["checks"] if one["verdict"] == "failure"], [],
                f"failures that the doctor finds on {host.name}")
        t.equal(found["checks"][0], {"check": "helper", "verdict": "good",
                                     "text": f"it answers at {DIRECTORY}/{NAME}"}, "first finding")
        t.good(host.tell(scsi.REGISTER, key=key_of(number)), "REGISTER of 0")
