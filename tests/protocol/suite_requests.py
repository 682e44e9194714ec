# SPDX-License-Identifier: LGPL-2.1-or-later
"""Framing: what is a request, what is none, and that no fd is ever lost or kept."""
import array
import fcntl
import os
import socket
import struct

from support import procfs, scsi
from support.client import check_condition, needs_truncation, reply
from support.tap import cases, differs, test

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)
PARAMETERS = scsi.parameters(0x1111, 0x2222)
REGISTER = scsi.pr_out(len(PARAMETERS), scsi.REGISTER)
DONE = reply()


def fd_count(t):
    return len(procfs.fds(t.helper.pid))


def nothing_kept(t, baseline):
    """Every received fd has been closed again."""
    t.eventually(f"back to {baseline} open fds", lambda: fd_count(t) <= baseline)


def drop(t, *messages, commands=0):
    """A connection that sends these (bytes, fds) is closed without a reply, and nothing is kept."""
    baseline = fd_count(t)
    connection = t.connect()
    for data, fds in messages:
        connection.push(data, fds)
    t.dropped(connection)
    nothing_kept(t, baseline)
    t.equal(len(t.disk.calls()), commands, "commands on the device")


# -- requests


@test
def pr_in(t):
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS)
    t.equal(len(t.disk.calls()), 1, "commands on the device")


@test
def pr_out(t):
    t.ask(REGISTER, t.own(t.disk.open()), DONE, PARAMETERS)
    t.equal([call.parameters for call in t.disk.calls()], [PARAMETERS], "parameter lists")


@cases(("in", scsi.pr_in(0)), ("out", scsi.pr_out(0)))
def length_zero(t, cdb):
    t.ask(cdb, t.own(t.disk.open()), DONE)
    t.equal(len(t.disk.calls()), 1, "commands on the device")


@test
def longest_parameter_list(t):
    parameters = bytes(range(256)) * 32
    t.ask(scsi.pr_out(8192), t.own(t.disk.open()), DONE, parameters)
    t.equal([call.parameters for call in t.disk.calls()], [parameters], "parameter lists")


@test
def fd_on_each_byte(t):
    disk = t.own(t.disk.open())
    for position in range(16):
        connection = t.connect()
        for piece, fds in ((READ_KEYS[:position], []), (READ_KEYS[position:position + 1], [disk]),
                           (READ_KEYS[position + 1:], [])):
            if piece:
                connection.send(piece, fds)
        t.answered(connection, KEYS, what=f"answer, fd on byte {position}")


@test
def every_split(t):
    disk = t.own(t.disk.open())
    whole = REGISTER + PARAMETERS
    for split in range(1, len(whole)):
        connection = t.connect()
        connection.send(whole[:split], [disk])
        connection.send(whole[split:])
        t.answered(connection, DONE, what=f"answer, split after byte {split}")
        t.equal(t.disk.calls()[-1].parameters, PARAMETERS, f"parameters, split after byte {split}")


@test
def byte_by_byte(t):
    connection = t.connect()
    whole = REGISTER + PARAMETERS
    for position in range(len(whole)):
        connection.send(whole[position:position + 1],
                        [t.own(t.disk.open())] if position == 5 else [])
    t.answered(connection, DONE)
    t.equal([call.parameters for call in t.disk.calls()], [PARAMETERS], "parameter lists")


@test
def one_message_for_everything(t):
    connection = t.connect()
    connection.send(REGISTER + PARAMETERS, [t.own(t.disk.open())])
    t.answered(connection, DONE)


@test
def credentials_beside_the_fd(t):
    connection = t.connect()
    ids = struct.pack("iII", os.getpid(), os.getuid(), os.getgid())
    fds = array.array("i", [t.own(t.disk.open())])
    connection.socket.sendmsg([READ_KEYS], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, ids),
                                            (socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    t.answered(connection, KEYS)


@test
def extra_fd_on_parameters_is_closed(t):
    needs_truncation()
    baseline = fd_count(t)
    connection = t.connect()
    connection.send(REGISTER, [t.own(t.disk.open())])
    connection.send(PARAMETERS[:10], [t.open(os.devnull)])
    connection.send(PARAMETERS[10:], [t.open(os.devnull)] * 253)
    t.answered(connection, DONE)
    nothing_kept(t, baseline)


@test
def many_commands_on_one_connection(t):
    connection = t.connect()
    fds = [t.own(t.disk.open()), t.own(t.other_disk.open())]
    t.other_disk.answer(scsi.read_keys_data(7))
    baseline = fd_count(t)
    for number in range(300):
        allocation = number % 20
        data = scsi.read_keys_data(7) if number % 2 else DEFAULT_DATA
        connection.send_request(scsi.pr_in(allocation), [fds[number % 2]])
        t.replied(connection, reply(payload=data[:allocation]), f"answer {number}")
        if number % 3 == 0:
            connection.send_request(REGISTER, [fds[0]], PARAMETERS)
            t.replied(connection, DONE, f"answer to PR OUT {number}")
    nothing_kept(t, baseline)
    t.answered(connection)


@test
def pipelined_requests_are_served_in_order(t):
    connection = t.connect()
    t.other_disk.answer(scsi.read_keys_data())
    disk, other = t.own(t.disk.open()), t.own(t.other_disk.open())
    wanted = []
    for _ in range(5):
        connection.send(READ_KEYS, [disk])
        connection.send(REGISTER, [disk])
        connection.send(PARAMETERS)
        connection.send(REGISTER + PARAMETERS, [other])
        connection.send(READ_KEYS, [other])
        wanted += [KEYS, DONE, DONE, reply(payload=scsi.read_keys_data())]
    t.answered(connection, *wanted)


@test
def second_request_in_the_message_has_no_fd(t):
    """The fd belongs to the bytes that are read with it: the first CDB."""
    connection = t.connect()
    connection.send(READ_KEYS + READ_KEYS, [t.own(t.disk.open())])
    t.equal(connection.receive_rest(), KEYS.encode(), "answers before closing")


@test
def half_closed_client_gets_its_answer(t):
    connection = t.connect()
    t.disk.hold()
    connection.send(READ_KEYS, [t.own(t.disk.open())])
    t.disk.wait_running(1)
    connection.end()
    t.disk.release()
    t.equal(connection.receive_rest(), KEYS.encode(), "answer")


@test
def client_gone_while_its_command_runs(t):
    baseline = fd_count(t)
    t.disk.hold()
    connections = [t.connect() for _ in range(3)]
    for number, connection in enumerate(connections, 1):
        connection.send(READ_KEYS, [t.own(t.disk.open())])
        t.disk.wait_running(number)
    for connection in connections:
        connection.close()
    t.disk.release()
    nothing_kept(t, baseline)
    t.ask(READ_KEYS, t.own(t.disk.open()), KEYS)


@test
@differs("the peer clears O_NONBLOCK in the client's open file", failure="file status flags")
def file_status_flags_stay(t):
    for flags in (os.O_RDWR | os.O_NONBLOCK, os.O_RDWR | os.O_DIRECT, os.O_RDWR | os.O_APPEND,
                  os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR):
        disk = t.own(t.disk.open(flags))
        before = fcntl.fcntl(disk, fcntl.F_GETFL)
        t.ask(READ_KEYS, disk, KEYS)
        if flags & os.O_ACCMODE:
            t.ask(REGISTER, disk, DONE, PARAMETERS)
        t.equal(fcntl.fcntl(disk, fcntl.F_GETFL), before, "file status flags")


# -- no requests


@test
def no_fd(t):
    drop(t, (READ_KEYS, []))
    drop(t, (REGISTER + PARAMETERS, []))


@test
def fd_only_on_parameters(t):
    drop(t, (REGISTER, []), (PARAMETERS, [t.own(t.disk.open())]))


@cases(2, 3, 64, 253)
def more_than_one_fd(t, count):
    if count > 2:
        needs_truncation()
    drop(t, (READ_KEYS, [t.own(t.disk.open()) for _ in range(count)]))


@test
def same_fd_twice(t):
    drop(t, (READ_KEYS, [t.own(t.disk.open())] * 2))


@test
def fds_in_two_messages(t):
    for split in (1, 8, 15):
        drop(t, (READ_KEYS[:split], [t.own(t.disk.open())]),
             (READ_KEYS[split:], [t.own(t.disk.open())]))


@test
def many_fds_in_many_messages(t):
    needs_truncation()
    null = t.open(os.devnull)
    drop(t, *[(READ_KEYS[index:index + 1], [null] * 253) for index in range(16)])


@cases("00", "12", "5d", "60", "8c", "a3", "fe")
def other_opcode(t, opcode):
    drop(t, (bytes.fromhex(opcode) + READ_KEYS[1:], [t.own(t.disk.open())]))


@test
def other_opcode_is_dropped_when_the_cdb_is_whole(t):
    connection = t.connect()
    connection.send(b"\x12" + READ_KEYS[1:15], [t.own(t.disk.open())])
    t.check(not connection.readable(0.05), "closed or answered before the CDB was whole")
    connection.push(READ_KEYS[15:])
    t.dropped(connection)


@cases(("in 8193", scsi.pr_in(8193)), ("in 65535", scsi.pr_in(65535)),
       ("out 8193", scsi.pr_out(8193)), ("out 65535", scsi.pr_out(65535)))
def length_above_8192(t, cdb):
    drop(t, (cdb, [t.own(t.disk.open())]))


@cases("00010000", "00010018", "01000018", "80000000")
@differs("the peer reads only the low 16 bits of the length",
         failure="sent before closing|commands on the device")
def long_parameter_list_length(t, length):
    drop(t, (scsi.pr_out(int(length, 16)), [t.own(t.disk.open())]), (PARAMETERS, []))


@cases(1, 8, 15)
def end_of_file_in_cdb(t, size):
    baseline = fd_count(t)
    connection = t.connect()
    connection.send(READ_KEYS[:size], [t.own(t.disk.open())])
    t.answered(connection)
    nothing_kept(t, baseline)
    t.equal(t.disk.calls(), [], "commands on the device")


@cases(0, 1, 23)
def end_of_file_in_parameters(t, size):
    baseline = fd_count(t)
    connection = t.connect()
    connection.send(REGISTER + PARAMETERS[:size], [t.own(t.disk.open())])
    t.answered(connection)
    nothing_kept(t, baseline)
    t.equal(t.disk.calls(), [], "commands on the device")


# -- CLEANUP


@cases(("negotiated", 1), ("not negotiated", 0))
@differs("the peer knows no CLEANUP", failure="Disconnected|answer")
def cleanup_of_a_plain_disk(t, features):
    connection = t.connect(features=features)
    connection.send_request(scsi.cleanup(), [t.own(t.disk.open())])
    t.replied(connection, DONE)
    t.equal(t.disk.calls(), [], "commands on the device")
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.answered(connection, KEYS)


@test
@differs("the peer knows no CLEANUP", failure="Disconnected|answer")
def cleanup_of_a_read_only_fd(t):
    t.ask(scsi.cleanup(), t.own(t.disk.open(os.O_RDONLY)), check_condition(5, 0x20, 0))
    t.equal(t.disk.calls(), [], "commands on the device")


@test
def cleanup_without_fd(t):
    drop(t, (scsi.cleanup(), []))
