# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two guests share a disk, one fences the other: from that moment on nothing of it may land.

Both guests write all the time, each into a region of its own, blocks that carry the writer and a
number that never repeats. Then one does PREEMPT AND ABORT, or PREEMPT, while writes of the other
are on their way. What its GOOD promises is checked on the backing store, past every SCSI command:
the victim's region does not change any more, and no block is there that was sent later.
"""
import struct
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set

import qemu
import qtest
from qemu import (BLOCK_SIZE, KEY_A, KEY_B, KEY_C, WRITE_EXCLUSIVE_REGISTRANTS, Context, open_lab)
from support import scaled, scsi
from support.tap import cases, limit

PACKAGES = ["qemu"]
MEMORY = 768

#: Blocks of each writer's region; small, so that what lands late soon hides nothing but itself.
REGION = 64
#: Writes of a guest that are on their way at a time.
DEPTH = 3
#: Writes of each guest before the fencing, and of the victim after it.
BEFORE, AFTER = 50, 50
MARK = b"numbered"
TASK_ABORTED = 0x40


class Write(NamedTuple):
    """One that has ended."""
    number: int
    answer: qtest.Completion

    @property
    def is_attention(self) -> bool:
        return (self.answer.status == scsi.CHECK_CONDITION
                and self.answer.sense_code == qemu.REGISTRATIONS_PREEMPTED)


class Writer:
    """A guest that writes, never waiting for one write before it sends the next."""

    def __init__(self, guest: qemu.Guest, number: int):
        self.guest, self.number = guest, number
        self.sent = 0
        #: In the order in which they ended.
        self.completed: List[Write] = []
        self._under_way: Dict[int, int] = {}

    def block(self, sequence: int) -> bytes:
        return struct.pack(">8sQQ", MARK, self.number, sequence).ljust(BLOCK_SIZE, b".")

    def turn(self, refill: bool = True) -> None:
        """Send what there is room for, take what has ended."""
        while refill and len(self._under_way) < DEPTH:
            place = self.number * REGION + self.sent % REGION
            slot = self.guest.adapter.submit(qemu.rw_10(qemu.WRITE_10, place, 1),
                                             self.block(self.sent))
            self._under_way[slot] = self.sent
            self.sent += 1
        ended = self.guest.adapter.collect()
        if ended:
            self.completed.append(Write(self._under_way.pop(ended[0]), ended[1]))

    @property
    def idle(self) -> bool:
        return not self._under_way


def stored(t: Context, writer: Writer) -> List[Optional[int]]:
    """The numbers in the writer's region of the backing store; None where it has never written."""
    raw = t.lab.stored(writer.number * REGION, REGION)
    found: List[Optional[int]] = []
    for at in range(0, len(raw), BLOCK_SIZE):
        block = raw[at:at + BLOCK_SIZE]
        mark, number, sequence = struct.unpack_from(">8sQQ", block)
        if block == bytes(BLOCK_SIZE):
            found.append(None)
            continue
        t.equal((mark, number), (MARK, writer.number), f"block {at // BLOCK_SIZE} of a region")
        t.equal(block, writer.block(sequence), f"block {at // BLOCK_SIZE} of a region")
        found.append(sequence)
    return found


def keep_turning(writers: Sequence[Writer], done: Callable[[], bool], what: str,
                 refill: bool = True) -> None:
    deadline = time.monotonic() + scaled(30)
    while not done():
        for writer in writers:
            writer.turn(refill)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: " + ", ".join(
                f"{one.guest.name} sent {one.sent}, completed {len(one.completed)}"
                for one in writers))


def answers(writes: Sequence[Write]) -> Set[str]:
    return {str(one.answer) for one in writes}


def fence(t: Context, action: int, winner: Writer, victim: Writer, key: int, victim_key: int
          ) -> None:
    """While both write; the checks that everything here is about."""
    both = [winner, victim]
    keep_turning(both, lambda: all(len(one.completed) >= BEFORE for one in both), "both write")
    for one in both:
        t.equal(answers(one.completed), {"GOOD"}, f"writes of {one.guest.name} before")
    # The winner's adapter is free for its one command; some of the victim's are on their way.
    keep_turning([winner], lambda: winner.idle, "the last writes of the winner", refill=False)
    parameters = scsi.parameters(key, victim_key)
    winner.guest.adapter.submit(
        scsi.pr_out(len(parameters), action, WRITE_EXCLUSIVE_REGISTRANTS)[:10], parameters)
    deadline = time.monotonic() + scaled(20)
    while True:
        victim.turn()
        ended = winner.guest.adapter.collect()
        if ended:
            frozen = stored(t, victim)  # before anything else
            sent, completed = victim.sent, len(victim.completed)
            break
        t.check(time.monotonic() < deadline, f"{winner.guest.name} waits for its preemption")
    t.good(ended[1], f"{winner.guest.name} preempts")

    keep_turning(both, lambda: victim.sent >= sent + AFTER, "after the fencing")
    for one in both:
        keep_turning([one], lambda one=one: one.idle, "the last writes", refill=False)
    t.equal(stored(t, victim), frozen, f"region of {victim.guest.name} since it was fenced")
    t.equal([number for number in frozen if number is not None and number >= sent], [],
            "blocks that were sent after the fencing")
    t.equal(answers(winner.completed), {"GOOD"}, f"writes of {winner.guest.name}")

    # The victim is told once, by a unit attention. What was in flight ended before, was aborted or
    # met a conflict; everything later is a conflict.
    since = victim.completed[completed:]
    attentions = [one for one in victim.completed if one.is_attention]
    t.check(len(attentions) <= 1, f"{len(attentions)} unit attentions")
    in_flight = [one for one in since if one.number < sent and not one.is_attention]
    later = [one for one in since if one.number >= sent and not one.is_attention]
    allowed = {"GOOD", "RESERVATION CONFLICT"}
    if action == scsi.PREEMPT_AND_ABORT:
        allowed.add(str(qtest.Completion(TASK_ABORTED)))
    t.check(answers(in_flight) <= allowed, f"writes in flight: {answers(in_flight)}")
    t.equal(answers(later), {"RESERVATION CONFLICT"}, f"writes of {victim.guest.name} after")


@cases(("preempt and abort", scsi.PREEMPT_AND_ABORT), ("preempt", scsi.PREEMPT))
@limit(120)
def two_guests(t: Context, action: int) -> None:
    """b fences a, which writes; then a comes back with a new key and fences b."""
    a, b = t.pair()
    t.good(a.tell(scsi.REGISTER, action_key=KEY_A), "a registers")
    t.good(b.tell(scsi.REGISTER, action_key=KEY_B), "b registers")
    t.good(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_A), "a reserves")
    writers = Writer(a, 0), Writer(b, 1)
    fence(t, action, writers[1], writers[0], KEY_B, KEY_A)
    t.registered(b=KEY_B)
    t.held("b")
    t.conflict(a.tell(scsi.RESERVE, WRITE_EXCLUSIVE_REGISTRANTS, KEY_A), "a reserves, fenced")

    t.good(a.tell(scsi.REGISTER, action_key=KEY_C), "a registers again")
    again = Writer(a, 2), Writer(b, 3)
    fence(t, action, again[0], again[1], KEY_C, KEY_B)
    t.registered(a=KEY_C)
    t.held("a")
