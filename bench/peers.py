# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU's own helpers: this distribution's, and the one of Debian sid, which runs on any system with
the C library that it was built for."""
import os
import re
import subprocess
import sys
from typing import Dict, List, Optional

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGE = os.path.join(TOP, "tests", "vm", "image")
NEWEST = "sid"
LOADER, LIBRARIES = "lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"
PROGRAM = "usr/bin/qemu-pr-helper"


def newest(build: str) -> Optional[List[str]]:
    """Its command line. None: it cannot be had, and the reason was printed."""
    root = os.path.join(build, "bench", NEWEST)
    made = subprocess.run([IMAGE, "--cache", os.path.join(build, "vm"), "--release", NEWEST,
                           "--unpack", root, "peer"], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        print(f"no helper of {NEWEST}: {made.stderr.strip()}", file=sys.stderr, flush=True)
        return None
    return [os.path.join(root, LOADER), "--library-path", os.path.join(root, LIBRARIES),
            os.path.join(root, PROGRAM)]


def found(build: str, peer: str) -> Dict[str, List[str]]:
    """Those that are there."""
    peers: Dict[str, List[str]] = {}
    if os.path.exists(peer):
        peers["peer"] = [peer]
    command = newest(build)
    if command:
        peers["newest"] = command
    return peers


def version(command: List[str]) -> str:
    """QEMU's."""
    said = subprocess.run([*command, "--version"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False).stdout
    match = re.search(r"\b\d+\.\d+(\.\d+)*", said.partition("\n")[0].rpartition("/")[2])
    return match.group() if match else "unknown"
