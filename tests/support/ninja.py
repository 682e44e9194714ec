# SPDX-License-Identifier: LGPL-2.1-or-later
"""Parts of a build, for builds of which only parts are run."""
import subprocess
from typing import List, Sequence


def programs(objects: str, left_out: Sequence[str]) -> List[str]:
    """Targets of a directory that has been set up: all that is linked, but for what is below these."""
    listing = subprocess.run(["ninja", "-C", objects, "-t", "targets", "all"], check=True, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    found = [line.rsplit(": ", 1) for line in listing.splitlines() if ": " in line]
    return [name for name, rule in found
            if rule.endswith("LINKER") and not name.startswith(tuple(left_out))]
