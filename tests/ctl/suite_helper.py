# SPDX-License-Identifier: LGPL-2.1-or-later
"""Through the real helper to a device: the SG_IO stand-in on a loop device."""
import errno
import os

from support import scsi
from support.tap import cases, test

from ctl.fixture import CHECK, CONFLICT, GOOD, NOBODY, OTHER, REFUSED, UNKNOWN, hexkey


def ctl(t, command, *argv, device=None, **arguments):
    return t.ctl(command, "-k", t.lab.helper().socket_path, *argv, device or t.lab.disk().path,
                 **arguments)


def sent(t):
    """CDBs and parameter lists that have reached the device."""
    return [(call.cdb.hex(), call.parameters.hex()) for call in t.lab.disk().calls()]


@test
def keys(t):
    t.disk.answer(scsi.read_keys_data(0xabc, 0xdef))
    t.expect(ctl(t, "keys"), GOOD, f"PRgeneration 0x1, 2 registered keys:\n  {hexkey(0xabc)}\n  "
                                   f"{hexkey(0xdef)}\n", "")
    t.equal(sent(t), [("5e000000000000200000", "")], "on the device")


@test
def register(t):
    disk = t.disk
    t.expect(ctl(t, "register", "-K", "1", "-S", "2", "-Z", "-Y"), GOOD, err="")
    t.equal(sent(t), [("5f000000000000001800",
                       "00000000000000010000000000000002000000000500" + "0000")], "on the device")
    t.check(disk.calls()[0].access & os.O_ACCMODE == os.O_RDWR, "it is open for writing")


@test
def reading_needs_no_right_to_write(t):
    """An fd that is only for reading is what the helper gets."""
    t.disk.answer(scsi.read_keys_data())
    t.expect(ctl(t, "keys"), GOOD)
    t.equal(t.lab.disk().calls()[0].access & os.O_ACCMODE, os.O_RDONLY, "access mode")


@test
def unprivileged_user(t):
    t.disk.answer()
    t.expect(ctl(t, "clear", "--yes", "-K", "1", user=NOBODY), GOOD, err="")
    t.equal([call.cdb[:2].hex() for call in t.lab.disk().calls()], ["5f03"], "on the device")


@test
def conflict(t):
    t.disk.answer(status=scsi.RESERVATION_CONFLICT)
    t.expect(ctl(t, "clear", "--yes", "-K", "1"), CONFLICT, "")
    t.equal([call.cdb[:2].hex() for call in t.lab.disk().calls()], ["5f03", "5e00", "5e01"],
            "on the device: the command once, then it is looked at why")


@cases(("check condition", {"status": 2, "sense": scsi.sense(5, 0x26, 4)}, CHECK,
        r"INVALID RELEASE OF PERSISTENT RESERVATION \(5/26/04\)"),
       ("transport", {"host_status": 1}, UNKNOWN,
        r"ABORTED COMMAND, LOGICAL UNIT DOES NOT RESPOND TO SELECTION \(B/05/00\)"),
       ("busy", {"status": 8}, OTHER, "BUSY"))
def refusal_of_the_device(t, answer, status, words):
    t.disk.answer(**answer)
    result = t.expect(ctl(t, "release", "-K", "1", "-T", "1"), status, "")
    t.matches(f"release: .*{words}", result.err, "words")


@test
def not_a_scsi_disk(t):
    disk = t.no_scsi_disk
    disk.answer(error=errno.ENOTTY)
    result = t.expect(ctl(t, "clear", "--yes", "-K", "1", device=disk.path), REFUSED, "")
    t.matches("^  This is a block device, but not a SCSI disk.$", result.err, "hint")


@test
def partition(t):
    path = t.disk.partition()
    t.disk.answer(scsi.read_keys_data(1))
    result = t.expect(ctl(t, "clear", "--yes", "-K", "1", device=path), REFUSED, "")
    t.matches("^  This is a partition, and a reservation applies to the whole disk: name the disk.$",
              result.err, "hint")
    t.equal(sent(t), [], "on the device")


@test
def regular_file(t):
    t.disk.answer()
    result = t.expect(ctl(t, "keys", device=t.make_lun()), REFUSED, "")
    t.matches("^  This is a regular file; only qemu-pr-simulator takes those.$", result.err, "hint")


@test
def cleanup(t):
    t.disk.answer()
    t.expect(ctl(t, "cleanup"), GOOD, "cleaned up\n", "")
    t.equal(sent(t), [], "on the device")
