# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others may not do to a healthy client, and a helper does not keep of them."""
import os
import select
import signal
import socket
import time

from support import procfs, scaled, scsi
from support.client import reply

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)

#: A reply that takes longer has been held up by something; a healthy one takes 0.1 ms.
STALL = 0.1


def reply_times(t, helper, count=100):
    """Seconds that each of a healthy client's commands took, on fresh and on old connections in
    turn, with connecting, but without what the client itself waited for a processor. Fewer than
    count if one of them got no reply within a second."""
    times, old = [], None
    disk = t.own(t.other_disk.open())
    for number in range(count):
        waited = procfs.waited_seconds()
        began = time.monotonic()
        old = old or t.connect(helper)
        connection = old if number % 2 else t.connect(helper)
        connection.send_request(READ_KEYS, [disk])
        if not connection.readable(1):
            break  # it is not going to get better
        t.replied(connection, KEYS, "healthy client's answer")
        taken = time.monotonic() - began
        times.append(max(taken - (procfs.waited_seconds() - waited), 0.0))
        if connection is not old:
            connection.close()
    if old:
        old.close()
    return times


def stalled_replies(t, helper, count=100):
    """How many of a healthy client's commands stall."""
    times = reply_times(t, helper, count)
    return count - len(times) + sum(one > scaled(STALL) for one in times)


class Floor:
    """A server that does nothing but answer. How long a client waits for it is what the machine
    takes to give a process its turn, under the load of the moment."""

    def __init__(self, t):
        self.socket_path = os.path.join(t.directory(), "floor")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.socket_path)
            listener.listen(16)
            self.pid = os.fork()
            if self.pid == 0:
                try:
                    self._serve(listener)
                finally:
                    os._exit(1)
        t.cleanup.callback(self._end)

    def _end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def _serve(self, listener):
        poll, clients = select.poll(), {}
        poll.register(listener, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == listener.fileno():
                    client = listener.accept()[0]
                    clients[client.fileno()] = client
                    poll.register(client, select.POLLIN)
                    client.send(bytes(4))
                else:
                    self._answer(poll, clients, fd)

    @staticmethod
    def _answer(poll, clients, fd):
        data, fds, _, _ = socket.recv_fds(clients[fd], 64, 1)
        for one in fds:
            os.close(one)
        if fds:
            clients[fd].send(KEYS.encode())
        elif not data:
            poll.unregister(fd)
            clients.pop(fd).close()


class Baseline:
    """What a helper has open and holds when it has nothing to do."""

    #: What a helper may keep of a burst, in kB: some slots of the connection table, a few stacks,
    #: and what the C library's allocator does not give back to the kernel.
    GROWTH_KB = 256

    def __init__(self, t, helper):
        self.t, self.helper = t, helper
        t.ask(READ_KEYS, t.own(t.disk.open()), KEYS, helper=helper)
        self.fds = self.memory = 0
        t.eventually("the first client forgotten", self._is_settled, helper=helper)
        self.fds, self.memory = len(procfs.fds(helper.pid)), self._memory()

    def _is_settled(self):
        before, self.fds = self.fds, len(procfs.fds(self.helper.pid))
        return self.fds == before

    def _memory(self):
        return procfs.private_kb(self.helper.pid, without=self.t.lab.control.path)

    def grown_kb(self):
        return self._memory() - self.memory

    def wait(self, keeps_kb=0):
        """Until it is back at it. What it got for a burst goes with the threads that it came for,
        ten seconds later, but for keeps_kb, which it keeps for the next one."""
        most = self.GROWTH_KB + keeps_kb
        self.t.eventually(f"back to {self.fds} open fds",
                          lambda: len(procfs.fds(self.helper.pid)) <= self.fds, helper=self.helper)
        if not self.t.lab.sanitized() and not self.t.peer:
            self.t.eventually(f"at most {most} kB more than before",
                              lambda: self.grown_kb() <= most, 15, helper=self.helper)
