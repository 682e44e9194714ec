# SPDX-License-Identifier: LGPL-2.1-or-later
"""validate against those who want it to do harm, or do not care: the wrong devices, ^C and closed
outputs in the middle, reports that cannot be written, devices that answer nonsense."""
import os
import signal
import socket
import subprocess
import threading
import time

from support import scaled, scsi
from support.client import reply
from support.process import environment
from support.tap import cases, limit, test

from ctl.fixture import DEVICE, GOOD, INTERNAL, REFUSED, TROUBLE, UNKNOWN
from ctl.suite_validate import PROFILES, needs_device, profile, untouched, validate


def begin(t, lun, software="pacemaker"):
    """It runs, slowly, and has registered by now."""
    t.fault(lun, "latency 50")
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, f"--for={software}", *t.host("a"), "--second",
         t.lab.simulator().sockets["b"], "--yes", lun], env=environment(None), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while not t.ctl("keys", "--json", *t.host("b"), lun).json["keys"]:
        t.check(time.monotonic() < deadline, "it registers nothing")
    return process


def generation(t, lun):
    return t.ctl("keys", "--json", *t.host("b"), lun).json["generation"]


# -- In the middle


@cases("TERM", "HUP", "INT")
@limit(60)
def once(t, name):
    """It is said at once what happens, and what a second time would do."""
    lun = t.make_lun()
    process = begin(t, lun)
    process.send_signal(getattr(signal, f"SIG{name}"))
    _, err = process.communicate(timeout=scaled(20))
    t.equal(process.returncode, UNKNOWN, "exit status")
    t.matches("^qemu-pr-ctl: validate: interrupted; removing its registrations. Interrupt again",
              err, "notice")
    untouched(t, lun)


@test
@limit(60)
def twice(t):
    """It ends at once; by the notice before it is known that something is left."""
    lun = t.make_lun()
    process = begin(t, lun)
    t.fault(lun, "hang")
    process.send_signal(signal.SIGINT)
    line = process.stderr.readline()
    t.matches("Interrupt again to exit at once and leave them", line, "notice")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=scaled(5))
    t.equal(process.returncode, -signal.SIGINT, "exit status")


@test
@limit(60)
def killed(t):
    """Nothing can be said then; the next run knows what is left, and --force removes it."""
    lun = t.make_lun()
    own = profile(t, sequences=[{"name": "one", "nexuses": 1, "steps": [
        {"id": "1", "nexus": "A", "do": "register-ignore", "new": "k", "expect": "good"},
        *[{"id": "2", "nexus": "A", "do": "reservation", "none": True}] * 100]}])
    process = begin(t, lun, own)
    process.kill()
    process.communicate()
    t.fault(lun, "latency 0")
    result = t.expect(validate(t, lun, "--yes"), REFUSED, "")
    t.matches("0x7072766c[0-9a-f]{8}, of an earlier validate\n  An earlier validate was stopped .* use --force",
              result.err, "message")
    t.expect(validate(t, lun, "--yes", "--force", software="none"), GOOD)
    untouched(t, lun)


@test
@limit(60)
def reader_goes_away(t):
    """As of a pager that is left: the run goes on to its end, and leaves nothing."""
    lun = t.make_lun()
    process = begin(t, lun)
    process.stdout.close()
    err = process.stderr.read()
    t.equal(process.wait(timeout=scaled(20)), INTERNAL, f"exit status; {err}")
    t.matches("standard output: Broken pipe", err, "message")
    untouched(t, lun)


@test
@limit(60)
def helper_dies(t):
    """What is left is said, and how to remove it."""
    lun = t.make_lun()
    process = begin(t, lun)
    simulator = t.lab.simulator()
    simulator.stop()
    try:
        _, err = process.communicate(timeout=scaled(60))
    finally:
        simulator.close()
        t.lab._simulator = None
        t.lab.simulator()
    t.equal(process.returncode, UNKNOWN, "exit status")
    t.matches("cannot clean up: READ KEYS: no answer\n(.*\n)*.*begin with 0x7072766c", err,
              "message")


class Way:
    """A way to a helper: what comes is passed on, file descriptors too, and it is cut as soon as a
    registration has been answered."""

    def __init__(self, directory, helper):
        self.path = os.path.join(directory, "way")
        self._registers = False
        self._helper = helper
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(1)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self._listener.accept()
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as helper:
            helper.connect(self._helper)
            self._client = client
            threading.Thread(target=self._pass, args=(helper, client), daemon=True).start()
            # The kernel may hand out the handshake and the first request as one; the fd belongs to
            # the request.
            helper.sendall(client.recv(4, socket.MSG_WAITALL))
            self._pass(client, helper)

    def _pass(self, source, sink):
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(source, 65536, 8)
                if not data:
                    return
                socket.send_fds(sink, [data], fds)
                for fd in fds:
                    os.close(fd)
                if source is self._client:
                    self._registers = self._registers or data[0] == scsi.PR_OUT
                elif self._registers:
                    self._cut()
        except OSError:
            pass

    def _cut(self):
        self._listener.close()
        self._client.shutdown(socket.SHUT_RDWR)  # the other one goes with it


@test
@limit(60)
def one_way_is_lost(t):
    """By the other one all is removed."""
    lun = t.make_lun()
    t.fault(lun, "latency 50")
    way = Way(t.directory(), t.lab.simulator().sockets["a"])
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, "--for=pacemaker", "-k", way.path, "--second",
         t.lab.simulator().sockets["b"], "--yes", lun], env=environment(None), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=scaled(30))
    t.equal(process.returncode, UNKNOWN, f"exit status: {out}{err}")
    t.matches("^pacemaker +could not be determined$", out, "verdict")
    t.check("clean up" not in err, err)
    untouched(t, lun)


@test
def busy_at_the_end(t):
    """One answer of BUSY is not the last word on what is left."""
    empty, busy = reply(payload=scsi.read_keys_data()).encode(), reply(status=scsi.BUSY).encode()
    free = reply(payload=bytes(8)).encode()
    own = profile(t, sequences=[{"name": name, "nexuses": 1, "steps": [
        {"id": "1", "nexus": "A", "do": "keys", "only": []}]} for name in ("one", "two")])
    fake = t.fake(empty, empty, *[empty, free, empty], busy, *[empty, free] * 2, empty, *[empty, free] * 2)
    result = t.ctl("validate", "--profiles", PROFILES, f"--for={own}", "--yes", "-k", fake.path, t.make_lun())
    t.expect(result, GOOD, err="")


# -- Outputs


@test
def closed_outputs(t):
    """The device must not take the place of a standard stream: what is printed would be on the disk."""
    lun = t.make_lun()
    with open(lun, "wb") as file:
        file.write(bytes(8192))
    for streams in (">&-", "2>&-", "<&- >&- 2>&-"):
        for command in (["validate", "--profiles", PROFILES, "--for=pacemaker", "--yes"],
                        ["register", "--new-key=abc"], ["fence", "--yes", "--type=5", "abc"], ["keys"]):
            subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", t.lab.ctl, *command, *t.host("a"), lun],
                           env=environment(None), check=False, timeout=scaled(30))
            with open(lun, "rb") as file:
                t.equal(file.read(), bytes(8192), f"the disk after {command[0]} {streams}")


def places(t):
    """Where a report cannot be written, and what is said of it."""
    directory = t.directory()
    os.mkfifo(os.path.join(directory, "fifo"))
    os.mkdir(os.path.join(directory, "json.json"))
    return [("/none/x", "No such file"), (directory, "Is a directory"), ("/dev/null", "not a regular file"),
            (os.path.join(directory, "fifo"), "No such device|no regular file"),
            (os.path.join(directory, "json"), "Is a directory"), (directory + "/" + 300 * "x", "too long")]


@test
def report_cannot_be_written(t):
    """That is known before anything is sent, and no half of a report is left."""
    lun = t.make_lun()
    for path, message in places(t):
        result = t.expect(validate(t, lun, "--yes", "--report", path), INTERNAL, "")
        t.matches(f"{message}.*\n  Nothing was changed", result.err, f"message for {path}")
        t.check(not os.path.isfile(path), f"{path} is left")
    t.equal(generation(t, lun), 0, "PRgeneration")


@test
def report_is_kept(t):
    """A run that is refused makes no files, and leaves an earlier report as it is."""
    lun, path = t.make_lun(), os.path.join(t.directory(), "report")
    t.expect(validate(t, lun, "--report", path, stdin=""), REFUSED, "")
    t.equal(os.listdir(os.path.dirname(path)), [], "files")
    t.expect(validate(t, lun, "--yes", "--report", path, software="none"), GOOD)
    with open(path, encoding="utf-8") as file:
        before = file.read()
    t.expect(validate(t, lun, "--report", path, stdin=""), REFUSED, "")
    with open(path, encoding="utf-8") as file:
        t.equal(file.read(), before, "the report")
    with open(path, "a", encoding="utf-8") as file:
        file.write(1000 * "longer than the next one\n")
    t.expect(validate(t, lun, "--yes", "--report", path, software="none"), GOOD)
    with open(path, encoding="utf-8") as file:
        t.check("longer" not in file.read(), "the end of the earlier report is left")


# -- Devices


@test
def wrong_devices(t):
    """None of them is written to, or waited for."""
    directory = t.directory()
    os.mkfifo(os.path.join(directory, "fifo"))
    for device, status, message in [
            ("/dev/null", REFUSED, "neither a SCSI disk nor"), (directory, DEVICE, "Is a directory"),
            (os.path.join(directory, "fifo"), REFUSED, "neither a SCSI disk nor"),
            (t.lab.simulator().sockets["a"], DEVICE, "No such device"), ("", DEVICE, "No such file")]:
        t.matches(message, t.expect(validate(t, device, "--yes", "--force"), status, "").err, device)
    lun = t.make_lun()
    result = t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "--direct", lun)
    t.matches("a regular file; only qemu-pr-simulator", t.expect(result, REFUSED, "").err, "a regular file")


@test
def one_nexus_twice(t):
    """--second by the same way is no second nexus, and no array's fault."""
    lun = t.make_lun()
    for second in (lun, t.lab.simulator().sockets["a"]):
        result = t.expect(validate(t, lun, "--yes", "--second", second, second=False), REFUSED, "")
        t.matches("would be one I_T nexus\n  --second has to be the socket of another", result.err, "message")
    t.equal(generation(t, lun), 0, "PRgeneration")


@test
def one_disk_twice(t):
    """Nor is another helper with the same disk: it sends by what it is handed."""
    disk = needs_device(t)
    helper, other = t.lab.helper(), t.lab.simulator().sockets["b"]
    for second in (disk.path, other):
        result = t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "-k", helper.socket_path,
                       "--second", second, disk.path)
        t.matches("would be one I_T nexus\n  A helper sends commands through the device that it receives",
                  t.expect(result, REFUSED, "").err, "message")
    t.equal(disk.calls(), [], "commands")


@test
def read_only_disk(t):
    """Made so by blockdev(8) it can be opened for writing, and no write would land."""
    disk = needs_device(t)
    subprocess.run(["blockdev", "--setro", disk.path], check=True)
    try:
        result = t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "-k",
                       t.lab.helper().socket_path, disk.path)
        t.matches("it is read-only, but a cluster writes; 'blockdev --setrw'",
                  t.expect(result, REFUSED, "").err, "message")
        t.equal(disk.calls(), [], "commands")
    finally:
        subprocess.run(["blockdev", "--setrw", disk.path], check=True)


@test
def disk_in_use(t):
    disk = needs_device(t)
    claim = os.open(disk.path, os.O_RDONLY | os.O_EXCL)
    try:
        result = t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "--force", "-k",
                       t.lab.helper().socket_path, disk.path)
        t.matches("it is in use on this host", t.expect(result, REFUSED, "").err, "message")
        t.equal(disk.calls(), [], "commands")
    finally:
        os.close(claim)


@test
def thousand_registrations(t):
    """They are counted, a few of them named, and none is touched."""
    fake = t.fake(*[reply(payload=scsi.read_keys_data(*range(1, 1001))).encode()] * 2)
    result = t.expect(t.ctl("validate", "--profiles", PROFILES, "--for=all", "--yes", "-k", fake.path,
                            t.make_lun()), REFUSED, "")
    t.matches("1000 registrations exist\n(.*\n)+ +0x10\n +and 984 more\n.*--force", result.err, "message")
    t.check(result.err.count("\n") < 30, "too long")
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")


@cases(("nothing", b"", TROUBLE), ("half a header", bytes(4), TROUBLE),
       ("too long", bytes(4) + b"\xff\xff\xff\xff" + bytes(16), REFUSED),
       ("odd length", bytes(4) + bytes([0, 0, 0, 7]) + bytes(7), TROUBLE))
def nonsense(t, data, status):
    """GOOD with data that are none: the device is not taken for unused, and nothing is changed."""
    answer = reply(payload=data).encode()
    fake = t.fake(by_action={action: answer for action in range(32)})
    own = profile(t, sequences=[{"name": "one", "nexuses": 1, "steps": [
        {"id": "1", "nexus": "A", "do": "full-status"}, {"id": "2", "nexus": "A", "do": "reservation"}]}])
    result = t.ctl("validate", "--profiles", PROFILES, f"--for={own}", "--yes", "-k", fake.path, t.make_lun())
    t.equal(result.status, status, f"exit status; {result}")
    t.equal({cdb[0] for cdb, _ in fake.requests}, {scsi.PR_IN}, "commands")


@cases(("ENODEV", {"error": 19}), ("EIO", {"error": 5}), ("DID_NO_CONNECT", {"host_status": 1}),
       ("DID_TRANSPORT_DISRUPTED", {"host_status": 0xE}))
@limit(60)
def disk_goes_away(t, failure):
    """In the middle: it says nothing of what the storage can do, and what may be left is said."""
    disk = needs_device(t)
    disk.answer(data=bytes(8), delay=0.05)
    before = disk.answers.entered
    own = profile(t, sequences=[{"name": "one", "nexuses": 1, "steps": [
        {"id": "1", "nexus": "A", "do": "register-ignore", "new": "k", "expect": "good"},
        *[{"id": "2", "nexus": "A", "do": "reservation", "none": True}] * 50]}])
    process = subprocess.Popen(
        [t.lab.ctl, "validate", "--profiles", PROFILES, f"--for={own}", "--yes", "-k",
         t.lab.helper().socket_path, disk.path], env=environment(None), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + scaled(10)
    while disk.answers.entered < before + 8:
        t.check(time.monotonic() < deadline, "it sends nothing")
        time.sleep(0.01)
    disk.answer(**failure)
    out, err = process.communicate(timeout=scaled(30))
    t.equal(process.returncode, UNKNOWN, f"exit status: {out}{err}")
    t.matches("^own +could not be determined$", out, "verdict")
    t.matches("cannot clean up: READ KEYS: ", err, "message")
