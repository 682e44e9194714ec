# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker that says GOOD to everything, in the place of qemu-pr-mpath."""
import os
import sys
from typing import List, Tuple

from support.worker import TABLE_SIZE

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = """#!{python}
import array, fcntl, os, socket, sys
sys.path.insert(0, {tests!r})
from support import worker
channel = socket.socket(fileno=worker.CHANNEL)
table = os.memfd_create("table", os.MFD_ALLOW_SEALING)
with open({table!r}, "rb") as file:
    os.write(table, file.read())
fcntl.fcntl(table, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
socket.send_fds(channel, [worker.HELLO.pack(0, worker.KIND["hello"], 1, os.getpid(), b"")], [table])
while True:
    message, control, _, _ = channel.recvmsg(worker.REQUEST.size, socket.CMSG_SPACE(8))
    if not message:
        break
    with open({log!r}, "a") as file:
        print(*worker.told(message), file=file)
    if not control:  # a farewell
        continue
    fds = array.array("i", control[0][2])
    with socket.socket(fileno=fds[1]) as answer:
        answer.send(worker.REPLY.pack(0, worker.KIND["reply"], 0, 0, b"", b"", b""))
    os.close(fds[0])
"""


def _log(path: str) -> str:
    return os.path.join(os.path.dirname(path), "heard")


def heard(path: str) -> List[Tuple[str, int]]:
    """What this worker was told so far: "request" or "farewell", of the client in which slot."""
    with open(_log(path), encoding="ascii") as file:
        return [(line.split()[0], int(line.split()[1])) for line in file]


def fake_worker(t, table: bytes = bytes(TABLE_SIZE)) -> str:
    """Its path. table: what it tells of its maps (support.worker.table()). What it is told, it writes
    down: heard()."""
    directory = t.directory()
    path, file_of_table = os.path.join(directory, "worker"), os.path.join(directory, "table")
    with open(file_of_table, "wb") as file:
        file.write(table)
    with open(path, "w", encoding="ascii") as file:
        file.write(SCRIPT.format(python=sys.executable, tests=TESTS, table=file_of_table, log=_log(path)))
    os.chmod(path, 0o755)
    return path
