# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live migration between two hosts of a LUN, each an I_T nexus with a helper of its own; see
migration.py.
"""
import contextlib
from typing import List

import context
import lab
import migration
from host import GOOD, Host, Reservation
from migration import KEY, OTHER_KEY, can_write, drain, migrate
from support import scsi
from support.tap import cases, limit, test

#: READ KEYS begins with room for (136 - 8) / 8 keys: more than these take more than one command.
INITIATORS, PORTS = 3, 6
MANY = INITIATORS * PORTS
TYPES = [("write exclusive", 1), ("exclusive access", 3), ("write exclusive, registrants only", 5),
         ("exclusive access, registrants only", 6), ("write exclusive, all registrants", 7),
         ("exclusive access, all registrants", 8)]


class Lab:
    def __init__(self, settings: dict):
        self.hosts = lab.Iscsi(lab.Backstore("shared"), INITIATORS).initiators
        self._crowd: List[lab.Initiator] = []
        self.helpers = migration.start_helpers(settings["helper"])

    def crowd(self) -> List[lab.Initiator]:
        """The many hosts of another LUN, when they are wanted."""
        if not self._crowd:
            self._crowd = lab.Iscsi(lab.Backstore("crowded"), INITIATORS, PORTS).initiators
        return self._crowd

    def close(self) -> None:
        for helper in self.helpers:
            helper.close()


class Context(migration.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(shared.helpers, name)
        self.lab, self.hosts = shared, shared.hosts
        lab.reset(self.hosts)

    def use_crowd(self) -> None:
        self.hosts = self.lab.crowd()
        lab.reset(self.hosts)

    def source_and_destination(self) -> List[Host]:
        return [self.source(self.hosts[0].path), self.destination(self.hosts[1].path)]

    @staticmethod
    def others_register(initiators: List[lab.Initiator]) -> None:
        """Virtual machines on other hosts."""
        for number, initiator in enumerate(initiators):
            lab.pr_out(initiator.fd, scsi.REGISTER, action_key=OTHER_KEY + number)
            initiator.close()


open_lab = context.opener(Lab, Context)


# -- a LUN


@cases(*TYPES)
@limit(60)
def holder(t: Context, kind: int) -> None:
    """There and back again: the reservation goes along, and no other host notices."""
    here, there = t.source_and_destination()
    third = t.hosts[2]
    t.others_register([third])
    t.good(here.tell(scsi.REGISTER, action_key=KEY), "REGISTER of the guest")
    t.good(here.tell(scsi.RESERVE, kind, KEY), "RESERVE of the guest")
    all_registrants = kind >= 7
    for source, destination in ((here, there), (there, here)):
        state = migrate(t, source, destination)
        # A reservation of all registrants has no holder, and is read with a key of zero.
        t.equal(state.reservation, Reservation(0 if all_registrants else KEY, kind), "reservation")
        drain(*t.hosts[:3])
        t.equal(sorted(destination.keys()[1]), [OTHER_KEY, KEY], "keys")
        t.equal(destination.reservation(), state.reservation, "reservation afterwards")
        t.equal(destination.tell(scsi.RESERVE, kind, KEY), GOOD,
                "RESERVE of the destination, which holds it already")
        t.conflict(source.tell(scsi.RESERVE, kind, KEY), "RESERVE of the source, which has left")
        t.equal((can_write(t.hosts[destination is there].path),
                 can_write(t.hosts[source is there].path)), (True, False),
                "whether destination and source can write")
        t.equal(can_write(third.path), kind >= 5, "whether the third host can write")


@test
def registered_only(t: Context) -> None:
    """Another guest holds the reservation: there is nothing to take over but the registration."""
    source, destination = t.source_and_destination()
    third = t.hosts[2]
    t.others_register([third])
    with contextlib.closing(third):
        lab.pr_out(third.fd, scsi.RESERVE, 5, OTHER_KEY)
    t.good(source.tell(scsi.REGISTER, action_key=KEY), "REGISTER of the guest")
    migrate(t, source, destination, holds=False)
    t.equal(sorted(destination.keys()[1]), [OTHER_KEY, KEY, KEY], "keys")
    t.good(source.tell(scsi.REGISTER, key=KEY), "REGISTER of no key by the source, which leaves")
    t.equal(sorted(destination.keys()[1]), [OTHER_KEY, KEY], "keys without the source")
    t.equal(destination.reservation(), Reservation(OTHER_KEY, 5), "reservation")
    t.equal([can_write(host.path) for host in t.hosts[:3]], [False, True, True],
            "whether source, destination and third host can write")


@cases(("fits exactly", 16), ("one too many", 17), ("many", MANY))
@limit(90)
def many_keys(t: Context, count: int) -> None:
    """READ KEYS grows to what there is, and the guest's key is found at the end of it."""
    t.use_crowd()
    source, destination = t.source_and_destination()
    # The device lists them as they were registered: the guest's comes last.
    t.others_register(t.hosts[1:count])
    t.good(source.tell(scsi.REGISTER, action_key=KEY), "REGISTER of the guest")
    t.good(source.tell(scsi.RESERVE, 5, KEY), "RESERVE of the guest")
    first = source.ask(scsi.READ_KEYS, 136)
    t.equal((first.status, first.size), (scsi.GOOD, min(8 + 8 * count, 136)), "the first answer")
    t.equal(migration.State(source).keys,
            [OTHER_KEY + number for number in range(count - 1)] + [KEY], "keys")
    # The destination has been another machine's host until now.
    migrate(t, source, destination)
    drain(*t.hosts)
    t.equal(sorted(destination.keys()[1]),
            [OTHER_KEY + number for number in range(1, count - 1)] + [KEY], "keys afterwards")
    t.equal(destination.reservation(), Reservation(KEY, 5), "reservation afterwards")


@test
def cleanup(t: Context) -> None:
    """It is about multipath maps: a LUN's registrations are not its business."""
    source, destination = t.source_and_destination()
    t.good(source.tell(scsi.REGISTER, action_key=KEY), "REGISTER of the guest")
    t.good(source.cleanup(), "CLEANUP of a LUN that is registered")
    t.equal(source.keys()[1], [KEY], "keys after it")
    t.good(destination.cleanup(), "CLEANUP of a LUN that was never registered")
