# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs when: one map in order, maps side by side, and what hangs holds up its path alone."""
import os
import statistics
import time

from support import procfs, scaled, scsi
from support.target import HANG, LATE
from support.tap import cases, limit, test
from support.worker import REQUEST

from .fixture import (BUSY, CONFLICT, GOOD, KEY, KIND, NEW_KEY, OTHER, OTHER_KEY, UNKNOWN, Context,
                      Session, initiator)

HUNG, MANY = 200, 100
#: kB of private memory that the worker takes idle, and for each map that hangs.
IDLE_KB, EACH_KB = 250, 100
#: Seconds that a path may take before it counts as hanging, beside one that answers.
PATIENCE = 1.0


def timed(call) -> tuple:
    started = time.monotonic()
    result = call()
    return result, time.monotonic() - started


def reserved(t: Context, count: int = 4, **more) -> Session:
    s = t.start(count, **more)
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    return s


@cases(*((f"{name}, {hung} of 4 hang", action, hung)
         for name, action in [("preempt", scsi.PREEMPT), ("reserve", scsi.RESERVE),
                              ("release", scsi.RELEASE)] for hung in (1, 3)))
def hanging_paths(t: Context, action: int, hung: int) -> None:
    """They are waited for once, together; and the holding one is among them, which the map has failed
    by then."""
    s = reserved(t)
    s.multipathd.answers["show"] = "".join(f"{name} failed\n" for name in s.map.names).encode()
    for path in range(hung):
        s.target.hang(path, HANG)
    reply, took = timed(lambda: s.tell(action, KEY, OTHER_KEY if action == scsi.PREEMPT else 0,
                                       KIND))
    t.answered(reply, GOOD, "")
    t.check(took < PATIENCE + scaled(1), f"took {took:.2f} s")
    t.equal(s.held, 0 if action == scsi.RELEASE else KIND, "type")
    _, took = timed(lambda: s.tell(scsi.RESERVE, KEY, kind=KIND))
    t.check(took < scaled(0.8), f"the next one took {took:.2f} s")


@cases(("in use", "active", 0, BUSY), ("failed", "failed", 0, GOOD),
       ("failed, with a write in flight", "failed", 1, BUSY))
def narrowed_map(t: Context, state: str, in_flight: int, wanted: tuple) -> None:
    """The path that holds the reservation hangs. If the map still uses it, writes of the guest may, too:
    they would meet what RELEASE needs here, so nothing is sent, and no path is failed for it, which
    multipathd would register again when it is reinstated."""
    s = reserved(t)
    holder = next(one[0] for one in s.target.log() if one[1] == scsi.RESERVE)
    s.target.hang(holder, HANG)
    s.map.set_in_flight(holder, in_flight)
    lines = "\n".join(f"{name} {state if number == holder else 'active'}  "
                      for number, name in enumerate(s.map.names))
    s.multipathd.answers["show"] = f"sda failed\n{lines}\n".encode()
    t.answered(s.tell(scsi.RELEASE, KEY, kind=KIND), wanted,
               "could not be reduced" if wanted == BUSY else "")
    t.equal(s.held, KIND if wanted == BUSY else 0, "type")
    s.registered(KEY, 4 if wanted == BUSY else 3, OTHER_KEY)
    t.equal(len([one for one in s.multipathd.asked if one.startswith("fail ")]),
            0 if wanted == BUSY else 2, "paths that were failed")


def told(s: Session) -> list:
    """What the worker has told of the paths, in their order."""
    found = s.worker.maps().get("mpath-mpatha", {})
    return [tuple(found[name]) for name in s.map.names if name in found]


@test
def helper_is_told_of_paths(t: Context) -> None:
    """Which of them answer, and which are registered."""
    s = t.start()
    t.equal(s.worker.maps(), {}, "before the first command")
    s.good(scsi.REGISTER, 0, KEY)
    t.equal(told(s), [("up", True)] * 3, "registered")
    s.good(scsi.CLEAR, KEY)
    t.equal(told(s), [("up", False)] * 3, "after CLEAR")
    s.target.hang(0, HANG)
    s.good(scsi.REGISTER, 0, KEY)
    t.equal(told(s), [("hangs", False), ("up", True), ("up", True)], "one hangs")
    s.target.go_on(0)
    s.worker.wait_until("it is registered", lambda: told(s) == [("up", True)] * 3, 15)
    s.target.fail(1, error=5)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    t.equal(told(s), [("up", True), ("away", True), ("up", True)], "away, with its registration")
    s.target.heal(1)
    s.worker.wait_until("it is back", lambda: told(s) == [("up", True)] * 3, 15)
    s.good(scsi.REGISTER, KEY, 0)
    t.equal(told(s), [("up", False)] * 3, "unregistered")


@test
def path_that_is_not_registered(t: Context) -> None:
    """Its port has no room for another registration: it is told of until there is."""
    s = t.start()
    s.target.fail(2, status=scsi.CHECK_CONDITION, sense=(5, 0x55, 4))
    s.target.control.path[2].only_out = 1
    t.answered(s.tell(scsi.REGISTER, 0, KEY), UNKNOWN, "not every path")
    t.equal(told(s), [("up", True), ("up", True), ("up", False)], "one is missing")
    s.target.heal(2)
    s.worker.wait_until("it is registered", lambda: told(s) == [("up", True)] * 3, 15)


@test
def path_that_was_added(t: Context) -> None:
    """multipathd has not registered it: the next command shows that."""
    s = reserved(t, 3)
    at = s.target.control.n_paths
    s.map.add_path(host=at)
    s.target.add_path(s.map.rdevs[-1], at, 1)
    s.target.login(at, initiator("fc", at), 1)
    s.machine.wire("fc", at, at)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    t.equal(told(s), [("up", True)] * 3 + [("up", False)], "the new one")
    s.good(scsi.REGISTER, KEY, KEY)
    t.equal(told(s), [("up", True)] * 4, "after another REGISTER")


@test
def returned_path_is_registered(t: Context) -> None:
    """By the worker, without a command: after a short blip multipathd notices nothing."""
    s = t.start()
    s.target.hang(0, HANG)
    s.good(scsi.REGISTER, 0, KEY)
    s.registered(KEY, 2)
    s.target.go_on(0)
    s.worker.wait_until("the third registration", lambda: s.keys == [KEY] * 3, 15)


@test
def returned_path_of_a_busy_map_is_registered(t: Context) -> None:
    """What a guest sends again and again does not put the look at the path off."""
    s = t.start()
    s.target.fail(0, error=19)
    s.good(scsi.REGISTER, 0, KEY)
    s.registered(KEY, 2)
    s.target.heal(0)
    deadline = time.monotonic() + scaled(15)
    while s.keys != [KEY] * 3:
        t.check(time.monotonic() < deadline, "no third registration")
        t.answered(s.tell(scsi.RESERVE, NEW_KEY, kind=KIND), CONFLICT, "")
        time.sleep(0.1)


@test
def returned_path_is_not_revived(t: Context) -> None:
    """Another host fences the map while a path is away. multipathd has registered that one again."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY)
    s.target.fail(0, error=19)
    s.good(scsi.RELEASE, KEY, kind=KIND)
    s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, KEY, KIND)
    s.registered(0, 0, OTHER_KEY)
    s.target.out(0, scsi.REGISTER, 0, KEY)
    s.target.heal(0)
    s.worker.wait_until("it is withdrawn", lambda: s.keys == [OTHER_KEY], 15)
    t.answered(s.tell(scsi.RESERVE, KEY, kind=KIND), CONFLICT, "")


@cases(("executed", LATE, KIND), ("not executed", HANG, 0))
def lost_reserve(t: Context, how: int, held: int) -> None:
    """No answer to what changes something: a second look tells that it was executed; it is not sent
    again, and if it may come late the map is BUSY until it has returned."""
    s = t.start()
    s.good(scsi.REGISTER, 0, KEY)
    for path in range(3):
        s.target.hang(path, how, only_out=True)
    reply, took = timed(lambda: s.tell(scsi.RESERVE, KEY, kind=KIND))
    t.check(took < scaled(14), f"took {took:.2f} s")
    t.answered(reply, GOOD if held else UNKNOWN, "" if held else "outcome unknown")
    t.equal(len([one for one in s.target.log() if one[1] == scsi.RESERVE]), 1 if held else 0,
            "RESERVEs that have got there")
    t.answered(s.tell(scsi.RELEASE, KEY, kind=KIND), BUSY, "an earlier command is still hung")
    for path in range(3):
        s.target.go_on(path)
    s.worker.wait_until("no more BUSY",
                        lambda: s.tell(scsi.RESERVE, KEY, kind=KIND).code != BUSY, 15)
    s.good(scsi.RESERVE, KEY, kind=KIND)
    t.equal(s.held, KIND, "type")


@test
def deadline(t: Context) -> None:
    """All paths hang: BUSY, and nothing was sent."""
    s = t.start()
    for path in range(3):
        s.target.hang(path, HANG)
    reply, took = timed(lambda: s.tell(scsi.REGISTER, 0, KEY, deadline=2.0))
    t.answered(reply, BUSY, "")
    t.check(2 <= took < 2 + scaled(1), f"took {took:.2f} s")
    for path in range(3):
        s.target.go_on(path)
    s.worker.wait_until("a path is free again",
                        lambda: s.tell(scsi.REGISTER_AND_IGNORE, 0, KEY).code == GOOD, 15)
    s.worker.wait_until("all are registered", lambda: s.keys == [KEY] * 3, 15)


@test
def one_map_in_order(t: Context) -> None:
    """Commands that change something, as they came; what reads goes beside them."""
    s = reserved(t)
    s.target.hang(0, HANG)
    first = s.send(scsi.REGISTER, KEY, NEW_KEY)
    second = s.send(scsi.REGISTER, NEW_KEY, KEY)
    third = s.send(scsi.RELEASE, KEY, kind=KIND)
    t.answered(s.read(), GOOD, "")
    for pending in (first, second, third):
        t.answered(pending.reply(30), GOOD, "")
    t.equal(s.held, 0, "type")


def cycles(s: Session, count: int = 60) -> float:
    """The shortest time of RESERVE and RELEASE: what else the machine does is not in it."""
    times = []
    for _ in range(count):
        _, took = timed(lambda: (s.good(scsi.RESERVE, KEY, kind=KIND),
                                 s.good(scsi.RELEASE, KEY, kind=KIND)))
        times.append(took)
    return min(times)


@test
@limit(120)
def hung_maps(t: Context) -> None:
    """However many hang, a healthy one does not notice; and what each of them costs."""
    machine = t.machine()
    healthy = machine.make_map(2, name="healthy")
    hung = [machine.make_map(1, name=f"hung{number}") for number in range(HUNG)]
    s = Session(t, machine, healthy, t.ready(machine))
    s.good(scsi.REGISTER, 0, KEY)
    idle = procfs.private_kb(s.worker.pid)
    before = cycles(s)
    for number in range(HUNG):
        s.target.hang(2 + number, HANG)
    pending = [s.send(scsi.REGISTER, 0, KEY, on=one, deadline=60) for one in hung]
    opener, = procfs.children(s.worker.pid)
    s.worker.wait_until("all of them hang", lambda: len(procfs.threads(s.worker.pid)) > 2 * HUNG, 60)
    meanwhile, tries = cycles(s), 1
    while meanwhile > before * 1.5 and tries < 10:  # the machine may be busy with something else
        meanwhile, tries = min(meanwhile, cycles(s)), tries + 1
    each = (procfs.private_kb(s.worker.pid) - idle) / HUNG
    print(f"# a cycle takes {before * 1000:.2f} ms, and {meanwhile * 1000:.2f} ms beside {HUNG} hung "
          f"maps; worker idle {idle} kB, {each:.0f} kB more for each; "
          f"opener {procfs.private_kb(opener)} kB", flush=True)
    t.check(meanwhile < before * 1.5 + scaled(0.001),
            f"{before:.4f} s, and {meanwhile:.4f} s meanwhile")
    if not t.lab.sanitized:
        t.check(idle <= IDLE_KB and each <= EACH_KB, f"{idle} kB idle, {each:.0f} kB for each")
    for number in range(HUNG):
        s.target.go_on(2 + number)
    for one in pending:
        t.check(one.reply(60) is not None, "no answer came")


@test
@limit(120)
def many_maps_at_once(t: Context) -> None:
    """As when a node's virtual machines all start again."""
    machine = t.machine()
    maps = [machine.make_map(1, name=f"map{number}") for number in range(MANY)]
    s = Session(t, machine, maps[0], t.ready(machine))
    began = time.monotonic()
    pending = [s.send(scsi.REGISTER, 0, KEY, on=one, deadline=60) for one in maps]
    times = []
    for one in pending:
        t.answered(one.reply(60), GOOD, "")
        times.append(time.monotonic() - began)
    print(f"# {MANY} maps at once: all registered after {times[-1]:.2f} s, half after "
          f"{statistics.median(times):.2f} s; worker {procfs.private_kb(s.worker.pid)} kB",
          flush=True)
    s.registered(KEY, MANY)
    t.check(times[-1] < scaled(10), f"{times[-1]:.2f} s")


@test
def room_for_one_map(t: Context) -> None:
    """A sick one cannot fill the worker's memory."""
    s = t.start(1)
    s.target.hang(0, HANG)
    pending = [s.send(scsi.REGISTER, 0, KEY, deadline=3.0) for _ in range(40)]
    texts = [one.reply(30).text for one in pending]
    t.check(any("too many commands are waiting" in text for text in texts), f"{texts}")
    s.target.go_on(0)
    s.good(scsi.REGISTER, 0, KEY)


@cases(("empty-kind", REQUEST.pack(0, 0, 0, 0, 0, b"", b"")), ("short", b"x"), ("farewell", bytes(8)),
       ("long", bytes(REQUEST.size + 1)))
def malformed(t: Context, message: bytes) -> None:
    """Dropped, with its fds; the worker goes on."""
    s = t.start()
    ours, theirs = os.pipe()
    s.worker.send_raw(message, [theirs, theirs])
    os.close(theirs)
    t.equal(os.read(ours, 1), b"", "end of file: no process has it any more")
    os.close(ours)
    s.good(scsi.REGISTER, 0, KEY)


@test
def last_client(t: Context) -> None:
    """It is gone, and so are the registrations, by another host: multipathd forgets the key."""
    s = t.start()
    s.target.out(OTHER, scsi.REGISTER, 0, OTHER_KEY)
    s.good(scsi.REGISTER, 0, KEY, connection=11)
    s.good(scsi.RESERVE, KEY, kind=KIND, connection=12)
    s.worker.farewell(11)
    s.target.out(OTHER, scsi.PREEMPT, OTHER_KEY, KEY, KIND)
    s.tell(scsi.RESERVE, KEY, kind=KIND, connection=12)  # hears of it
    s.told(KEY)
    s.worker.farewell(12)
    s.worker.wait_until("multipathd has forgotten it", lambda: not s.multipathd.key, 10)
    s.told(0)


@test
def last_client_of_a_registered_map(t: Context) -> None:
    """The virtual machine is off, and its registration stays, as that of a host that is off."""
    s = t.start()
    s.good(scsi.REGISTER, 0, KEY, connection=11)
    s.worker.farewell(11)
    s.good(scsi.RESERVE, KEY, kind=KIND, connection=12)
    s.told(KEY)
    s.registered(KEY)
