# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine for the doctor to look at: a /sys, a /run with a multipathd, and a PATH with a
multipath(8), all of the test's own. The device is a loop device, which that /sys takes for any kind that
the test says; the helper answers what the test has written down."""
import os
import struct
from typing import Dict, Optional, Sequence

from mpath.fixture import Multipathd
from support import scsi
from support.client import reply
from support.sysfs import number, write

MAP = "mpathx"
WWID = "3600140500000000000000000000000001"
INITIATOR = "iqn.2026-01.org.example:node"
ISID = "00023d000001"
PORT = "500143802426baf4"
#: Service actions of PERSISTENT RESERVE IN.
KEYS, RESERVATION, CAPABILITIES, FULL_STATUS = range(4)

ALL_TYPES = 0xEA01


def capabilities(types: int = ALL_TYPES, aptpl: bool = True, active: bool = False) -> bytes:
    """REPORT CAPABILITIES data."""
    return struct.pack(">HBBH2x", 8, int(aptpl), 0x80 | int(active), types)


def reservation(key: int = 0, kind: int = 0) -> bytes:
    """READ RESERVATION data; of no reservation without a type."""
    held = struct.pack(">Q5xB2x", key, kind) if kind else b""
    return struct.pack(">II", 1, len(held)) + held


def iscsi_device(name: str = INITIATOR) -> bytes:
    """TransportID of an iSCSI device, which is all ports of that name."""
    text = name.encode() + b"\0"
    text += bytes(-len(text) % 4)
    return struct.pack(">BxH", 0x05, len(text)) + text


def iscsi_port(name: str = INITIATOR, isid: str = ISID) -> bytes:
    """TransportID of an initiator port."""
    text = f"{name},i,0x{isid}".encode() + b"\0"
    text += bytes(-len(text) % 4)
    return struct.pack(">BxH", 0x45, len(text)) + text


def fc_port(name: str = PORT) -> bytes:
    return bytes(8) + bytes.fromhex(name) + bytes(8)


def fc_name(at: int) -> str:
    return f"{int(PORT, 16) + at:x}"


def fc_path(key: int, at: int, port: Optional[int] = 0, holds: int = 0) -> "Registrant":
    """A registration of the path `at`, by its own target port unless another is named."""
    return Registrant(key, fc_port(fc_name(at)), at if port == 0 else port, holds)


class Registrant:
    """A descriptor of READ FULL STATUS: a key, a TransportID, a relative target port or None for all
    of them, and the type of the reservation if it holds that."""

    def __init__(self, key: int, transport_id: bytes, port: Optional[int] = 1, holds: int = 0):
        self.bytes = struct.pack(">Q4xBB4xHI", key, (2 if port is None else 0) | (1 if holds else 0),
                                 holds, port or 0, len(transport_id)) + transport_id


def full_status(*registrants: Registrant, generation: int = 1) -> bytes:
    found = b"".join(one.bytes for one in registrants)
    return struct.pack(">II", generation, len(found)) + found


def device_page(port: int) -> bytes:
    """VPD page 83h of a disk behind this target port: a name of the logical unit, and the port."""
    found = bytes([1, 3, 0, 8]) + bytes.fromhex("6001405000000001") + \
        bytes([0x61, 0x94, 0, 4, 0, 0]) + struct.pack(">H", port)
    return struct.pack(">BBH", 0, 0x83, len(found)) + found


class Machine:
    def __init__(self, t):
        self.t = t
        self.disk = t.disk
        t.mounts_or_skip()
        self.directory = t.directory()
        for name in ("sys/dev/block", "sys/block", "sys/class", "run", "bin"):
            os.makedirs(self.path(name))
        self.multipathd = None
        #: What the helper answers, by service action.
        self.answers: Dict[int, bytes] = {}
        #: For the doctor.
        self.environment: Dict[str, str] = {}
        self.keys()

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    # -- /sys

    def _publish(self, name: str, where: str) -> str:
        """Under its name; its directory."""
        os.makedirs(self.path(f"sys/{where}"), exist_ok=True)
        os.symlink(f"../{where}", self.path(f"sys/block/{name}"))
        return self.path(f"sys/{where}")

    def _is_the_device(self, where: str) -> None:
        os.symlink(f"../../{where}", self.path(f"sys/dev/block/{number(self.disk.rdev)}"))

    def make_map(self, uuid: str = f"mpath-{WWID}", slaves: Sequence[str] = ()) -> str:
        """The device is a device-mapper device."""
        directory = self._publish("dm-7", "devices/virtual/block/dm-7")
        self._is_the_device("devices/virtual/block/dm-7")
        write(f"{directory}/dm/uuid", f"{uuid}\n")
        write(f"{directory}/dm/name", f"{MAP}\n")
        write(f"{directory}/ro", "0\n")
        for slave in slaves:
            os.makedirs(f"{directory}/slaves/{slave}")
        os.makedirs(f"{directory}/slaves", exist_ok=True)
        return directory

    def make_disk(self, name: str, host: int, state: str = "running", session: int = 0,
                  port: int = 0) -> str:
        """A SCSI disk; with a session it is one of iSCSI; port is the target's, if it tells it."""
        way = f"devices/platform/host{host}/" + (f"session{session}/" if session else "")
        device = f"{way}target{host}:0:0/{host}:0:0:0"
        directory = self._publish(name, f"{device}/block/{name}")
        for attribute, value in (("scsi_level", "7"), ("type", "0"), ("state", state),
                                 ("vendor", "STORAGE "), ("model", "LUN             ")):
            write(self.path(f"sys/{device}/{attribute}"), f"{value}\n")
        os.makedirs(self.path("sys/bus/scsi"), exist_ok=True)
        os.symlink(self.path("sys/bus/scsi"), self.path(f"sys/{device}/subsystem"))
        os.symlink(f"../../../{host}:0:0:0", f"{directory}/device")
        write(f"{directory}/ro", "0\n")
        if port:
            with open(self.path(f"sys/{device}/vpd_pg83"), "wb") as file:
                file.write(device_page(port))
        if session:
            write(self.path(f"sys/class/iscsi_session/session{session}/initiatorname"),
                  f"{INITIATOR}\n")
        return directory

    def make_fc_host(self, host: int, name: str = PORT) -> None:
        write(self.path(f"sys/class/fc_host/host{host}/port_name"), f"0x{name}\n")

    def make_map_of(self, *names: str, **states: str) -> None:
        """A multipath map over Fibre Channel disks: each path has a port of the host and one of the
        target, as fc_path() has them."""
        self.make_map(slaves=names)
        for at, name in enumerate(names, 1):
            self.make_disk(name, at + 1, states.get(name, "running"), port=at)
            self.make_fc_host(at + 1, fc_name(at))

    def make_iscsi_map_of(self, *names: str, isids: Sequence[str] = ()) -> None:
        """One over iSCSI sessions of one initiator, each to a port of the target; the driver tells
        these ISIDs."""
        self.make_map(slaves=names)
        for at, name in enumerate(names, 1):
            self.make_disk(name, at + 1, session=at, port=at)
            if isids:
                write(self.path(f"sys/class/iscsi_session/session{at}/isid"), f"{isids[at - 1]}\n")

    # -- who answers

    def start_multipathd(self, key: str = "file", own: str = "none", prstatus: str = "unset",
                         queueing: str = "off", features: str = "0", more: str = "",
                         **paths: str) -> None:
        """paths: name and multipathd's view of a path, "active ready"."""
        self.multipathd = Multipathd(self.path("run/multipathd.socket"))
        self.t.cleanup.callback(self.multipathd.close)
        found = ", ".join('{"dev": "%s", "dm_st": "%s", "chk_st": "%s"}' % (name, *view.split())
                          for name, view in paths.items())
        setting = f'\treservation_key "{key}"\n' if key else ""
        self.multipathd.answers.update({
            "show map dm-7 json": (
                '{"map": {"queueing": "%s", "features": "%s", "path_groups": [{"paths": [%s]}]}}' %
                (queueing, features, found)).encode(),
            "show config local": f"defaults {{\n\tverbosity 2\n{setting}}}\n{more}".encode(),
            "getprkey": own.encode() + b"\n", "getprstatus": prstatus.encode() + b"\n"})

    def keys(self, *keys: int, types: int = ALL_TYPES, aptpl: bool = True, active: bool = False,
             status: bytes = full_status(), held: bytes = reservation()) -> None:
        """What the device says."""
        self.answers = {action: reply(payload=data).encode() for action, data in (
            (KEYS, scsi.read_keys_data(*keys)), (RESERVATION, held),
            (CAPABILITIES, capabilities(types, aptpl, active)), (FULL_STATUS, status))}

    def registered(self, *registrants: Registrant, held: bytes = reservation(), **more) -> None:
        """The same, where its answers agree."""
        keys = [struct.unpack_from(">Q", one.bytes)[0] for one in registrants]
        self.keys(*keys, status=full_status(*registrants), held=held, **more)

    # -- programs on it

    def run(self, command: str, *argv: str):
        """qemu-pr-ctl, with a helper that says what the device does."""
        t = self.t
        fake = t.fake(by_action=self.answers)
        script = ('mount --bind "$0/sys" /sys && mount --bind "$0/run" /run || exit 99; '
                  'PATH="$0/bin" exec "$@"')
        return t.run("unshare", "-m", "-n", "--propagation", "private", "/bin/sh", "-c", script,
                     self.directory, t.lab.ctl, command, "-k", fake.path, *argv, env=self.environment)

    def checks(self, *argv: str) -> dict:
        """The doctor's findings by name: (verdict, text, remedy)."""
        result = self.run("doctor", "--json", *argv, self.disk.path)
        return {one["check"]: (one["verdict"], one["text"], one.get("remedy", ""))
                for one in result.json["checks"]}


def healthy(t, **settings):
    """A map with two paths, and nothing wrong with it."""
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc")
    machine.start_multipathd(own="0xabc", prstatus="set", sdb="active ready", sdc="active ready",
                             **settings)
    machine.registered(fc_path(0xabc, 1), fc_path(0xabc, 2))
    return machine


def found(t, checks, name, verdict, text, remedy=""):
    """A finding: verdict, the exact text, and words of the remedy, or none at all."""
    t.check(name in checks, f"no finding of {name}: {sorted(checks)}")
    t.equal(checks[name][:2], (verdict, text), name)
    if remedy:
        t.matches(remedy, checks[name][2], f"remedy of {name}")
    else:
        t.equal(checks[name][2], "", f"remedy of {name}")
