# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean harm, in processes of their own, and a healthy one beside them."""
import os
import select
import signal
import traceback

from support import procfs, scaled

from protocol.healthy import Baseline, Floor, STALL, reply_times

#: Processor time of a helper whose clients are silent, in seconds for each second: /proc counts in
#: hundredths, and a sanitizer's thread or an expiring time limit may take one.
IDLE = 0.03


class Abuser:
    """A process, of another user if it has a uid, that runs abuse(ready): when it has done its worst
    it calls ready(), and stays or goes on until it is killed."""

    def __init__(self, t, abuse, uid=None):
        said, say = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if uid is not None:
                    os.setgroups([])
                    os.setgid(uid)
                    os.setuid(uid)
                abuse(lambda: os.write(say, b"!"))
                signal.pause()
            except BaseException:  # which would be lost otherwise
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(say)
        t.cleanup.callback(self.end)
        with os.fdopen(said, "rb") as pipe:
            t.check(select.select([pipe], [], [], scaled(20))[0] and pipe.read(1),
                    "the abuser has not got as far as that")

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def silent_seconds(t, helper, connection, seconds=1.0):
    """Processor time that the helper spends for each second in which no client sends anything."""
    before = procfs.cpu_seconds(helper.pid)
    t.check(not connection.readable(seconds / scaled(1)), "something was sent to a silent client")
    return (procfs.cpu_seconds(helper.pid) - before) / seconds


def besieged(t, helper, what, abuse, silent=False, keeps_kb=0, uid=None,
             after=lambda: None):
    """A healthy client is served while the abuser is at it, and afterwards all is as before. What a
    server without clients needs beside the same abuser is not the helper's."""
    count = 100
    floor = Floor(t)
    baseline = Baseline(t, helper)
    witness = t.connect(helper)
    abuser = Abuser(t, abuse, uid)
    spent = silent_seconds(t, helper, witness) if silent else 0
    grown = baseline.grown_kb()
    times = reply_times(t, helper, count)
    machine = max(reply_times(t, floor, count))
    abuser.end()
    after()
    witness.close()
    stalled = [one for one in times if one > scaled(STALL) + machine]
    t.equal((len(times), len(stalled)), (count, 0), "replies, and stalled ones")
    t.check(spent <= IDLE or t.lab.sanitized(), f"{spent:.2f} s a second for silent clients")
    baseline.wait(keeps_kb)
    times.sort()
    said = f"processor {spent * 100:.0f} %, " if silent else ""
    print(f"# {what}: {said}{grown} kB meanwhile, {max(baseline.grown_kb(), 0)} kB afterwards; "
          f"others' replies {times[count // 2] * 1e3:.2f} ms, at most {times[-1] * 1e3:.1f} ms "
          f"(of a server without other clients: {machine * 1e3:.1f} ms)",
          flush=True)


def for_ever(step):
    """An abuser that does this again and again."""
    def abuse(ready):
        step()
        ready()
        while True:
            step()
    return abuse
