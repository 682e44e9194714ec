# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real SCSI devices, made inside the virtual machine by the kernel's own target, LIO.

A Backstore is a disk; exporting it by Iscsi (over the loopback interface) or Loopback gives
initiators, each of which is an I_T nexus with a /dev/sdX of its own: what the hosts of a cluster
would see. Everything goes through configfs; no daemon and no tool is needed but iscsistart(8).

Here are also a direct SG_IO, so that the helper's answers can be compared with the device's own,
and LIO's view of its registrations, so that they can be compared with the truth.
"""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import re
import struct
import subprocess
import time
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from support import client, pause, scaled, scsi

CONFIGFS = "/sys/kernel/config"
TARGET = CONFIGFS + "/target"
PORT = 3260
PREFIX = "iqn.2026-01.test.invalid"

SG_IO = 0x2285
SG_DXFER_NONE, SG_DXFER_TO_DEV, SG_DXFER_FROM_DEV = -1, -2, -3
TIMEOUT_MS = 20000
TEST_UNIT_READY = bytes(6)
UNIT_ATTENTION = 6

BLKPG = 0x1269
BLKPG_ADD_PARTITION, BLKPG_DEL_PARTITION = 1, 2


def start(*command: str) -> subprocess.Popen:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> str:
    """A program's output; an error that shows all it said if it fails."""
    output = process.communicate()[0]
    if process.returncode:
        command = " ".join(process.args)
        raise OSError(f"{command} ended with {process.returncode}: {output}")
    return output


def run(*command: str) -> str:
    return finish(start(*command))


def wait_for(what: str, condition: Callable[[], object], timeout: float = 10.0) -> object:
    """Until condition() is true; its value."""
    begun = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > begun + scaled(timeout):
            raise AssertionError(f"{what}: not within {scaled(timeout):.0f} s")
        pause(begun)


def read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().rstrip("\0\n")


def write(path: str, value: object) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


def load(*modules: str) -> None:
    run("modprobe", "-a", *modules)


def mount_configfs() -> None:
    if not os.path.isdir(TARGET):
        load("configfs", "target_core_mod")
        with contextlib.suppress(OSError):
            run("mount", "-t", "configfs", "configfs", CONFIGFS)
        os.makedirs(TARGET, exist_ok=True)


# -- SG_IO


class SgIoHeader(ctypes.Structure):
    """struct sg_io_hdr of <scsi/sg.h>"""
    _fields_ = [
        ("interface_id", ctypes.c_int), ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte), ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort), ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p), ("cmdp", ctypes.c_void_p), ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint), ("flags", ctypes.c_uint), ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p), ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte), ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte), ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort), ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint), ("info", ctypes.c_uint)]


class Result(NamedTuple):
    """What the device said."""
    status: int
    sense: bytes
    data: bytes
    host_status: int = 0

    def reply(self) -> client.Reply:
        """The helper's answer if it adds and hides nothing."""
        return client.reply(self.status, self.data, self.sense.ljust(scsi.SENSE_SIZE, b"\0"))

    @property
    def sense_code(self) -> Tuple[int, int, int]:
        """Sense key, ASC, ASCQ, of fixed or descriptor format."""
        if not self.sense:
            return 0, 0, 0
        if self.sense[0] & 0x7F >= 0x72:
            return self.sense[1] & 0x0F, self.sense[2], self.sense[3]
        return self.sense[2] & 0x0F, self.sense[12], self.sense[13]


def sg_io(fd: int, cdb: bytes, allocation: int = 0, parameters: bytes = b"") -> Result:
    """One command straight to the device, with allocation bytes of data in or parameters out."""
    size = allocation or len(parameters)
    buffer = ctypes.create_string_buffer(parameters, max(size, 1))
    command = ctypes.create_string_buffer(cdb, len(cdb))
    sense = ctypes.create_string_buffer(scsi.SENSE_SIZE)
    direction = (SG_DXFER_FROM_DEV if allocation else
                 SG_DXFER_TO_DEV if parameters else SG_DXFER_NONE)
    header = SgIoHeader(
        interface_id=ord("S"), dxfer_direction=direction, cmd_len=len(cdb),
        mx_sb_len=len(sense), dxfer_len=size,
        dxferp=ctypes.addressof(buffer) if size else None, cmdp=ctypes.addressof(command),
        sbp=ctypes.addressof(sense), timeout=TIMEOUT_MS)
    fcntl.ioctl(fd, SG_IO, header)
    arrived = allocation - header.resid if header.status == scsi.GOOD else 0
    return Result(header.status, sense.raw[:header.sb_len_wr], buffer.raw[:arrived],
                  header.host_status)


def pr_in(fd: int, action: int, allocation: int = scsi.DATA_MAX) -> Result:
    return sg_io(fd, scsi.pr_in(allocation, action)[:10], allocation)


def pr_out(fd: int, action: int, scope_type: int = 0, key: int = 0, action_key: int = 0,
           flags: int = 0) -> Result:
    parameters = scsi.parameters(key, action_key, flags)
    return sg_io(fd, scsi.pr_out(len(parameters), action, scope_type)[:10],
                 parameters=parameters)


def drain(fd: int) -> List[Tuple[int, int, int]]:
    """Take the unit attentions that wait for this I_T nexus, oldest first."""
    taken = []
    while True:
        result = sg_io(fd, TEST_UNIT_READY)
        if result.status == scsi.GOOD:
            return taken
        if result.sense_code[0] != UNIT_ATTENTION or len(taken) > 16:
            raise AssertionError(f"TEST UNIT READY: {result}")
        taken.append(result.sense_code)


# -- disks


class Registration(NamedTuple):
    """One I_T nexus that LIO has registered."""
    initiator: str
    key: int


class Backstore:
    """A disk of LIO's: in memory, or in a file."""

    def __init__(self, name: str, megabytes: int = 8, file: Optional[str] = None,
                 **attributes: int):
        mount_configfs()
        self.name = name
        self.path = os.path.join(TARGET, "core", "fileio_0" if file else "rd_mcp_0", name)
        os.makedirs(self.path)
        write(f"{self.path}/control",
              f"fd_dev_name={file},fd_dev_size={megabytes << 20}" if file else
              f"rd_pages={(megabytes << 20) // os.sysconf('SC_PAGE_SIZE')}")
        write(f"{self.path}/enable", 1)
        # The serial number's hexadecimal digits are most of the LUN's world-wide name.
        write(f"{self.path}/wwn/vpd_unit_serial", hashlib.md5(name.encode()).hexdigest())
        for attribute, value in attributes.items():
            write(f"{self.path}/attrib/{attribute}", value)

    def registrations(self) -> List[Registration]:
        """By initiator name."""
        found = []
        for line in read(f"{self.path}/pr/res_pr_registered_i_pts").splitlines():
            match = re.match(r"\S+ Node: (\S+?)(?:,i,0x[0-9a-f]+)? Key: 0x([0-9a-fA-F]+)", line)
            if match:
                found.append(Registration(match.group(1), int(match.group(2), 16)))
        return sorted(found)

    def reservation(self) -> Tuple[Optional[str], str]:
        """(initiator name of the holder, type); (None, text) without a reservation."""
        holder = re.search(r"Initiator: (\S+?)(?:,i,0x[0-9a-f]+)?$",
                           read(f"{self.path}/pr/res_holder"))
        return holder.group(1) if holder else None, read(f"{self.path}/pr/res_pr_type")

    def generation(self) -> int:
        return int(read(f"{self.path}/pr/res_pr_generation"), 0)

    def close(self) -> None:
        os.rmdir(self.path)


class Initiator:
    """One I_T nexus of a LUN, with its block device and its SCSI generic device."""

    def __init__(self, name: str, device: str, group: int = 1, portal: str = ""):
        #: portal: the IP address through which it reaches its target
        self.name, self.group, self.portal = name, group, portal
        self._fd = -1
        #: The SCSI device below /sys
        self.device = os.path.realpath(device)
        self.block = os.path.basename(self._child("block"))
        self.path = f"/dev/{self.block}"
        self.generic_path = f"/dev/{os.path.basename(self._child('scsi_generic'))}"
        for path in (self.path, self.generic_path):
            wait_for(path, lambda path=path: self._opens(path))

    def _opens(self, path: str) -> bool:
        """The kernel makes a disk's node some time before the disk can be opened."""
        try:
            os.close(self.open(os.O_RDONLY, path))
            return True
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENXIO):
                raise
            return False

    def _child(self, kind: str) -> str:
        """The first entry of a directory that appears while the kernel sets the device up."""
        directory = os.path.join(self.device, kind)

        def look() -> str:
            try:
                return "".join(os.listdir(directory)[:1])
            except FileNotFoundError:
                return ""
        return os.path.join(directory, str(wait_for(directory, look)))

    def open(self, flags: int = os.O_RDWR, path: Optional[str] = None) -> int:
        return os.open(path or self.path, flags | os.O_CLOEXEC)

    def drain(self) -> List[Tuple[int, int, int]]:
        fd = self.open(os.O_RDONLY | os.O_NONBLOCK, self.generic_path)
        try:
            return drain(fd)
        finally:
            os.close(fd)

    @property
    def fd(self) -> int:
        """An fd of the disk for direct commands, kept until close()."""
        if self._fd < 0:
            self._fd = self.open(os.O_RDWR)
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def offline(self) -> None:
        """Commands fail from now on, as on a path whose switch port is off."""
        write(f"{self.device}/state", "offline\n")

    def online(self) -> None:
        write(f"{self.device}/state", "running\n")

    def unplug(self) -> None:
        """Commands get no answer from now on, and no reason is told. After half a minute they time
        out, and nothing here would repair a session that the kernel then gives up."""
        run("busybox", "ip", "route", "add", "blackhole", self.portal, "table", "local")

    def plug(self) -> None:
        """Commands under way are sent again by TCP, and go on."""
        run("busybox", "ip", "route", "delete", "blackhole", self.portal, "table", "local")

    def delete(self) -> None:
        """Take the device away from under its users, as a pulled cable or an admin would."""
        write(f"{self.device}/delete", 1)
        wait_for(f"{self.path} gone", lambda: not os.path.exists(self.path))


class Iscsi:
    """A LUN behind several I_T nexuses: one iSCSI session for each initiator name and target
    portal group. Each group is a target port."""

    def __init__(self, backstore: Backstore, initiators: int = 2, groups: int = 1,
                 acls: bool = False, network: int = 1):
        """acls: the target knows its initiators, as it must for ALL_TG_PT. network: of a number of
        its own an initiator can be unplugged without touching another target's."""
        load("iscsi_target_mod", "iscsi_tcp", "sd_mod", "sg")
        self.acls, self.network = acls, network
        self.name = f"{PREFIX}:{backstore.name}"
        self.fabric = f"{TARGET}/iscsi/{self.name}"
        self.groups = range(1, groups + 1)
        for tag in self.groups:
            self._add_group(f"{self.fabric}/tpgt_{tag}", backstore)
        self._logins = 0
        self.initiators = self.login(initiators)

    @staticmethod
    def _add_group(path: str, backstore: Backstore) -> None:
        os.makedirs(f"{path}/lun/lun_0")
        os.symlink(backstore.path, f"{path}/lun/lun_0/disk")
        for name, value in [("authentication", 0), ("generate_node_acls", 1),
                            ("demo_mode_write_protect", 0), ("cache_dynamic_acls", 1)]:
            write(f"{path}/attrib/{name}", value)
        write(f"{path}/enable", 1)

    def login(self, count: int = 1) -> List[Initiator]:
        """Further initiators, through each group. Each has a portal of its own: iscsistart(8) tells
        sessions apart by that, not by the initiator's name. It sleeps for a second: so all start
        at once."""
        started = []
        for number in range(self._logins, self._logins + count):
            for tag in self.groups:
                name = f"{PREFIX}:node{number}"
                address = f"127.{self.network}.{tag - 1}.{number + 1}"
                os.mkdir(f"{self.fabric}/tpgt_{tag}/np/{address}:{PORT}")
                if self.acls:
                    self.allow(name, tag)
                # No session is to be given up because its target is slow, or unplugged.
                started.append((name, tag, address, start(
                    "iscsistart", "-i", name, "-t", self.name, "-g", str(tag), "-a", address,
                    "-P", "node.conn[0].timeo.noop_out_interval=0")))
        self._logins += count
        for _, _, _, process in started:
            finish(process)
        return [self._find(name, tag, address) for name, tag, address, _ in started]

    def allow(self, name: str, tag: int = 1) -> None:
        """The target knows an initiator of this name, which need not exist, from now on."""
        group = f"{self.fabric}/tpgt_{tag}"
        if not os.path.isdir(f"{group}/acls/{name}"):
            os.makedirs(f"{group}/acls/{name}/lun_0")
            os.symlink(f"{group}/lun/lun_0", f"{group}/acls/{name}/lun_0/disk")

    def _find(self, name: str, tag: int, address: str) -> Initiator:
        device = wait_for(f"a device of {name}", lambda: next(self._devices(name, tag), None))
        return Initiator(name, str(device), tag, address)

    def rescan(self, gone: Initiator) -> Initiator:
        """The device of an initiator whose device was deleted: the LUN comes back, under a new
        name perhaps."""
        host = re.search(r"/(host\d+)/", gone.device)
        write(f"/sys/class/scsi_host/{host.group(1)}/scan", "- - -")
        found = self._find(gone.name, gone.group, gone.portal)
        self.initiators = [found if one is gone else one for one in self.initiators]
        return found

    def _sessions(self, initiator: str, tag: int) -> Iterator[str]:
        base = "/sys/class/iscsi_session"
        for session in os.listdir(base) if os.path.isdir(base) else []:
            with contextlib.suppress(OSError):
                if (read(f"{base}/{session}/initiatorname") == initiator
                        and read(f"{base}/{session}/targetname") == self.name
                        and read(f"{base}/{session}/tpgt") == str(tag)):
                    yield f"{base}/{session}"

    def _devices(self, initiator: str, tag: int) -> Iterator[str]:
        for session in self._sessions(initiator, tag):
            for target in os.listdir(f"{session}/device"):
                if target.startswith("target"):
                    for device in os.listdir(f"{session}/device/{target}"):
                        if re.match(r"\d+:\d+:\d+:\d+$", device):
                            yield f"{session}/device/{target}/{device}"


class Loopback:
    """A LUN behind one I_T nexus, without a network: the quick way to a disk. On Linux 6.1
    PREEMPT AND ABORT hangs for ever there."""

    def __init__(self, backstore: Backstore, number: int = 1):
        load("tcm_loop", "sd_mod", "sg")
        fabric = f"{TARGET}/loopback/naa.600140500000{number:04x}/tpgt_1"
        os.makedirs(fabric)
        name = f"naa.600140510000{number:04x}"
        write(f"{fabric}/nexus", name)
        os.makedirs(f"{fabric}/lun/lun_0")
        os.symlink(backstore.path, f"{fabric}/lun/lun_0/disk")
        address = read(f"{fabric}/address")  # host, channel, target
        self.initiator = Initiator(name, f"/sys/class/scsi_device/{address}:0/device")


def reset(initiators: Sequence[Initiator]) -> None:
    """No registration, no reservation, no unit attention at the LUN behind all of these."""
    for initiator in initiators:
        initiator.drain()
    with contextlib.closing(initiators[0]) as first:
        pr_out(first.fd, scsi.REGISTER_AND_IGNORE, action_key=1)
        pr_out(first.fd, scsi.CLEAR, key=1)
    for initiator in initiators:
        initiator.drain()


def scsi_debug(**parameters: object) -> Initiator:
    """The kernel's simulated disk, which knows no persistent reservations."""
    run("modprobe", "scsi_debug", *(f"{name}={value}" for name, value in parameters.items()))
    base = "/sys/bus/pseudo/drivers/scsi_debug/adapter0"

    def look() -> str:
        for directory, names, _ in os.walk(base):
            for name in names:
                if re.match(r"\d+:0:0:0$", name):
                    return os.path.join(directory, name)
        return ""
    return Initiator("", str(wait_for("scsi_debug's disk", look)))


# -- what may lie on top of a LUN


def _partition(disk: str, operation: int, first: int, count: int) -> None:
    # struct blkpg_partition, then struct blkpg_ioctl_arg
    partition = ctypes.create_string_buffer(
        struct.pack("@qqi64s64s4x", first * 512, count * 512, 1, b"", b""))
    argument = struct.pack("@iiiP", operation, 0, len(partition), ctypes.addressof(partition))
    fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKPG, argument)
    finally:
        os.close(fd)


def add_partition(disk: str, first: int = 2048, count: int = 2048) -> str:
    """Partition 1 of a disk, in sectors, known to the kernel but written nowhere; its path."""
    _partition(disk, BLKPG_ADD_PARTITION, first, count)
    wait_for(f"{disk}1", lambda: os.path.exists(f"{disk}1"))
    return f"{disk}1"


def delete_partition(disk: str) -> None:
    def done() -> bool:
        """udevd may still be looking at it."""
        try:
            _partition(disk, BLKPG_DEL_PARTITION, 0, 0)
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
    wait_for(f"{disk}1 is not in use", done)


def add_map(name: str, uuid: str, *lines: str) -> str:
    """A device-mapper device; the path of its node."""
    load("dm_mod")
    run("dmsetup", "create", name, "--noudevsync", "--noudevrules",
        *(["--uuid", uuid] if uuid else []), "--table", "\n".join(lines))
    number = run("dmsetup", "info", "-c", "--noheadings", "-o", "minor", name).strip()
    wait_for(f"/dev/dm-{number}", lambda: os.path.exists(f"/dev/dm-{number}"))
    return f"/dev/dm-{number}"


def remove_map(name: str) -> None:
    # A process that heard of it by an event may still be looking at it.
    run("dmsetup", "remove", "--noudevsync", "--retry", name)


# -- ordinary reads and writes, past the page cache


def transfer(fd: int, write_byte: Optional[int] = None, size: int = 4096) -> Optional[int]:
    """Read or write the first bytes through an O_DIRECT fd: None, or the errno."""
    with mmap.mmap(-1, size) as buffer:
        try:
            if write_byte is None:
                os.preadv(fd, [buffer], 0)
            else:
                buffer[:] = bytes([write_byte]) * size
                os.pwritev(fd, [buffer], 0)
        except OSError as error:
            return error.errno
    return None
