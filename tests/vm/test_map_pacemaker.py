# SPDX-License-Identifier: LGPL-2.1-or-later
"""The cluster of test_pacemaker.py, each host of which has the disk by a multipath map of its own.

Both maps are of one LUN and on one machine, whose multipathd would make one of them: udev tells it two
names, by the address of a path's portal.
"""
import os
from typing import List

import cluster
import context
import lab
import multipath
import test_pacemaker as pacemaker
from maps import WORKER
from support.tap import cases, limit
from test_pacemaker import FAULTS, ROUNDS, Context, rounds

PACKAGES = ["multipath", "pacemaker", "qemu"]
MEMORY = 1536
ROOT = True

PATHS = 2  # of each host
RULES = "/etc/udev/rules.d/61-hosts.rules"
#: iSCSI sessions have addresses in the order of their initiators.
RULE = 'SUBSYSTEM=="block", ENV{{ID_PATH}}=="ip-127.1.0.[{}]:*", ENV{{ID_SERIAL}}="{}"\n'
PORTALS = {"host-a": "12", "host-b": "34"}


class Lab(pacemaker.Lab):
    options = [f"--mpath-worker={WORKER}"]

    def __init__(self, settings: dict):  # pylint: disable=super-init-not-called
        os.makedirs(os.path.dirname(RULES), exist_ok=True)
        lab.write(RULES, "".join(RULE.format(portals, name) for name, portals in PORTALS.items()))
        self.daemons = multipath.Multipath()
        self.file = "/var/tmp/lun"
        self.megabytes = cluster.MEGABYTES
        self._directories = 0
        self.disk = lab.Backstore("shared", self.megabytes, file=self.file)
        self.hosts = lab.Iscsi(self.disk, 2 * PATHS).initiators
        self.join(settings)

    def disks(self) -> List[str]:
        """Each map, by the first of its paths."""
        found = []
        for number in range(2):
            first = self.hosts[number * PATHS].block
            found.append(str(lab.wait_for(f"a map of {first}", lambda first=first: next(
                (f"/dev/mapper/{name}" for name in ("mpatha", "mpathb")
                 if first in [path.device for path in self.daemons.paths(name)]), ""), 30)))
            self.daemons.wait_paths(os.path.basename(found[-1]), PATHS)
        return found

    def names(self, number: int) -> List[str]:
        return [host.name for host in self.hosts[number * PATHS:(number + 1) * PATHS]]

    def reset(self) -> None:
        super().reset()
        for name in ("mpatha", "mpathb"):
            self.daemons.ask(f"unsetprstatus map {name}")
            self.daemons.ask(f"unsetprkey map {name}")

    def close(self) -> None:
        super().close()
        self.daemons.close()


open_lab = context.opener(Lab, Context)


@cases(*FAULTS)
@limit(6000 * ROUNDS)
def maps(t: Context, fault: str) -> None:
    rounds(t, fault, "map")
