# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others may not do to a healthy client, and a helper does not keep of them."""
import time

from support import procfs, scaled, scsi
from support.client import reply

from protocol.fixture import DEFAULT_DATA

READ_KEYS = scsi.pr_in(16)
KEYS = reply(payload=DEFAULT_DATA)

#: A reply that takes longer has been held up by something; a healthy one takes 0.1 ms.
STALL = 0.15


def reply_times(t, helper, count=100):
    """Seconds that each of a healthy client's commands took, on fresh and on old connections in
    turn, with connecting. Fewer than count if one of them got no reply within a second."""
    times, old = [], None
    disk = t.own(t.other_disk.open())
    for number in range(count):
        began = time.monotonic()
        old = old or t.connect(helper)
        connection = old if number % 2 else t.connect(helper)
        connection.send_request(READ_KEYS, [disk])
        if not connection.readable(1):
            break  # it is not going to get better
        t.replied(connection, KEYS, "healthy client's answer")
        times.append(time.monotonic() - began)
        if connection is not old:
            connection.close()
    if old:
        old.close()
    return times


def stalled_replies(t, helper, count=100):
    """How many of a healthy client's commands stall."""
    times = reply_times(t, helper, count)
    return count - len(times) + sum(one > scaled(STALL) for one in times)


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
