# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a command on a map comes to: answer, registrations and reservation at the target, what
multipathd is told; for each way in which a path's initiator port is known or not."""
import os
import struct

from support import scsi
from support.tap import cases, test

from .fixture import (ALL, BAD_CDB, BAD_LENGTH, BAD_LIST, BUSY, CONFLICT, GOOD, KEY, KIND, NEW_KEY,
                      NO_PATH, OTHER, OTHER_KEY, REFUSED, Context, Session, write)

#: By name and port; one initiator name for two sessions; nothing in sysfs; nothing at all: not even
#: INQUIRY tells the target port.
KINDS = ("fc", "iscsi", "same", "none")
#: The same with a target that has no READ FULL STATUS, or one with its keys the wrong way round, or
#: one registration for two paths.
QUIRKS = ("", "no full status", "swapped keys", "shared")
WORLDS = [(f"{kind}{', ' if quirk else ''}{quirk}", kind, quirk)
          for kind in KINDS for quirk in QUIRKS]


def world(t: Context, kind: str, quirk: str, count: int = 4, new: bool = False) -> Session:
    s = t.start(count, new=new, kind=kind, shared=2 if quirk == "shared" else 0)
    s.target.control.no_full_status = quirk == "no full status"
    s.target.control.swapped = quirk == "swapped keys"
    if kind == "none":
        for path in s.target.control.path[:s.target.control.n_paths]:
            path.target_port = 0
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    return s


@cases(*WORLDS)
def life(t: Context, kind: str, quirk: str) -> None:
    """Each command, in the order of a cluster's life; the other host is never touched but by PREEMPT
    of its key."""
    s = world(t, kind, quirk)
    paths = 2 if quirk == "shared" else 4
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), CONFLICT, "")
    s.good(scsi.REGISTER, 0, KEY)
    s.registered(KEY, paths, OTHER_KEY)
    s.told(KEY)
    t.answered(s.tell(scsi.REGISTER, 0, KEY), CONFLICT, "")
    t.answered(s.tell(scsi.REGISTER, NEW_KEY, KEY), CONFLICT, "")
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    s.registered(NEW_KEY, paths, OTHER_KEY)
    s.told(NEW_KEY)
    s.good(scsi.RESERVE, NEW_KEY, kind=KIND)
    t.equal(s.held, KIND, "type")
    s.good(scsi.RESERVE, NEW_KEY, kind=KIND)
    t.answered(s.tell(scsi.RESERVE, NEW_KEY, kind=ALL), CONFLICT, "")
    t.answered(s.tell(scsi.RELEASE, KEY, kind=KIND), CONFLICT, "")
    t.equal(s.held, KIND, "type after RELEASE with a wrong key")
    s.good(scsi.REGISTER, NEW_KEY, KEY)
    s.registered(KEY, paths, OTHER_KEY)
    t.equal(s.held, KIND, "type after the key has changed")
    s.good(scsi.PREEMPT, KEY, OTHER_KEY, KIND)
    s.registered(KEY, paths)
    t.check(not s.target.may_write(OTHER), "the other host writes, fenced")
    s.good(scsi.PREEMPT, KEY, KEY, KIND)
    s.registered(KEY, paths)
    t.equal(s.held, KIND, "type after PREEMPT of the own key")
    s.good(scsi.RELEASE, KEY, kind=KIND)
    t.equal(s.held, 0, "type after RELEASE")
    s.good(scsi.RELEASE, KEY, kind=KIND)
    s.good(scsi.REGISTER, KEY, 0)
    s.registered(0, 0)
    s.told(0)
    s.good(scsi.REGISTER_AND_IGNORE, 0, KEY)
    s.registered(KEY, paths)
    s.good(scsi.CLEAR, KEY)
    s.registered(0, 0)
    s.told(0)


@cases(*WORLDS)
def preempts_its_own_key(t: Context, kind: str, quirk: str) -> None:
    """Without a reservation: no path stays registered, as of a plain LUN (SPC-4 5.13.11.2.5)."""
    s = world(t, kind, quirk)
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.PREEMPT, KEY, KEY, KIND)
    s.registered(0, 0, OTHER_KEY)
    s.told(0)


@cases(*((kind, kind) for kind in KINDS))
def takes_over(t: Context, kind: str) -> None:
    """Nothing is known of a map whose paths are registered already: each finds its registration."""
    s = world(t, kind, "")
    for path in range(4):
        s.target.out(path, scsi.REGISTER, 0, KEY)
    s.target.out(2, scsi.RESERVE, KEY, kind=KIND)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    t.equal(s.held, 0, "type after RELEASE")
    s.registered(KEY, 4, OTHER_KEY)
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    s.registered(NEW_KEY, 4, OTHER_KEY)


@cases(("old", False), ("new", True))
def persists(t: Context, new: bool) -> None:
    s = t.start(new=new)
    s.good(scsi.REGISTER, 0, KEY, flags=1)
    t.equal(s.read(scsi.REPORT_CAPABILITIES).data[3] & 1, 1, "APTPL active")
    t.check(any(one == f"setprkey map {s.map.kernel_name} key {KEY:x}:aptpl"
                for one in s.multipathd.asked), f"asked: {s.multipathd.asked}")
    wanted = [f"{os.major(rdev)}:{os.minor(rdev)}" for rdev in s.map.rdevs]
    lists = [one for one in s.multipathd.asked if "pathlist" in one]
    t.equal(bool(lists), new, "the paths that are registered are told to who can take it")
    for one in lists:
        before, list_, after = one.split('"')
        t.equal((before, sorted(list_.split()), after),
                (f"setprstatus map {s.map.kernel_name} pathlist ", sorted(wanted), ""), "list")


@cases(("move", 7, BAD_CDB), ("replace", 8, BAD_CDB), ("last", 31, BAD_CDB))
def no_such_action(t: Context, action: int, wanted: tuple) -> None:
    s = t.start()
    t.answered(s.tell(action, 0, KEY), wanted, "")
    t.equal(s.target.log(), [], "commands to paths")


@cases(("none", 0), ("cut", 23), ("longer", 25))
def list_length(t: Context, length: int) -> None:
    s = t.start()
    data = (scsi.parameters(0, KEY) + bytes(8))[:length]
    got = s.worker.send(s.map.open(), scsi.pr_out(length, scsi.REGISTER), data).reply()
    t.answered(got, BAD_LENGTH, "")
    t.equal(s.target.log(), [], "commands to paths")


def fc(name: int) -> bytes:
    return struct.pack(">BxH4xQ8x", 0, 0, name)


@cases(("SPEC_I_PT", 8, struct.pack(">I", 24) + fc(1)), ("ALL_TG_PT", 4, b""))
def not_for_maps(t: Context, flags: int, tail: bytes) -> None:
    s = t.start()
    t.answered(s.tell(scsi.REGISTER, 0, KEY, flags=flags, tail=tail), BAD_LIST, "not supported on maps")
    t.equal(s.target.log(), [], "commands to paths")


@cases(("read-only", os.O_RDONLY), ("path-only", os.O_PATH))
def not_writable(t: Context, flags: int) -> None:
    s = t.start()
    t.answered(s.tell(scsi.REGISTER, 0, KEY, mode=flags), REFUSED, "not a multipath map, or not open")
    t.equal(s.target.log(), [], "commands to paths")


@test
def no_map(t: Context) -> None:
    s = t.start()
    for number in (0, 1):
        fd = t.own(os.open(("/dev/null", "/proc/version")[number], os.O_RDONLY))
        t.answered(s.worker.send(fd, scsi.pr_in(8)).reply(), REFUSED, "not a multipath map")


@test
def another_kind_of_map(t: Context) -> None:
    s = t.start()
    write(f"{s.map.sys}/dm/uuid", "LVM-abcdef\n")
    t.answered(s.tell(scsi.REGISTER, 0, KEY), REFUSED, "not a multipath map")


@test
def reads_by_another_path(t: Context) -> None:
    """One path's no is not the logical unit's."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    for fault in (dict(status=2, sense=(2, 4, 0x0A)), dict(status=2, sense=(2, 4, 0x0C)),
                  dict(status=2, sense=(5, 0x25, 0)), dict(status=2, sense=(5, 0x94, 1)),
                  dict(status=8), dict(host_status=0x0D), dict(host_status=1), dict(error=19)):
        s.target.fail(0, **fault)
        s.target.fail(1, **fault)
        got = s.read()
        t.equal((got.code, got.data[8:]), (GOOD, struct.pack(">Q", OTHER_KEY)), str(fault))
    s.target.fail(2, error=19)
    t.answered(s.read(), (2, 4, 0x44, 0), "none of its 3 paths answers")


@test
def reads_what_is_refused(t: Context) -> None:
    """The device's own answer ends it."""
    s = t.start()
    t.answered(s.read(0x1F), BAD_CDB, "")
    t.equal(len(s.target.log(0x5E)), 1, "paths that were asked")


FAULTS = [(name, fault) for name, fault in [
    ("transitioning", dict(status=2, sense=(2, 4, 0x0A))),
    ("standby", dict(status=2, sense=(2, 4, 0x0B))),
    ("unavailable", dict(status=2, sense=(2, 4, 0x0C))),
    ("not mapped", dict(status=2, sense=(5, 0x25, 0))),
    ("not the owner", dict(status=2, sense=(5, 0x94, 1))),
    ("no connection", dict(host_status=1)), ("fast fail", dict(host_status=0x0F)),
    ("offline", dict(error=19))]]


@cases(*((f"{name}, path {path}", fault, path) for name, fault in FAULTS for path in range(3)))
def path_says_no(t: Context, fault: dict, path: int) -> None:
    """All commands go by the others, and the path's registration does not outlive the map's."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    s.target.fail(path, **fault)
    s.good(scsi.PREEMPT, KEY, OTHER_KEY, KIND)
    s.registered(KEY)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    t.equal(s.held, 0, "type after RELEASE")
    s.good(scsi.REGISTER, KEY, 0)
    s.registered(0, 0)


@cases(*((f"{name}, path {path}", fault, path) for path in range(3) for name, fault in
         [("BUSY", dict(status=8)), ("TASK SET FULL", dict(status=0x28)),
          ("REQUEUE", dict(host_status=0x0D)), ("IMM_RETRY", dict(host_status=0x0C))]))
def path_is_busy(t: Context, fault: dict, path: int) -> None:
    """Nothing was done: for a while, again; for ever, BUSY."""
    s = t.start()
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    s.target.fail(path, times=2, **fault)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    t.equal(s.held, 0, "type after RELEASE")


@test
def no_path_at_all(t: Context) -> None:
    s = t.start()
    for path in range(3):
        s.target.fail(path, error=19)
    t.answered(s.tell(scsi.REGISTER, 0, KEY), BUSY, "no path of the map accepts the command")
    t.equal(s.target.log(), [], "commands that change something")
    for path in range(3):
        s.map.remove_path(path)
    t.answered(s.tell(scsi.REGISTER, 0, KEY), BUSY, "no path of the map accepts the command")
    t.answered(s.read(), NO_PATH, "none of its 0 paths answers")


@test
def path_with_foreign_node(t: Context) -> None:
    """sysfs has another number for a name than /dev: it is not opened, and the others serve."""
    s = t.start()
    write(f"{s.map.sys}/slaves/{s.map.names[0]}/dev", "1:3\n")
    s.good(scsi.REGISTER, 0, KEY)
    s.registered(KEY, 2)


@cases(("registered", True), ("not registered", False))
def cleanup(t: Context, registered: bool) -> None:
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    if registered:
        s.good(scsi.REGISTER, 0, KEY)
    t.answered(s.worker.send(s.map.open(), scsi.cleanup()).reply(), GOOD)
    s.registered(0, 0, OTHER_KEY)
    s.told(0)


@test
def cleanup_after_a_fence(t: Context) -> None:
    """The other host has preempted the guest, as a live migration does: there is a unit attention, and
    CLEANUP is not for the guest to hear of it."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY)
    s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, KEY, KIND)
    t.answered(s.worker.send(s.map.open(), scsi.cleanup()).reply(), GOOD)
    s.registered(0, 0, OTHER_KEY)
    s.told(0)


@test
def unit_attentions(t: Context) -> None:
    """What the guest did itself by one path, the others do not tell it; what another host did it
    hears once."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    s.good(scsi.PREEMPT, KEY, KEY, KIND)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, KEY, KIND)
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), (2, 6, 0x2A, 5), "unit attention")
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), CONFLICT, "")


@cases(*((f"{name}, {'new' if new else 'old'}", key, text, new) for new in (False, True)
         for name, key, text in [("no daemon", "", r"cannot reach multipathd"),
                                 ("other", "0x123", "reservation_key file"),
                                 ("no line", "none", r"multipathd has not kept the client.s key for this map"
                                                     r".*reservation_key file")]))
def advice(t: Context, key: str, text: str, new: bool) -> None:
    """Registered all the same, and the administrator is told what multipathd lacks. It is not told to
    look after registrations that it would not know for its own: from 0.13 on it would clear one."""
    s = t.start(new=new)
    if not key:
        s.multipathd.close()
    s.multipathd.configured = key
    t.answered(s.tell(scsi.REGISTER, 0, KEY), GOOD, text)
    s.registered(KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    s.good(scsi.PREEMPT, KEY, KEY, KIND)
    t.equal([one for one in s.multipathd.asked if one.startswith("setprstatus")], [], "told")


@test
def one_connection(t: Context) -> None:
    """Is kept from one command to the next, and made anew when multipathd has been restarted."""
    s = t.start()
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    t.equal(s.multipathd.connections, 1, "connections")
    s.multipathd.restart(new=True)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    s.good(scsi.REGISTER, KEY, NEW_KEY)
    t.equal(s.multipathd.connections, 2, "connections")
    t.check(any("pathlist" in one for one in s.multipathd.asked), "the new version is known")
    s.told(NEW_KEY)


@test
def few_commands(t: Context) -> None:
    """How many commands a map of three paths takes, so that it does not grow unseen."""
    s = t.start(kind="iscsi")
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.REGISTER, KEY, 0)
    for action, key, new, commands, exchanges in [
            (scsi.REGISTER, 0, KEY, 12, 6), (scsi.RESERVE, KEY, 0, 5, 1),
            (scsi.RELEASE, KEY, 0, 10, 1), (scsi.REGISTER, KEY, 0, 10, 4)]:
        sent, told = s.target.control.logged, len(s.multipathd.asked)
        s.good(action, key, new, 0 if action == scsi.REGISTER else KIND)
        t.equal((s.target.control.logged - sent, len(s.multipathd.asked) - told),
                (commands, exchanges), f"commands, exchanges of service action {action}")


@cases(("hangs up", None), ("too long", b"x" * 5000))
def bad_multipathd(t: Context, answer) -> None:
    """Nothing is registered behind its back."""
    s = t.start()
    s.multipathd.answers["getprstatus"] = answer
    t.answered(s.tell(scsi.REGISTER, 0, KEY), GOOD, "")
    s.registered(KEY)
