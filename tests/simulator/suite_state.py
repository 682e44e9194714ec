# SPDX-License-Identifier: LGPL-2.1-or-later
"""--state: what was persistent is there again, and what could not be kept did not happen."""
import os
import random
import signal
import struct

from support import scsi
from support.client import Disconnected
from support.tap import Skip, cases, limit, test

from simulator.fixture import (ALL_REGISTRANTS, APTPL, CONFLICT, FAILED, REGISTRANTS_ONLY,
                               WRITE_EXCLUSIVE)

NOBODY = 65534
KILLS = 25
FILES = 100


class Scene:
    """A LUN, a directory for the state, and simulators one after the other."""

    def __init__(self, t):
        self.t = t
        self.lun = t.make_lun()
        self.state = t.directory()

    def start(self, *options, **arguments):
        self.simulator = self.t.start("--state", self.state, *options, **arguments)
        return self.t.hosts(self.simulator, self.lun)

    def restart(self):
        self.t.equal(self.simulator.stop(), 0, "exit code")
        return self.start()

    @property
    def file(self):
        """The LUN's state file, the only one there is."""
        names = os.listdir(self.state)
        self.t.equal(len(names), 1, f"files in the state directory ({names})")
        return os.path.join(self.state, names[0])


@test
def registrations_and_reservation(t):
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.good(b.register(0xB, flags=APTPL))
    t.good(b.reserve(0xB, REGISTRANTS_ONLY))
    before = a.full_status()
    a, b = scene.restart()
    t.equal(a.full_status(), before, "full status")
    t.equal(a.reservation(), (0xB, REGISTRANTS_ONLY), "reservation")
    t.equal(a.keys(), (0, [0xA, 0xB]), "generation, which starts anew, and keys")
    t.replied(a.reserve(0xA), CONFLICT, "RESERVE of a")
    t.good(a.out(scsi.PREEMPT, 0xA, 0xB, WRITE_EXCLUSIVE), "PREEMPT")
    a, b = scene.restart()
    t.equal(b.reservation(), (0xA, WRITE_EXCLUSIVE), "reservation after PREEMPT")
    t.equal(b.keys(), (0, [0xA]), "keys after PREEMPT")


@test
def all_registrants(t):
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.good(b.register(0xB, flags=APTPL))
    t.good(a.reserve(0xA, ALL_REGISTRANTS))
    before = a.full_status()
    a, b = scene.restart()
    t.equal(b.full_status(), before, "full status")
    t.equal(b.reservation(), (0, ALL_REGISTRANTS), "reservation")


@test
def without_aptpl_nothing_stays(t):
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA))
    t.good(a.reserve(0xA))
    a, b = scene.restart()
    t.equal(a.keys(), (0, []), "keys")
    t.equal(b.reservation(), None, "reservation")


@test
def aptpl_taken_back(t):
    """The last REGISTER counts, for all registrations."""
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.good(b.register(0xB))
    a, b = scene.restart()
    t.equal(a.keys(), (0, []), "keys")


@test
def two_luns_two_files(t):
    scene = Scene(t)
    a, _ = scene.start()
    other = t.host(scene.simulator, "a", t.make_lun())
    t.good(a.register(0xA, flags=APTPL))
    t.good(other.register(0xB, flags=APTPL))
    t.equal(len(os.listdir(scene.state)), 2, "state files")
    a, _ = scene.restart()
    t.equal(a.keys(), (0, [0xA]), "keys")


@test
def file_made_anew(t):
    """Another file with the inode of one that was removed is another LUN, now and after a restart."""
    scene = Scene(t)
    hosts = scene.start()
    t.good(hosts[0].register(0xA, flags=APTPL))
    inode = os.stat(scene.lun).st_ino
    for host in hosts:
        host.close()
    made = []
    for _ in range(FILES):  # a file system gives inodes again, but seldom at once
        os.unlink(scene.lun)
        os.close(os.open(scene.lun, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        made.append(os.stat(scene.lun).st_ino)
        if made[-1] == inode:
            break
    else:
        raise Skip(f"the file system does not give an inode again: {inode}, {made[:3]}...")
    again, _ = t.hosts(scene.simulator, scene.lun)
    t.equal(again.keys(), (0, []), "keys of the new file")
    t.good(again.register(0xB, flags=APTPL))
    again, _ = scene.restart()
    t.equal(again.keys(), (0, [0xB]), "keys after a restart")


@test
def unknown_nexus_keeps_its_registration(t):
    """A host that the next simulator does not have: its registration stays, and can be preempted."""
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.good(b.register(0xB, flags=APTPL))
    t.good(b.reserve(0xB))
    t.equal(scene.simulator.stop(), 0, "exit code")
    a, = scene.start(nexuses=("a",))
    t.equal(a.keys(), (0, [0xA, 0xB]), "keys")
    t.good(a.out(scsi.PREEMPT, 0xA, 0xB, WRITE_EXCLUSIVE), "PREEMPT")
    t.equal(a.reservation(), (0xA, WRITE_EXCLUSIVE), "reservation")


@test
def good_means_kept(t):
    """SIGKILL right after the answer."""
    scene = Scene(t)
    a, _ = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    for key in range(1, 6):
        t.good(a.register(key, old=key - 1 or 0xA, flags=APTPL))
        scene.simulator.signal(signal.SIGKILL)
        scene.simulator.wait_exit()
        a, _ = scene.start()
        t.equal(a.keys(), (0, [key]), "keys")


@test
@limit(60)
def killed_at_any_moment(t):
    """The state is always a whole one: the last that was answered, or the one that was asked for
    next and not answered any more."""
    scene = Scene(t)
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    a, _ = scene.start()
    t.good(a.register(1, flags=APTPL))
    answered = asked = 1
    for _ in range(KILLS):
        commands = dice.randrange(1, 6)
        waited = dice.randrange(commands + 1)
        try:
            for number in range(commands):
                # Each carries the key of the one before, so they can only succeed in turn.
                parameters = scsi.parameters(asked, asked + 1, APTPL)
                a.connection.send(scsi.pr_out(24) + parameters, [a.lun])
                asked += 1
                if number < waited:
                    t.good(a.connection.receive_reply(), f"answer, seed {seed}")
                    answered += 1
            if dice.random() < 0.5:
                a.connection.readable(dice.random() / 500)
        finally:
            scene.simulator.signal(signal.SIGKILL)
        scene.simulator.wait_exit()
        try:
            while a.connection.receive_reply().status == scsi.GOOD:
                answered += 1
        except Disconnected:
            pass
        a, _ = scene.start()
        _, keys = a.keys()
        t.check(len(keys) == 1 and answered <= keys[0] <= asked,
                f"keys {keys} after {answered} were answered and {asked} asked for, seed {seed}")
        answered = asked = keys[0]
    names = [name for name in os.listdir(scene.state) if not name.endswith(".new")]
    t.equal(len(names), 1, "state files")


@test
def leftover_of_a_killed_one(t):
    """A temporary file that was not finished is neither read nor in the way."""
    scene = Scene(t)
    a, _ = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    with open(scene.file + ".new", "wb") as file:
        file.write(b"half of something" * 1000)
    a, _ = scene.restart()
    t.equal(a.keys(), (0, [0xA]), "keys")
    t.good(a.register(0xB, old=0xA, flags=APTPL))
    a, _ = scene.restart()
    t.equal(a.keys(), (0, [0xB]), "keys")
    t.check(scene.file, "more than the LUN's file is left")


# -- when it cannot be kept


def as_nobody():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


@test
def unwritable_directory(t):
    """What cannot be saved has not happened, and no client is told of it."""
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.good(b.register(0xB, flags=APTPL))
    t.good(a.reserve(0xA))
    t.equal(scene.simulator.stop(), 0, "exit code")
    for name in os.listdir(scene.state):
        os.chmod(os.path.join(scene.state, name), 0o644)
    os.chmod(scene.state, 0o555)
    directory = t.directory()
    os.chmod(directory, 0o777)
    a, b = scene.start(directory=directory, before_exec=as_nobody)
    with open(scene.file, "rb") as file:
        saved = file.read()
    before = a.full_status(), a.reservation(), a.keys()
    for what, command in (("REGISTER", lambda: a.register(0xC, old=0xA, flags=APTPL)),
                          ("RELEASE", lambda: a.out(scsi.RELEASE, 0xA, kind=WRITE_EXCLUSIVE)),
                          ("PREEMPT", lambda: b.out(scsi.PREEMPT, 0xB, 0xA, WRITE_EXCLUSIVE)),
                          ("CLEAR", lambda: b.out(scsi.CLEAR, 0xB))):
        t.replied(command(), FAILED, what)
        t.equal((a.full_status(), a.reservation(), a.keys()), before, f"the LUN after {what}")
    scene.simulator.wait_log("cannot save the state of a LUN: Permission denied; the command was "
                             "not executed")
    with open(scene.file, "rb") as file:
        t.equal(file.read(), saved, "state file")
    t.replied(b.reserve(0xB), CONFLICT, "a command that changes nothing")
    os.chmod(scene.state, 0o777)
    t.good(b.out(scsi.CLEAR, 0xB), "CLEAR when it can be saved again")


@test
def directory_gone(t):
    scene = Scene(t)
    a, _ = scene.start()
    os.rmdir(scene.state)
    t.replied(a.register(0xA), FAILED, "REGISTER")
    t.equal(a.keys(), (0, []), "keys")
    scene.simulator.wait_log("cannot save the state of a LUN: No such file or directory")


def cut(data):
    return data[:-1]


def longer(data):
    return data + b"\0"


def empty(data):
    return b""


def text(data):
    return b"this is no state at all\n"


def other_version(data):
    return data[:4] + b"\x7f\xff" + data[6:]


def no_key(data):
    return data[:12] + bytes(8) + data[20:]


def twice(data):
    count = struct.unpack_from(">H", data, 10)[0]
    return data[:10] + struct.pack(">H", 2 * count) + 2 * data[12:]


def huge(data):
    return data + bytes(1 << 20)


@cases(*((damage.__name__, damage) for damage in (cut, longer, empty, text, other_version, no_key,
                                                  twice, huge)))
def damaged_file(t, damage):
    """No command is answered by guessing; the other LUNs are well."""
    scene = Scene(t)
    a, b = scene.start()
    t.good(a.register(0xA, flags=APTPL))
    t.equal(scene.simulator.stop(), 0, "exit code")
    name = scene.file
    with open(name, "rb") as file:
        whole = file.read()
    with open(name, "wb") as file:
        file.write(damage(whole))
    a, b = scene.start()
    for host in (a, b):
        t.replied(host.query(), FAILED, "READ KEYS")
        t.replied(host.register(0xB, flags=APTPL), FAILED, "REGISTER")
    inode = os.stat(scene.lun).st_ino
    line = (f"the saved state of a LUN (inode {inode}) cannot be used: Bad message; remove its file "
            f"from the state directory to start without it")
    t.equal(scene.simulator.log().count(line), 1, "lines that say so")
    with open(name, "rb") as file:
        t.equal(file.read(), damage(whole), "the damaged file")
    t.good(t.host(scene.simulator, "a", t.make_lun()).register(0xB), "REGISTER on another LUN")

    os.unlink(name)
    a, b = scene.restart()
    t.equal(a.keys(), (0, []), "keys after the file was removed")


@test
def a_directory_in_the_way(t):
    """Saving fails at the rename; nothing is left behind."""
    scene = Scene(t)
    a, _ = scene.start()
    t.good(a.register(0xA))
    name = scene.file
    os.unlink(name)
    os.mkdir(name)
    t.replied(a.reserve(0xA), FAILED, "RESERVE")
    t.equal(os.listdir(scene.state), [os.path.basename(name)], "files in the state directory")
    t.equal(a.reservation(), None, "reservation")
    os.rmdir(name)
    t.good(a.reserve(0xA), "RESERVE")


@test
def many_clients_at_once(t):
    """Each REGISTER that was answered GOOD is there, also if another was saving."""
    names = [f"n{number}" for number in range(16)]
    scene = Scene(t)
    hosts = scene.start(nexuses=names)
    for key, host in enumerate(hosts, 1):
        host.connection.send(scsi.pr_out(24) + scsi.parameters(0, key, APTPL), [host.lun])
    for host in hosts:
        t.good(host.connection.receive_reply(), "REGISTER")
    t.equal(scene.simulator.stop(), 0, "exit code")
    hosts = scene.start(nexuses=names)
    t.equal(sorted(hosts[0].keys()[1]), list(range(1, 17)), "keys")
