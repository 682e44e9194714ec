# SPDX-License-Identifier: LGPL-2.1-or-later
"""qemu-pr-ctl validate on real LUNs, and held against judges that are not this project's: the real
fence_scsi and fence_mpath, on the same good and odd targets.

Odd targets are the simulator's: fence_scsi's commands are led there by a preloaded library
(tests/preload). A scripted Windows client (test_windows_cluster.py) is asked about the same ones.
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import agent
import container
import context
import guest
import lab
import multipath
import test_windows_cluster as windows
from support.process import Helper, Program, serving
from support.tap import Skip, cases, limit, test

PACKAGES = ["fence", "lvm", "multipath"]

CTL = "/payload/bin/qemu-pr-ctl"
SIMULATOR = "/payload/bin/qemu-pr-simulator"
WORKER = "/payload/bin/qemu-pr-mpath"
PRELOAD = "/payload/bin/libprsocket.so"
PROFILES = "/payload/validate"
#: fence_scsi keeps its node's key below /var/run, which is /run: each node has one of its own.
PLACE, STORE = "/var/tmp/judges", "/var/run"
GOOD, REFUSED, TROUBLE = 0, 6, 11
KEY_A, KEY_B = "70720001", "70720002"
LVM_KEY_A, LVM_KEY_B = "0x1000000000000001", "0x1000000000000002"
#: What vgchange --persist runs; lvm2 has it from 2.03.34 on. `run --take DIR` brings one that a release has not.
LVMPERSIST = next((path for path in (shutil.which("lvmpersist"), "/payload/files/lvmpersist")
                   if path and os.path.exists(path)), None)


class Lab:
    def __init__(self, settings: dict):
        self.settings = settings
        self.store = lab.Backstore("plain")
        self.initiators = lab.Iscsi(self.store, 2).initiators
        os.makedirs(f"{PLACE}/helper")
        os.makedirs(STORE, exist_ok=True)
        for node in range(2):
            os.mkdir(f"{PLACE}/node{node}")
        self.helper = Helper(settings["helper"], f"{PLACE}/helper",
                             [f"--mpath-worker={WORKER}"]).wait_ready()
        self.simulators = 0
        self._mapped: Optional[lab.Iscsi] = None

    def mapped(self) -> Tuple[lab.Backstore, List[lab.Initiator]]:
        """A LUN with three sessions, made once: LIO and iscsistart keep what they have."""
        if not self._mapped:
            self.mapped_store = lab.Backstore("mapped", 16)
            self._mapped = lab.Iscsi(self.mapped_store, 3, network=2)
        return self.mapped_store, self._mapped.initiators

    def close(self) -> None:
        self.helper.close()


class Odd(windows.Simulated):
    """The simulator with a quirk: a disk for fence_scsi, for the scripted client and for validate."""

    def __init__(self, number: int, quirk: str):
        super().__init__()
        self.quirk, self.place = quirk, f"{PLACE}/odd{number}"
        self.lun = f"{self.place}/lun"
        os.makedirs(f"{self.place}/state")

    def start(self, t: "Context") -> None:
        with open(self.lun, "wb"):
            pass
        with open(f"{self.place}/faults", "w", encoding="utf-8") as file:
            file.write(f"{self.lun} {self.quirk}\n" if self.quirk else "")
        self.restart(t)

    def socket(self, node: int) -> str:
        return f"{self.place}/node{node}"

    def restart(self, t: "Context") -> None:
        nexuses = [word for node in range(windows.NODES)
                   for word in ("--nexus", f"node{node}={self.socket(node)}")]
        program = t.watched("simulator", Program(
            [SIMULATOR, *nexuses, f"--state={self.place}/state", f"--faults={self.place}/faults"],
            self.place))
        for node in range(windows.NODES):
            program.wait_until("serving", lambda node=node: serving(self.socket(node)))

    def node(self, _t: "Context", number: int) -> windows.Node:
        return windows.Node(number, self.socket(number), self.lun)


class Context(windows.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__({}, name, False)
        self.lab = shared
        self.said: List[str] = []
        lab.reset(shared.initiators)

    def log(self) -> str:
        return "\n".join([*self.said[-80:], super().log()])

    def told(self, result: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
        """It is shown if the test fails."""
        self.said.append(f"{' '.join(result.args)}: {result.returncode}")
        self.said += [f"    {line}" for line in result.stdout.splitlines()[-context.LOG_LINES:]]
        return result

    def run(self, *command: str,
            environment: Optional[Dict[str, str]] = None) -> subprocess.CompletedProcess:
        return self.told(subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, check=False, env=environment))

    def validate(self, device: str, *options: str, software: str = "all",
                 status: int = GOOD) -> Dict[str, str]:
        """Verdicts by profile."""
        report = f"{PLACE}/report"
        result = self.run(CTL, "validate", "--profiles", PROFILES, f"--for={software}", "--yes",
                          "--report", report, *options, device)
        if result.returncode != status:
            self.said += re.findall(r"^    FAIL  [^\n]*\n(?: {8}[^\n]*\n){1,3}", result.stdout, re.MULTILINE)
        self.equal(result.returncode, status, "exit status of validate")
        with open(f"{report}.json", encoding="utf-8") as file:
            whole = json.load(file)
        return {one["name"]: one["verdict"] for one in whole["profiles"]}

    def agent(self, name: str, *arguments: str, socket: str, lun: Optional[str],
              prepare: Callable[[], None] = lambda: None) -> int:
        environment = dict(os.environ, LD_PRELOAD=PRELOAD, PR_SOCKET=socket,
                           **({"PR_LUN": lun} if lun else {}))
        return self.told(agent.run(name, *arguments, environment=environment,
                                   prepare=prepare)).returncode

    def fence(self, node: int, action: str, key: str, device: str, socket: str,
              lun: Optional[str] = None) -> int:
        """fence_scsi on node 0 or 1; 0: it did it, or the other one is on."""
        return self.agent("fence_scsi", "-o", action, "-k", key, "-d", device, "-v", socket=socket,
                          lun=lun, prepare=container.enter(
                              container.CLONE_NEWNS, lambda: container.mount(
                                  f"{PLACE}/node{node}", STORE, flags=container.MS_BIND)))

    def fence_mpath(self, node: int, action: str, key: str, device: str, socket: str,
                    lun: Optional[str] = None) -> int:
        """The same of fence_mpath. In the place of mpathpersist(8), which wants a map, sg_persist(8):
        it has these options, and sends to the one path of each node what the other one sends to all."""
        return self.agent("fence_mpath", "-o", action, "-n", key, "-d", device, "-v",
                          "--mpathpersist-path=/usr/bin/sg_persist", f"--store-path={PLACE}/node{node}",
                          socket=socket, lun=lun)

    def by_agent(self, fence: Callable[..., int], devices: List[str], sockets: List[str], lun: Optional[str] = None) -> bool:
        """Whether a cluster of two nodes works by its word: both come, one is restarted, one fences
        the other."""
        for node in range(2):
            for file in os.listdir(f"{PLACE}/node{node}"):
                os.unlink(f"{PLACE}/node{node}/{file}")

        def ok(node: int, action: str, key: str) -> bool:
            return fence(node, action, key, devices[node], sockets[node], lun) == 0
        return (ok(0, "on", KEY_A) and ok(1, "on", KEY_B) and ok(0, "status", KEY_A) and
                ok(0, "on", KEY_A) and ok(1, "status", KEY_B) and ok(0, "status", KEY_A) and
                ok(1, "off", KEY_A) and ok(1, "status", KEY_B) and not ok(1, "status", KEY_A))

    def by_lvmpersist(self, device: str, sockets: List[str], lun: str) -> bool:
        """Whether volume groups can be used by the word of LVM's own script: a local one is started and
        stopped, taken over by another host; a shared one is used by both, and one host is removed. LVM
        uses none of which it does not read the reservation (lib/device/persist.c), so it is read here."""
        def call(node: int, action: str, *options: str) -> subprocess.CompletedProcess:
            environment = dict(os.environ, LD_PRELOAD=PRELOAD, PR_SOCKET=sockets[node], PR_LUN=lun)
            # In the place of its TEST UNIT READY, which does not reach the simulator: a unit attention ends here.
            self.run("sg_persist", "-n", "-i", "-k", device, environment=environment)
            return self.run("bash", str(LVMPERSIST), action, *options, "--device", device,
                            environment=environment)

        def run(node: int, action: str, *options: str) -> bool:
            return call(node, action, *options).returncode == 0

        def start(node: int, key: str, access: str, *options: str) -> bool:
            held = f"WE holder {key}" if access == "ex" else "WEAR"
            return (run(node, "start", "--ourkey", key, "--access", access, *options) and
                    f"reservation: {held}" in call(node, "read-reservation").stdout)

        def has(node: int, key: str) -> bool:
            return run(node, "check-key", "--key", key)

        def stop(node: int, key: str) -> bool:
            return run(node, "stop", "--ourkey", key) and not has(node, key)
        return (start(0, LVM_KEY_A, "ex") and has(0, LVM_KEY_A) and stop(0, LVM_KEY_A) and
                start(0, LVM_KEY_A, "ex") and
                start(1, LVM_KEY_B, "ex", "--removekey", LVM_KEY_A) and
                has(1, LVM_KEY_B) and not has(1, LVM_KEY_A) and stop(1, LVM_KEY_B) and
                start(0, LVM_KEY_A, "sh") and start(1, LVM_KEY_B, "sh") and
                has(0, LVM_KEY_A) and has(0, LVM_KEY_B) and
                run(1, "remove", "--ourkey", LVM_KEY_B, "--removekey", LVM_KEY_A) and
                has(1, LVM_KEY_B) and not has(1, LVM_KEY_A) and stop(1, LVM_KEY_B))

    def renew(self, storage: Odd) -> None:
        """A new simulator with a new unit."""
        for program in self.programs.values():
            program.stop()
        self.programs.clear()
        os.unlink(storage.lun)
        shutil.rmtree(f"{storage.place}/state")
        os.mkdir(f"{storage.place}/state")
        storage.start(self)


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[object], Context]]:
    lab.write("/proc/sys/kernel/printk", 1)  # LIO says something about every conflict
    shared = Lab(settings)
    try:
        yield lambda one: Context(shared, one.full_name)
    finally:
        shared.close()


PROFILE_NAMES = sorted(name[:-5] for name in os.listdir(PROFILES) if name != "quirks.json") \
    if os.path.isdir(PROFILES) else []
ALL_PASS = {name: "pass" for name in PROFILE_NAMES}


@test
@limit(60)
def lio(t: Context) -> None:
    """A disk by two I_T nexuses; data is stopped as it should be, since nothing is left out."""
    a, b = (one.path for one in t.lab.initiators)
    t.equal(t.validate(a, "-k", t.lab.helper.socket_path, "--second", b), ALL_PASS, "through the helper")
    t.equal(t.validate(a, "--direct", "--second", b), ALL_PASS, "without it")
    with open(f"{PLACE}/report.json", encoding="utf-8") as file:
        whole = json.load(file)
    t.equal({one["name"]: one["untried"] for one in whole["profiles"]},
            {name: 0 for name in PROFILE_NAMES}, "steps that were not tried")
    t.matches(r"^naa\.6001405", whole["unit"], "the unit's name")
    t.equal(t.lab.store.registrations(), [], "registrations at the end")
    t.equal(t.lab.store.reservation()[0], None, "holder at the end")


@test
@limit(60)
def data_is_kept(t: Context) -> None:
    """The block that is written is what it was."""
    a = t.lab.initiators[0]
    with open(a.path, "r+b", buffering=0) as disk:
        pattern = os.urandom(1 << 20)
        for part in range(4):
            os.pwrite(disk.fileno(), pattern, part << 20)
        os.fsync(disk.fileno())
    try:
        t.validate(a.path, "-k", t.lab.helper.socket_path, "--second", t.lab.initiators[1].path, "--force")
        with open(a.path, "rb", buffering=0) as disk:
            os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            t.check(all(os.pread(disk.fileno(), 1 << 20, part << 20) == pattern for part in range(4)),
                    "the data is another")
    finally:
        with open(a.path, "r+b", buffering=0) as disk:
            os.pwrite(disk.fileno(), bytes(4 << 20), 0)


@test
@limit(60)
def switched_off(t: Context) -> None:
    """LIO's attribute for it: neither will have it."""
    switch = f"{t.lab.store.path}/attrib/emulate_pr"
    if not os.path.exists(switch):
        t.skip("this kernel's LIO cannot switch reservations off")
    a, b = (one.path for one in t.lab.initiators)
    lab.write(switch, 0)
    try:
        verdicts = t.validate(a, "-k", t.lab.helper.socket_path, "--second", b, status=TROUBLE)
        judge = t.by_agent(t.fence, [a, b], 2 * [t.lab.helper.socket_path])
    finally:
        lab.write(switch, 1)
    t.equal(verdicts, {name: "pass" if name == "none" else "fail" for name in PROFILE_NAMES}, "verdicts")
    t.equal(judge, False, "whether fence_scsi works")


@test
@limit(120)
def judge_on_lio(t: Context) -> None:
    """fence_scsi works where validate says that it will."""
    a, b = (one.path for one in t.lab.initiators)
    t.equal(t.by_agent(t.fence, [a, b], 2 * [t.lab.helper.socket_path]), True, "whether fence_scsi works")


#: What the simulator does. Judges and validate differ in none of it.
ODD = ["", "quirk one-registration", "quirk no-full-status", "quirk no-aptpl",
       "quirk no-preempt-abort", "quirk no-type-5", "quirk preempt-does-nothing",
       "quirk reserve-does-nothing", "quirk stale-preempt-good", "quirk two-holders",
       "quirk sense-for-conflict", "quirk new-key-releases", "quirk self-preempt-removes",
       "quirk keys-swapped", "quirk attentions", "quirk sense-for-strangers",
       "quirk keys-reversed", "quirk keys-twice", "quirk generation-jumps"]


def odd(t: Context, what: str) -> Odd:
    t.lab.simulators += 1
    storage = Odd(t.lab.simulators, what)
    t.storages["odd"] = storage
    storage.start(t)
    return storage


def agree(t: Context, judge: bool, verdict: str) -> None:
    t.equal(verdict == "pass", judge, f"agreement: the judge says {judge}, validate says {verdict}")


@cases(*((one or "by the book", one) for one in ODD))
@limit(180)
def judged_by_fence_scsi(t: Context, what: str) -> None:
    """Its word on the simulator's disk, and that of its version's sequences in the profile."""
    storage = odd(t, what)
    a = t.lab.initiators[0].path
    judge = t.by_agent(t.fence, [a, a], [storage.socket(0), storage.socket(1)], storage.lun)
    t.renew(storage)
    version = ".".join(str(number) for number in guest.version("fence-agents")[:2])
    agree(t, judge, verdict_of(t, storage, "pacemaker", rf"fence_scsi .*\b{version}\b"))


@cases(*((one or "by the book", one) for one in ODD))
@limit(180)
def judged_by_fence_mpath(t: Context, what: str) -> None:
    """It registers by REGISTER, and looks at what is there after each command."""
    storage = odd(t, what)
    a = t.lab.initiators[0].path
    judge = t.by_agent(t.fence_mpath, [a, a], [storage.socket(0), storage.socket(1)], storage.lun)
    t.renew(storage)
    agree(t, judge, verdict_of(t, storage, "pacemaker", "fence_mpath"))


@cases(*((one or "by the book", one) for one in [*ODD, "quirk no-capabilities", "quirk no-type-7-listed"]))
@limit(180)
def judged_by_lvmpersist(t: Context, what: str) -> None:
    """The script by which vgchange --persist works."""
    if not LVMPERSIST:
        version = ".".join(f"{number:02}" if place == 1 else str(number)
                           for place, number in enumerate(guest.version("lvm2")))
        raise Skip(f"lvm2 {version} has no vgchange --persist, which came with 2.03.34")
    storage = odd(t, what)
    judge = t.by_lvmpersist(t.lab.initiators[0].path, [storage.socket(0), storage.socket(1)], storage.lun)
    t.renew(storage)
    agree(t, judge, verdict_of(t, storage, "lvm"))


@cases(*((one or "by the book", one) for one in ODD))
@limit(180)
def judged_by_windows_client(t: Context, what: str) -> None:
    """Both readings of its arbitration: the owner defends, and the owner is silent."""
    storage = odd(t, what)
    judge = True
    for script in (windows.defended, windows.taken_over):
        try:
            script(t, "odd")
        except (AssertionError, OSError):
            judge = False
        t._close()
        t.renew(storage)
    verdict = verdict_of(t, storage, "windows")
    agree(t, judge, verdict)


def verdict_of(t: Context, storage: Odd, software: str, sender: str = "") -> str:
    """Of a profile, or of the one of its programs or versions whose name begins so."""
    result = t.run(CTL, "validate", "--profiles", PROFILES, f"--for={software}", "--yes", "--json", "-k",
                   storage.socket(0), "--second", storage.socket(1), storage.lun)
    text = result.stdout[result.stdout.index("{"):result.stdout.rindex("}") + 1]
    profile = json.loads(text)["profiles"][0]
    if not sender:
        return profile["verdict"]
    found = [one for one in profile["senders"] if re.match(sender, one["name"])]
    t.equal(len(found), 1, f"senders that match '{sender}'")
    return found[0]["verdict"]


@test
@limit(180)
def multipath_map(t: Context) -> None:
    """A map of two paths is one nexus; a third session, which is no path of it, is another host. A
    path of the map is refused."""
    daemons = multipath.Multipath()
    store, sessions = t.lab.mapped()
    device = os.path.basename(sessions[0].path)

    def find() -> Optional[str]:
        return next((name for name in os.listdir("/dev/mapper")
                     if device in [path.device for path in daemons.paths(name)]), None)
    map_of = str(lab.wait_for("a map", find, 60))
    daemons.wait_paths(map_of, 3)
    other = sessions[2]
    daemons.ask(f"del path {os.path.basename(other.path)}")
    daemons.wait_paths(map_of, 2)
    try:
        node = f"/dev/mapper/{map_of}"
        t.equal(t.validate(node, "-k", t.lab.helper.socket_path, "--second", other.path), ALL_PASS,
                "verdicts")
        t.equal(store.registrations(), [], "registrations at the end")
        refused = t.run(CTL, "validate", "--profiles", PROFILES, "--for=all", "--yes", "-k",
                        t.lab.helper.socket_path, sessions[0].path)
        t.equal(refused.returncode, REFUSED, "exit status for a path of a map")
        t.matches(f"a path of the multipath map {map_of}: name {node}, ", refused.stdout,
                  "message for a path of a map")
    finally:
        daemons.close()


@test
@limit(180)
def generic_device(t: Context) -> None:
    """By it nothing tells whether the disk is in use: --force takes that upon itself. Writes cannot be
    tried; what can passes, and leaves nothing."""
    sg = t.lab.initiators[0].generic_path
    lab.reset(t.lab.initiators)
    refused = t.run(CTL, "validate", "--profiles", PROFILES, "--for=pacemaker", "--yes", "--direct", sg)
    t.equal(refused.returncode, REFUSED, "exit status without --force")
    t.matches("a SCSI generic device does not show whether the disk is in use", refused.stdout,
              "message")
    t.equal(t.lab.store.registrations(), [], "registrations after the refusal")
    generation = t.lab.store.generation()
    second = t.lab.initiators[1].generic_path
    t.equal(t.validate(sg, "--direct", "--second", second, "--force", software="pacemaker"),
            {"pacemaker": "pass"}, "verdict with --force")
    t.check(t.lab.store.generation() > generation, "nothing was sent")
    t.equal(t.lab.store.registrations(), [], "registrations at the end")
