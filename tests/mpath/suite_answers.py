# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of each command: parameter lists, the library's codes, words for administrators."""
import os
import struct

from support import scsi
from support.tap import cases, test

from .fixture import (BAD_CDB, BAD_LENGTH, BAD_LIST, CONFLICT, FAILED, GOOD, NO_PATH, REFUSED,
                      RETURN, SAY, Context, key, minor, number, write)

APTPL, ALL_TG_PT, SPEC_I_PT = 1, 4, 8


@cases(("register", scsi.REGISTER), ("reserve", scsi.RESERVE), ("clear", scsi.CLEAR),
       ("preempt", scsi.PREEMPT), ("preempt-and-abort", scsi.PREEMPT_AND_ABORT),
       ("register-and-ignore", scsi.REGISTER_AND_IGNORE))
def by_the_library(t: Context, action: int) -> None:
    """Every field as it came."""
    s = t.start()
    s.machine.multipathd.answers["getprkey"] = b"0x22\n"
    t.answered(s.out(action, 0x11, 0x22, scope_type=0x15, flags=APTPL | ALL_TG_PT).reply(), GOOD)
    t.equal(s.machine.calls(), [f"{action} 1 5 11 22 05"], "call of the library")


@cases(("move", 7), ("replace", 8), ("last", 31))
def no_such_action(t: Context, action: int) -> None:
    s = t.start()
    t.answered(s.out(action, 1, 2).reply(), BAD_CDB)
    t.equal(s.machine.calls(), [], "calls of the library")


@cases(("none", 0), ("cut", 23), ("longer", 25))
def list_length(t: Context, length: int) -> None:
    s = t.start()
    data = scsi.parameters(1, 2).ljust(length, b"\0")[:length]
    t.answered(s.worker.send(t.open(), scsi.pr_out(length), data).reply(), BAD_LENGTH)
    t.equal(s.machine.calls(), [], "calls of the library")


# -- TransportIDs


def fc(name: int) -> bytes:
    return struct.pack(">8xQ8x", name)


def sas(address: int) -> bytes:
    return struct.pack(">B3xQ12x", 6, address)


def iscsi(name: str, byte0: int = 5) -> bytes:
    text = name.encode() + b"\0"
    text += bytes(-len(text) % 4)
    return struct.pack(">BBH", byte0, 0, len(text)) + text


def ids(*some: bytes, length: int = -1) -> bytes:
    together = b"".join(some)
    return struct.pack(">I", len(together) if length < 0 else length) + together


NAME = "iqn.2026-01.test.invalid:node"
PORT = NAME + ",i,0x00023d000001"


def call_of(t: Context, tail: bytes) -> list:
    """The TransportIDs that the library is given."""
    s = t.start()
    s.machine.multipathd.answers["getprkey"] = b"0x9\n"
    # GOOD, says the library; but there is no path to confirm it.
    t.answered(s.out(scsi.REGISTER, 0, 9, flags=SPEC_I_PT, tail=tail).reply(), FAILED,
               "not all of the initiator ports named$")
    line, = s.machine.calls()
    return line.split()[6:]


@test
def transportids(t: Context) -> None:
    t.equal(call_of(t, ids(fc(0x2100), sas(0x5000), iscsi(NAME), iscsi(PORT, 0x45))),
            ["00:0000000000002100", "06:0000000000005000", "05:" + iscsi(NAME)[2:].hex(),
             "45:" + iscsi(PORT, 0x45)[2:].hex()], "TransportIDs")


@test
def transportids_at_most(t: Context) -> None:
    t.equal(call_of(t, ids(*map(fc, range(32)))), [f"00:{name:016x}" for name in range(32)],
            "TransportIDs")


@test
def transportids_of_most_bytes(t: Context) -> None:
    longest = iscsi((NAME + "x" * 250)[:251])
    t.equal(call_of(t, ids(*[longest] * 31)), ["05:" + longest[2:].hex()] * 31, "TransportIDs")


@cases(("33", ids(*map(fc, range(33)))), ("340", ids(*map(fc, range(340)))),
       ("srp", ids(struct.pack(">B7x16s", 4, b"srp"))), ("unknown", ids(struct.pack(">B23x", 9))),
       ("cut", ids(fc(1))[:-1]), ("cut-iscsi", ids(iscsi(NAME)[:20])),
       ("no-nul", ids(struct.pack(">BBH", 5, 0, 20) + b"x" * 20)),
       ("no-length", b""), ("cut-length", b"\0\0\0"),
       *((f"length-{length:x}", ids(fc(1), length=length)) for length in
         (25, 0x7FFFFFFF, 0xFFFFFFE4, 0xFFFFFFE8, 0xFFFFFFFC, 0xFFFFFFFF)))
def bad_transportids(t: Context, tail: bytes) -> None:
    s = t.start()
    wanted = BAD_LIST
    t.answered(s.out(scsi.REGISTER, 0, 9, flags=SPEC_I_PT, tail=tail).reply(), wanted)
    t.equal(s.machine.calls(), [], "calls of the library")


# -- the library's codes


@cases(("good", 0, GOOD), ("key", 1, BAD_LIST), ("not-ready", 2, (2, 2, 4, 0)),
       ("medium", 3, (2, 3, 0x11, 0)), ("hardware", 4, (2, 4, 0x44, 0)), ("illegal", 5, BAD_LIST),
       ("attention", 6, (2, 6, 0x29, 0)), ("opcode", 7, REFUSED), ("aborted", 8, (2, 0xB, 0, 6)),
       ("no-sense", 9, (2, 0, 0, 0)), ("malformed", 10, FAILED), ("conflict", 11, CONFLICT),
       ("file", 12, FAILED), ("dmmp", 13, FAILED), ("thread", 14, FAILED), ("other", 15, FAILED),
       ("16", 16, FAILED), ("17", 17, FAILED), ("skip", -1, FAILED), ("unknown", 4711, FAILED))
def code(t: Context, returned: int, wanted: tuple) -> None:
    s = t.start()
    text = f"failed with {returned}$" if wanted == FAILED or returned == 1 else "^$"
    t.answered(s.do(RETURN, returned).reply(), wanted, text)


@test
def library_is_quoted(t: Context) -> None:
    """The last line of what it printed, without its time."""
    s = t.start()
    t.answered(s.do(SAY, 13).reply(), FAILED,
               "^mpatha: libmpathpersist failed with 13: mpatha: standing in$")


@test
def init_fails(t: Context) -> None:
    s = t.start()
    write(s.machine.path("no-init"), "")
    t.answered(s.simple().reply(), FAILED, "libmpathpersist failed with 13$")
    t.equal(s.machine.calls(), [], "calls of the library")


# -- multipathd


@cases(("good", 0, GOOD), ("refused", 1, BAD_LIST))
def no_reservation_key(t: Context, returned: int, wanted: tuple) -> None:
    s = t.start()
    t.answered(s.do(RETURN, returned, known=b"none\n").reply(), wanted,
               r"^mpatha: multipath\.conf has no reservation_key .*reservation_key file")


@cases(("other", b"0x123abc"), ("longer", b"0x%x0" % key(RETURN, 1)), ("shorter", b"0x53544e44"))
def key_mismatch(t: Context, other: bytes) -> None:
    s = t.start()
    t.answered(s.do(RETURN, 1, known=other + b"\n").reply(), BAD_LIST,
               f"the client's key is 0x{key(RETURN, 1):x}, but multipathd has {other.decode()} ")


@test
def key_with_aptpl(t: Context) -> None:
    s = t.start()
    s.machine.multipathd.answers["getprkey"] = b"0xabc:aptpl\n"
    t.answered(s.out(new=0xABC, flags=APTPL).reply(), GOOD)


@cases(("good", 0, GOOD), ("failed", 13, FAILED))
def no_multipathd(t: Context, returned: int, wanted: tuple) -> None:
    """Which socket was tried?"""
    s = t.start()
    s.machine.multipathd.close()
    t.answered(s.do(RETURN, returned).reply(), wanted,
               r"multipathd cannot be reached.*: multipathd: Connection refused, "
               "@test/multipathd of nobody: Connection refused")


@test
def named_socket(t: Context) -> None:
    """MULTIPATH_SOCKET_NAME takes the place of both."""
    worker = t.machine().start(env={"MULTIPATH_SOCKET_NAME": "@test/nobody"})
    t.check(worker.hello().ready, "not ready")
    t.answered(worker.send(t.open(), scsi.cleanup()).reply(), FAILED,
               "^mpatha: multipathd cannot be reached: @test/nobody: Connection refused$")


@cases(("hangs-up", None), ("too-long", b"x" * 300))
def bad_multipathd(t: Context, answer) -> None:
    s = t.start()
    s.machine.multipathd.answers["unsetprkey"] = answer
    t.answered(s.worker.send(t.open(), scsi.cleanup()).reply(), FAILED,
               f"unsetprkey map dm-{minor('mpatha')}: no answer: ")
    t.equal(s.machine.calls(), [], "calls of the library")


@cases(("ok", b"ok\n"), ("fail", b"fail\n"))
def cleanup(t: Context, answer: bytes) -> None:
    """multipathd forgets the key, then every path does. What multipathd thinks plays no part."""
    s = t.start()
    s.machine.multipathd.answers["unsetprkey"] = answer
    t.answered(s.worker.send(t.open(), scsi.cleanup()).reply(), GOOD)
    name = f"dm-{minor('mpatha')}"
    t.equal(s.machine.multipathd.asked, [f"unsetprkey map {name}", f"unsetprstatus map {name}"],
            "asked of multipathd")
    t.equal(s.machine.calls(), ["6 0 0 0 0 00"], "call of the library")


# -- which fds


@cases(("read-only", os.O_RDONLY), ("path-only", os.O_PATH))
def not_writable(t: Context, flags: int) -> None:
    s = t.start()
    for cdb, data in ((scsi.pr_out(24), scsi.parameters(1, 2)), (scsi.cleanup(), b"")):
        t.answered(s.worker.send(t.open(flags=flags), cdb, data).reply(), REFUSED,
                   "not open for writing")
    t.equal(s.machine.calls(), [], "calls of the library")


@test
def read_only_reads(t: Context) -> None:
    s = t.start()
    t.answered(s.worker.send(t.open(flags=os.O_RDONLY), scsi.pr_in(8192)).reply(), NO_PATH,
               "none of its 0 paths answers")


@test
def no_map(t: Context) -> None:
    s = t.start()
    write(s.machine.path("file"), "")
    for name in ("/dev/null", s.machine.path("file")):
        fd = t.own(os.open(name, os.O_RDWR | os.O_CLOEXEC))
        t.answered(s.worker.send(fd, scsi.pr_out(24), scsi.parameters(1, 2)).reply(), REFUSED,
                   "not a multipath map")
    t.equal(s.machine.calls(), [], "calls of the library")


@test
def another_kind_of_map(t: Context) -> None:
    s = t.start()
    write(s.machine.path(f"sys/{number('mpatha')}/dm/uuid"), "LVM-mpath-\n")
    t.answered(s.simple().reply(), REFUSED, "not a multipath map")
    t.equal(s.machine.calls(), [], "calls of the library")


# -- paths


@test
def path_without_node(t: Context) -> None:
    """A private /dev has not all of the machine's disks."""
    s = t.start()
    s.machine.add_path("none", "8:0")
    t.answered(s.worker.send(t.open(), scsi.pr_in(8192)).reply(), NO_PATH,
               "none of its 1 paths answers; these are not there in /dev: none$")


@test
def path_with_foreign_node(t: Context) -> None:
    """The node of that name is another device's."""
    s = t.start()
    s.machine.add_path("null", "8:0")
    t.answered(s.out(scsi.RELEASE, 1, scope_type=1).reply(), NO_PATH,
               "RELEASE: none of its 1 paths answers")


@test
def path_that_is_no_disk(t: Context) -> None:
    """It is there, and takes no SCSI command."""
    s = t.start()
    s.machine.add_path("null", "1:3")
    t.answered(s.worker.send(t.open(), scsi.pr_in(8192)).reply(), REFUSED)
