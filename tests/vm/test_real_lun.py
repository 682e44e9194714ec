# SPDX-License-Identifier: LGPL-2.1-or-later
"""Persistent reservations of a real LUN, through the helper.

A disk of LIO's is behind two I_T nexuses, "a" and "b": two hosts of a cluster. All that a host
does to its reservations goes through a helper's socket. One helper runs as root and one as nobody,
both as they come, sandbox and all. The truth is what the device answers to a direct SG_IO of ours,
LIO's own tables in configfs, and above all who can still write.
"""
import contextlib
import errno
import json
import os
import re
import struct
from typing import Dict, List, NamedTuple, Optional

import context
import guest
import lab
from host import (APTPL, CONFLICT, EXCLUSIVE_ACCESS, EXCLUSIVE_ACCESS_ALL,
                  EXCLUSIVE_ACCESS_REGISTRANTS, GOOD, REGISTRATIONS_PREEMPTED,
                  RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED, SPEC_I_PT, WRITE_EXCLUSIVE,
                  WRITE_EXCLUSIVE_ALL, WRITE_EXCLUSIVE_REGISTRANTS, FullStatus, Host, full_status)
from support import accounts, client, inject, procfs, scsi, tap
from support.attempts import AT_FDCWD, NUMBERS
from support.client import Reply
from support.process import Helper
from support.tap import cases, differs, ours, test

#: Tests that user-mode-linux cannot do, and what they need.
EMULATED = {"landlocked": "Landlock", "no_scsi_device[NVMe]": "an NVMe disk"}

INVALID_OPCODE = client.check_condition(5, 0x20, 0)
HARDWARE_ERROR = client.check_condition(4, 0x44, 0)
REFUSED = client.check_condition(5, 0x20, 0)

KEY_A, KEY_B, KEY_C = 0xA1A2A3A4A5A6A7A8, 0x00000000000000B1, 0xFFFFFFFFFFFFFFFE
UNIT_ATTENTION = 6

USERS: Dict[str, List[str]] = {"root": [], "nobody": ["-u", "nobody"]}
NOBODY = 65534
EACH_USER = [(user, user) for user in USERS]


class Lab:
    """Made once: the disk, its two hosts, and two helpers."""

    def __init__(self, settings: dict):
        self.peer = settings["peer"]
        self.disk = lab.Backstore("shared")
        self.target = lab.Iscsi(self.disk, 2)
        self.helpers: Dict[str, Helper] = {}
        self._program = settings["helper"]
        self._started = 0
        for user in USERS:
            self.helpers[user] = self.start(user)
        for helper in self.helpers.values():
            helper.wait_ready()
        self.reset()

    def start(self, user: str, *options: str) -> Helper:
        self._started += 1
        directory = f"/run/helper{self._started}"
        os.mkdir(directory)
        return Helper(self._program, directory, [*USERS[user], *options])

    def reset(self) -> None:
        """No registration, no reservation, no unit attention."""
        lab.reset(self.target.initiators)

    def close(self) -> None:
        for helper in self.helpers.values():
            helper.close()


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        self.lab = shared
        self.disk = shared.disk
        self.names = [initiator.name for initiator in shared.target.initiators]
        guest.mark_kernel_log(name)
        self.cleanup.callback(self.survived)
        shared.reset()

    def survived(self) -> None:
        for user, helper in self.lab.helpers.items():
            self.check(helper.running, f"the helper of {user} died")

    def start(self, user: str, *options: str) -> Helper:
        """A helper for this test alone, with an empty log."""
        helper = self.lab.start(user, *options)
        self.cleanup.callback(helper.close)
        return helper.wait_ready()

    def open(self, user: str, path: str, flags: int = os.O_RDWR,
             helper: Optional[Helper] = None) -> Host:
        helper = helper or self.lab.helpers[user]
        host = Host(helper.socket_path, path, flags)
        self.cleanup.callback(host.close)
        return host

    def hosts(self, user: str) -> List[Host]:
        return [self.open(user, initiator.path) for initiator in self.lab.target.initiators[:2]]

    def log(self) -> str:
        parts = []
        for user, helper in self.lab.helpers.items():
            parts += [f"helper of {user}: {line}" for line in helper.log().splitlines()[-8:]]
        parts += [f"kernel: {line}" for line in guest.kernel_log()]
        return "\n".join(parts)

    # -- checks

    def replied(self, got: Reply, wanted: Reply, what: str) -> None:
        self.equal(got.encode(), wanted.encode(), what)

    def attention(self, got: Reply, wanted: tuple, what: str) -> None:
        """A unit attention just as LIO words it: fixed format, no information."""
        self.replied(got, client.check_condition(*wanted), what)

    def registered(self, **keys: int) -> None:
        """Exactly these hosts, by LIO's own table; the holder of no key is not registered."""
        wanted = sorted(lab.Registration(self.names["ab".index(host)], key)
                        for host, key in keys.items())
        self.equal(self.disk.registrations(), wanted, "registrations in configfs")

    def held(self, by: Optional[str], reservation_type: str = "") -> None:
        holder, text = self.disk.reservation()
        self.equal(holder, self.names["ab".index(by)] if by else None, "holder in configfs")
        if reservation_type:
            self.equal(text, f"SPC-3 Reservation Type: {reservation_type}", "type in configfs")


open_lab = context.opener(Lab, Context)


# -- the helpers themselves


@cases(*EACH_USER)
@ours("it keeps more privileges")
def sandboxed(t: Context, user: str) -> None:
    """What all other tests rely on: these helpers have given up what they do not need."""
    rawio = procfs.capability_mask("sys_rawio")
    uid = NOBODY if user == "nobody" else accounts.own().uid
    for thread in procfs.threads(t.lab.helpers[user].pid):
        t.equal(thread.uids, [uid] * 4, "uids")
        t.equal((thread.permitted, thread.effective), (rawio, rawio), "capabilities")
        t.equal((thread.inheritable, thread.bounding, thread.ambient), (0, 0, 0),
                "further capabilities")
        t.equal((thread.no_new_privs, thread.seccomp), (1, 2), "no_new_privs and seccomp mode")


@cases(*EACH_USER)
def no_device_mapper(t: Context, user: str) -> None:
    """All tests down to those that need it run without the kernel's device-mapper; a helper starts and serves, and says nothing of what it does not miss."""
    t.check(not os.path.exists("/sys/module/dm_mod"), "device-mapper is loaded")
    helper = t.start(user)
    a = t.open(user, t.lab.target.initiators[0].path, helper=helper)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.registered(a=KEY_A)
    t.check(not re.search("multipath|device-mapper", helper.log()),
            f"log: {helper.log()!r}")


@cases(*EACH_USER)
@ours("it can read all of it")
def kernel_memory(t: Context, user: str) -> None:
    """Root with CAP_SYS_RAWIO may read it; the helper's threads may not, no matter what they are made to do."""
    inject.needs_injection()
    try:
        with open("/proc/kcore", "rb") as kernel:
            kernel.read(64)
    except OSError as error:
        raise tap.Skip(f"not even root can: {error}") from None
    for thread in procfs.threads(t.lab.helpers[user].pid):
        t.equal(inject.call(thread.tid, NUMBERS["openat"], AT_FDCWD, b"/proc/kcore", os.O_RDONLY),
                -errno.EACCES, "opening /proc/kcore")


@cases(*EACH_USER)
@ours("it has no Landlock")
def landlocked(t: Context, user: str) -> None:
    """Where the kernel has Landlock, the helper has shut itself in; a cluster notices nothing."""
    status = f"/run/{user}.status"
    helper = t.start(user, f"--status-socket={status}")
    report = json.loads(lab.run("qemu-pr-ctl", "status", "-s", status, "--json"))["sandbox"]
    t.equal((report["seccomp"], report["landlock"]), ("active", "active"), "its walls")
    for kind in ("path", "generic_path"):
        a, b = (t.open(user, getattr(initiator, kind), helper=helper)
                for initiator in t.lab.target.initiators[:2])
        t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY_A), GOOD, "a registers")
        t.replied(b.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY_B), GOOD, "b registers")
        t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_A), GOOD, "a reserves")
        t.held("a")
        t.replied(b.tell(scsi.PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, KEY_B, KEY_A), GOOD,
                  "b preempts a")
        t.held("b", "Write Exclusive Access, Registrants Only")
        t.registered(b=KEY_B)
        t.lab.reset()


# -- reservations


@cases(*EACH_USER)
def register(t: Context, user: str) -> None:
    a, b = t.hosts(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.registered(a=KEY_A)
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.registered(a=KEY_A, b=KEY_B)
    t.replied(a.tell(scsi.REGISTER, key=KEY_B, action_key=KEY_C), CONFLICT,
              "a registers again by a wrong key")
    t.registered(a=KEY_A, b=KEY_B)
    t.replied(a.tell(scsi.REGISTER, key=KEY_A, action_key=KEY_C), GOOD, "a changes its key")
    t.registered(a=KEY_C, b=KEY_B)
    t.replied(b.tell(scsi.REGISTER_AND_IGNORE, key=KEY_A, action_key=KEY_A), GOOD,
              "b registers over any key")
    t.registered(a=KEY_C, b=KEY_A)
    t.replied(a.tell(scsi.REGISTER, key=KEY_C), GOOD, "a unregisters")
    t.registered(b=KEY_A)


@cases(*EACH_USER)
def reserve_write_exclusive(t: Context, user: str) -> None:
    a, b = t.hosts(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.equal((a.write(), b.write()), (None, None), "writes before")
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a reserves")
    t.held("a", "Write Exclusive Access")
    t.replied(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_B), CONFLICT, "b reserves, too")
    t.held("a")
    t.equal((a.write(), b.write()), (None, errno.EBADE), "writes of a and b")
    t.equal((a.read(), b.read()), (None, None), "reads of a and b")
    t.replied(a.tell(scsi.RELEASE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a releases")
    t.held(None)
    t.equal(b.write(), None, "write of b after the release")


@cases(*EACH_USER)
def reserve_registrants_only(t: Context, user: str) -> None:
    a, b = t.hosts(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_A), GOOD, "a reserves")
    t.held("a", "Write Exclusive Access, Registrants Only")
    t.equal((a.write(), b.write()), (None, errno.EBADE), "writes of a and the unregistered b")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.equal((a.write(), b.write()), (None, None), "writes of both registrants")
    t.replied(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_B), CONFLICT,
              "b reserves, too")
    t.replied(b.tell(scsi.REGISTER, key=KEY_B), GOOD, "b unregisters")
    t.equal(b.write(), errno.EBADE, "write of b, unregistered again")


class Access(NamedTuple):
    """Whether an operation succeeds while the other host holds the reservation."""
    registered_reads: bool
    registered_writes: bool
    unregistered_reads: bool
    unregistered_writes: bool


@cases(
    ("write exclusive", WRITE_EXCLUSIVE, Access(True, False, True, False)),
    ("exclusive access", EXCLUSIVE_ACCESS, Access(False, False, False, False)),
    ("write exclusive, registrants only", WRITE_EXCLUSIVE_REGISTRANTS,
     Access(True, True, True, False)),
    ("exclusive access, registrants only", EXCLUSIVE_ACCESS_REGISTRANTS,
     Access(True, True, False, False)),
    ("write exclusive, all registrants", WRITE_EXCLUSIVE_ALL, Access(True, True, True, False)),
    ("exclusive access, all registrants", EXCLUSIVE_ACCESS_ALL,
     Access(True, True, False, False)))
def reservation_type(t: Context, number: int, access: Access) -> None:
    """Each type of reservation, told by its effect on reads and writes."""
    def outcome(may: bool) -> Optional[int]:
        return None if may else errno.EBADE
    a, b = t.hosts("nobody")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(a.tell(scsi.RESERVE, number, KEY_A), GOOD, "a reserves")
    t.equal((a.read(), a.write()), (None, None), "read and write of the holder")
    t.equal((b.read(), b.write()),
            (outcome(access.unregistered_reads), outcome(access.unregistered_writes)),
            "read and write of an unregistered host")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.equal((b.read(), b.write()),
            (outcome(access.registered_reads), outcome(access.registered_writes)),
            "read and write of a registered host")


@cases(*((f"{label}, {user}", user, action) for user in USERS
         for label, action in [("preempt", scsi.PREEMPT),
                               ("preempt and abort", scsi.PREEMPT_AND_ABORT)]))
def fence(t: Context, user: str, action: int) -> None:
    """b takes the reservation from a; then a comes back and takes it from b."""
    a, b = t.hosts(user)
    kind = WRITE_EXCLUSIVE_REGISTRANTS
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.replied(a.tell(scsi.RESERVE, kind, KEY_A), GOOD, "a reserves")

    t.replied(b.tell(action, kind, KEY_A, KEY_A), CONFLICT, "b preempts by a wrong key")
    t.held("a")
    t.replied(b.tell(action, kind, KEY_B, KEY_A), GOOD, "b preempts a")
    t.held("b", "Write Exclusive Access, Registrants Only")
    t.registered(b=KEY_B)
    t.attention(a.ask(scsi.READ_KEYS), REGISTRATIONS_PREEMPTED, "what a learns first")
    t.replied(a.ask(scsi.READ_KEYS), lab.pr_in(b.fd, scsi.READ_KEYS).reply(), "keys that a reads")
    t.equal((a.write(), b.write()), (errno.EBADE, None), "writes of a, fenced, and b")
    t.replied(a.tell(scsi.RESERVE, kind, KEY_A), CONFLICT, "a reserves, fenced")

    t.replied(a.tell(scsi.REGISTER, action_key=KEY_C), GOOD, "a registers again")
    t.replied(a.tell(action, kind, KEY_C, KEY_B), GOOD, "a preempts b")
    t.held("a")
    t.registered(a=KEY_C)
    t.attention(b.ask(scsi.READ_RESERVATION), REGISTRATIONS_PREEMPTED, "what b learns first")
    t.equal((a.write(), b.write()), (None, errno.EBADE), "writes of a and b, fenced")


@cases(*EACH_USER)
def release(t: Context, user: str) -> None:
    a, b = t.hosts(user)
    kind = EXCLUSIVE_ACCESS_REGISTRANTS
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.replied(a.tell(scsi.RESERVE, kind, KEY_A), GOOD, "a reserves")
    t.replied(b.tell(scsi.RELEASE, kind, KEY_B), GOOD, "b, no holder, releases")
    t.held("a")
    t.replied(a.tell(scsi.RELEASE, kind, KEY_B), CONFLICT, "a releases by a wrong key")
    # SPC wants CHECK CONDITION, INVALID RELEASE OF PERSISTENT RESERVATION; LIO says this.
    t.replied(a.tell(scsi.RELEASE, WRITE_EXCLUSIVE, KEY_A), CONFLICT, "a releases another type")
    t.held("a")
    t.replied(a.tell(scsi.RELEASE, kind, KEY_A), GOOD, "a releases")
    t.held(None)
    t.registered(a=KEY_A, b=KEY_B)
    t.attention(b.ask(scsi.READ_RESERVATION), RESERVATIONS_RELEASED, "what b learns first")


@cases(*EACH_USER)
def clear(t: Context, user: str) -> None:
    a, b = t.hosts(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a reserves")
    t.replied(b.tell(scsi.CLEAR, key=KEY_A), CONFLICT, "b clears by a wrong key")
    t.registered(a=KEY_A, b=KEY_B)
    t.replied(b.tell(scsi.CLEAR, key=KEY_B), GOOD, "b clears")
    t.registered()
    t.held(None)
    t.attention(a.ask(scsi.READ_KEYS), RESERVATIONS_PREEMPTED, "what a learns first")
    t.equal((a.write(), b.write()), (None, None), "writes afterwards")


@cases(*((label, action) for label, action in
         [("reserve", scsi.RESERVE), ("release", scsi.RELEASE), ("clear", scsi.CLEAR)]))
def unregistered(t: Context, action: int) -> None:
    """The device's own sense data, as it is."""
    direct = lab.pr_out(t.hosts("root")[1].fd, action, WRITE_EXCLUSIVE, KEY_A)
    t.check(direct.status != scsi.GOOD, "the device agrees")
    for user in USERS:
        a, _ = t.hosts(user)
        t.replied(a.tell(action, WRITE_EXCLUSIVE, KEY_A), direct.reply(), f"answer by {user}")
    t.registered()


@test
def persist_through_power_loss(t: Context) -> None:
    """Byte 20 of the parameter list arrives."""
    a, _ = t.hosts("nobody")
    active = f"{t.disk.path}/pr/res_aptpl_active"
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A, flags=APTPL), GOOD, "a registers")
    t.equal(lab.read(active), "APTPL Bit Status: Activated", "LIO's view")
    t.replied(a.tell(scsi.REGISTER, key=KEY_A, action_key=KEY_A), GOOD, "a registers without")
    t.equal(lab.read(active), "APTPL Bit Status: Disabled", "LIO's view")


def transport_id(t: Context, host: Host) -> bytes:
    """That of the only registered host."""
    status = host.ask(scsi.READ_FULL_STATUS).payload
    size, = struct.unpack(">I", status[28:32])
    t.equal(len(status), 32 + size, "length of a status with one descriptor")
    return status[32:]


@cases(*EACH_USER)
def register_other(t: Context, user: str) -> None:
    """A parameter list with TransportIDs (SPEC_I_PT) goes through whole."""
    a, b = t.hosts(user)
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    name = transport_id(t, b)
    t.replied(b.tell(scsi.REGISTER, key=KEY_B), GOOD, "b unregisters")
    parameters = scsi.parameters(0, KEY_A, SPEC_I_PT) + struct.pack(">I", len(name)) + name
    t.replied(a.tell_raw(scsi.REGISTER, 0, parameters), GOOD, "a registers both")
    t.registered(a=KEY_A, b=KEY_A)


@cases(*EACH_USER)
def register_and_move(t: Context, user: str) -> None:
    """The reservation goes to b, by a parameter list of another form."""
    a, b = t.hosts(user)
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    name = transport_id(t, b)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a reserves")
    # Reservation key, service action key, reserved, flags, relative port, length, TransportID
    parameters = struct.pack(">QQxBHI", KEY_A, KEY_C, 0, 1, len(name)) + name
    t.replied(a.tell_raw(scsi.REGISTER_AND_MOVE, WRITE_EXCLUSIVE, parameters), GOOD, "a moves it")
    t.held("b")
    t.registered(a=KEY_A, b=KEY_C)
    t.equal((a.write(), b.write()), (errno.EBADE, None), "writes of a and b")


# -- reading


@cases(*((f"{label}, {user}", user, action) for user in USERS for label, action in
         [("keys", scsi.READ_KEYS), ("reservation", scsi.READ_RESERVATION),
          ("capabilities", scsi.REPORT_CAPABILITIES), ("full status", scsi.READ_FULL_STATUS)]))
def read(t: Context, user: str, action: int) -> None:
    """Byte by byte what the device says, no matter what is there to be read and however much is asked."""
    a, b = t.hosts(user)

    def compare(when: str) -> None:
        for allocation in (scsi.DATA_MAX, 4096, 24, 16, 8, 7, 4, 1, 0):
            for host in (a, b):
                direct = lab.pr_in(host.fd, action, allocation)
                t.replied(host.ask(action, allocation), direct.reply(),
                          f"{when}, {allocation} bytes")
    compare("nothing registered")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    compare("one key")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.replied(a.tell(scsi.RESERVE, EXCLUSIVE_ACCESS, KEY_A), GOOD, "a reserves")
    compare("two keys and a reservation")


@cases(*EACH_USER)
def read_meaning(t: Context, user: str) -> None:
    """The same data, decoded, against LIO's tables: so that not both readings are wrong."""
    a, b = t.hosts(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a reserves")
    generation = struct.pack(">I", t.disk.generation())
    t.replied(b.ask(scsi.READ_KEYS),
              client.reply(payload=generation + struct.pack(">IQQ", 16, KEY_A, KEY_B)), "keys")
    t.replied(b.ask(scsi.READ_RESERVATION),
              client.reply(payload=generation + struct.pack(">IQ5xBxx", 16, KEY_A,
                                                            WRITE_EXCLUSIVE)), "reservation")
    status = b.ask(scsi.READ_FULL_STATUS).payload
    t.equal(struct.unpack(">II", status[:8]), (t.disk.generation(), len(status) - 8), "its header")
    t.equal(full_status(status), [FullStatus(t.names[0], KEY_A, True, WRITE_EXCLUSIVE),
                                  FullStatus(t.names[1], KEY_B, False, 0)], "full status")


@cases(*EACH_USER)
def invalid_service_action(t: Context, user: str) -> None:
    """Not ours to judge: the device answers."""
    a, _ = t.hosts(user)
    direct = lab.pr_in(a.fd, 0x1F)
    t.check(direct.status == scsi.CHECK_CONDITION, "the device agrees")
    t.replied(a.ask(0x1F), direct.reply(), "PERSISTENT RESERVE IN of an unknown service action")
    direct = lab.pr_out(a.fd, 0x1F)
    t.check(direct.status == scsi.CHECK_CONDITION, "the device agrees")
    t.replied(a.tell(0x1F), direct.reply(), "PERSISTENT RESERVE OUT of an unknown service action")


# -- which fds


@cases(*EACH_USER)
def read_only(t: Context, user: str) -> None:
    generation = t.disk.generation()
    for initiator in t.lab.target.initiators[:2]:
        for path in (initiator.path, initiator.generic_path):
            host = t.open(user, path, os.O_RDONLY)
            t.replied(host.tell(scsi.REGISTER, action_key=KEY_A), INVALID_OPCODE,
                      f"registers read-only by {path}")
            t.replied(host.ask(scsi.READ_KEYS), lab.pr_in(host.fd, scsi.READ_KEYS).reply(),
                      f"reads by {path}")
    t.registered()
    t.equal(t.disk.generation(), generation, "generation")


@cases(*EACH_USER)
def generic(t: Context, user: str) -> None:
    """/dev/sgN is another way to the same nexus."""
    a, b = (t.open(user, initiator.generic_path) for initiator in t.lab.target.initiators[:2])
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers")
    t.replied(b.tell(scsi.REGISTER, action_key=KEY_B), GOOD, "b registers")
    t.registered(a=KEY_A, b=KEY_B)
    t.replied(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), GOOD, "a reserves")
    t.replied(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_B), CONFLICT, "b reserves, too")
    disk_a, disk_b = t.hosts(user)
    t.equal((disk_a.write(), disk_b.write()), (None, errno.EBADE), "writes of a and b")
    for action in range(4):
        t.replied(b.ask(action), lab.pr_in(b.fd, action).reply(), f"service action {action}")


def refused_on_top(t: Context, path: str, pattern: str) -> None:
    """PERSISTENT RESERVE OUT is not for something that lies on top of a LUN; IN is."""
    generation = t.disk.generation()
    for user in USERS:
        helper = t.start(user)
        host = t.open(user, path, helper=helper)
        for action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE, scsi.CLEAR, scsi.PREEMPT):
            t.replied(host.tell(action, action_key=KEY_A), INVALID_OPCODE,
                      f"service action {action} by {user}")
        t.registered()
        t.equal(t.disk.generation(), generation, "generation")
        helper.wait_log(pattern)
    a, _ = t.hosts("root")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "a registers, on the disk itself")
    for user in USERS:
        host = t.open(user, path)
        for action in range(4):
            t.replied(host.ask(action), lab.pr_in(a.fd, action).reply(),
                      f"service action {action} by {user}")


@test
@differs("it changes the whole LUN by a partition", failure="service action 0 by root")
def partition(t: Context) -> None:
    path = lab.add_partition(t.lab.target.initiators[0].path)
    t.cleanup.callback(lab.delete_partition, t.lab.target.initiators[0].path)
    refused_on_top(t, path, "partition .*refused: ")


@cases(("LVM", "LVM-Sz0ufYKcVmSPhhUz3RmDCFhMFnZf7uTyAbCdEfGhIjKlMnOpQrStUvWxYz012345"),
       ("kpartx", "part1-mpath-3600140500000000000000000000000001"), ("no uuid", ""))
@differs("it changes the whole LUN through one path", failure="service action 0 by root")
def mapped(t: Context, uuid: str) -> None:
    """Device-mapper devices that are no multipath map."""
    disk = t.lab.target.initiators[0].path
    path = lab.add_map("top", uuid, f"0 2048 linear {disk} 2048")
    t.cleanup.callback(lab.remove_map, "top")
    refused_on_top(t, path, "device-mapper .*refused: ")


@cases(*EACH_USER)
@ours("it knows no multipath at all")
def multipath_without_tools(t: Context, user: str) -> None:
    """What claims to be a multipath map, where nothing of multipath-tools is installed: its one path
    is registered, and the log says what multipathd would be for."""
    disk = t.lab.target.initiators[0].path
    path = lab.add_map("top", "mpath-3600140500000000000000000000000001",
                       f"0 2048 linear {disk} 2048")
    t.cleanup.callback(lab.remove_map, "top")
    helper = t.start(user, "--mpath-worker=/payload/bin/qemu-pr-mpath")
    host = t.open(user, path, helper=helper)
    t.replied(host.tell(scsi.REGISTER, action_key=KEY_A), GOOD, "registers")
    t.registered(a=KEY_A)
    helper.wait_log("cannot reach multipathd")
    t.replied(host.tell(scsi.CLEAR, key=KEY_A), GOOD, "clears")
    t.registered()


@cases("map", "NVMe")
@differs("it words this as a transport error",
         failure="(dm-0|nvme0n1) by root.* from byte 10 on 0b ")
def no_scsi_device(t: Context, kind: str) -> None:
    """A map over several disks takes no SCSI command; nor does a disk that is none of SCSI's."""
    path = "/dev/nvme0n1"
    if kind == "map":
        a, b = (initiator.path for initiator in t.lab.target.initiators[:2])
        path = lab.add_map("both", "", f"0 1024 linear {a} 0", f"1024 1024 linear {b} 0")
        t.cleanup.callback(lab.remove_map, "both")
    for user in USERS:
        host = t.open(user, path, os.O_RDONLY)
        t.replied(host.ask(scsi.READ_KEYS), INVALID_OPCODE, f"{path} by {user}")


# -- devices without persistent reservations, and without a device


def exact_refusal(t: Context, initiator: lab.Initiator) -> None:
    initiator.drain()
    for path in (initiator.path, initiator.generic_path):
        for user in USERS:
            host = t.open(user, path)
            for action in range(4):
                direct = lab.pr_in(host.fd, action)
                t.check(direct.status == scsi.CHECK_CONDITION, "the device refuses")
                t.replied(host.ask(action), direct.reply(), f"IN {action} on {path} by {user}")
            for action in (scsi.REGISTER, scsi.RESERVE, scsi.CLEAR):
                direct = lab.pr_out(host.fd, action, 1, action_key=KEY_A)
                t.check(direct.status == scsi.CHECK_CONDITION, "the device refuses")
                t.replied(host.tell(action, 1, action_key=KEY_A), direct.reply(),
                          f"OUT {action} on {path} by {user}")


@test
def emulation_off(t: Context) -> None:
    """A target whose administrator has switched persistent reservations off."""
    disk = lab.Backstore("off", emulate_pr=0)
    exact_refusal(t, lab.Loopback(disk).initiator)


@test
def simulated_disk(t: Context) -> None:
    """A disk that never heard of them."""
    exact_refusal(t, lab.scsi_debug(dev_size_mb=8))


@cases(("disk", "path"), ("generic", "generic_path"))
@differs("it words this as a transport error",
         failure="RESERVE IN by root.* from byte 10 on 0b ")
def removed(t: Context, attribute: str) -> None:
    """The device goes while its fd is open: an answer, and life goes on."""
    initiator, = t.lab.target.login()
    initiator.drain()
    path = getattr(initiator, attribute)
    hosts = {user: t.open(user, path) for user in USERS}
    for user, host in hosts.items():
        t.replied(host.ask(scsi.READ_KEYS), lab.pr_in(host.fd, scsi.READ_KEYS).reply(),
                  f"before, by {user}")
    initiator.delete()
    for user, host in hosts.items():
        with contextlib.suppress(OSError):
            t.check(not lab.pr_in(host.fd, scsi.READ_KEYS), "the device is really gone")
        t.replied(host.ask(scsi.READ_KEYS), HARDWARE_ERROR, f"PERSISTENT RESERVE IN by {user}")
        # What sysfs has forgotten could be anything by now.
        t.replied(host.tell(scsi.REGISTER, action_key=KEY_A),
                  REFUSED if attribute == "path" else HARDWARE_ERROR,
                  f"PERSISTENT RESERVE OUT by {user}")
        a, _ = t.hosts(user)
        t.replied(a.ask(scsi.READ_KEYS), lab.pr_in(a.fd, scsi.READ_KEYS).reply(),
                  f"another device by {user}")
    t.registered()
