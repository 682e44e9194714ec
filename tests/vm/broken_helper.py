# SPDX-License-Identifier: LGPL-2.1-or-later
"""A helper with a fault, to see whether the tests notice: broken_helper.py FAULT HELPER -k SOCKET...

It starts the real helper on another socket, and sits between that and its clients.
"""
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional

PR_SET_PDEATHSIG = 1
PR_IN, PR_OUT = 0x5E, 0x5F
PREEMPT, PREEMPT_AND_ABORT = 4, 5
GOOD, CHECK_CONDITION, BUSY, CONFLICT = 0x00, 0x02, 0x08, 0x18
HEAD = struct.Struct(">ii96s")
LATE_SECONDS = 0.5


class Answer(NamedTuple):
    status: int
    sense: bytes = bytes(96)
    data: bytes = b""

    def encode(self) -> bytes:
        return HEAD.pack(self.status, len(self.data), self.sense) + self.data


class Disconnected(Exception):
    pass


def receive(connection: socket.socket, size: int, fds: List[int]) -> bytes:
    data = b""
    while len(data) < size:
        piece, passed, _, _ = socket.recv_fds(connection, size - len(data), 4)
        fds += passed
        if not piece:
            raise Disconnected
        data += piece
    return data


#: A request, sent to the real helper when it is called.
Real = Callable[[], Answer]
#: What becomes of a request; None: no reply.
Fault = Callable[[bytes, Real], Optional[Answer]]


def is_preemption(cdb: bytes) -> bool:
    return cdb[0] == PR_OUT and cdb[1] & 0x1F in (PREEMPT, PREEMPT_AND_ABORT)


def none(_cdb: bytes, real: Real) -> Optional[Answer]:
    return real()


def conflict_is(answer: Answer) -> Fault:
    def fault(_cdb: bytes, real: Real) -> Optional[Answer]:
        true = real()
        return answer if true.status == CONFLICT else true
    return fault


def fixed_sense(key: int, asc: int, ascq: int) -> bytes:
    return bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]).ljust(96, b"\0")


class Drops:
    """The reply of each fifth command is forgotten."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _cdb: bytes, real: Real) -> Optional[Answer]:
        self.count += 1
        true = real()
        return None if self.count % 5 == 0 else true


def pretends(cdb: bytes, real: Real) -> Optional[Answer]:
    """Says that it preempted, and does not."""
    return Answer(GOOD) if is_preemption(cdb) else real()


def too_early(cdb: bytes, real: Real) -> Optional[Answer]:
    """Says that it preempted, and does it then."""
    if not is_preemption(cdb):
        return real()

    def later() -> None:
        time.sleep(LATE_SECONDS)
        real()
    threading.Thread(target=later).start()
    return Answer(GOOD)


def cut(_cdb: bytes, real: Real) -> Optional[Answer]:
    true = real()
    return true._replace(data=true.data[:-1])


def wrong_data(_cdb: bytes, real: Real) -> Optional[Answer]:
    true = real()
    return true._replace(data=true.data[:-1] + bytes([true.data[-1] ^ 1])) if true.data else true


def no_sense(_cdb: bytes, real: Real) -> Optional[Answer]:
    return real()._replace(sense=bytes(96))


FAULTS: Dict[str, Callable[[], Fault]] = {
    "none": lambda: none,
    "GOOD for a conflict": lambda: conflict_is(Answer(GOOD)),
    "BUSY for a conflict": lambda: conflict_is(Answer(BUSY)),
    "sense for a conflict": lambda: conflict_is(Answer(CHECK_CONDITION, fixed_sense(5, 0x24, 0))),
    "dropped reply": Drops,
    "GOOD for nothing": lambda: pretends,
    "GOOD too early": lambda: too_early,
    "data cut short": lambda: cut,
    "wrong data": lambda: wrong_data,
    "no sense": lambda: no_sense,
}


def serve(client: socket.socket, path: str, fault: Fault) -> None:
    """One client, over a connection to the real helper of its own."""
    with client, socket.socket(socket.AF_UNIX) as helper:
        helper.connect(path)
        client.sendall(receive(helper, 4, []))
        helper.sendall(receive(client, 4, []))
        while True:
            fds: List[int] = []
            cdb = receive(client, 16, fds)
            size = struct.unpack_from(">H", cdb, 7)[0]
            parameters = receive(client, size, fds) if cdb[0] == PR_OUT else b""

            def real(cdb=cdb, parameters=parameters, fds=fds) -> Answer:
                socket.send_fds(helper, [cdb], fds)
                helper.sendall(parameters)
                status, size, sense = HEAD.unpack(receive(helper, HEAD.size, []))
                for fd in fds:
                    os.close(fd)
                return Answer(status, sense, receive(helper, size, []))
            answer = fault(cdb, real)
            if answer:
                client.sendall(answer.encode())


def quiet(client: socket.socket, path: str, fault: Fault) -> None:
    try:
        serve(client, path, fault)
    except (Disconnected, OSError):
        pass


def main() -> None:
    make_fault, program, path = FAULTS[sys.argv[1]], sys.argv[2], sys.argv[4]
    # Another fault: all that is under way is lost. The caller gets what it wants to see of an end.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    hidden = f"{path}.real"
    with subprocess.Popen([program, "-k", hidden],
                          preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG,
                                                                     signal.SIGKILL, 0, 0, 0)):
        while not os.path.exists(hidden):
            time.sleep(0.002)
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen(16)
        fault = make_fault()
        while True:
            client, _ = listener.accept()
            threading.Thread(target=quiet, args=(client, hidden, fault), daemon=True).start()


if __name__ == "__main__":
    main()
