# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the test suites share: a client, processes, devices, the SG_IO stand-in, TAP."""
import os
import time

#: Sanitizers and slow machines stretch every time limit by this factor.
TIME_SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))


#: Seconds between two looks at what is waited for.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.1


def scaled(seconds: float) -> float:
    return seconds * TIME_SCALE


def pause(begun: float) -> None:
    """Between two looks at what has been waited for since then, by time.monotonic(): a tenth of that
    time. To look all the time takes a processor from what is waited for."""
    waited = time.monotonic() - begun
    time.sleep(min(LONGEST_PAUSE, max(SHORTEST_PAUSE, waited / 10)))
