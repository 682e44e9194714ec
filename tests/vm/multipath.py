# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real device-mapper multipath map: udevd, multipathd, and several sessions to one LUN.

udevd and multipathd have to run before the disks appear. Only iSCSI paths become part of a map:
all else that reaches the LUN, such as lab.Loopback, is another host.
"""
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
from typing import Dict, Iterator, List, NamedTuple

import guest
import lab
from support.process import Program

SOCKET = "\0/org/kernel/linux/storage/multipathd"
UDEVD = "/usr/lib/systemd/systemd-udevd"
RULES = "/usr/lib/udev/rules.d"
#: What multipathd and its library rely on. Every program that a rule starts costs a tenth of a
#: second in here.
NEEDED_RULES = re.compile(r"5[05]-(udev-default|dm)\.rules|56-dm-mpath|60-multipath|"
                          r"60-persistent-storage(-dm)?\.rules|95-dm-notify")

CONFIGURATION = """
defaults {
    user_friendly_names yes
    find_multipaths no
    polling_interval 1
    max_polling_interval 1
    %s
}
overrides {
    no_path_retry %s
}
blacklist {
    protocol ".*"
}
blacklist_exceptions {
    protocol "scsi:iscsi"
}
"""


def looks_for_key() -> bool:
    """Whether libmpathpersist refuses what comes before a registration without asking the device, but
    for RELEASE: 0.11.1 does, 0.9.4 does not."""
    return guest.version("multipath-tools") >= (0, 11)


def has_hold() -> bool:
    """Whether multipathd keeps in mind that a map holds the reservation (prhold): 0.15.1 does, 0.11.1
    does not."""
    return guest.version("multipath-tools") >= (0, 15)


class Path(NamedTuple):
    """As multipathd sees it: "sda", active or failed in the map, ready or faulty to its checker."""
    device: str
    map_state: str
    checker_state: str


class Multipath:
    """The daemons. Keys of maps are kept in multipathd's own file unless one is given."""

    def __init__(self, reservation_key: str = "file", no_path_retry: str = "fail"):
        for name in os.listdir(RULES):
            if not NEEDED_RULES.match(name):
                os.unlink(os.path.join(RULES, name))
        os.makedirs("/etc/multipath", exist_ok=True)
        self.no_path_retry = no_path_retry
        self.configure(reservation_key)
        # Loaded beforehand, so that no event has to wait for a module.
        lab.load("dm_multipath", "dm_service_time", "sd_mod", "sg")
        self.programs: Dict[str, Program] = {}
        self._start("udevd", UDEVD).wait_until("listening",
                                               lambda: os.path.exists("/run/udev/control"))
        self.start()

    def configure(self, reservation_key: str) -> None:
        """Write multipath.conf; "" for no reservation_key. multipathd does not read it again."""
        key = f"reservation_key {reservation_key}" if reservation_key else ""
        lab.write("/etc/multipath.conf", CONFIGURATION % (key, self.no_path_retry))

    def reconfigure(self) -> None:
        """It reads multipath.conf again, and answers: that it does not do meanwhile."""
        self.ask("reconfigure")
        lab.wait_for("multipathd after it has read its configuration", self._answers, 30)

    def _start(self, name: str, *command: str) -> Program:
        directory = f"/run/{name}-log"
        os.makedirs(directory, exist_ok=True)
        self.programs[name] = Program(command, directory)
        return self.programs[name]

    def start(self) -> None:
        """multipathd; maps that are there it takes over."""
        self._start("multipathd", "multipathd", "-d", "-s").wait_until("answering", self._answers)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """There is no multipathd. Maps stay as they are."""
        self.programs["multipathd"].stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """multipathd answers no client, and does nothing for its maps."""
        self.programs["multipathd"].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.programs["multipathd"].signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return "configure" not in self.ask("show daemon")
        return False

    def ask(self, command: str) -> str:
        """multipathd's answer to one of its commands (multipathd(8))."""
        request = command.encode() + b"\0"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(SOCKET)
            connection.sendall(struct.pack("@N", len(request)) + request)
            with connection.makefile("rb") as stream:
                size, = struct.unpack("@N", stream.read(struct.calcsize("@N")))
                return stream.read(size).rstrip(b"\0").decode()

    def paths(self, name: str) -> List[Path]:
        """The paths of a map, in any state."""
        with contextlib.suppress(json.JSONDecodeError):
            for one in json.loads(self.ask("show maps json")).get("maps", []):
                if one["name"] == name:
                    return sorted(Path(path["dev"], path["dm_st"], path["chk_st"])
                                  for group in one["path_groups"] for path in group["paths"])
        return []

    def wait_paths(self, name: str, active: int, failed: int = 0) -> List[Path]:
        """Until the map has exactly so many paths, and multipathd's checker agrees."""
        def look() -> List[Path]:
            paths = self.paths(name)
            states = [(path.map_state, path.checker_state) for path in paths]
            good = (states.count(("active", "ready")) == active
                    and sum(state == "failed" for state, _ in states) == failed
                    and len(paths) == active + failed)
            return paths if good else []
        return list(lab.wait_for(f"{name} with {active} active and {failed} failed paths, "
                                 f"not {self.paths(name)}", look, 30))

    def key(self, name: str) -> int:
        """By which key a path that appears is to be registered; 0 for none."""
        answer = self.ask(f"getprkey map {name}").strip()
        return 0 if answer == "none" else int(answer.partition(":")[0], 16)

    def registered(self, name: str) -> bool:
        """Whether a path that appears is to be registered at all (prstatus)."""
        answer = self.ask(f"getprstatus map {name}").strip()
        if answer not in ("0", "1", "unset", "set"):
            raise AssertionError(f"getprstatus: {answer!r}")
        return answer in ("1", "set")

    def log(self) -> List[str]:
        return [f"{name}: {line}" for name, program in self.programs.items()
                for line in program.log().splitlines()[-15:]]

    def close(self) -> None:
        for program in reversed(self.programs.values()):
            program.close()


def persist(device: str, *options: str) -> str:
    """mpathpersist(8), which prints what it did."""
    return lab.run("mpathpersist", *options, device)


def persist_status(device: str, *options: str) -> int:
    """The same, but its exit status, which may say that the command failed."""
    return subprocess.run(["mpathpersist", *options, device], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode
