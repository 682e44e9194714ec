# SPDX-License-Identifier: LGPL-2.1-or-later
"""Just enough of QEMU's machine protocol to ask it things."""
import json
import socket
import time
from typing import Any, List, Optional

from . import pause, scaled


class QmpError(Exception):
    pass


class Qmp:
    def __init__(self, path: str, timeout: float = 20.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(scaled(timeout))
        begun = time.monotonic()
        while self.socket.connect_ex(path) != 0:  # not there yet, or not listening yet
            if time.monotonic() > begun + scaled(timeout):
                raise QmpError(f"there is no listener on {path}")
            pause(begun)
        self._lines = self.socket.makefile("r", encoding="utf-8")
        self.events: List[dict] = []
        self._next()
        self.command("qmp_capabilities")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def _next(self) -> dict:
        line = self._lines.readline()
        if not line:
            raise QmpError("QEMU closed the connection")
        return json.loads(line)

    def command(self, name: str, arguments: Optional[dict] = None) -> Any:
        request: dict = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self._next()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(answer["error"]["desc"])
            else:
                return answer["return"]
