# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real QEMU's pr-manager-helper and scsi-block between a guest and a helper.

What the guest is told agrees with what others see outside: LIO's tables in configfs, sg_persist(8)
on the host's own device, and a direct SG_IO.
"""
import os
import re
import struct

import guest
import lab
import qemu
from qemu import (KEY_A, KEY_B, KEY_C, WRITE_EXCLUSIVE, WRITE_EXCLUSIVE_REGISTRANTS, Context,
                  open_lab)
from support import scsi
from support.tap import limit, test

PACKAGES = ["qemu"]
MEMORY = 768
INVALID_FIELD = (5, 0x24, 0)
#: In byte 2 of REPORT CAPABILITIES; SPC-4 6.15.4.
SIP_C, ATP_C = 0x08, 0x04


def as_passed_on(action: int, data: bytes) -> bytes:
    """What a guest sees of the device's answer: QEMU 11 takes Specify Initiator Ports Capable and All
    Target Ports Capable out of REPORT CAPABILITIES."""
    if (action == scsi.REPORT_CAPABILITIES and len(data) > 2
            and guest.version("qemu-system-x86") >= (11,)):
        return data[:2] + bytes([data[2] & ~(SIP_C | ATP_C)]) + data[3:]
    return data


def sg_persist(path: str, *options: str) -> str:
    return lab.run("sg_persist", "--no-inquiry", "--in", *options, path)


def same_inside_and_outside(t: Context, one: qemu.Guest, host: lab.Initiator) -> None:
    """Each PERSISTENT RESERVE IN, through the helper and past it, byte for byte."""
    for action in range(4):
        answer, direct = one.ask(action), lab.pr_in(host.fd, action, 2048)
        t.good(answer, f"service action {action} of {one.name}")
        t.equal(answer.data, as_passed_on(action, direct.data),
                f"data of service action {action} of {one.name}")


@test
@limit(60)
def connected(t: Context) -> None:
    """It is the helper that executes: QEMU's user cannot."""
    helper = t.helper()
    a = t.guest(0, helper.socket_path)
    t.check(a.connected(), "query-pr-managers says no")
    t.good(a.tell(scsi.REGISTER, action_key=KEY_A), "registration")
    t.registered(a=KEY_A)
    t.good(a.write(0, b"a" * 512), "write")
    t.equal(t.lab.stored(0, 1), b"a" * 512, "backing store")
    uids = {lab.read(f"/proc/{a.program.pid}/status").partition("Uid:\t")[2].split()[0]}
    t.equal(uids, {str(qemu.QEMU_USER)}, "user of QEMU")
    fd = t.lab.hosts[0].open(os.O_RDWR)
    try:
        pid = os.fork()
        if pid == 0:
            qemu.become_user()
            try:
                lab.pr_in(fd, scsi.READ_KEYS)
                os._exit(0)
            except PermissionError:
                os._exit(1)
        t.equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 1, "that user's own SG_IO")
    finally:
        os.close(fd)


@test
@limit(60)
def views(t: Context) -> None:
    """Registrations and a reservation: the guests', configfs's, sg_persist's and the kernel's."""
    a, b = t.pair()
    other = t.lab.hosts[1]
    t.good(a.tell(scsi.REGISTER, action_key=KEY_A), "a registers")
    t.good(b.tell(scsi.REGISTER, action_key=KEY_B), "b registers")
    t.good(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_B), "b reserves")
    t.registered(a=KEY_A, b=KEY_B)
    t.held("b")
    for one, host in zip((a, b), t.lab.hosts):
        same_inside_and_outside(t, one, host)

    generation, size = struct.unpack_from(">II", a.ask(scsi.READ_KEYS).data)
    keys = sorted(struct.unpack_from(">2Q", a.ask(scsi.READ_KEYS).data, 8))
    t.equal((generation, size, keys), (t.disk.generation(), 16, sorted([KEY_A, KEY_B])),
            "READ KEYS of a")
    outside = sg_persist(other.path, "--read-keys")
    t.matches(fr"^\s*PR generation={generation:#x}, 2 registered", outside, "sg_persist")
    t.equal(sorted(int(key, 16) for key in re.findall(r"^\s+0x([0-9a-f]+)\s*$", outside, re.M)),
            keys, "keys of sg_persist")

    held = a.ask(scsi.READ_RESERVATION).data
    t.equal((len(held), *struct.unpack_from(">IIQ5xB", held)),
            (24, generation, 16, KEY_B, WRITE_EXCLUSIVE_REGISTRANTS), "READ RESERVATION of a")
    outside = sg_persist(other.path, "--read-reservation")
    t.matches(fr"^\s*Key={KEY_B:#x}\s*$", outside, "sg_persist")
    t.matches("type: Write Exclusive, registrants only", outside, "sg_persist")

    full = a.ask(scsi.READ_FULL_STATUS).data
    for name, key, held_bit in [(t.names[0], KEY_A, 0), (t.names[1], KEY_B, 1)]:
        at = full.index(struct.pack(">Q", key))
        t.equal(full[at + 12] & 1, held_bit, f"R_HOLDER of {name}")
        t.check(name.encode() in full[at + 24:at + 24 + 4 + 64], f"no TransportID of {name}")
    outside = sg_persist(other.path, "--read-full-status")
    t.equal(sorted(int(key, 16) for key in re.findall(r"Key=0x([0-9a-f]+)", outside)), keys,
            "full status of sg_persist")
    t.matches("<< Reservation holder >>", outside, "full status of sg_persist")


@test
@limit(60)
def refusals(t: Context) -> None:
    """RESERVATION CONFLICT and the device's own sense reach the guest as they are."""
    a, b = t.pair()
    t.good(a.tell(scsi.REGISTER, action_key=KEY_A), "a registers")
    t.good(b.tell(scsi.REGISTER, action_key=KEY_B), "b registers")
    t.good(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_A), "a reserves")
    t.conflict(b.tell(scsi.RESERVE, WRITE_EXCLUSIVE, KEY_B), "b reserves, too")
    t.conflict(b.tell(scsi.REGISTER, key=KEY_C, action_key=KEY_B), "b registers by a wrong key")
    t.conflict(b.tell(scsi.PREEMPT, WRITE_EXCLUSIVE, KEY_C, KEY_A), "b preempts by a wrong key")
    t.conflict(b.tell(scsi.CLEAR, key=KEY_C), "b clears by a wrong key")
    t.conflict(b.write(0, b"b" * 512), "b writes")
    t.good(b.read(0), "b reads")
    t.good(a.write(0, b"a" * 512), "a writes")
    t.registered(a=KEY_A, b=KEY_B)
    t.held("a")
    for action, scope_type, what in [(9, 0, "unknown service action"),
                                     (scsi.RESERVE, 0x0F, "unknown type"),
                                     (scsi.RESERVE, 0x10 | WRITE_EXCLUSIVE, "unknown scope")]:
        got = a.tell(action, scope_type, KEY_A)
        direct = lab.pr_out(t.lab.hosts[0].fd, action, scope_type, KEY_A)
        t.check(direct.status == scsi.CHECK_CONDITION, f"{what}: the device says {direct}")
        t.sense(got, direct.sense_code, what)
    t.good(b.tell(scsi.PREEMPT, WRITE_EXCLUSIVE, KEY_B, KEY_A), "b preempts")
    t.sense(a.ask(scsi.READ_KEYS), qemu.REGISTRATIONS_PREEMPTED, "what a learns first")
    t.conflict(a.write(0, b"A" * 512), "a writes, preempted")
    t.equal(t.lab.stored(0, 1), b"a" * 512, "backing store")


@test
@limit(60)
def service_actions(t: Context) -> None:
    """Those that refusals() did not carry out."""
    a, b = t.pair()
    kind = WRITE_EXCLUSIVE_REGISTRANTS
    t.good(a.tell(scsi.REGISTER_AND_IGNORE, key=KEY_C, action_key=KEY_A), "a registers")
    t.good(a.tell(scsi.REGISTER, key=KEY_A, action_key=KEY_C), "a changes its key")
    t.good(b.tell(scsi.REGISTER, action_key=KEY_B), "b registers")
    t.registered(a=KEY_C, b=KEY_B)
    t.good(a.tell(scsi.RESERVE, kind, KEY_C), "a reserves")
    t.good(a.tell(scsi.RELEASE, kind, KEY_C), "a releases")
    t.held(None)
    t.equal(b.drain(), [(6, 0x2A, 4)], "unit attentions of b")
    t.good(b.tell(scsi.REGISTER, key=KEY_B), "b unregisters")
    t.registered(a=KEY_C)
    t.good(a.tell(scsi.CLEAR, key=KEY_C), "a clears")
    t.registered()
    t.equal(a.ask(scsi.READ_KEYS).data, struct.pack(">II", t.disk.generation(), 0),
            "READ KEYS of a")


@test
@limit(60)
def allocation_lengths(t: Context) -> None:
    """Not a byte more than asked for; QEMU would end itself if there were."""
    a = t.guest(0, t.helper().socket_path)
    t.good(a.tell(scsi.REGISTER, action_key=KEY_A), "a registers")
    for size in (1, 7, 8, 16, 24, 136, 255, 4096, 8192):
        for action in range(4):
            got, direct = a.ask(action, size), lab.pr_in(t.lab.hosts[0].fd, action, size)
            t.equal((got.status, got.sense_code, got.data),
                    (direct.status, direct.sense_code, as_passed_on(action, direct.data)),
                    f"service action {action} with {size} bytes")


@test
@limit(60)
def too_long(t: Context) -> None:
    """More than the protocol carries: QEMU's own refusal, and the helper stays."""
    a = t.guest(0, t.helper().socket_path)
    t.sense(a.ask(scsi.READ_KEYS, 8193), INVALID_FIELD, "READ KEYS with 8193 bytes")
    t.good(a.ask(scsi.READ_KEYS, 8192), "READ KEYS with 8192 bytes")
    t.equal(a.status_changes(), [], "PR_MANAGER_STATUS_CHANGED")


@test
@limit(60)
def no_persistent_reservations(t: Context) -> None:
    """A disk that refuses them: its own words."""
    disk = lab.Backstore("off", emulate_pr=0)
    host = lab.Loopback(disk).initiator
    t.lab.hosts.append(host)
    t.cleanup.callback(t.lab.hosts.remove, host)
    a = t.guest(2, t.helper().socket_path)
    for action in range(4):
        direct = lab.pr_in(host.fd, action)
        t.equal(direct.status, scsi.CHECK_CONDITION, "the device's own status")
        t.sense(a.ask(action), direct.sense_code, f"PERSISTENT RESERVE IN {action}")
    t.sense(a.tell(scsi.REGISTER, action_key=KEY_A), (5, 0x20, 0), "REGISTER")
