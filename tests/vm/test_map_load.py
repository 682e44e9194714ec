# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many commands on a multipath map, good ones and bad ones, from several clients at once: they
leave nothing behind in helper, keeper and worker. TEST_MAP_COMMANDS says how many, TEST_MAP_SEED
which.
"""
import contextlib
import os
import random
import struct
import threading
from typing import Dict, List, NamedTuple

import context
import lab
from host import GOOD, Host
from maps import KEY, NEW_KEY, NODE, OTHER_KEY, Context, Lab, find_worker
from support import procfs, scsi
from support.process import Helper
from support.tap import cases, limit

PACKAGES = ["multipath"]

COMMANDS = int(os.environ.get("TEST_MAP_COMMANDS", "150"))
SEED = int(os.environ.get("TEST_MAP_SEED", "1"))
CLIENTS = 3
#: Until memory has come to what it takes: each kind of command, by each client.
WARM_UP = 60
#: kB of private memory that a process may have more at the end, however many commands there were.
ROOM_KB = {"helper": 64, "keeper": 0, "worker": 16}
STATUSES = (scsi.GOOD, scsi.CHECK_CONDITION, scsi.BUSY, scsi.RESERVATION_CONFLICT)


open_lab = context.opener(Lab, Context)


class Use(NamedTuple):
    """What a process takes."""
    fds: List[str]
    children: int
    private_kb: int


def use(helper: Helper) -> Dict[str, Use]:
    keeper, = procfs.children(helper.pid)
    worker = find_worker(helper)
    assert worker
    return {name: Use(sorted(procfs.fds(pid).values()), len(procfs.children(pid, zombies=True)),
                      procfs.private_kb(pid))
            for name, pid in [("helper", helper.pid), ("keeper", keeper), ("worker", worker)]}


def some_key(dice: random.Random) -> int:
    return dice.choice([0, KEY, NEW_KEY, OTHER_KEY])


def transport_ids(dice: random.Random) -> bytes:
    """A list of up to 40, the length of which may be a lie."""
    ids = bytes([dice.choice([0, 0, 6, 5, 3])] + [0] * 7) + dice.randbytes(16)
    data = ids * dice.randrange(41)
    length = dice.choice([len(data), len(data), 2 ** 32 - dice.randrange(1, 29), 0, 24])
    return scsi.parameters(0, some_key(dice), 8) + struct.pack(">I", length) + data


def one_command(dice: random.Random, host: Host, read_only: Host) -> int:
    """Its status."""
    action = dice.choice([*range(8), scsi.REGISTER_AND_IGNORE, dice.randrange(32)])
    kind = dice.choice([5, 5, 8, 1, 3, 0xF])
    what = dice.random()
    if what < 0.35:
        return host.ask(dice.choice([0, 1, 2, 3, 3, dice.randrange(32)]),
                        dice.choice([scsi.DATA_MAX, dice.randrange(64)])).status
    if what < 0.75:
        return host.tell(action, kind, some_key(dice), some_key(dice),
                         dice.choice([0, 0, 0, 1])).status
    if what < 0.83:
        return host.tell_raw(scsi.REGISTER, 0, transport_ids(dice)).status
    if what < 0.88:
        return host.tell_raw(action, kind, dice.randbytes(dice.randrange(64))).status
    if what < 0.93:
        return read_only.tell(action, kind, KEY, NEW_KEY).status
    if what < 0.96:
        return host.connection.command(scsi.cleanup(), host.fd).status
    return host.connection.command(scsi.pr_in(8, filler=dice.randbytes(6)), host.fd).status


def load(t: Context, helper: Helper, count: int, seed: int) -> None:
    """count commands, and one more by each client that goes away without waiting for its answer."""
    failures: List[str] = []

    def client(number: int, host: Host, read_only: Host) -> None:
        dice = random.Random(f"{seed}.{number}")
        turn = 0
        try:
            for turn in range(count // CLIENTS):
                status = one_command(dice, host, read_only)
                if status not in STATUSES:
                    failures.append(f"client {number}, command {turn}: status {status:#x}")
            parameters = scsi.parameters(0, KEY)
            host.connection.send_request(scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE),
                                         [host.fd], parameters)
        except Exception as error:  # a thread's end says nothing
            failures.append(f"client {number}, command {turn}: {type(error).__name__}: {error}")

    with contextlib.ExitStack() as stack:
        def connect(flags: int) -> Host:
            return stack.enter_context(contextlib.closing(
                Host(helper.socket_path, NODE, flags, timeout=60)))
        threads = [threading.Thread(target=client, args=[number, connect(os.O_RDWR),
                                                         connect(os.O_RDONLY)])
                   for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    t.equal(failures, [], f"what went wrong with seed {seed}")


def settle(helper: Helper, idle: Dict[str, Use]) -> None:
    """Until what the clients have left is closed, the last command is over, and the worker has let go
    of the map's paths, each of which it keeps open by a thread for some seconds."""
    def settled() -> bool:
        now = use(helper)
        return (all(len(now[name].fds) <= len(idle[name].fds)
                    and now[name].children <= idle[name].children for name in now)
                and len(procfs.threads(find_worker(helper))) == 1)
    lab.wait_for("fds and processes as they were", settled, 30)


@cases(("nobody", "nobody"))
@limit(900)
def nothing_left(t: Context, user: str) -> None:
    helper = t.start(user)
    with contextlib.closing(Host(helper.socket_path, NODE)) as a:
        t.replied(a.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY), GOOD, "registers")
        a.connection.end()
        t.equal(a.connection.receive_rest(), b"", "the end: this client is forgotten")
    idle = use(helper)
    load(t, helper, WARM_UP, SEED + 1000)
    settle(helper, idle)
    before = use(helper)
    load(t, helper, COMMANDS, SEED)
    settle(helper, idle)
    after = use(helper)
    for name, room in ROOM_KB.items():
        t.equal(after[name].fds, before[name].fds, f"fds of the {name}")
        t.equal(after[name].children, before[name].children, f"processes of the {name}")
        grown = after[name].private_kb - before[name].private_kb
        print(f"# {name}: {after[name].private_kb} kB, {grown:+d} kB, "
              f"{len(after[name].fds)} fds", flush=True)
        t.check(grown <= room, f"the {name} has {grown} kB more after {COMMANDS} commands")
    t.lab.reset()
    t.replied(t.open(helper).tell(scsi.REGISTER_AND_IGNORE, action_key=NEW_KEY), GOOD,
              "registers at the end")
    t.registered(NEW_KEY)
