# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cluster of two virtual machines with Debian, corosync and Pacemaker: each with a QEMU, a helper, an
I_T nexus and a network card of its own; and the third vote, which runs outside of them.

Their root file system is the lab's own as it was in the beginning; what cluster software keeps is on a
small disk for each. They are emulated, and their time is what they execute (-icount): a slow machine
does not let corosync's timers run out. cluster_node.py is what they are told by.
"""
import contextlib
import errno
import fcntl
import json
import os
import re
import signal
import socket
import struct
import time
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Type, Union

import container
import lab
import qemu
from linux_guest import KERNEL
from support import scaled
from support.process import Helper, Program
from writers import Judged

NAMES = ["node-a", "node-b"]
NETWORK = "192.168.122"
ADDRESSES = [f"{NETWORK}.11", f"{NETWORK}.12"]
#: The third vote's, which is the bridge's own.
VOTE = f"{NETWORK}.1"
BRIDGE = "br0"
LOG = "/var/log/pacemaker/pacemaker.log"
NODE = "/payload/tests/vm/cluster_node.py"
#: The shared disk: a file system, and behind it a block for each node's writer.
MEGABYTES, WRITERS = 24, 5120
STATE_MEGABYTES = 16
MEMORY = 320
BOOT_SECONDS = 400.0
ARGUMENTS = ("console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off nokaslr cryptomgr.notests "
             "random.trust_cpu=on lpj=4000000 tsc=reliable no_timer_check "
             "root=PARTUUID=6c616201-01 rootfstype=ext4 rootwait rw init=/bin/sh state=/dev/{state} -- "
             '-c "mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -o ro -t ext4 /dev/{payload} /payload; '
             'exec python3 -ISu ' + NODE + '"')
TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
#: <linux/rtnetlink.h>, <linux/if_link.h>, <linux/veth.h>
RTM_NEWLINK, NEW_AND_ANSWERED = 16, 0x605
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID = 1, 3, 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
PRELOAD = "/payload/bin/libprsocket.so"


def images() -> Tuple[str, str]:
    """The lab's disks that nodes have as well: root file system, payload."""
    if os.path.exists("/dev/ubdc"):
        return "/dev/ubdc", "/dev/ubdb"
    return "/dev/nvme0n3", "/dev/nvme0n2"


def card(number: int) -> str:
    """The address of a node's network card; it stays the same from boot to boot."""
    return f"52:54:00:00:00:{number + 1:02x}"


class Network:
    """A switch with a port for each node, and this machine."""

    def __init__(self) -> None:
        lab.load("tun", "veth", "bridge")
        lab.run("busybox", "brctl", "addbr", BRIDGE)
        # An address that is not given is one of the ports', and another one when a node has booted: the
        # other node would send to the old one until it asks again, and lose the third vote.
        lab.run("busybox", "ip", "link", "set", BRIDGE, "address", "52:54:00:00:00:fe")
        lab.run("busybox", "ip", "address", "add", f"{VOTE}/24", "dev", BRIDGE)
        lab.run("busybox", "ip", "link", "set", BRIDGE, "up")

    @staticmethod
    def port(number: int) -> str:
        return f"port{number}"

    @classmethod
    def add_tap(cls, number: int) -> None:
        """A port for a QEMU, which opens it; it stays from one to the next."""
        if os.path.exists(f"/sys/class/net/{cls.port(number)}"):
            return
        os.chmod("/dev/net/tun", 0o666)
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, TUNSETIFF,
                    struct.pack("16sH22x", cls.port(number).encode(), IFF_TAP | IFF_NO_PI))
        fcntl.ioctl(fd, TUNSETOWNER, qemu.QEMU_USER)
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
        os.close(fd)
        cls._join(number)

    @classmethod
    def plug_in(cls, number: int, pid: int) -> None:
        """A pair of cards; the other one is eth0 in the namespace of a process, and goes with it."""
        nothing = bytes(16)  # struct ifinfomsg
        peer = b"".join([nothing, attribute(IFLA_IFNAME, b"eth0\0"),
                         attribute(IFLA_ADDRESS, bytes.fromhex(card(number).replace(":", ""))),
                         attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))])
        link = attribute(IFLA_INFO_KIND, b"veth") + attribute(
            IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
        body = nothing + attribute(IFLA_IFNAME, cls.port(number).encode() + b"\0") + attribute(
            IFLA_LINKINFO, link)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as netlink:
            netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NEW_AND_ANSWERED, 1, 0)
                         + body)
            error, = struct.unpack_from("=i", netlink.recv(4096), 16)  # struct nlmsgerr
        if error:
            raise OSError(-error, f"{cls.port(number)}: {os.strerror(-error)}")
        cls._join(number)

    @classmethod
    def _join(cls, number: int) -> None:
        lab.run("busybox", "brctl", "addif", BRIDGE, cls.port(number))
        lab.run("busybox", "ip", "link", "set", cls.port(number), "up")


def attribute(kind: int, data: bytes) -> bytes:
    """Of netlink, rtnetlink(7)."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


class Line:
    """A serial line of a node: a request, and its answer, each a line."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._rest = b""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for an answer
        self._socket.close()

    def answer(self, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the node has ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "backslashreplace").rstrip("\r")

    def ask(self, request: str, seconds: float) -> str:
        self._socket.sendall(request.encode() + b"\n")
        return self.answer(seconds)


class Result(NamedTuple):
    status: int
    output: str


def connected(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made


def disk_name() -> str:
    """What udev calls the shared disk."""
    return "wwn-0x" + lab.read("/sys/block/sda/device/wwid").strip().replace("naa.", "")


class Told:
    """What both kinds of nodes have in common: two lines to cluster_node.py."""
    name: str
    number: int
    line: Line
    writes: Line

    def wait_ready(self) -> None:
        for line in (self.line, self.writes):
            while line.answer(scaled(BOOT_SECONDS)) != "ready":
                pass

    def tell(self, seconds: float = 120.0, **request: Any) -> Dict[str, Any]:
        try:
            return json.loads(self.line.ask(json.dumps(request), scaled(seconds)))
        except socket.timeout:
            raise AssertionError(f"{self.name} has not answered within {scaled(seconds):.0f} s: "
                                 f"{request}") from None

    def run(self, *command: str, seconds: float = 180.0) -> Result:
        return Result(**self.tell(seconds, run=command))

    def done(self, *command: str, seconds: float = 180.0) -> str:
        result = self.run(*command, seconds=seconds)
        if result.status:
            raise AssertionError(f"{self.name}: {' '.join(command)} ended with {result.status}: "
                                 f"{result.output}")
        return result.output

    def launch(self, *command: str) -> None:
        self.tell(start=command)

    def put(self, path: str, text: str) -> None:
        self.tell(file=path, text=text)

    def read(self, path: str) -> Tuple[str, float]:
        """A file, and the node's time."""
        answer = self.tell(read=path)
        return answer["text"], answer["clock"]

    def joined(self) -> bool:
        """Pacemaker has a coordinator. Its log is cheaper than its programs."""
        return bool(re.search(r"-> S_(IDLE|NOT_DC)\b", self.read(LOG)[0]))

    def wait_for(self, what: str, *command: str, seconds: float = 300.0) -> None:
        """Until a program succeeds."""
        deadline = time.monotonic() + scaled(seconds)
        while True:
            result = self.run(*command)
            if result.status == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: {what}: not within {scaled(seconds):.0f} s; "
                                     f"{result.output}")
            time.sleep(5.0)  # a node that is asked all the time does little else


class Guest(qemu.Machine, Told):
    """In a QEMU: from start() on it boots; wait_ready() is when it has."""

    def __init__(self, number: int, directory: str, disk: str, helper: str, state: str):
        self.number = number
        root, payload = images()
        Network.add_tap(number)
        if not os.path.exists(state):
            lab.run("mkfs.ext4", "-q", state, f"{STATE_MEGABYTES}M")
        for path in (root, payload):
            os.chmod(path, 0o644)
        os.chown(state, qemu.QEMU_USER, qemu.QEMU_USER)
        lines = []
        for name in ("port", "writes"):
            lines += ["-chardev", f"socket,id={name},path={directory}/{name},server=on,wait=off",
                      "-serial", f"chardev:{name}"]
        disks = []
        for name, what in [("root", f"file={root},snapshot=on"),
                           ("payload", f"file={payload},readonly=on"), ("state", f"file={state}")]:
            disks += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,{what}",
                      "-device", f"nvme-ns,bus=disks,drive={name}"]
        super().__init__(NAMES[number], directory, disk, helper, MEMORY, [
            "-icount", "shift=3", "-cpu", "qemu64,+rdrand", "-bios", "qboot.rom", "-kernel", KERNEL,
            "-append", ARGUMENTS.format(payload="nvme0n2", state="nvme0n3"),
            "-serial", f"file:{directory}/console", *lines,
            "-device", "nvme,id=disks,serial=vm", *disks,
            "-netdev", f"tap,id=net,ifname={Network.port(number)},script=no,downscript=no",
            "-device", f"virtio-net-pci,id=card,netdev=net,romfile=,mac={card(number)}"])

    def start(self) -> None:
        super().start()
        self.line, self.writes = (self.opened.enter_context(contextlib.closing(
            Line(connected(f"{self.directory}/{name}")))) for name in ("port", "writes"))

    def console(self) -> str:
        if not os.path.exists(f"{self.directory}/console"):
            return ""
        with open(f"{self.directory}/console", encoding="utf-8", errors="backslashreplace") as file:
            return file.read()

    # -- what befalls it

    def kill(self) -> None:
        self.program.process.kill()
        self.close()

    def hang(self) -> None:
        self.qmp.command("stop")

    def resume(self) -> None:
        self.qmp.command("cont")

    def cut_off(self, away: bool = True) -> None:
        self.qmp.command("set_link", {"name": "card", "up": not away})


class Container(Told):
    """In namespaces and a control group: the same software without a QEMU, whose PERSISTENT RESERVE
    commands tests/preload leads through the helper. Its kernel is the lab's: what it has mounted goes
    with it, and what hangs are its processes."""
    FLAGS = (container.CLONE_NEWNS | container.CLONE_NEWPID | container.CLONE_NEWUTS
             | container.CLONE_NEWIPC | container.CLONE_NEWNET)

    def __init__(self, number: int, directory: str, disk: str, helper: str, state: str):
        self.name, self.number, self.directory = NAMES[number], number, directory
        os.makedirs(directory)
        os.makedirs(state, exist_ok=True)
        self.opened = contextlib.ExitStack()
        pairs = [socket.socketpair() for _ in range(2)]
        theirs = [pair[1].fileno() for pair in pairs]
        self.cgroup = container.make_control_group(os.path.basename(directory))
        self.program = Program(
            ["python3", "-ISu", NODE, *map(str, theirs), disk, disk_name(), state], directory,
            env={"LD_PRELOAD": PRELOAD, "PR_SOCKET": helper}, pass_fds=theirs,
            before_exec=container.enter(self.FLAGS, cgroup=self.cgroup))
        self.opened.callback(self.program.close)
        self.line, self.writes = (self.opened.enter_context(contextlib.closing(Line(pair[0])))
                                  for pair in pairs)
        for pair in pairs:
            pair[1].close()

    def start(self) -> None:
        """Its network card; cluster_node.py is its process 1."""
        first = lab.wait_for(f"process 1 of {self.name}", lambda: [
            pid for pid in container.members(self.cgroup) if pid != self.program.pid])
        Network.plug_in(self.number, min(first))

    def close(self) -> None:
        self.resume()
        for pid in container.members(self.cgroup):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.opened.close()
        lab.wait_for(f"{self.name} has ended", self._has_ended, 60)
        # A connection that waits for its last answer would keep the namespace, and the card in it.
        with contextlib.suppress(OSError):  # it may go just now
            lab.run("busybox", "ip", "link", "delete", Network.port(self.number))
        lab.wait_for(f"{self.name}'s card has gone", lambda: not os.path.exists(
            f"/sys/class/net/{Network.port(self.number)}"))

    def _has_ended(self) -> bool:
        with contextlib.suppress(OSError):
            os.rmdir(self.cgroup)
        return not os.path.exists(self.cgroup)

    def console(self) -> str:
        return self.program.log()

    kill = close

    def hang(self) -> None:
        lab.write(f"{self.cgroup}/cgroup.freeze", 1)
        lab.wait_for(f"{self.name} hangs",
                     lambda: "frozen 1" in lab.read(f"{self.cgroup}/cgroup.events"))

    def resume(self) -> None:
        if os.path.exists(self.cgroup):
            lab.write(f"{self.cgroup}/cgroup.freeze", 0)

    def cut_off(self, away: bool = True) -> None:
        lab.run("busybox", "ip", "link", "set", Network.port(self.number), "down" if away else "up")


Node = Union[Guest, Container]


class GuestWriter(Judged):
    """A node's, which writes past its file system; see writers.py. It ends with the node."""

    def __init__(self, node: Node, disk: str):
        self._node = node
        super().__init__(node.name, disk, WRITERS + node.number, pause=1.0)

    def put(self, number: int) -> int:
        try:
            return int(self._node.writes.ask(f"{self.block} {number}", scaled(BOOT_SECONDS)))
        except (OSError, ValueError):
            self._ends = True
            return errno.ENODEV


class Guide:
    """The blocks of docs/pacemaker.md, by their first lines, which are comments."""

    def __init__(self, disk: str):
        with open("/payload/pages/docs/pacemaker.md", encoding="utf-8") as file:
            found = re.findall(r"^```\w*\n# (.*)\n((?:.*\n)*?)```$", file.read(), re.MULTILINE)
        self.blocks = {name: text.replace("wwn-0x600140500000000a", disk) for name, text in found}

    def file(self, path: str) -> str:
        return self.blocks[path]

    def commands(self, where: str) -> List[str]:
        return self.blocks[where].splitlines()


class Cluster:
    """Both nodes, with their helpers, and the third vote."""

    def __init__(self, shared: Any, kind: Type[Node], settings: dict, paths: Sequence[str]):
        """shared: the lab of the test; paths: the shared disk as each of the nodes' hosts has it."""
        self.kind = kind
        self.states = [f"/var/tmp/state{number}-{shared.directory()[9:]}" for number in range(2)]
        self.opened = contextlib.ExitStack()
        self.shared, self.paths = shared, paths
        self._program = settings["helper"]
        self.helpers: List[Helper] = []
        self.nodes: List[Node] = []
        self.writers: List[Any] = [None, None]
        self.vote = self._start_vote()
        for number, _ in enumerate(paths):
            directory = shared.directory()
            os.makedirs(directory)
            self.helpers.append(Helper(self._program, directory, shared.options,
                                       before_exec=lambda: os.umask(0) and None))
            self.opened.callback(self.helpers[-1].close)
        for helper in self.helpers:
            helper.wait_ready()

    def _start_vote(self) -> Program:
        directory = self.shared.directory()
        os.makedirs(directory)
        os.makedirs("/run/corosync-qnetd", exist_ok=True)
        # Its clock is the real one, while a guest's stands still as long as others have the processor.
        patience = ["-S", f"dpd_interval_coefficient={scaled(6.0):.1f}"] if self.kind is Guest else []
        vote = Program(["corosync-qnetd", "-f", "-s", "off", "-l", VOTE, *patience], directory)
        self.opened.callback(vote.close)
        return vote

    def close(self) -> None:
        for writer in self.writers:
            if writer:
                writer.close()
        for node in self.nodes:
            node.close()
        self.opened.close()

    def log(self) -> List[str]:
        parts = []
        for node in self.nodes:
            parts += [f"{node.name}: {line}" for line in node.console().splitlines()[-12:]]
            with contextlib.suppress(OSError, AssertionError, ValueError):
                for path in ("corosync/corosync.log", "pacemaker/pacemaker.log"):
                    text = node.run("tail", "-n", "200", f"/var/log/{path}", seconds=60).output
                    parts += [f"{node.name}: {line}" for line in text.splitlines()]
        for program in [*self.helpers, self.vote]:
            parts += [f"{program.argv[0]}: {line}" for line in program.log().splitlines()[-8:]]
        return parts

    # -- a node's life

    def boot(self, number: int) -> Node:
        """A virtual machine starts; its cluster software does not yet."""
        node = self.kind(number, self.shared.directory(), self.paths[number],
                         self.helpers[number].socket_path, self.states[number])
        if number < len(self.nodes):
            self.nodes[number] = node
        else:
            self.nodes.append(node)
        node.start()
        return node

    def set_up(self, node: Node) -> None:
        """What an installed system has, and the guide asks for."""
        node.wait_ready()
        node.put("/etc/hostname", f"{node.name}\n")
        node.put("/etc/hosts", "127.0.0.1 localhost\n" + "".join(
            f"{address} {name}\n" for address, name in zip(ADDRESSES, NAMES)))
        node.done("sh", "-ec", f"hostname {node.name}; ip link set lo up; ip link set eth0 up; "
                  f"ip address add {ADDRESSES[node.number]}/24 dev eth0")
        self.writers[node.number] = GuestWriter(node, self.shared.file)

    def disk(self, node: Node) -> str:
        """Its name below /dev/disk/by-id."""
        return node.done("ls", "/dev/disk/by-id").split()[0]

    @staticmethod
    def start(node: Node) -> None:
        """As the units of Debian's packages do, one after the other."""
        node.launch("corosync", "-f")
        node.wait_for("corosync", "sh", "-c", "corosync-cmapctl totem.cluster_name")
        node.launch("corosync-qdevice", "-f")
        node.launch("pacemakerd")
        node.wait_for("Pacemaker's log", "test", "-e", LOG)

    def end(self, node: Node) -> None:
        """As when its host's power goes; a writer that waits for it ends."""
        node.kill()
        self.writers[node.number].close()
