# SPDX-License-Identifier: LGPL-2.1-or-later
"""From what the kernel says about a command to the reply, byte for byte."""
import errno
import os
import re
import time

from support import scaled, scsi
from support.client import check_condition, reply
from support.tap import cases, differs, ours, row_differs, test

from protocol.fixture import DEFAULT_DATA

ABORTED = check_condition(0xB, 0x00, 0x06)
BUSY = reply(scsi.BUSY)
CONFLICT = reply(scsi.RESERVATION_CONFLICT)
TASK_SET_FULL = reply(scsi.TASK_SET_FULL)

PARAMETERS = scsi.parameters(0x1111, 0x2222)
CANARY = b"\xc5\x3a" * 4096
#: Sense data that no program would synthesise: descriptor format, every byte another.
DEVICE_SENSE = b"\x72" + bytes(range(1, 96))
FALSE_GOOD = "the peer answers GOOD, a guest believes that it fenced its neighbour"


def ask_in(t, wanted, allocation=256, what="answer to PR IN", **options):
    t.ask(scsi.pr_in(allocation), t.own(t.disk.open()), wanted, what=what, **options)


def ask_out(t, wanted, what="answer to PR OUT", **options):
    t.ask(scsi.pr_out(24, scsi.REGISTER), t.own(t.disk.open()), wanted, PARAMETERS, what=what,
          **options)


def ask_both(t, wanted, what=""):
    ask_in(t, wanted, what=f"answer to PR IN{what}")
    ask_out(t, wanted, what=f"answer to PR OUT{what}")


# -- size and payload


@cases(1, 2, 7, 8, 16, 96, 8191, 8192)
def payload(t, allocation):
    t.disk.answer(CANARY)
    ask_in(t, reply(payload=CANARY[:allocation]), allocation)


@cases(0, 1, 8, 8191)
@differs("the peer asks the device for 8,192 bytes no matter what the client wants",
         failure="transfer length")
def exactly_the_allocation_length_is_transferred(t, allocation):
    t.disk.answer(CANARY)
    ask_in(t, reply(payload=CANARY[:allocation]), allocation)
    t.equal([call.transfer_size for call in t.disk.calls()], [allocation], "transfer length")


@cases(("no data", b""), ("one byte", b"\xee"), ("a header", DEFAULT_DATA[:8]),
       ("all", bytes(range(256))))
def short_data(t, data):
    """The device leaves a residual: only what it sent is passed on."""
    t.disk.answer(data)
    ask_in(t, reply(payload=data))


STALE = "the peer sends what its memory held before"
CRASH = "the peer aborts"
#: It takes the residual from those.
ASKS_8192 = "the peer always asks the device for 8,192 bytes"


@cases(("0", 256, 0, 256),
       row_differs(ASKS_8192, "answer", "1", 256, 1, 255),
       row_differs(ASKS_8192, "answer", "255", 256, 255, 1),
       row_differs(ASKS_8192, "answer", "all", 256, 256, 0),
       row_differs(ASKS_8192, "answer", "one too many", 256, 257, 0),
       row_differs(ASKS_8192, "answer", "8191", 256, 8191, 0),
       ("8192", 256, 8192, 0),
       row_differs(CRASH, "answer: 0 bytes", "8193", 256, 8193, 0),
       row_differs(CRASH, "answer: 0 bytes", "largest", 256, 2**31 - 1, 0),
       ("-1", 256, -1, 256),
       ("-256", 256, -256, 256),
       row_differs(CRASH, "answer: 0 bytes", "smallest", 256, -2**31, 256),
       row_differs(ASKS_8192, "answer", "1 of 1", 1, 1, 0),
       ("1 of 8192", 8192, 1, 8191),
       ("0 of 0", 0, 0, 0), ("-1 of 0", 0, -1, 0), ("5 of 0", 0, 5, 0))
def residual(t, allocation, left, size):
    t.disk.answer(CANARY, residual=left)
    ask_in(t, reply(payload=CANARY[:size]), allocation, what="answer")
    t.ask(scsi.pr_out(0), t.own(t.disk.open()), reply(), what="answer to the next client")


@cases(0, 1, -1, 24, 8192, 2**31 - 1, -2**31)
def residual_of_pr_out_means_nothing(t, left):
    t.disk.answer(CANARY, residual=left)
    ask_out(t, reply())


@cases(("busy", scsi.BUSY), ("conflict", scsi.RESERVATION_CONFLICT), ("met", 0x04))
def no_payload_unless_good(t, status):
    t.disk.answer(CANARY, status=status, residual=0)
    ask_both(t, reply(status))


@test
def no_payload_beside_sense(t):
    t.disk.answer(CANARY, status=scsi.CHECK_CONDITION, driver_status=8, sense=DEVICE_SENSE,
                  residual=0)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=DEVICE_SENSE))


@test
@differs(STALE, failure="answer")
def data_without_residual_is_filled_with_zeros(t):
    """The device says that it filled the buffer, and did not: no old byte shows."""
    for data in (CANARY, b"\xee" * 16):
        t.disk.answer(data)
        ask_in(t, reply(payload=data), len(data))
    t.disk.answer(b"\1", residual=0)
    ask_in(t, reply(payload=b"\1" + bytes(8191)), 8192)


@test
@differs(STALE, failure="answer")
def no_byte_of_another_client_is_seen(t):
    """Canaries go through parameter lists, data and sense of many clients; none comes out again."""
    fds = [t.own(t.disk.open()), t.own(t.other_disk.open())]
    clients = [t.connect() for _ in range(12)]
    for client in clients:
        t.disk.answer()
        client.send_request(scsi.pr_out(8192), [fds[0]], CANARY)
        t.replied(client, reply())
        t.disk.answer(CANARY)
        client.send_request(scsi.pr_in(8192), [fds[0]])
        t.replied(client, reply(payload=CANARY))
        t.disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=b"\x70" + CANARY[:95])
        client.send_request(scsi.pr_in(8192), [fds[0]])
        t.replied(client, reply(scsi.CHECK_CONDITION, sense=b"\x70" + CANARY[:95]))
    t.disk.answer(residual=0)
    t.other_disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=b"\x70")
    for client in clients:  # all at once, so that every thread and buffer is tried
        client.send_request(scsi.pr_in(8192), [fds[0]])
        client.send_request(scsi.pr_in(8192), [fds[1]])
    for client in clients:
        t.answered(client, reply(payload=bytes(8192)), reply(scsi.CHECK_CONDITION, sense=b"\x70"))


# -- errno


COARSE = "the peer answers B/00/06"


@cases(("EDOM", errno.EDOM, TASK_SET_FULL),
       ("EBADE", errno.EBADE, CONFLICT),
       ("ENODATA", errno.ENODATA, check_condition(3, 0x11, 0)),
       ("EREMOTEIO", errno.EREMOTEIO, check_condition(4, 0x44, 0)),
       ("ENOMEM", errno.ENOMEM, check_condition(4, 0x44, 0)),
       row_differs(COARSE, "byte 10 on 0b", "ENODEV", errno.ENODEV,
                   check_condition(4, 0x44, 0), before=(11,)),
       ("ENOMEDIUM", errno.ENOMEDIUM, check_condition(2, 0x3A, 0)),
       ("EINVAL", errno.EINVAL, check_condition(5, 0x24, 0)),
       row_differs(COARSE, "byte 10 on 0b", "ENOTTY", errno.ENOTTY,
                   check_condition(5, 0x20, 0)),
       row_differs(COARSE, "byte 10 on 0b", "EPERM", errno.EPERM,
                   check_condition(5, 0x20, 0)),
       ("ENOSPC", errno.ENOSPC, check_condition(7, 0x27, 7)))
def error(t, number, wanted):
    t.disk.answer(CANARY, error=number, status=0, residual=0)
    ask_both(t, wanted)


@test
def every_other_error(t):
    listed = {errno.EDOM, errno.EBADE, errno.ENODATA, errno.EREMOTEIO, errno.ENOMEM, errno.ENODEV,
              errno.ENOMEDIUM, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ENOSPC, errno.EINTR,
              errno.EAGAIN, errno.EBADF}  # the last says that the fd is none to send commands on
    for number in [n for n in range(1, 140) if n not in listed] + [512, 4095]:
        t.disk.answer(CANARY, error=number)
        ask_both(t, ABORTED, f", errno {number}")


@cases(("EPERM", errno.EPERM, r"CAP_SYS_RAWIO"), ("ENOTTY", errno.ENOTTY, r"."))
@ours("the peer does not log them")
def logged_once_for_a_device(t, number, pattern):
    helper = t.start()
    for _ in range(5):
        for disk in (t.disk, t.other_disk):
            disk.answer(error=number)
            t.ask(scsi.pr_in(8), t.own(disk.open()), check_condition(5, 0x20, 0), helper=helper)
    helper.stop()
    lines = [line for line in helper.log().splitlines() if re.search(pattern, line)]
    for disk in (t.disk, t.other_disk):
        device = f"{os.major(disk.rdev)}:{os.minor(disk.rdev)}"
        t.equal(len([line for line in lines if device in line or disk.path in line]), 1,
                f"lines about {device} in {lines}")


@test
@differs("the peer does not try again", failure="answer to PR IN: .*byte 3 on 02")
def interrupted_pr_in_is_tried_again(t):
    t.disk.answer(DEFAULT_DATA, error=errno.EINTR, error_calls=2)
    ask_in(t, reply(payload=DEFAULT_DATA))
    t.equal(len(t.disk.calls()), 3, "commands on the device")


@test
def always_interrupted_pr_in_fails(t):
    t.disk.answer(DEFAULT_DATA, error=errno.EINTR)
    ask_in(t, ABORTED)
    t.check(len(t.disk.calls()) <= 10, f"{len(t.disk.calls())} tries")


@test
def interrupted_pr_out_is_not_sent_again(t):
    t.disk.answer(error=errno.EINTR, error_calls=1)
    ask_out(t, ABORTED)
    t.equal(len(t.disk.calls()), 1, "commands on the device")


@test
@ours("the peer does not log it")
def interrupted_pr_out_is_logged(t):
    helper = t.start()
    t.disk.answer(error=errno.EINTR)
    ask_out(t, ABORTED, helper=helper)
    helper.wait_log("outcome unknown")


@test
@differs("the peer does not wait for a suspended map",
         failure="answer to PR IN: .*byte 3 on 02")
def pr_in_waits_while_a_map_is_suspended(t):
    t.disk.answer(DEFAULT_DATA, error=errno.EAGAIN, error_calls=3)
    ask_in(t, reply(payload=DEFAULT_DATA))
    t.equal(len(t.disk.calls()), 4, "commands on the device")


@test
@ours("the peer has no --io-timeout")
def suspended_map_is_waited_for_no_longer_than_io_timeout(t):
    helper = t.start("--io-timeout=1")
    t.disk.answer(DEFAULT_DATA, error=errno.EAGAIN)
    began = time.monotonic()
    ask_in(t, ABORTED, helper=helper)
    took = time.monotonic() - began
    t.check(0.8 <= took <= scaled(3), f"answered after {took:.2f} s")
    t.check(len(t.disk.calls()) <= 200, f"{len(t.disk.calls())} tries within a second: no pause")


@cases(("EBADE", errno.EBADE), ("EIO", errno.EIO), ("ETIMEDOUT", errno.ETIMEDOUT),
       ("EINTR", errno.EINTR), ("EBUSY", errno.EBUSY))
def failed_pr_out_is_sent_once(t, number):
    t.disk.answer(error=number, error_calls=1)
    ask_out(t, CONFLICT if number == errno.EBADE else ABORTED)
    t.equal(len(t.disk.calls()), 1, "commands on the device")


# -- host_status


HOST_STATUS = {
    0x01: check_condition(0xB, 0x05, 0), 0x02: BUSY, 0x03: check_condition(0xB, 0x2E, 2),
    0x04: check_condition(0xB, 0x08, 0), 0x05: check_condition(0xB, 0x2F, 2),
    0x06: check_condition(0xB, 0x47, 0), 0x08: check_condition(6, 0x29, 0), 0x0C: BUSY,
    0x0D: BUSY, 0x0E: check_condition(0xB, 0x29, 7), 0x0F: check_condition(0xB, 0x08, 0),
    0x10: check_condition(4, 0x44, 0), 0x11: CONFLICT, 0x12: check_condition(7, 0x27, 7),
    0x13: check_condition(3, 0x11, 0), 0x14: check_condition(0xB, 0x08, 0)}


#: Those of them that QEMU 7.2 does not know.
PEER_SAYS_GOOD = (0x06, 0x0C, 0x0D, 0x0F, 0x14)


@cases(*[(f"{number:02x}", number) if number not in PEER_SAYS_GOOD else
         row_differs(FALSE_GOOD, "PR IN: 360 bytes", f"{number:02x}", number)
         for number in HOST_STATUS])
def host_status(t, number):
    t.disk.answer(CANARY, host_status=number, residual=0)
    ask_both(t, HOST_STATUS[number])


@test
@differs(FALSE_GOOD, failure="PR IN, host_status 0x7: 360 bytes")
def every_other_host_status(t):
    for number in [n for n in range(1, 256) if n not in HOST_STATUS] + [0x100, 0x111, 0xFF00,
                                                                        0xFFFF]:
        t.disk.answer(CANARY, host_status=number, residual=0)
        ask_both(t, ABORTED, f", host_status {number:#x}")


@cases("10", "12", "13")
@differs("the peer makes up sense data of its own", failure="byte 8 on 70")
def sense_wins_over_host_status(t, number):
    t.disk.answer(CANARY, host_status=int(number, 16), driver_status=8, residual=0,
                  status=scsi.CHECK_CONDITION, sense=DEVICE_SENSE)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=DEVICE_SENSE))


@cases("10", "12", "13")
def host_status_wins_over_missing_sense(t, number):
    t.disk.answer(CANARY, host_status=int(number, 16), status=scsi.CHECK_CONDITION, residual=0)
    ask_both(t, HOST_STATUS[int(number, 16)])


@test
@differs("the peer leaves the device's bytes behind its own sense data", failure="byte 26 on 12")
def host_status_wins_over_status_and_sense(t):
    for number, wanted in HOST_STATUS.items():
        if number not in (0x10, 0x12, 0x13):
            for status in (scsi.CHECK_CONDITION, scsi.RESERVATION_CONFLICT, scsi.BUSY):
                t.disk.answer(CANARY, host_status=number, driver_status=8, status=status,
                              sense=DEVICE_SENSE, residual=0)
                ask_both(t, wanted, f", host_status {number:#x}, status {status:#x}")


# -- driver_status and raw status


@cases("00", "10", "80", "f0")
def driver_status_ok(t, number):
    """The high nibble is a suggestion."""
    t.disk.answer(DEFAULT_DATA, driver_status=int(number, 16))
    ask_in(t, reply(payload=DEFAULT_DATA))
    ask_out(t, reply())
    t.disk.answer(DEFAULT_DATA, driver_status=int(number, 16), status=scsi.RESERVATION_CONFLICT)
    ask_both(t, CONFLICT)


@cases("06", "16", "f6")
def driver_status_timeout(t, number):
    for status in (0, scsi.CHECK_CONDITION, scsi.RESERVATION_CONFLICT):
        t.disk.answer(CANARY, driver_status=int(number, 16), status=status, residual=0)
        ask_both(t, BUSY, f", status {status:#x}")


@cases("08", "18", "28", "f8")
def driver_status_sense(t, number):
    t.disk.answer(driver_status=int(number, 16), status=scsi.CHECK_CONDITION, sense=DEVICE_SENSE)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=DEVICE_SENSE))
    t.disk.answer(driver_status=int(number, 16), status=scsi.RESERVATION_CONFLICT)
    ask_both(t, CONFLICT)


def descriptor(key, asc, ascq):
    return bytes([0x72, key, asc, ascq]) + bytes(4)


@cases(("NO SENSE", scsi.sense(0, 0, 0)), ("RECOVERED ERROR", scsi.sense(1, 0x17, 0)),
       ("RECOVERED ERROR, threshold", scsi.sense(1, 0x5D, 0)), ("COMPLETED", scsi.sense(15, 0, 0)),
       ("RECOVERED ERROR, descriptor format", descriptor(1, 0x0B, 1)))
@differs("the peer looks at the driver's status only", failure="PR IN")
def success_with_sense(t, sense):
    """Linux up to 5.13 says of GOOD with sense data that there are some."""
    for number in (0x08, 0x28):
        t.disk.answer(DEFAULT_DATA, driver_status=number, sense=sense)
        ask_in(t, reply(payload=DEFAULT_DATA))
        ask_out(t, reply())


@cases(*[(f"{key:X}", key) for key in range(2, 15)])
@differs("the peer looks at the status only", failure="PR IN")
def error_with_sense_and_good(t, key):
    """A real error wins."""
    sense = scsi.sense(key, 0x29, 0)
    t.disk.answer(CANARY, driver_status=8, sense=sense, residual=0)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=sense))


@test
@differs("the peer looks at the status only", failure="PR IN")
def deferred_error_and_good(t):
    """It tells of another command, and that this one was not carried out."""
    sense = b"\x71" + scsi.sense(1, 0x17, 0)[1:]
    t.disk.answer(CANARY, driver_status=8, sense=sense, residual=0)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=sense))


OTHER_DRIVER_STATUS = [number for number in range(256) if number & 15 not in (0, 6, 8)]


@test
@differs(FALSE_GOOD, failure="PR IN, driver_status 0x1: 360 bytes")
def every_other_driver_status_without_status(t):
    for number in OTHER_DRIVER_STATUS:
        t.disk.answer(CANARY, driver_status=number, residual=0)
        ask_both(t, ABORTED, f", driver_status {number:#x}")


@test
@differs("the peer answers BUSY to driver_status 2", failure="0x2, .*byte 3 on 08")
def every_other_driver_status_with_status(t):
    for number in OTHER_DRIVER_STATUS:
        for status in (scsi.RESERVATION_CONFLICT, scsi.BUSY, scsi.TASK_SET_FULL, 0x40):
            t.disk.answer(CANARY, driver_status=number, status=status, residual=0)
            ask_both(t, reply(status), f", driver_status {number:#x}, status {status:#x}")


@test
@differs("the peer answers BUSY to driver_status 2", failure="0x2: .*byte 3 on 08")
def driver_status_with_sense(t):
    for number in OTHER_DRIVER_STATUS:
        t.disk.answer(CANARY, driver_status=number, status=scsi.CHECK_CONDITION,
                      sense=DEVICE_SENSE, residual=0)
        ask_both(t, reply(scsi.CHECK_CONDITION, sense=DEVICE_SENSE), f", driver_status {number:#x}")


@test
def raw_status_passes_unmasked(t):
    for status in range(1, 256):
        if status != scsi.CHECK_CONDITION:
            t.disk.answer(CANARY, status=status, residual=0)
            ask_both(t, reply(status), f", status {status:#x}")


@test
@differs("the peer sends zeros, which is NO SENSE", failure="byte 8 on 00")
def check_condition_without_sense(t):
    for driver_status in (0, 8, 1):
        t.disk.answer(CANARY, status=scsi.CHECK_CONDITION, driver_status=driver_status, residual=0)
        ask_both(t, ABORTED, f", driver_status {driver_status}")


@test
@differs("the peer sends zeros, which is NO SENSE", failure="byte 8 on 00")
def zeros_are_no_sense(t):
    t.disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=bytes(18))
    ask_both(t, ABORTED)


@test
def errno_wins_over_everything(t):
    t.disk.answer(CANARY, error=errno.EBADE, host_status=1, driver_status=6,
                  status=scsi.CHECK_CONDITION, sense=DEVICE_SENSE)
    ask_both(t, CONFLICT)


@test
def host_status_wins_over_driver_status(t):
    t.disk.answer(CANARY, host_status=0x11, driver_status=6, status=scsi.CHECK_CONDITION)
    ask_both(t, CONFLICT)


# -- sense


@cases(("fixed", scsi.sense(6, 0x29, 0)[:18]),
       ("fixed, deferred", b"\x71" + scsi.sense(4, 0x44, 0)[1:18]),
       ("fixed with information", b"\xf0" + bytes(range(1, 18))),
       ("descriptor", bytes.fromhex("7205260400000000")),
       ("descriptor, deferred", bytes.fromhex("730b000600000000")),
       ("vendor specific", b"\x7f" + bytes(range(30))),
       ("8 bytes", bytes.fromhex("70000500000000ff")),
       ("96 bytes", DEVICE_SENSE),
       ("252 bytes", DEVICE_SENSE + b"\xaa" * 156))
def sense_verbatim(t, sense):
    t.disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=sense)
    ask_both(t, reply(scsi.CHECK_CONDITION, sense=sense[:96]))


@test
def sense_of_one_command_is_not_seen_in_the_next(t):
    t.disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=DEVICE_SENSE)
    connection = t.connect()
    fd = t.own(t.disk.open())
    connection.send_request(scsi.pr_in(8), [fd])
    t.replied(connection, reply(scsi.CHECK_CONDITION, sense=DEVICE_SENSE))
    t.disk.answer(status=scsi.CHECK_CONDITION, driver_status=8, sense=b"\x70\0\5")
    connection.send_request(scsi.pr_in(8), [fd])
    t.replied(connection, reply(scsi.CHECK_CONDITION, sense=b"\x70\0\5"))
    t.disk.answer(DEFAULT_DATA)
    connection.send_request(scsi.pr_in(8), [fd])
    t.answered(connection, reply(payload=DEFAULT_DATA[:8]))
