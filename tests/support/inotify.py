# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a watcher of a directory sees, as KubeVirt watches for the socket's name."""
import ctypes
import os
import select
import struct
import time
from typing import List, Tuple

from . import scaled

EVENTS = {0x2: "modify", 0x4: "attrib", 0x40: "moved_from", 0x80: "moved_to", 0x100: "create",
          0x200: "delete"}
_HEAD = struct.Struct("iIII")


class Watch:
    def __init__(self, directory: str):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0 or libc.inotify_add_watch(self.fd, directory.encode(), sum(EVENTS)) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self.seen: List[Tuple[str, str]] = []

    def collect(self) -> List[Tuple[str, str]]:
        """(event, name) of everything so far, in order."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return self.seen
            while data:
                _, mask, _, size = _HEAD.unpack_from(data)
                name = data[_HEAD.size:_HEAD.size + size].rstrip(b"\0").decode()
                self.seen += [(event, name) for bit, event in EVENTS.items() if mask & bit]
                data = data[_HEAD.size + size:]

    def wait(self, event: str, name: str, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + scaled(timeout)
        while (event, name) not in self.collect():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {event} of {name} among {self.seen}")

    def close(self) -> None:
        os.close(self.fd)
