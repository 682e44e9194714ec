# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/nvme.md: what reservations of virtual machines can be on an NVMe disk.

A namespace with reservations, of the kernel's NVMe target, is the disk of three NVMe hosts. On two of
them LIO exports it as a SCSI disk (iblock, pgr_support=0), and what a virtual machine asks there through a
helper becomes commands of NVMe. The third uses the namespace as it is.
"""
import errno
import os
import subprocess

import context
import guest
import lab
import nvme
from host import (CONFLICT, EXCLUSIVE_ACCESS, EXCLUSIVE_ACCESS_ALL, EXCLUSIVE_ACCESS_REGISTRANTS,
                  WRITE_EXCLUSIVE, WRITE_EXCLUSIVE_ALL, WRITE_EXCLUSIVE_REGISTRANTS, APTPL, Host,
                  Reservation)
from support import client, pages, scsi
from support.process import Helper
from support.tap import Skip, cases, limit, test

MEMORY = 512
EMULATED = {"*": "NVMe disks"}
#: The kernel whose NVMe target has reservations and whose pr ioctls tell them.
KERNEL_NEEDED = (7, 0)
KEY_A, KEY_B, KEY_C = 0xA, 0xB, 0xC
TYPE = WRITE_EXCLUSIVE_REGISTRANTS
PTPL_C = PTPL_A = 0x01
INVALID_OPCODE = client.check_condition(5, 0x20, 0)
#: What the kernel makes of "invalid opcode" from a namespace.
INVALID_COMMAND = errno.EINVAL
#: A write that a reservation keeps out: of the SCSI disk, and of the namespace.
REFUSED = errno.EBADE


class Lab:
    def __init__(self, settings: dict):
        self.helper = None
        if guest.version("kernel") < KERNEL_NEEDED:
            return
        self.namespace = nvme.Namespace("shared", 3)
        self.disks = []
        lab.load("sd_mod", "sg")
        for number, path in enumerate(self.namespace.disks[:2], 1):
            self.disks.append(self._export(path, number))
        os.mkdir("/run/nvme")
        self.helper = Helper(settings["helper"], "/run/nvme").wait_ready()

    @staticmethod
    def _export(path: str, number: int) -> lab.Initiator:
        """By what docs/nvme.md says, with names of its own for the second host in this one machine."""
        block = pages.item("/payload/pages", "docs/nvme.md", "modprobe -a")
        text = block.text.replace("/dev/nvmeXn1", path)
        for word in ("iblock_0/shared", "naa.6001405000000001", "naa.6001405100000001"):
            if word not in text:
                raise AssertionError(f"no {word} in the page")
            text = text.replace(word, f"{word}{number}" if "shared" in word else f"{word[:-1]}{number}")
        lab.run("busybox", "sh", "-ec", text)
        fabric = f"{lab.TARGET}/loopback/naa.600140500000000{number}/tpgt_1"
        address = lab.read(f"{fabric}/address")
        return lab.Initiator(f"host{number}", f"/sys/class/scsi_device/{address}:0/device")

    def close(self) -> None:
        if self.helper:
            self.helper.close()


class Context(context.Context):
    """Two hosts, each with a SCSI disk and a virtual machine, and a third of NVMe's own."""

    def __init__(self, shared: Lab, name: str):
        super().__init__(name)
        self.lab = shared
        if not shared.helper:
            raise Skip(f"the kernel's NVMe target has no reservations before {KERNEL_NEEDED}")
        self.a, self.b = (self._host(disk.path) for disk in shared.disks)
        self.native = nvme.Native(shared.namespace.disks[2])
        self.cleanup.callback(self.native.close)
        self.a.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY_A)
        self.good(self.a.tell(scsi.CLEAR, key=KEY_A), "CLEAR of what was before")

    def _host(self, path: str) -> Host:
        host = Host(self.lab.helper.socket_path, path)
        self.cleanup.callback(host.close)
        return host

    def log(self) -> str:
        return super().log() + "\n" + self.lab.helper.log()

    def both_registered(self) -> None:
        self.good(self.a.tell(scsi.REGISTER, action_key=KEY_A), "A registers")
        self.good(self.b.tell(scsi.REGISTER, action_key=KEY_B), "B registers")


open_lab = context.opener(Lab, Context)


@test
def qemus_own_disk(t: Context) -> None:
    """The lab's disks are namespaces of QEMU's NVMe device: it has no reservations."""
    with open("/sys/class/nvme/nvme0/model", encoding="ascii") as file:
        t.matches("^QEMU NVMe", file.read(), "model")
    native = nvme.Native("/dev/nvme0n1")
    t.cleanup.callback(native.close)
    refused = None
    try:
        native.register(KEY_A)
    except OSError as error:
        refused = error.errno
    t.equal(refused, INVALID_COMMAND, "REGISTER")


@test
def reservations_are_the_namespaces(t: Context) -> None:
    """What the guest of A asks by SCSI the third host sees by NVMe."""
    t.both_registered()
    t.equal(t.native.keys(), [KEY_A, KEY_B], "keys of the namespace")
    t.equal(sorted(t.a.keys()[1]), [KEY_A, KEY_B], "keys by SCSI")
    t.good(t.a.tell(scsi.RESERVE, TYPE, KEY_A), "A reserves")
    t.equal(t.native.reservation(), nvme.Reservation(KEY_A, nvme.WRITE_EXCLUSIVE_REGISTRANTS),
            "reservation of the namespace")
    t.equal(t.b.reservation(), Reservation(KEY_A, TYPE), "reservation by SCSI")
    t.conflict(t.b.tell(scsi.RESERVE, TYPE, KEY_B), "B reserves")


@test
def fencing(t: Context) -> None:
    """B preempts A: A writes no more, and cannot register by its old key."""
    t.both_registered()
    t.good(t.a.tell(scsi.RESERVE, TYPE, KEY_A), "A reserves")
    t.equal((t.a.write(), t.b.write()), (None, None), "writes of registrants")
    t.good(t.b.tell(scsi.PREEMPT, TYPE, KEY_B, KEY_A), "B preempts A")
    t.equal((t.a.write(), t.b.write()), (REFUSED, None), "writes")
    t.equal(t.a.read(), None, "A reads")
    t.equal(t.b.keys()[1], [KEY_B], "keys")
    t.equal(t.b.reservation(), Reservation(KEY_B, TYPE), "reservation")
    t.conflict(t.a.tell(scsi.REGISTER, key=KEY_A, action_key=KEY_A), "A registers by its old key")


@test
def by_a_host_of_nvme(t: Context) -> None:
    """The third host, which knows nothing of SCSI, fences A, and is refused itself before."""
    t.both_registered()
    t.good(t.a.tell(scsi.RESERVE, TYPE, KEY_A), "A reserves")
    t.equal(lab.transfer(t.native.fd, 0x11), REFUSED, "a write of the third host")
    t.native.register(KEY_C)
    t.native.preempt(KEY_C, KEY_A, nvme.WRITE_EXCLUSIVE_REGISTRANTS)
    t.conflict(t.a.tell(scsi.RESERVE, TYPE, KEY_A), "A reserves again")
    t.equal(t.a.write(), REFUSED, "a write of A")
    t.equal(t.b.reservation(), Reservation(KEY_C, TYPE), "reservation by SCSI")


@cases(("1", WRITE_EXCLUSIVE), ("3", EXCLUSIVE_ACCESS), ("5", WRITE_EXCLUSIVE_REGISTRANTS),
       ("6", EXCLUSIVE_ACCESS_REGISTRANTS), ("7", WRITE_EXCLUSIVE_ALL), ("8", EXCLUSIVE_ACCESS_ALL))
def type_of_reservation(t: Context, kind: int) -> None:
    t.both_registered()
    t.good(t.a.tell(scsi.RESERVE, kind, KEY_A), "RESERVE")
    t.equal(t.b.reservation().type, kind, "type")
    t.good(t.a.tell(scsi.RELEASE, kind, KEY_A), "RELEASE")
    t.equal(t.b.reservation(), None, "reservation")
    t.equal(sorted(t.b.keys()[1]), [KEY_A, KEY_B], "keys")


@test
def what_is_missing(t: Context) -> None:
    """READ FULL STATUS, unit attentions, and the choice of APTPL."""
    t.both_registered()
    t.replied(t.a.ask(scsi.READ_FULL_STATUS), INVALID_OPCODE, "READ FULL STATUS")
    capabilities = t.a.ask(scsi.REPORT_CAPABILITIES).payload[:8]
    t.equal((capabilities[2] & PTPL_C, capabilities[3] & PTPL_A, capabilities[4:6].hex()),
            (PTPL_C, PTPL_A, "ea01"), "power loss: capable, active; types")
    t.good(t.a.tell(scsi.REGISTER, key=KEY_A, action_key=KEY_A, flags=APTPL), "REGISTER with APTPL")
    for disk in t.lab.disks:
        disk.drain()
    t.good(t.b.tell(scsi.PREEMPT, TYPE, KEY_B, KEY_A), "B preempts A, without a reservation")
    t.equal(t.lab.disks[0].drain(), [], "unit attentions of A")
    t.equal(t.a.keys()[1], [KEY_B], "keys")


@test
def strangers(t: Context) -> None:
    """A host that is not registered can change nothing."""
    t.good(t.a.tell(scsi.REGISTER, action_key=KEY_A), "A registers")
    for action in (scsi.RESERVE, scsi.PREEMPT, scsi.PREEMPT_AND_ABORT, scsi.CLEAR):
        t.conflict(t.b.tell(action, TYPE if action != scsi.CLEAR else 0, KEY_B, KEY_A), f"service action {action}")
    t.equal(t.a.keys()[1], [KEY_A], "keys")


@test
def unregistering(t: Context) -> None:
    """Where A should be unregistered a registration with key 0 is left."""
    t.both_registered()
    t.good(t.b.tell(scsi.RESERVE, TYPE, KEY_B), "B reserves")
    t.good(t.a.tell(scsi.REGISTER, key=KEY_A), "A unregisters")
    t.equal(sorted(t.b.keys()[1]), [0, KEY_B], "keys")


@limit(300)
@test
def before_a_cluster(t: Context) -> None:
    """qemu-pr-ctl validate notices it, and stops."""
    first, second = (disk.path for disk in t.lab.disks)
    done = subprocess.run(["/payload/bin/qemu-pr-ctl", "validate", "--for=lvm", "--yes", "--profiles",
                           "/payload/validate", "-k", t.lab.helper.socket_path, "--second", second, first],
                          text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.matches("^lvm +WILL NOT PASS$", done.stdout, "the verdict")
    t.matches("READ KEYS\n +expected: no keys; found: extra key", done.stdout, "the step")
    t.matches("with key 0$", done.stdout, "what is left")
