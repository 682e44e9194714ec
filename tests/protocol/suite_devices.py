# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which fds a command is issued on, and what exactly reaches the device."""
import os
import pty
import resource
import socket

from support import loop, procfs, scsi, sysfs
from support.client import check_condition, reply
from support.standin import SG_DXFER_FROM_DEV, SG_DXFER_NONE, SG_DXFER_TO_DEV
from support.tap import Skip, cases, differs, ours, test

from protocol.fake_worker import fake_worker, heard
from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
PARAMETERS = scsi.parameters(0x1111, 0x2222)
REGISTER = scsi.pr_out(24)
DONE = reply()
REFUSED = check_condition(5, 0x20, 0)
BUSY = reply(scsi.BUSY)
CLEANUP = scsi.cleanup()

NOT_CHECKED = "the peer sends the ioctl to any device that it was given"


# -- SG_IO


COMMANDS = (
    ("in", scsi.pr_in(256, scsi.READ_FULL_STATUS), b"", SG_DXFER_FROM_DEV, 256),
    ("in of nothing", scsi.pr_in(0), b"", SG_DXFER_NONE, 0),
    ("out", scsi.pr_out(24, scsi.PREEMPT_AND_ABORT, 5), PARAMETERS, SG_DXFER_TO_DEV, 24),
    ("out without parameters", scsi.pr_out(0, scsi.CLEAR), b"", SG_DXFER_NONE, 0),
    ("out, long", scsi.pr_out(8192), bytes(range(256)) * 32, SG_DXFER_TO_DEV, 8192))


@cases(*COMMANDS)
@differs("the peer sends 16 bytes of CDB, asks for 8,192 bytes and gives it 1 ms",
         failure="what reached the device")
def sg_io(t, cdb, parameters, direction, size):
    with t.connect() as connection:
        connection.send_request(cdb, [t.own(t.disk.open())], parameters)
        connection.receive_reply()
    seen = [(call.interface_id, call.cdb, call.direction, call.transfer_size, call.has_buffer,
             call.sense_room, call.timeout_ms, call.parameters) for call in t.disk.calls()]
    t.equal(seen, [("S", cdb[:10], direction, size, size > 0, 96, 30000, parameters)],
            "what reached the device")


@test
@differs("the peer passes 16 bytes on", failure="CDBs on the device")
def every_bit_of_the_ten_cdb_bytes_is_passed_on(t):
    sent = []
    disk = t.own(t.disk.open())
    for bit in range(8, 56):  # up to the length, which is judged
        cdb = bytearray(scsi.pr_in(16, 0, filler=b"\xff" * 6))
        cdb[bit // 8] ^= 1 << bit % 8
        t.ask(bytes(cdb), disk, KEYS)
        sent.append(bytes(cdb[:10]))
    for bit in range(8):
        cdb = bytearray(scsi.pr_out(0, filler=b"\xff" * 6))
        cdb[1], cdb[2], cdb[9] = (1 << bit,) * 3
        t.ask(bytes(cdb), disk, DONE)
        sent.append(bytes(cdb[:10]))
    t.equal([call.cdb for call in t.disk.calls()], sent, "CDBs on the device")


@test
@ours("the peer has no --io-timeout")
def io_timeout_reaches_the_kernel(t):
    helper = t.start("--io-timeout=7")
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
    t.ask(REGISTER, t.own(t.disk.open()), DONE, PARAMETERS, helper=helper)
    t.equal([call.timeout_ms for call in t.disk.calls()], [7000, 7000], "timeouts")


# -- fds


@cases(("read and write", os.O_RDWR), ("write only", os.O_WRONLY),
       ("non-blocking", os.O_RDWR | os.O_NONBLOCK))
def block_device(t, flags):
    t.ask(READ_KEYS, t.own(t.disk.open(flags)), KEYS)
    t.ask(REGISTER, t.own(t.disk.open(flags)), DONE, PARAMETERS)
    t.equal(len(t.disk.calls()), 2, "commands on the device")


@test
def read_only_block_device(t):
    disk = t.own(t.disk.open(os.O_RDONLY))
    t.ask(REGISTER, disk, REFUSED, PARAMETERS)
    t.ask(scsi.pr_out(0, scsi.CLEAR), disk, REFUSED)
    t.equal(t.disk.calls(), [], "commands on the device")
    t.ask(READ_KEYS, disk, KEYS)


def regular_file(t):
    return t.open(os.path.join(t.directory(), "file"), os.O_RDWR | os.O_CREAT)


def directory(t):
    return t.open(t.directory(), os.O_RDONLY | os.O_DIRECTORY)


def null(t):
    return t.open(os.devnull)


def pipe(t, end):
    ends = [t.own(fd) for fd in os.pipe()]
    return ends[end]


def stream_socket(t):
    pair = socket.socketpair()
    t.cleanup.callback(pair[0].close)
    t.cleanup.callback(pair[1].close)
    return pair[0].fileno()


def terminal(t):
    ends = [t.own(fd) for fd in pty.openpty()]
    return ends[1]


def path_of_a_disk(t):
    return t.own(t.disk.open(os.O_PATH))


def path_of_a_directory(t):
    return t.open(t.directory(), os.O_PATH)


def character_device(t):
    return t.open("/dev/zero")


UNFIT = [(make.__name__.replace("_", " "), make) for make in (
    regular_file, directory, null, character_device, stream_socket, terminal, path_of_a_disk,
    path_of_a_directory)] + [
    ("pipe, read end", lambda t: pipe(t, 0)), ("pipe, write end", lambda t: pipe(t, 1))]


@cases(*UNFIT)
@differs(NOT_CHECKED, failure="answer")
def unfit_fd(t, make):
    fd = make(t)
    for _ in range(2):
        t.ask(READ_KEYS, fd, REFUSED, what="answer to PR IN")
        t.ask(REGISTER, fd, REFUSED, PARAMETERS, what="answer to PR OUT")
        t.ask(scsi.pr_in(0), fd, REFUSED, what="answer to an empty PR IN")
    t.equal(t.lab.control.calls(), [], "commands on any device")
    t.equal(t.lab.control.foreign, 0, "commands sent to the kernel")


@test
@ours("the peer does not log it")
def unfit_fd_is_logged(t):
    for make in (regular_file, directory, null, path_of_a_disk):
        helper = t.start()
        t.ask(READ_KEYS, make(t), REFUSED, helper=helper)
        helper.wait_log(r"^qemu-pr-helper: .+")


@test
@ours("the peer does not log it")
def quiet_helper_does_not_log_it(t):
    helper = t.start("-q")
    before = helper.log()
    t.ask(READ_KEYS, null(t), REFUSED, helper=helper)
    helper.stop()
    t.equal(helper.log(), before, "standard error")


@test
@ours("the peer does not log it")
def a_client_cannot_flood_the_log(t):
    """Hundreds of refused commands of one client leave a few lines."""
    helper = t.start()
    fd = null(t)
    connection = t.connect(helper)
    for _ in range(500):
        connection.send_request(READ_KEYS, [fd])
        t.replied(connection, REFUSED)
    helper.stop()
    t.check(len(helper.log().splitlines()) < 100, f"{len(helper.log().splitlines())} lines")


class Partition:
    """Of a disk of its own. An honest command on that disk is executed, regardless of one by
    the partition."""

    def __init__(self, t):
        self.t, self.disk = t, t.lab.disk(2)
        path = os.path.join(t.directory(), "partition")
        try:
            rdev = self.disk.make_partition(path)
        except loop.Unavailable as reason:
            raise Skip(str(reason)) from None
        self.answers = t.lab.control.device(rdev)
        self.answers.answer(DEFAULT_DATA)
        self.fd = t.open(path)

    def disk_is_served(self, helper):
        before = len(self.disk.calls())
        self.t.ask(REGISTER, self.t.own(self.disk.open()), DONE, PARAMETERS, helper=helper,
                   what="answer to PR OUT on the disk")
        self.t.equal(len(self.disk.calls()), before + 1, "commands on the disk")


@test
@differs(NOT_CHECKED, failure="answer to PR OUT")
def partition(t):
    part = Partition(t)
    helper = t.start()
    t.ask(READ_KEYS, part.fd, KEYS, helper=helper, what="answer to PR IN")
    t.ask(REGISTER, part.fd, REFUSED, PARAMETERS, helper=helper, what="answer to PR OUT")
    t.equal(len(part.answers.calls()), 1, "commands on the device")
    helper.wait_log("partition")
    part.disk_is_served(helper)


@cases("/sys", "/sys/dev/block")
@differs(NOT_CHECKED, failure="answer to PR OUT")
def nothing_in(t, where):
    """What a device is cannot be found out: neither a partition nor a disk is written to."""
    part = Partition(t)
    part.disk_is_served(t.helper)
    helper = t.start(wrap=t.namespace(f"mount -t tmpfs none {where}"))
    t.lab.control.forget()
    for fd in (part.fd, t.own(part.disk.open()), t.own(t.disk.open())):
        t.ask(REGISTER, fd, REFUSED, PARAMETERS, helper=helper, what="answer to PR OUT")
        t.ask(CLEANUP, fd, REFUSED, helper=helper, what="answer to CLEANUP")
    t.equal(t.lab.control.calls(), [], "commands on any device")
    helper.wait_log(r"PERSISTENT RESERVE OUT on a device of unknown kind \(\d+:\d+\) refused: its type "
                    r"could not be determined: No such file or directory")
    t.ask(READ_KEYS, part.fd, KEYS, helper=helper, what="answer to PR IN")


@cases("partition", "disk", "map")
@ours("the peer looks at nothing")
def full_table_of_fds(t, kind):
    """There is room for the fd that is passed and for no other: not now."""
    as_root = ("-u", "root")  # whose limits root may change without CAP_SYS_RESOURCE
    part = Partition(t) if kind == "partition" else None
    maps = Maps(t, *as_root).uuid("LVM-0123456789\n") if kind == "map" else None
    helper = maps.helper if maps else t.start(*as_root)
    fd = part.fd if part else t.own(t.disk.open())
    device = part.answers if part else t.disk
    connection = t.connect(helper)
    connection.send_request(REGISTER, [fd], PARAMETERS)
    usual = connection.receive_reply()
    t.lab.control.forget()
    before = resource.prlimit(helper.pid, resource.RLIMIT_NOFILE)
    taken = procfs.fds(helper.pid)
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    for request, parameters in ((REGISTER, PARAMETERS), (CLEANUP, b"")):
        resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, (free + 1, before[1]))
        connection.send_request(request, [fd], parameters)
        t.replied(connection, BUSY, "answer with a full table")
    t.equal(device.calls(), [], "commands on the device")
    helper.wait_log("PERSISTENT RESERVE OUT on a device of unknown kind .* answered BUSY: .*"
                    "Too many open files")
    resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, before)
    connection.send_request(REGISTER, [fd], PARAMETERS)
    t.equal(connection.receive_reply(), usual, "answer afterwards")


@differs("the peer drops a client that sends an O_PATH descriptor", failure="Disconnected",
         since=(11,))
@test
def unfit_fds_are_closed(t):
    made = [make(t) for _, make in UNFIT]
    baseline = len(procfs.fds(t.helper.pid))
    for fd in made * 20:
        with t.connect() as connection:
            connection.send_request(READ_KEYS, [fd])
            connection.receive_reply()
    t.eventually(f"back to {baseline} open fds",
                 lambda: len(procfs.fds(t.helper.pid)) <= baseline)


# -- device-mapper, by a /sys/dev/block of our own that says that the loop device is a map


class Maps:
    """A helper in a mount namespace in which the test decides what /sys/dev/block says."""

    def __init__(self, t, *options, **arguments):
        self.t = t
        self.sysfs = t.directory()
        self.entry = os.path.join(self.sysfs, f"{os.major(t.disk.rdev)}:{os.minor(t.disk.rdev)}")
        self.helper = t.start(*options, **arguments,
                              wrap=t.namespace(f"mount --bind {self.sysfs} /sys/dev/block"))

    def disk(self):
        """No map, but what every other suite has."""
        sysfs.Tree(self.sysfs).add_disk(self.t.disk.rdev, os.path.basename(self.t.disk.path))
        return self

    def device(self, subsystem):
        """The device hangs on this bus, or is of this class."""
        os.makedirs(os.path.join(self.entry, "device"))
        os.symlink(subsystem, os.path.join(self.entry, "device", "subsystem"))
        return self

    def directory(self, name):
        os.makedirs(os.path.join(self.entry, name))
        return self

    def uuid(self, text):
        os.makedirs(os.path.join(self.entry, "dm"), exist_ok=True)
        if text is not None:
            with open(os.path.join(self.entry, "dm", "uuid"), "w", encoding="ascii") as file:
                file.write(text)
        return self


PLAIN_MAP = "the peer sends PERSISTENT RESERVE OUT through one path"


def issues_both(t, maps):
    fd = t.own(t.disk.open())
    t.ask(READ_KEYS, fd, KEYS, helper=maps.helper, what="answer to PR IN")
    t.ask(REGISTER, fd, DONE, PARAMETERS, helper=maps.helper, what="answer to PR OUT")
    t.equal(len(t.disk.calls()), 2, "commands on the device")


def issues_only_in(t, maps):
    fd = t.own(t.disk.open())
    t.ask(READ_KEYS, fd, KEYS, helper=maps.helper, what="answer to PR IN")
    t.ask(REGISTER, fd, REFUSED, PARAMETERS, helper=maps.helper, what="answer to PR OUT")
    t.ask(scsi.pr_out(0, scsi.CLEAR), fd, REFUSED, helper=maps.helper, what="answer to PR OUT")
    t.equal(len(t.disk.calls()), 1, "commands on the device")


@test
def disk_that_is_no_map(t):
    issues_both(t, Maps(t).disk())


@test
@differs(NOT_CHECKED, failure="answer to PR OUT")
def disk_that_sysfs_does_not_know(t):
    issues_only_in(t, Maps(t))


#: Each of them passes an ioctl on to what lies below it, or might.
@cases(("virtio-blk", lambda maps: maps.device("../../../bus/virtio")),
       ("NVMe", lambda maps: maps.device("../../../../class/nvme")),
       ("almost SCSI", lambda maps: maps.device("../../bus/scsi_")),
       ("bcache", lambda maps: maps.directory("bcache")),
       ("zram", lambda maps: maps.directory("queue")),
       ("a device without a bus", lambda maps: maps.directory("device")))
@differs(NOT_CHECKED, failure="answer to PR OUT")
def block_device_that_is_no_scsi_disk(t, make):
    maps = make(Maps(t))
    issues_only_in(t, maps)
    maps.helper.wait_log("PERSISTENT RESERVE OUT on a block device that is not a SCSI disk .* refused")


@cases(("lvm", "LVM-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF\n"),
       ("crypt", "CRYPT-LUKS2-0123456789abcdef-name\n"),
       ("partition of a multipath map", "part1-mpath-360000000000000000e00000000010001\n"),
       ("almost multipath", "mpath\n"), ("other case", "MPATH-3600\n"),
       ("no uuid", ""), ("only an end of line", "\n"))
@differs(PLAIN_MAP, failure="answer to PR OUT")
def map_that_is_not_multipath(t, uuid):
    issues_only_in(t, Maps(t).uuid(uuid))


@test
@differs(PLAIN_MAP, failure="answer to PR OUT")
def map_whose_uuid_is_missing(t):
    issues_only_in(t, Maps(t).uuid(None))


@test
@differs(PLAIN_MAP, failure="answer to PR OUT")
def map_with_a_scsi_device(t):
    """The kernel has none such; if it had, it would be a map."""
    issues_only_in(t, Maps(t).device("../../../bus/scsi").uuid("LVM-0123456789\n"))


@test
@ours("the peer does not log it")
def refused_map_is_logged(t):
    maps = Maps(t).uuid("LVM-0123456789\n")
    t.ask(REGISTER, t.own(t.disk.open()), REFUSED, PARAMETERS, helper=maps.helper)
    maps.helper.wait_log(r"^qemu-pr-helper: .+")


@test
@differs(PLAIN_MAP, failure="GOOD")
def multipath_map_is_never_written_through_one_path(t):
    maps = Maps(t).uuid("mpath-360000000000000000e00000000010001\n")
    fd = t.own(t.disk.open())
    t.ask(READ_KEYS, fd, KEYS, helper=maps.helper)
    connection = t.connect(maps.helper)
    connection.send_request(REGISTER, [fd], PARAMETERS)
    answer = connection.receive_reply()
    t.check(answer.status != scsi.GOOD, "PR OUT on a map that does not exist is GOOD")
    t.equal([call.cdb[0] for call in t.disk.calls()], [scsi.PR_IN], "commands on the device")


@test
@ours("the peer has no worker")
def worker_hears_of_the_end_of_a_client(t):
    """By what came with the client's requests, so that it knows when the last one of a map has gone.
    Of a client that has only read it hears nothing."""
    worker = fake_worker(t)
    maps = Maps(t, f"--mpath-worker={worker}").uuid("mpath-a\n")
    fd = t.own(t.disk.open())
    for _ in range(5):  # so that a connection's place is not its number
        t.connect(maps.helper).close()
    first, reader, second = (t.connect(maps.helper) for _ in range(3))
    for connection in (first, second):
        connection.command(REGISTER, fd, PARAMETERS)
    reader.command(READ_KEYS, fd)
    (_, slot_of_first), (_, slot_of_second) = heard(worker)
    reader.close()
    for connection, slot in ((second, slot_of_second), (first, slot_of_first)):
        before = heard(worker)
        connection.close()
        t.soon("a farewell", lambda: len(heard(worker)) > len(before))
        t.equal(heard(worker), [*before, ("farewell", slot)], "what the worker has heard")


@test
@differs(PLAIN_MAP, failure="answer to PR OUT")
def kind_of_a_device_is_looked_up_for_each_request(t):
    """Device numbers are used again: what was a disk may be a map now."""
    maps = Maps(t).disk()
    issues_both(t, maps)
    t.lab.control.forget()
    issues_only_in(t, maps.uuid("LVM-0123456789\n"))
