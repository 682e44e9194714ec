# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs of examples/, as people will build and run them: with the simulator, and with helpers
that hang, end or answer with nonsense."""
import os
import socket
import struct
import sys
import threading
from typing import List

from client.installed import TOP, WARNINGS, Context, read
from simulator.fixture import Simulator
from support import scaled, scsi
from support.client import Connection, reply
from support.tap import Skip, cases, limit, test

KEY, OTHER = 0xABC, 0xDEF
CONNECTIONS, COMMANDS = 1000, 5


def example(name: str) -> str:
    return os.path.join(TOP, "examples", name)


class Takeover:
    """How each language's program is built and run."""

    def __init__(self, t: Context, language: str):
        self.t = t
        self.refused = "Connection refused"
        self.environment = {"LD_LIBRARY_PATH": os.path.dirname(t.library())}
        if language == "C":
            self.argv = [t.compile(read(example("takeover.c")), "cc", "-std=gnu11", *WARNINGS)]
        elif language == "Python":
            if "__asan" in t.undefined_text():
                raise Skip("the library was built with sanitizers, the interpreter was not")
            self.refused = "[Errno 111] Connection refused"
            self.argv = [sys.executable, "-B", example("takeover.py")]
            self.environment["PYTHONPATH"] = os.path.join(TOP, "bindings", "python")

    def run(self, status: int, *arguments: str) -> str:
        return self.t.run([*self.argv, *arguments], status, **self.environment)


class Scene:
    """A LUN of which host b holds the reservation."""

    def __init__(self, t: Context):
        directory = t.lab.make_directory()
        self.faults = os.path.join(directory, "faults")
        self.simulator = Simulator(os.path.join(t.lab.build, "qemu-pr-simulator"), directory,
                                   ["a", "b"], ["--faults", self.faults])
        t.cleanup.callback(self.simulator.close)
        self.simulator.wait_ready()
        self.socket = self.simulator.sockets["a"]
        self.path = os.path.join(directory, "lun")
        with open(self.path, "w+b") as lun, Connection(self.simulator.sockets["b"]) as b:
            for action, key, new_key, kind in ((scsi.REGISTER, 0, OTHER, 0),
                                               (scsi.RESERVE, OTHER, 0, 5)):
                parameters = scsi.parameters(key, new_key, 0)
                t.equal(b.command(scsi.pr_out(len(parameters), action, kind), lun.fileno(),
                                  parameters).encode(), reply().encode(), "setting up")


def check_takeover(t: Context, language: str, kind=Takeover) -> None:
    program, scene = kind(t, language), Scene(t)
    key = f"{KEY:x}"
    t.equal(program.run(0, scene.socket, scene.path, key), "held by def\nheld by abc\n", "printed")
    t.equal(program.run(0, scene.socket, scene.path, key), "held by abc\n", "printed again")
    t.equal(program.run(1, scene.path, scene.path, key),
            f"connect: {program.refused}; it was not done\n", "without a helper")
    for fault, words in (("sense b/2e/02", "CHECK CONDITION: ABORTED COMMAND, COMMAND TIMEOUT DURING "
                          "PROCESSING (B/2E/02); it was perhaps done"),
                         ("status 18", "RESERVATION CONFLICT; it was not done")):
        with open(scene.faults + "~", "w", encoding="utf-8") as file:
            file.write(f"{scene.path} {fault}\n")
        os.rename(scene.faults + "~", scene.faults)
        t.equal(program.run(1, scene.socket, scene.path, key), f"register: {words}\n", fault)
    t.check(program.run(1 if language == "Python" else 2).startswith("usage: "), "usage")


@cases("C", "Python")
def takeover(t, language):
    check_takeover(t, language)


# -- one epoll loop

#: Who answers does so within that, if the machine is not busy.
EPOLL_TIMEOUT = "#define TIMEOUT_MS 1000"


class Bad:
    """A helper for any number of clients, that does one thing to each."""

    def __init__(self, path: str, kind: str):
        self.path, self.kind = path, kind
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(path)
        self._listener.listen(CONNECTIONS)
        self._clients: List[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.sendall(bytes(4))
            if self.kind == "hanging":
                self._clients.append(client)
                continue
            with client:
                client.settimeout(scaled(10))
                if len(self._take(client, 4 + 16)) == 4 + 16 and self.kind == "lying":
                    client.sendall(struct.pack(">ii", 256, 0) + bytes(96))

    @staticmethod
    def _take(client: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = client.recv(size - len(data))
            except OSError:
                piece = b""
            if not piece:
                break
            data += piece
        return data

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for client in self._clients:
            client.close()


@limit(90)
@test
def epoll_with_bad_helpers(t):
    """Nothing is lost: each command of each connection is counted, and only the bad ones' are not done."""
    scene = Scene(t)
    directory = t.lab.make_directory()
    bad = [Bad(os.path.join(directory, kind), kind) for kind in ("hanging", "dying", "lying")]
    for one in bad:
        t.cleanup.callback(one.close)
    source = read(example("epoll.c"))
    t.check(EPOLL_TIMEOUT in source, "its time-out is another one")
    source = source.replace(EPOLL_TIMEOUT, f"#define TIMEOUT_MS {round(scaled(1000))}")
    program = t.compile(source, "cc", "-std=gnu11", *WARNINGS)
    # One in twenty connections to each of the bad ones.
    sockets = [one.path for one in bad] + [scene.socket] * 17
    said = t.run([program, str(CONNECTIONS), scene.path, *sockets], patience=80,
                 LD_LIBRARY_PATH=os.path.dirname(t.library())).splitlines()
    each = CONNECTIONS // 20 * COMMANDS
    t.equal(said, [f"{path}: 0 done, 0 not done, {each} unknown" for path in sockets[:3]] +
            [f"{scene.socket}: {each} done, 0 not done, 0 unknown"] * 17, "printed")
