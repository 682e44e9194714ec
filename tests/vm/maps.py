# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of multipath maps share: one map, another host, and helpers.

Three iSCSI sessions are the paths of one map, one host; a fourth I_T nexus of the same LUN, over
tcm_loop, is another host. The truth is what LIO's tables in configfs say, and who can write.
"""
import os
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import guest
import lab
import multipath
from host import Host
from support import client, procfs, scsi, tap
from support.client import Reply
from support.process import Helper

MAP = "mpatha"
NODE = f"/dev/mapper/{MAP}"
PATHS = 3
KEY, NEW_KEY, OTHER_KEY = 0x123ABC, 0xA1A2A3A4A5A6A7A8, 0xDEF456

BUSY = client.reply(scsi.BUSY)
INVALID_OPCODE = client.check_condition(5, 0x20, 0)
INVALID_CDB_FIELD = client.check_condition(5, 0x24, 0)
INVALID_PARAMETER = client.check_condition(5, 0x26, 0)
PARAMETER_LENGTH = client.check_condition(5, 0x1A, 0)
NO_RESPONSE = client.check_condition(0xB, 5, 0)
NO_COMMUNICATION = client.check_condition(0xB, 8, 0)
TIME_OUT = client.check_condition(0xB, 8, 1)

USERS: Dict[str, List[str]] = {"root": [], "nobody": ["-u", "nobody"]}
EACH_USER = [(user, user) for user in USERS]
NOBODY = 65534
WORKER = "/payload/bin/qemu-pr-mpath"


class Devices:
    """Made once: the disk, its map, and another host's view of it."""

    def __init__(self, file: Optional[str] = None, **settings: str):
        """file: what the disk is made of; memory."""
        self.daemons = multipath.Multipath(**settings)
        self.disk = lab.Backstore("shared", file=file)
        self.target = lab.Iscsi(self.disk, PATHS)
        self.other = lab.Loopback(self.disk).initiator
        self.daemons.wait_paths(MAP, PATHS)
        lab.wait_for(NODE, lambda: os.path.exists(NODE))

    def drain(self) -> None:
        """No I_T nexus has a unit attention to tell of."""
        for initiator in [self.other, *self.target.initiators]:
            initiator.drain()

    def reset(self) -> None:
        """All paths are there; no registration, no reservation, no unit attention."""
        self.daemons.wait_paths(MAP, PATHS)
        self.drain()
        self.clear()
        self.daemons.ask(f"unsetprstatus map {MAP}")
        self.daemons.ask(f"unsetprkey map {MAP}")
        if multipath.has_hold():
            self.daemons.ask(f"unsetprhold map {MAP}")
        self.drain()

    def clear(self) -> None:
        """No registration. The other host may do that, as any host."""
        lab.pr_out(self.other.fd, scsi.REGISTER_AND_IGNORE, action_key=OTHER_KEY)
        lab.pr_out(self.other.fd, scsi.CLEAR, key=OTHER_KEY)

    def close(self) -> None:
        self.daemons.close()


def find_worker(helper: Helper) -> Optional[int]:
    """The process that serves maps for it; None if there is none at the moment."""
    for keeper in procfs.children(helper.pid):
        for pid in procfs.children(keeper):
            if procfs.command(pid) == os.path.basename(WORKER):
                return pid
    return None


def is_busy(helper: Helper) -> bool:
    """The worker is at a command: it has the map that the client has passed."""
    worker = find_worker(helper)
    return worker is not None and any(name.startswith("/dev/dm-")
                                      for name in procfs.fds(worker).values())


def of_a_map(action: int, reply: Reply) -> Reply:
    """What a path answers to PERSISTENT RESERVE IN, as a map does: it has neither SPEC_I_PT nor
    ALL_TG_PT, since it registers its own paths alone."""
    if action != scsi.REPORT_CAPABILITIES or len(reply.payload) <= 2:
        return reply
    payload = bytearray(reply.payload)
    payload[2] &= 0x73
    return reply._replace(payload=bytes(payload))


class State(NamedTuple):
    """All that a command can have changed."""
    registrations: List[lab.Registration]
    holder: Optional[str]
    type: str
    set_key: int
    registered: bool


class Lab(Devices):
    """The devices, and a helper of root's and one of the user nobody's, with the same options."""

    def __init__(self, settings: dict, options: Sequence[str] = (), file: Optional[str] = None,
                 **configuration: str):
        super().__init__(file, **configuration)
        self.options = [f"--mpath-worker={WORKER}", *options]
        self._program = settings["helper"]
        self._started = 0
        self.helpers = {user: self.start(user) for user in USERS}
        for helper in self.helpers.values():
            helper.wait_ready()

    def start(self, user: str, *options: str,
              before_exec: Optional[Callable[[], None]] = None) -> Helper:
        self._started += 1
        directory = f"/run/helper{self._started}"
        os.mkdir(directory)
        os.chmod(directory, 0o777)  # before_exec may change the user
        return Helper(self._program, directory, [*self.options, *USERS[user], *options],
                      before_exec=before_exec)

    def close(self) -> None:
        for helper in self.helpers.values():
            helper.close()
        super().close()


class Context(tap.Context):
    """For one test: the map as it was in the beginning, and helpers."""

    def __init__(self, shared: Lab, name: str):
        super().__init__()
        self.lab = shared
        self.daemons, self.disk, self.target = shared.daemons, shared.disk, shared.target
        self.other = shared.other
        guest.mark_kernel_log(name)
        self.started: List[Helper] = []
        self._unplugged: List[lab.Initiator] = []
        self.cleanup.callback(self.plug)
        self.cleanup.callback(self.survived)
        shared.reset()

    def survived(self) -> None:
        for user, helper in self.lab.helpers.items():
            self.check(helper.running, f"the helper of {user} died")

    def start(self, user: str, *options: str,
              before_exec: Optional[Callable[[], None]] = None) -> Helper:
        """A helper for this test alone, with an empty log."""
        helper = self.lab.start(user, *options, before_exec=before_exec)
        self.started.append(helper)
        self.cleanup.callback(helper.close)
        return helper.wait_ready()

    def open(self, user_or_helper: object, path: str = NODE, flags: int = os.O_RDWR,
             timeout: float = 20.0) -> Host:
        helper = user_or_helper
        if not isinstance(helper, Helper):
            helper = self.lab.helpers[str(helper)]
        host = Host(helper.socket_path, path, flags, timeout=timeout)
        self.cleanup.callback(host.close)
        return host

    def drain(self) -> None:
        self.lab.drain()

    def log(self) -> str:
        parts = []
        for name, helper in [*self.lab.helpers.items(),
                             *((f"test {n}", one) for n, one in enumerate(self.started))]:
            parts += [f"helper of {name}: {line}" for line in helper.log().splitlines()[-12:]]
        return "\n".join([*parts, *self.daemons.log(),
                          *(f"kernel: {line}" for line in guest.kernel_log(20))])

    # -- paths

    def fail(self, *paths: lab.Initiator) -> None:
        """These paths are offline, and the map knows."""
        for path in paths:
            self.cleanup.callback(path.online)
            path.offline()
        self.daemons.wait_paths(MAP, PATHS - len(paths), len(paths))

    def unplug(self, *paths: lab.Initiator) -> None:
        """These do not answer any more."""
        for path in paths:
            path.unplug()
            self._unplugged.append(path)

    def plug(self) -> None:
        """They go on."""
        while self._unplugged:
            self._unplugged.pop().plug()

    def restore(self, *paths: lab.Initiator) -> None:
        for path in paths:
            path.online()
        self.daemons.wait_paths(MAP, PATHS)

    # -- the other host

    def other_registers(self, action_key: int = OTHER_KEY) -> None:
        self.equal(lab.pr_out(self.other.fd, scsi.REGISTER, action_key=action_key).status,
                   scsi.GOOD, "the other host registers")

    def other_tells(self, action: int, scope_type: int = 0, action_key: int = 0) -> None:
        self.equal(lab.pr_out(self.other.fd, action, scope_type, OTHER_KEY, action_key).status,
                   scsi.GOOD, f"service action {action} of the other host")

    def other_writes(self) -> Optional[int]:
        fd = self.other.open(os.O_RDWR | os.O_DIRECT)
        try:
            return lab.transfer(fd, 0xA5)
        finally:
            os.close(fd)

    # -- checks

    def replied(self, got: Reply, wanted: Reply, what: str) -> None:
        self.equal(got.encode(), wanted.encode(), what)

    @property
    def names(self) -> List[str]:
        """The initiators behind the paths."""
        return [initiator.name for initiator in self.target.initiators]

    def path_of(self, name: str) -> lab.Initiator:
        return next(one for one in self.target.initiators if one.name == name)

    def state(self) -> State:
        """Which path of the map holds a reservation matters to the map alone."""
        holder, kind = self.disk.reservation()
        return State(self.disk.registrations(), "the map" if holder in self.names else holder, kind, self.daemons.key(MAP),
                     self.daemons.registered(MAP))

    def registered(self, key: int, *others: int, paths: Optional[List[str]] = None) -> None:
        """By LIO's table: key by every path, and the other host by the keys of others."""
        wanted = sorted([*(lab.Registration(name, key) for name in paths or self.names if key),
                         *(lab.Registration(self.other.name, other) for other in others)])
        self.equal(self.disk.registrations(), wanted, "registrations in configfs")

    def held(self, by: Sequence[str], kind: str = "") -> str:
        """One of these initiators, which is returned."""
        holder, text = self.disk.reservation()
        self.check(holder in by, f"holder in configfs: {holder}, not one of {by}")
        if kind:
            self.equal(text, f"SPC-3 Reservation Type: {kind}", "type in configfs")
        return str(holder)

    def not_held(self) -> None:
        self.equal(self.disk.reservation()[0], None, "holder in configfs")

    def followed(self, key: int) -> None:
        """What multipathd has been told: a path that appears is registered by this key, or not."""
        self.equal((self.daemons.key(MAP), self.daemons.registered(MAP)), (key, bool(key)),
                   "multipathd's prkey and prstatus")

    def not_suspended(self) -> None:
        self.matches(r"^State: +ACTIVE$", lab.run("dmsetup", "info", MAP), "dmsetup info")
