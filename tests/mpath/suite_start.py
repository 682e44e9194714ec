# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first words: can it work, and if not, what is missing? And the end."""
import os
import re
import signal
import socket

from support import procfs, scsi
from support.process import Program
from support.target import HANG
from support.tap import Skip, test

from .fixture import GOOD, KEY, Context, Machine, write

NOBODY = 65534


@test
def ready(t: Context) -> None:
    worker = t.machine().start()
    hello = worker.hello()
    t.equal((hello.ready, hello.text), (True, ""), "hello")
    t.equal(worker.end(), 0, "exit code")


def refused(t: Context, machine: Machine, text: str, **arguments) -> None:
    worker = machine.start(**arguments)
    hello = worker.hello()
    t.check(not hello.ready, "it is ready")
    t.matches(text, hello.text, "what is missing")
    t.equal(worker.wait_exit(), 1, "exit code")


@test
def no_rights(t: Context) -> None:
    machine = t.machine()
    write(machine.path("no-rights"), "")
    refused(t, machine, "^no rights$")


@test
def not_root(t: Context) -> None:
    """The real program, as another user."""
    def become_nobody() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
    machine = t.machine()
    refused(t, machine, "^the helper was not started as root", binary=t.lab.real,
            before_exec=become_nobody if os.geteuid() == 0 else None)


class Service:
    """The service manager's socket, with the worker that it starts for a connection."""

    def __init__(self, t: Context, machine: Machine, user: int = 0, abstract: bool = False):
        self.path = machine.path("socket")
        if abstract:
            self.path = f"\0{self.path}"
        os.chmod(machine.directory, 0o755)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.path)
            if not abstract:
                os.chmod(self.path, 0o666)
            listener.listen()
            ours = self._connect_as(user)
            theirs, _ = listener.accept()
        self.worker = machine.start(channel=(ours, theirs))

    def _connect_as(self, user: int) -> socket.socket:
        """As the credentials at the other end are those of the time of connect(2), by a child."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                if user:
                    os.setresuid(user, user, user)
                made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                made.connect(self.path)
                socket.send_fds(theirs, [b"."], [made.fileno()])
                os._exit(0)
            except OSError:
                os._exit(1)
        theirs.close()
        with ours:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(pid, 0)
        return socket.socket(fileno=fds[0])


@test
def service(t: Context) -> None:
    """A connection to the service manager's socket is a channel as another."""
    machine = t.machine()
    worker = Service(t, machine).worker
    hello = worker.hello()
    t.equal((hello.ready, hello.text), (True, ""), "hello")
    reply = worker.send(machine.make_map(1).open(), scsi.pr_in(8, scsi.READ_KEYS)).reply()
    t.check(reply, "no answer")
    t.equal(worker.end(), 0, "exit code")


@test
def service_for_another(t: Context) -> None:
    """Each user that the socket's mode lets connect."""
    if os.geteuid() != 0:
        raise Skip("only root can become another user")
    machine = t.machine()
    worker = Service(t, machine, NOBODY).worker
    hello = worker.hello()
    t.check(not hello.ready and not hello.later, "it is ready")
    t.matches(f"is for user 0, but a process of user {NOBODY} connected to it$", hello.text, "text")
    t.equal(worker.wait_exit(), 1, "exit code")


@test
def service_without_a_file(t: Context) -> None:
    """Of an abstract socket no mode and no owner says who may connect: it is for no one."""
    hello = Service(t, t.machine(), abstract=True).worker.hello()
    t.check(not hello.ready, "it is ready")
    t.matches("cannot identify the process connected to an unnamed socket", hello.text, "text")


@test
def service_without_a_journal(t: Context) -> None:
    """It cannot know of workers before it."""
    machine = t.machine()
    os.mkdir(machine.path("journal"))
    os.chmod(machine.path("journal"), 0o777)
    hello = Service(t, machine).worker.hello()
    t.check(not hello.ready, "it is ready")
    t.matches("is writable by other users", hello.text, "text")


@test
def by_hand(t: Context) -> None:
    program = Program([t.lab.real], t.lab.make_directory())
    t.cleanup.callback(program.close)
    t.equal(program.wait_exit(), 1, "exit code")
    t.matches("is started by qemu-pr-helper", program.log(), "standard error")


@test
def end_waits_for_what_runs(t: Context) -> None:
    """End of file on the channel: what runs is finished, what waits is dropped."""
    if t.lab.sanitized:
        raise Skip("whose own thread may come at any time, so that ours cannot be counted")
    s = t.start(1)
    s.target.hang(0, HANG)
    running = s.send(scsi.REGISTER, 0, KEY)
    s.worker.wait_until("a command under way", lambda: s.target.control.logged == 0
                        and len(procfs.threads(s.worker.pid)) == 3)
    waiting = s.send(scsi.REGISTER, KEY, 0)
    s.worker.channel.close()
    t.equal(waiting.reply(), None, "answer to what had not begun")
    s.target.go_on(0)
    t.answered(running.reply(), GOOD)
    t.equal(s.worker.wait_exit(), 0, "exit code")
    t.equal(s.keys, [KEY], "keys")


@test
def signals_do_not_end_it(t: Context) -> None:
    """systemd sends them to the whole control group; the end of the channel ends the worker."""
    s = t.start()
    s.good(scsi.REGISTER, 0, KEY)
    opener, = procfs.children(s.worker.pid)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(opener, name)
        s.worker.signal(name)
    s.good(scsi.REGISTER, KEY, 0)


@test
def ends_with_its_opener(t: Context) -> None:
    """Each without the other is of no use: the helper has another worker started."""
    s = t.start()
    opener, = procfs.children(s.worker.pid)
    os.kill(opener, signal.SIGKILL)
    t.equal(s.worker.wait_exit(), 1, "exit code")
    s.restart()
    opener, = procfs.children(s.worker.pid)
    s.worker.signal(signal.SIGKILL)
    t.check(procfs.wait_gone(opener, 5), "the opener is still there")


@test
def sandboxed(t: Context) -> None:
    """Both have a filter."""
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    s = t.start()
    opener, = procfs.children(s.worker.pid)
    for pid in (s.worker.pid, opener):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            mode = re.search(r"^Seccomp:\s+(\d)", file.read(), re.MULTILINE)
        if not mode:
            raise Skip("the kernel does not tell about seccomp filters")
        t.equal(mode.group(1), "2", f"seccomp mode of {pid}")


@test
def opener_has_only_its_own(t: Context) -> None:
    """No client's end of file waits for it."""
    s = t.start()
    opener, = procfs.children(s.worker.pid)
    s.worker.wait_until("fds 0 to 3", lambda: sorted(procfs.fds(opener)) == [0, 1, 2, 3])


@test
def nothing_left(t: Context) -> None:
    """Commands, good and bad, leave fds and threads as they were, once the threads have gone."""
    s = t.start()

    def count() -> tuple:
        opener, = procfs.children(s.worker.pid)
        return tuple((len(procfs.fds(pid)), t.lab.sanitized or len(procfs.threads(pid)))
                     for pid in (s.worker.pid, opener))
    s.worker.wait_until("an opener that has begun", lambda: count()[1][0] == 4)
    before = count()  # of a worker that has not done anything yet
    for turn in range(50):
        s.good(scsi.REGISTER_AND_IGNORE, 0, KEY + turn)
        s.tell(7)
        s.read()
        s.worker.send_raw(b"nothing", [s.map.open()] * (turn % 5))
    s.worker.wait_until(f"{before} again", lambda: count() == before, 15)
