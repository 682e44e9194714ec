# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Linux in a QEMU, as the users have it: sg_persist in there, the kernel's own disk driver, and
another guest that fences it while it writes.

Its boot is most of the time, so all that it takes part in is one test.
"""
import contextlib
import errno
import os
from typing import Callable, Iterator, Tuple

import lab
import qemu
from linux_guest import INIT, LinuxGuest, kernel_release, written
from qemu import KEY_A, KEY_B, WRITE_EXCLUSIVE_REGISTRANTS
from support import scsi, tap
from support.tap import Skip, limit, test

PACKAGES = ["qemu"]
MEMORY = 1024
KERNEL = True
#: sg_persist's exit status for a reservation conflict; sg3_utils(8).
SG_LIB_CAT_RES_CONFLICT = 24
#: Blocks of the region that a guest writes to, and writes to see before it is fenced.
REGION, BEFORE = 64, 20
TYPE = f"--prout-type={WRITE_EXCLUSIVE_REGISTRANTS}"


class Context(qemu.Context):
    def linux(self, number: int) -> LinuxGuest:
        """A Linux that boots, on one of the hosts."""
        if not os.path.exists(INIT):
            raise Skip("its first program was not built: no static libc")
        made = LinuxGuest("ab"[number], self.lab.directory(), self.lab.hosts[number].path,
                          self.helper().socket_path)
        self.own(made)
        made.start()
        return made

    def done(self, result: Tuple[int, str], what: str) -> str:
        self.equal(result[0], 0, f"{what}; {result[1]!r}")
        return result[1]

    def fenced(self, victim: LinuxGuest, preempt: Callable[[], None]) -> None:
        """It writes all the time; nothing of that lands after preempt() has returned."""
        victim.tell(f"write 0 0 {REGION}")
        victim.wait_line("writes")
        lab.wait_for("blocks of the guest on the backing store",
                     lambda: max(self.blocks()) >= BEFORE, 120)
        preempt()
        frozen = self.blocks()
        code, _, count = victim.wait_line("errno").partition(" after ")
        self.equal(int(code), errno.EBADE, "errno of the write that ended it")
        self.equal(self.blocks(), frozen, "blocks since the fencing")
        self.check(max(frozen) <= int(count), f"block {max(frozen)} landed, {count} succeeded")
        self.check(max(frozen) >= int(count) - 1, f"block {int(count) - 1} succeeded, "
                   f"{max(frozen)} is the last one")
        victim.tell(f"write 0 0 {REGION}")
        self.equal(victim.wait_line("errno"), f"{errno.EBADE} after 0", "it writes again")
        self.equal(self.blocks(), frozen, "blocks since the fencing")
        words = "critical nexus" if kernel_release().startswith("6.1.") else "reservation conflict"
        self.matches(f"{words} error", victim.console(), "its kernel's words for EBADE")
        self.check("I/O error" not in victim.console(), "an I/O error on the guest's console")

    def blocks(self):
        return written(self.lab.stored(0, REGION), 0)


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = qemu.Lab(settings)
    yield lambda one: Context(shared, one.full_name)


@test
@limit(700)
def one(t: Context) -> None:
    """A Linux registers, reserves and writes; a guest driven by the test fences it."""
    a = t.linux(0)
    b = t.guest(1, t.helper().socket_path)
    a.wait_ready()
    t.done(a.sg_persist("--out", "--register", f"--param-sark={KEY_A:x}"), "a registers")
    t.good(b.tell(scsi.REGISTER, action_key=KEY_B), "b registers")
    t.registered(a=KEY_A, b=KEY_B)
    t.done(a.sg_persist("--out", "--reserve", TYPE, f"--param-rk={KEY_A:x}"), "a reserves")
    t.held("a")
    for option in ("--read-keys", "--read-reservation", "--read-full-status"):
        inside = t.done(a.sg_persist("--in", option), option)
        outside = lab.run("sg_persist", "--no-inquiry", "--in", option, t.lab.hosts[1].path)
        t.equal(inside, outside, f"sg_persist {option} inside, and outside")
        t.check(f"{KEY_A:x}" in inside, f"no key of a in {inside!r}")
    t.good(b.write(REGION, b"b" * 512), "b writes")

    t.fenced(a, lambda: t.good(b.tell(scsi.PREEMPT_AND_ABORT, WRITE_EXCLUSIVE_REGISTRANTS, KEY_B,
                                      KEY_A), "b preempts"))
    t.registered(b=KEY_B)
    t.held("b")
    t.good(b.write(REGION, b"B" * 512), "b writes")
    t.equal(a.sg_persist("--out", "--reserve", TYPE, f"--param-rk={KEY_A:x}")[0],
            SG_LIB_CAT_RES_CONFLICT, "a reserves, fenced")
    keys = t.done(a.sg_persist("--in", "--read-keys"), "a reads keys, fenced")
    t.matches(f"1 registered reservation key follows:\n.*0x{KEY_B:x}$", keys, "keys that a reads")


@test
@limit(900)
def two(t: Context) -> None:
    """The same, and the other one is a Linux, too."""
    a, b = t.linux(0), t.linux(1)
    for guest, key in ((a, KEY_A), (b, KEY_B)):
        guest.wait_ready()
        t.done(guest.sg_persist("--out", "--register", f"--param-sark={key:x}"), "registration")
    t.registered(a=KEY_A, b=KEY_B)
    t.done(a.sg_persist("--out", "--reserve", TYPE, f"--param-rk={KEY_A:x}"), "a reserves")
    t.fenced(a, lambda: t.done(b.sg_persist(
        "--out", "--preempt-abort", TYPE, f"--param-rk={KEY_B:x}", f"--param-sark={KEY_A:x}"),
                               "b preempts"))
    t.registered(b=KEY_B)
    t.held("b")
