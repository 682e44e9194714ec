# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the test suites share: a client, processes, devices, the SG_IO stand-in, TAP."""
import os

#: Sanitizers and slow machines stretch every time limit by this factor.
TIME_SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))


def scaled(seconds: float) -> float:
    return seconds * TIME_SCALE
