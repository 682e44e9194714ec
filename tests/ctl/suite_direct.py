# SPDX-License-Identifier: LGPL-2.1-or-later
"""--direct: SG_IO without a helper, over the stand-in on a loop device."""
import errno
import os

from support import scsi
from support.standin import SG_DXFER_FROM_DEV, SG_DXFER_TO_DEV
from support.tap import cases, test

from ctl.fixture import CHECK, CONFLICT, DATA, GOOD, HELPER, OTHER, REFUSED, UNKNOWN, hexkey

KEY = 0x1122334455667788


def direct(t, command, *argv, device=None, **arguments):
    path = device or t.lab.disk().path
    return t.ctl(command, "--direct", *argv, path, env=t.lab.control().environment(), **arguments)


@test
def reading(t):
    t.disk.answer(scsi.read_keys_data(KEY))
    t.expect(direct(t, "keys"), GOOD,
             "PRgeneration 0x1, 1 registered key:\n  0x1122334455667788\n", "")
    call, = t.lab.disk().calls()
    t.equal((call.interface_id, call.cdb.hex(), call.direction, call.transfer_size, call.sense_room,
             call.timeout_ms, call.access & os.O_ACCMODE),
            ("S", "5e000000000000200000", SG_DXFER_FROM_DEV, 8192, 96, 30000, os.O_RDONLY),
            "on the device")


@test
def changing(t):
    t.disk.answer()
    t.expect(direct(t, "preempt", "--yes", "-K", "1", "-S", "2", "-T", "5", "--timeout=7"), GOOD, err="")
    call, = t.lab.disk().calls()
    t.equal((call.cdb.hex(), call.direction, call.transfer_size, call.timeout_ms,
             call.access & os.O_ACCMODE, call.parameters.hex()),
            ("5f040500000000001800", SG_DXFER_TO_DEV, 24, 7000, os.O_RDWR,
             "0000000000000001" "0000000000000002" + "00" * 8), "on the device")


@cases(("all of it", None, 16), ("less than nothing", -5, 16), ("a part", 8192 - 8, 8),
       ("more than there was room for", 9000, 0))
def residual(t, left, size):
    """How much came is what the driver says, within what is possible."""
    t.disk.answer(scsi.read_keys_data(KEY), residual=left)
    result = direct(t, "keys", "-j")
    if size == 16:
        t.equal(t.expect(result, GOOD).json["keys"], [hex(KEY)], "keys")
    elif size == 8:
        found = t.expect(result, GOOD).json
        t.equal((found["keys"], found["truncated"]), ([], True), "nothing behind the header")
    else:
        t.expect(result, DATA)


@cases(("NO SENSE", scsi.sense(0, 0, 0)), ("RECOVERED ERROR", scsi.sense(1, 0x17, 0)),
       ("COMPLETED", scsi.sense(15, 0, 0)))
def success_with_sense(t, sense):
    """As kernels up to 5.13 report it."""
    t.disk.answer(scsi.read_keys_data(KEY), driver_status=8, sense=sense)
    t.matches(f"{KEY:#x}", t.expect(direct(t, "keys"), GOOD, err="").out, "keys")


#: host_status, driver_status and status of commands that were not successful, with what is said.
FAILURES = [
    *((f"host {host:02x}", {"host_status": host}, UNKNOWN,
       f"SG_IO: Input/output error, host adapter's status {host:02X}h")
      for host in (*range(1, 0x11), 0x12, 0x13, 0x14, 0x15, 0xff)),
    *((f"driver {driver:x}", {"driver_status": driver}, UNKNOWN,
       f"SG_IO: Input/output error, driver's status {driver:02X}h")
      for driver in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0xf)),
    ("host 11", {"host_status": 0x11}, CONFLICT, "RESERVATION CONFLICT"),
    ("conflict", {"status": 0x18}, CONFLICT, "RESERVATION CONFLICT"),
    ("busy", {"status": 8}, OTHER, "BUSY"),
    ("sense", {"status": 2, "driver_status": 8, "sense": scsi.sense(5, 0x24, 0)}, CHECK,
     "CHECK CONDITION: ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)"),
    ("sense, no driver status", {"status": 2, "sense": scsi.sense(5, 0x24, 0)}, CHECK,
     "CHECK CONDITION: ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00)"),
    ("sense with status GOOD", {"driver_status": 8, "sense": scsi.sense(4, 0x44, 0)}, UNKNOWN,
     "CHECK CONDITION: HARDWARE ERROR, INTERNAL TARGET FAILURE (4/44/00)"),
    *((f"sense, and host {host:x}",
       {"status": 2, "host_status": host, "sense": scsi.sense(3, 0x11, 0)}, UNKNOWN,
       "CHECK CONDITION: MEDIUM ERROR, UNRECOVERED READ ERROR (3/11/00)")
      for host in (0x10, 0x12, 0x13)),
    ("no sense", {"status": 2}, UNKNOWN, "CHECK CONDITION: no usable sense data")]


@cases(*FAILURES)
def never_good(t, answer, status, words):
    t.disk.answer(**answer)
    result = t.expect(direct(t, "clear", "--yes", "-K", "1"), status, "")
    t.equal(result.err.splitlines()[0], f"qemu-pr-ctl: {t.lab.disk().path}: clear: {words}",
            "first line")
    t.equal([call.cdb[0] for call in t.lab.disk().calls()].count(0x5f), 1, "it is sent once")


@cases(("EBADE", errno.EBADE, CONFLICT), ("ENOTTY", errno.ENOTTY, REFUSED),
       ("EINVAL", errno.EINVAL, REFUSED), ("EPERM", errno.EPERM, HELPER),
       ("ENXIO", errno.ENXIO, HELPER), ("EAGAIN", errno.EAGAIN, HELPER),
       ("EIO", errno.EIO, UNKNOWN), ("EINTR", errno.EINTR, UNKNOWN),
       ("EREMOTEIO", errno.EREMOTEIO, UNKNOWN), ("EDOM", errno.EDOM, UNKNOWN))
def errno_of_the_ioctl(t, error, status):
    """EAGAIN is asked for again until the time is over, as a helper does."""
    t.disk.answer(error=error)
    result = t.expect(direct(t, "clear", "--yes", "-K", "1", "-j", "--timeout=0.2"), status).json
    t.equal(result["outcome_unknown"], status == UNKNOWN, "outcome_unknown")
    t.check(result.get("hint"), "there is no hint")


@cases(("keys", ["keys"], 0x5e), ("clear", ["clear", "-K", "1", "--yes"], 0x5f))
def suspended_map(t, argv, opcode):
    """EAGAIN: nothing was carried out, so the same command is sent until it is."""
    t.disk.answer(scsi.read_keys_data(KEY), error=errno.EAGAIN, error_calls=3)
    t.expect(direct(t, *argv), GOOD, err="")
    t.equal([call.cdb[0] for call in t.lab.disk().calls()], [opcode] * 4, "on the device")


@cases(("keys", ["keys"], 0x5e, GOOD, 4), ("clear", ["clear", "-K", "1", "--yes"], 0x5f, UNKNOWN, 1))
def interrupted(t, argv, opcode, status, count):
    """EINTR: a command that changes something may have been carried out."""
    t.disk.answer(scsi.read_keys_data(KEY), error=errno.EINTR, error_calls=3)
    t.expect(direct(t, *argv), status)
    t.equal([call.cdb[0] for call in t.lab.disk().calls()].count(opcode), count, "on the device")


@test
def suggestions_stay_direct(t):
    t.disk.answer(status=0x18)
    result = t.expect(direct(t, "register", "-S", "1"), CONFLICT, "")
    t.equal(result.err.splitlines()[-1],
            f"    qemu-pr-ctl register-ignore --new-key={hexkey(1)} --direct {t.lab.disk().path}",
            "last line")


@test
def no_reservations(t):
    t.disk.answer(status=2, sense=scsi.sense(5, 0x20, 0))
    result = t.expect(direct(t, "keys"), CHECK, "")
    t.matches("^  The device has no persistent reservations.$", result.err, "hint")


@test
def not_a_scsi_disk(t):
    disk = t.no_scsi_disk
    disk.answer(status=2, sense=scsi.sense(5, 0x20, 0))
    result = t.expect(direct(t, "keys", device=disk.path), REFUSED, "")
    t.matches("^  This is a block device, but not a SCSI disk.$", result.err, "hint")


@test
def partition(t):
    """Refused before anything is sent, as by the helper; reading is no harm."""
    path = t.disk.partition()
    t.disk.answer(scsi.read_keys_data(KEY))
    t.expect(direct(t, "clear", "--yes", "-K", "1", device=path), REFUSED, "",
             f"qemu-pr-ctl: {path}: clear: refused\n"
             "  This is a partition, and a reservation applies to the whole disk: name the disk.\n")
    t.equal(t.lab.disk().calls(), [], "on the device")
    # Reading is tried. The stand-in does not answer for partitions, so it is the kernel that does.
    result = t.expect(direct(t, "keys", device=path), REFUSED, "")
    t.matches(r"keys: SG_IO: (Inappropriate ioctl for device|Invalid argument)$", result.err,
              "reading")


@test
def disk_without_sys(t):
    """What it is cannot be told without /sys, so it is refused as by a helper."""
    disk = t.disk
    script = f"mount -t tmpfs none /sys && exec {t.lab.ctl} \"$@\""

    def run(*argv):
        return t.run("unshare", "--mount", "sh", "-c", script, "sh", *argv, "--direct", disk.path,
                     env=t.lab.control().environment())

    disk.answer(scsi.read_keys_data(KEY))
    t.expect(run("clear", "--yes", "-K", "1"), REFUSED, "",
             f"qemu-pr-ctl: {disk.path}: clear: refused\n"
             "  This is a device of unknown type (is /sys mounted?).\n")
    t.equal(t.lab.disk().calls(), [], "on the device")
    t.expect(run("keys"), GOOD, err="")


@test
def not_a_scsi_disk_to_change(t):
    """The kernel is not asked: other drivers pass commands on to what lies below them."""
    disk = t.no_scsi_disk
    t.expect(direct(t, "clear", "--yes", "-K", "1", device=disk.path), REFUSED, "",
             f"qemu-pr-ctl: {disk.path}: clear: refused\n"
             "  This is a block device, but not a SCSI disk.\n")
    t.equal(disk.calls(), [], "on the device")


@test
def not_a_device(t):
    """The kernel is not asked here either: a tape, say, would take the command."""
    lun = t.make_lun()
    t.expect(t.ctl("keys", "--direct", lun), REFUSED, "",
             f"qemu-pr-ctl: {lun}: keys: refused\n"
             "  This is a regular file; only qemu-pr-simulator takes those.\n")
    for command in ("keys", "reservation", "capabilities", "full-status"):
        t.expect(t.ctl(command, "--direct", "/dev/zero"), REFUSED, "",
                 f"qemu-pr-ctl: /dev/zero: {command}: refused\n"
                 "  This is neither a SCSI disk nor a SCSI generic device.\n")
