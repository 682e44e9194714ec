# SPDX-License-Identifier: LGPL-2.1-or-later
"""Persistent reservations of a multipath map through the helper: each command, and what it did.

What a command did is what LIO's tables say of all paths, what multipathd has been told, and who can
write. How the paths and the processes behind it fail is in test_map_paths.py and
test_map_faults.py.
"""
import errno
import json
import os
import socket
import struct
from typing import List, Optional

import context
import lab
import multipath
from host import (APTPL, CONFLICT, GOOD, SPEC_I_PT, WRITE_EXCLUSIVE_REGISTRANTS, FullStatus, Host,
                  full_status)
from maps import (EACH_USER, INVALID_CDB_FIELD, INVALID_OPCODE, INVALID_PARAMETER, KEY, NEW_KEY,
                  NODE, OTHER_KEY, PARAMETER_LENGTH, PATHS, USERS, Context, Lab, of_a_map)
from support import scsi
from support.tap import cases, limit, test

PACKAGES = ["multipath"]

KIND = WRITE_EXCLUSIVE_REGISTRANTS
#: What mpathpersist(8) calls the service actions.
PERSIST = {scsi.REGISTER: "--register", scsi.RESERVE: "--reserve", scsi.RELEASE: "--release",
           scsi.CLEAR: "--clear", scsi.PREEMPT: "--preempt",
           scsi.PREEMPT_AND_ABORT: "--preempt-abort",
           scsi.REGISTER_AND_IGNORE: "--register-ignore"}


open_lab = context.opener(Lab, Context)


def register(t: Context, host: Host, key: int = KEY) -> None:
    t.replied(host.tell(scsi.REGISTER, action_key=key), GOOD, "registers")
    t.registered(key)


def told(path: str) -> List[tuple]:
    """What a helper's status says of the map's paths."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(path)
        document = json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))
    return sorted((path["state"], path["registered"])
                  for one in document["worker"]["maps"] for path in one["paths"])


@test
@limit(120)
def paths_in_the_status(t: Context) -> None:
    """As they are: registered, offline, and back again."""
    status = "/run/paths-status"
    helper = t.start("root", f"--status-socket={status}")
    t.equal(told(status), [], "before the first command")
    a = t.open(helper)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.equal(told(status), [("up", True)] * PATHS, "registered")
    lost = t.target.initiators[0]
    t.fail(lost)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.equal(told(status), [("away", True)] + [("up", True)] * (PATHS - 1), "one is offline")
    t.restore(lost)
    helper.wait_until("the worker has looked again",
                      lambda: told(status) == [("up", True)] * PATHS, 30)
    t.replied(a.tell(scsi.CLEAR, key=KEY), GOOD, "clears")
    t.equal(told(status), [("up", False)] * PATHS, "cleared")


# -- PERSISTENT RESERVE OUT


@cases(*EACH_USER)
@limit(60)
def registers(t: Context, user: str) -> None:
    a = t.open(user)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.registered(KEY)
    t.followed(KEY)
    t.drain()
    t.equal(full_status(a.ask(scsi.READ_FULL_STATUS).payload),
            [FullStatus(name, KEY, False, 0) for name in sorted(t.names)], "full status")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), CONFLICT, "registers as if it were not")
    t.registered(KEY)
    t.replied(a.tell(scsi.REGISTER, key=KEY, action_key=NEW_KEY), GOOD, "changes its key")
    t.registered(NEW_KEY)
    t.followed(NEW_KEY)
    t.replied(a.tell(scsi.REGISTER, key=NEW_KEY), GOOD, "unregisters")
    t.registered(0)
    t.followed(0)


@cases(*EACH_USER)
@limit(60)
def registers_and_ignores(t: Context, user: str) -> None:
    a = t.open(user)
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY), GOOD, "registers")
    t.registered(KEY)
    t.followed(KEY)
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE, key=OTHER_KEY, action_key=NEW_KEY), GOOD,
              "registers over any key")
    t.registered(NEW_KEY)
    t.followed(NEW_KEY)
    t.replied(a.tell(scsi.REGISTER_AND_IGNORE), GOOD, "unregisters")
    t.registered(0)
    t.followed(0)


@cases(*((f"{name}, {user}", user, number, name) for user in USERS for number, name in
         [(5, "Write Exclusive Access, Registrants Only"),
          (8, "Exclusive Access, All Registrants")]))
@limit(60)
def reserves_and_releases(t: Context, user: str, number: int, name: str) -> None:
    a = t.open(user)
    register(t, a)
    t.equal((a.write(), t.other_writes()), (None, None), "writes before")
    t.replied(a.tell(scsi.RESERVE, number, KEY), GOOD, "reserves")
    t.held(t.names, name)
    for _ in range(3):  # by each path
        t.equal((a.write(), t.other_writes()), (None, errno.EBADE), "writes of both hosts")
    t.replied(a.tell(scsi.RELEASE, number, KEY), GOOD, "releases")
    t.not_held()
    t.registered(KEY)
    t.equal((a.write(), t.other_writes()), (None, None), "writes afterwards")


@cases(*((f"{label}, {user}", user, action) for user in USERS
         for label, action in [("preempt", scsi.PREEMPT),
                               ("preempt and abort", scsi.PREEMPT_AND_ABORT)]))
@limit(60)
def preempts(t: Context, user: str, action: int) -> None:
    """The map fences the other host; the other host fences the map."""
    a = t.open(user)
    t.other_registers()
    t.other_tells(scsi.RESERVE, KIND)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.registered(KEY, OTHER_KEY)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), CONFLICT, "reserves what another host has")
    t.held([t.other.name])
    t.replied(a.tell(action, KIND, KEY, OTHER_KEY), GOOD, "preempts the other host")
    t.held(t.names)
    t.registered(KEY)
    t.equal((a.write(), t.other_writes()), (None, errno.EBADE), "writes of both hosts")

    t.other.drain()
    t.other_registers()
    t.other_tells(scsi.PREEMPT, KIND, KEY)
    t.registered(0, OTHER_KEY)
    t.drain()
    t.equal((a.write(), t.other_writes()), (errno.EBADE, None), "writes of the map, fenced")
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), CONFLICT, "reserves, fenced")


@cases(*((f"{label}, {user}", user, action) for user in USERS
         for label, action in [("preempt", scsi.PREEMPT),
                               ("preempt and abort", scsi.PREEMPT_AND_ABORT)]))
@limit(60)
def preempts_itself(t: Context, user: str, action: int) -> None:
    """All registrations stay: the device drops those of the other paths, as of any other host."""
    a = t.open(user)
    register(t, a)
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.replied(a.tell(action, KIND, KEY, KEY), GOOD, "preempts itself")
    t.registered(KEY)
    t.held(t.names, "Write Exclusive Access, Registrants Only")
    t.followed(KEY)
    t.equal((a.write(), t.other_writes()), (None, errno.EBADE), "writes of both hosts")


@cases(*EACH_USER)
@limit(60)
def clears(t: Context, user: str) -> None:
    a = t.open(user)
    register(t, a)
    t.other_registers()
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.replied(a.tell(scsi.CLEAR, key=KEY), GOOD, "clears")
    t.registered(0)
    t.not_held()
    t.followed(0)


@cases(*EACH_USER)
@limit(60)
def release_of_a_foreign_reservation(t: Context, user: str) -> None:
    """The other host's reservation and registration outlive the RELEASE of a host that is
    registered but holds nothing; GOOD is what the device says to that."""
    a = t.open(user)
    t.other_registers()
    t.other_tells(scsi.RESERVE, KIND)
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    generation = t.disk.generation()
    t.replied(a.tell(scsi.RELEASE, KIND, KEY), GOOD, "releases what it has not got")
    t.held([t.other.name], "Write Exclusive Access, Registrants Only")
    t.registered(KEY, OTHER_KEY)
    t.equal(t.disk.generation(), generation, "generation")
    t.followed(KEY)


@test
@limit(60)
def conflicts(t: Context) -> None:
    """What fails leaves all as it was."""
    a = t.open("root")
    register(t, a)
    t.other_registers()
    t.other_tells(scsi.RESERVE, KIND)
    before = t.state()
    t.drain()
    for action in (scsi.RESERVE, scsi.PREEMPT):
        t.replied(a.tell(action, KIND, KEY, NEW_KEY), CONFLICT, f"service action {action}")
        t.equal(t.state(), before, f"state after service action {action}")


@cases(*((label, action) for label, action in
         [("reserve", scsi.RESERVE), ("release", scsi.RELEASE), ("clear", scsi.CLEAR)]))
def unregistered(t: Context, action: int) -> None:
    """What SPC-4 5.13.9 and 5.13.11 say; LIO itself says 2/08/00."""
    t.replied(t.open("root").tell(action, KIND, KEY), CONFLICT, "is not registered")
    t.registered(0)


@test
def persist_through_power_loss(t: Context) -> None:
    """Byte 20 of the parameter list arrives, by each path."""
    a = t.open("nobody")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY, flags=APTPL), GOOD, "registers")
    t.registered(KEY)
    t.equal(lab.read(f"{t.disk.path}/pr/res_aptpl_active"), "APTPL Bit Status: Activated",
            "LIO's view")


@cases(("read-only", os.O_RDONLY), ("O_PATH", os.O_PATH))
def not_writable(t: Context, flags: int) -> None:
    a = t.open("root", flags=flags) if flags == os.O_RDONLY else None
    fd = a.fd if a else os.open(NODE, os.O_PATH | os.O_CLOEXEC)
    connection = t.open("root").connection
    generation = t.disk.generation()
    for cdb, parameters in [(scsi.pr_out(24, scsi.REGISTER), scsi.parameters(0, KEY)),
                            (scsi.cleanup(), b"")]:
        t.replied(connection.command(cdb, fd, parameters), INVALID_OPCODE, f"opcode {cdb[0]:x}")
    t.equal(t.disk.generation(), generation, "generation")


@test
def refused_service_actions(t: Context) -> None:
    a = t.open("root")
    generation = t.disk.generation()
    for action in (scsi.REGISTER_AND_MOVE, 8, 0x1F):
        t.replied(a.tell(action, KIND, KEY, NEW_KEY), INVALID_CDB_FIELD, f"service action {action}")
    for length in (0, 1, 23):
        t.replied(a.tell_raw(scsi.REGISTER, 0, scsi.parameters(0, KEY)[:length]),
                  PARAMETER_LENGTH, f"{length} bytes")
    t.registered(0)
    t.equal(t.disk.generation(), generation, "generation")


# -- against mpathpersist(8)


#: (label, what the map has before, service action, key, service action key)
STEPS = [
    ("register", [], scsi.REGISTER, 0, KEY),
    ("change the key", [(scsi.REGISTER, 0, KEY)], scsi.REGISTER, KEY, NEW_KEY),
    ("register again", [(scsi.REGISTER, 0, KEY)], scsi.REGISTER, 0, KEY),
    ("unregister", [(scsi.REGISTER, 0, KEY)], scsi.REGISTER, KEY, 0),
    ("register and ignore", [(scsi.REGISTER, 0, KEY)], scsi.REGISTER_AND_IGNORE, 0, NEW_KEY),
    ("reserve", [(scsi.REGISTER, 0, KEY)], scsi.RESERVE, KEY, 0),
    ("reserve again", [(scsi.REGISTER, 0, KEY), (scsi.RESERVE, KEY, 0)], scsi.RESERVE, KEY, 0),
    ("release", [(scsi.REGISTER, 0, KEY), (scsi.RESERVE, KEY, 0)], scsi.RELEASE, KEY, 0),
    ("release nothing", [(scsi.REGISTER, 0, KEY)], scsi.RELEASE, KEY, 0),
    ("clear", [(scsi.REGISTER, 0, KEY), (scsi.RESERVE, KEY, 0)], scsi.CLEAR, KEY, 0),
    ("preempt no host", [(scsi.REGISTER, 0, KEY), (scsi.RESERVE, KEY, 0)], scsi.PREEMPT, KEY,
     NEW_KEY),
    ("preempt and abort no host", [(scsi.REGISTER, 0, KEY), (scsi.RESERVE, KEY, 0)],
     scsi.PREEMPT_AND_ABORT, KEY, NEW_KEY),
]
#: The status of mpathpersist's exit codes; mpath_persist.h
STATUSES = {0: scsi.GOOD, 11: scsi.RESERVATION_CONFLICT}


def persist(action: int, key: int, action_key: int) -> int:
    """What status mpathpersist came to."""
    result = multipath.persist_status(NODE, "--out", PERSIST[action], f"--param-rk={key:x}",
                                      f"--param-sark={action_key:x}", f"--prout-type={KIND}")
    return STATUSES.get(result, scsi.CHECK_CONDITION)


@cases(*STEPS)
@limit(60)
def as_mpathpersist(t: Context, before: List[tuple], action: int, key: int,
                    action_key: int) -> None:
    """The same status, registrations, reservation, and the same told to multipathd. Where we
    differ on purpose is in tests of its own: RELEASE without holding, PREEMPT of oneself, and a key
    that no host has registered."""
    outcomes = []
    a = t.open("nobody")
    for tell in (persist, lambda act, *keys: a.tell(act, KIND, *keys).status):
        t.lab.reset()
        for step in before:
            t.equal(tell(*step), scsi.GOOD, f"service action {step[0]} beforehand")
        t.drain()
        outcomes.append((tell(action, key, action_key), t.state()))
    if multipath.looks_for_key() and not before and key:
        # mpathpersist finds that itself, and has no exit status for it.
        status, state = outcomes[0]
        outcomes[0] = (scsi.RESERVATION_CONFLICT, state)
        t.equal(status, scsi.CHECK_CONDITION, "what mpathpersist came to")
    t.equal(outcomes[1], outcomes[0], "what the helper came to")


# -- PERSISTENT RESERVE IN


@cases(*((f"{label}, {user}", user, action) for user in USERS for label, action in
         [("keys", scsi.READ_KEYS), ("reservation", scsi.READ_RESERVATION),
          ("capabilities", scsi.REPORT_CAPABILITIES), ("full status", scsi.READ_FULL_STATUS)]))
def reads(t: Context, user: str, action: int) -> None:
    """Byte by byte what a path says, no matter what is there to be read and however much is asked."""
    a = t.open(user)

    def compare(when: str) -> None:
        t.drain()
        for allocation in (scsi.DATA_MAX, 24, 8, 7, 1, 0):
            direct = lab.pr_in(t.target.initiators[0].fd, action, allocation)
            t.replied(a.ask(action, allocation), of_a_map(action, direct.reply()),
                      f"{when}, {allocation} bytes")
    compare("nothing registered")
    t.replied(a.tell(scsi.REGISTER, action_key=KEY), GOOD, "registers")
    t.other_registers()
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    compare("registered and reserved")


@test
def reads_what_is_invalid(t: Context) -> None:
    """Not ours to judge: the device answers."""
    direct = lab.pr_in(t.target.initiators[0].fd, 0x1F)
    t.equal(direct.status, scsi.CHECK_CONDITION, "the device's status")
    t.replied(t.open("root").ask(0x1F), direct.reply(), "an unknown service action")


# -- CLEANUP


@cases(*EACH_USER)
@limit(60)
def cleanup(t: Context, user: str) -> None:
    a = t.open(user)
    t.replied(a.connection.command(scsi.cleanup(), a.fd), GOOD, "nothing to clean up")
    t.followed(0)
    register(t, a)
    t.other_registers()
    t.replied(a.tell(scsi.RESERVE, KIND, KEY), GOOD, "reserves")
    t.replied(a.connection.command(scsi.cleanup(), a.fd), GOOD, "cleans up")
    t.registered(0, OTHER_KEY)
    t.not_held()
    t.followed(0)


@test
def cleanup_of_others(t: Context) -> None:
    """On what is no map it does nothing."""
    t.other_registers()
    before = t.state()
    for path in (t.other.path, t.target.initiators[0].path):
        a = t.open("root", path)
        t.replied(a.connection.command(scsi.cleanup(), a.fd), GOOD, path)
    t.equal(t.state(), before, "state")


# -- TransportIDs


def iscsi_id(name: str, kind: int = 5) -> bytes:
    """SPC-4 7.6.4.6: of an iSCSI device (5), or of one of its ports (45h, with an ISID)."""
    data = name.encode() + bytes(4 - len(name) % 4)
    return struct.pack(">BxH", kind, len(data)) + data


def with_ids(ids: bytes, length: Optional[int] = None) -> bytes:
    return (scsi.parameters(0, KEY, SPEC_I_PT)
            + struct.pack(">I", len(ids) if length is None else length) + ids)


FC_ID = bytes(8) + bytes.fromhex("2100000000000001") + bytes(8)
SAS_ID = bytes([6, 0, 0, 0]) + bytes.fromhex("6001405100000001") + bytes(12)


@cases(
    *((f"{count} in order", with_ids(b"".join(
        iscsi_id(f"{lab.PREFIX}:guest{number:02},i,0x00023d000001", 0x45)
        for number in range(count)))) for count in (1, 2, 32)),
    ("FC in order", with_ids(FC_ID)), ("SAS in order", with_ids(SAS_ID)),
    ("33", with_ids(FC_ID * 33)), ("33 of iSCSI", with_ids(iscsi_id("iqn.2026-01.x:y") * 33)),
    ("340", with_ids(FC_ID * 340)),
    *((f"length {length:#x}", with_ids(FC_ID, length)) for length in
      [*range(0xFFFFFFE4, 0x100000000), 0x7FFFFFFF, 0x80000000, 25, 8192]),
    *((f"cut to {size} bytes", with_ids(FC_ID)[:size]) for size in (25, 27, 28, 29, 51)),
    ("a second one cut", with_ids(FC_ID + FC_ID[:23])),
    ("SAS, cut", with_ids(SAS_ID[:20])),
    ("iSCSI, 3 bytes", with_ids(iscsi_id("a")[:3])),
    ("iSCSI, beyond the list", with_ids(struct.pack(">BxH", 5, 24) + bytes(20))),
    ("iSCSI, 256 bytes", with_ids(iscsi_id("i" * 255))),
    ("iSCSI, 65,532 bytes", with_ids(struct.pack(">BxH", 5, 65532) + bytes(252))),
    ("iSCSI, no multiple of 4", with_ids(struct.pack(">BxH", 5, 21) + b"i" * 20 + b"\0")),
    ("iSCSI, no NUL", with_ids(struct.pack(">BxH", 5, 20) + b"i" * 20)),
    ("SBP", with_ids(bytes([3]) + bytes(23))), ("SRP", with_ids(bytes([4]) + bytes(23))),
    ("FC of another format", with_ids(b"\x40" + FC_ID[1:])),
    ("iSCSI of another format", with_ids(b"\x85" + iscsi_id("iqn.2026-01.x:y")[1:])))
def transport_ids(t: Context, parameters: bytes) -> None:
    """Good or bad: a map registers its own paths alone, and REPORT CAPABILITIES says so."""
    a = t.open("nobody")
    generation = t.disk.generation()
    t.replied(a.tell_raw(scsi.REGISTER, 0, parameters), INVALID_PARAMETER, "registers")
    t.equal(t.disk.generation(), generation, "generation")
    t.registered(0)
    t.followed(0)
    t.equal(a.ask(scsi.READ_RESERVATION).status, scsi.GOOD, "the next command")


# -- what lies on top of a map


def refused_on_top(t: Context, path: str) -> None:
    generation = t.disk.generation()
    for user in USERS:
        a = t.open(user, path)
        for action in (scsi.REGISTER, scsi.REGISTER_AND_IGNORE, scsi.CLEAR, scsi.PREEMPT):
            t.replied(a.tell(action, KIND, action_key=KEY), INVALID_OPCODE,
                      f"service action {action} by {user}")
        t.replied(a.connection.command(scsi.cleanup(), a.fd), GOOD, f"cleans up by {user}")
        t.equal(t.disk.generation(), generation, "generation")
    register(t, t.open("root"))
    t.drain()
    for user in USERS:
        a = t.open(user, path)
        for action in range(4):
            t.replied(a.ask(action), lab.pr_in(t.target.initiators[0].fd, action).reply(),
                      f"reads {action} by {user}")


@cases(("LVM", "LVM-Sz0ufYKcVmSPhhUz3RmDCFhMFnZf7uTyAbCdEfGhIjKlMnOpQrStUvWxYz012345"),
       ("no uuid", ""))
@limit(60)
def mapped(t: Context, uuid: str) -> None:
    path = lab.add_map("top", uuid, f"0 2048 linear {NODE} 2048")
    t.cleanup.callback(lab.remove_map, "top")
    refused_on_top(t, path)


@test
@limit(60)
def partition(t: Context) -> None:
    """As kpartx(8) makes it of a partition table."""
    fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
    try:
        # One entry: not bootable, type 83h, sectors 2048 to 4095; and the signature.
        os.pwrite(fd, bytes(446) + struct.pack("<B3xB3xII", 0, 0x83, 2048, 2048) + bytes(48)
                  + b"\x55\xAA", 0)
        os.fsync(fd)
        lab.run("kpartx", "-a", "-n", NODE)
    finally:
        os.close(fd)
    names = [name for name in os.listdir("/sys/block") if name.startswith("dm-")
             and lab.read(f"/sys/block/{name}/dm/uuid").startswith("part1-mpath-")]
    t.equal(len(names), 1, "partitions of the map")
    t.cleanup.callback(lab.remove_map, lab.read(f"/sys/block/{names[0]}/dm/name"))
    refused_on_top(t, f"/dev/{names[0]}")
