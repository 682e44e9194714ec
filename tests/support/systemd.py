# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a service manager does for a service: listening sockets and the notification socket."""
import fcntl
import os
import select
import socket
import time
from typing import Any, Dict, List, Union

from . import scaled


class Notify:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, directory: str):
        self.path = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.setblocking(False)
        self.lines: List[str] = []

    def environment(self) -> Dict[str, str]:
        return {"NOTIFY_SOCKET": self.path}

    def collect(self) -> List[str]:
        """Every assignment received so far, in order."""
        while True:
            try:
                self.lines += self.socket.recv(65536).decode("utf-8").splitlines()
            except BlockingIOError:
                return self.lines

    def wait(self, text: str, timeout: float = 10.0, count: int = 1) -> None:
        """Until assignments that start with text have come count times."""
        deadline = time.monotonic() + scaled(timeout)
        while sum(line.startswith(text) for line in self.collect()) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise AssertionError(f"no {text!r} (wanted: {count}) among {self.lines}")

    def close(self) -> None:
        self.socket.close()


def activation(argv: List[str], count: str = "1", pid: str = "$$") -> List[str]:
    """argv started with LISTEN_PID (the shell expands it, $$ is the right one) and LISTEN_FDS."""
    return ["/bin/sh", "-c", f'LISTEN_PID={pid} LISTEN_FDS={count} exec "$@"', "sh"] + argv


def passing(*sockets: Union[socket.socket, int]) -> Dict[str, Any]:
    """Arguments for a Program that gets these at fd 3 and following, as from the service manager."""
    fds = [sock if isinstance(sock, int) else sock.fileno() for sock in sockets]

    def before_exec() -> None:
        safe = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        for number, fd in enumerate(safe, 3):
            os.dup2(fd, number)
            os.close(fd)
    return {"before_exec": before_exec,
            "pass_fds": tuple(set(fds) | set(range(3, 3 + len(fds))))}
