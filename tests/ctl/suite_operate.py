# SPDX-License-Identifier: LGPL-2.1-or-later
"""status, metrics and cleanup with the real helper, and clients that look like virtual machines."""
import json
import os
import subprocess
import sys

from support import scaled
from support.process import Helper, environment
from support.tap import Skip, test

from ctl.fixture import GOOD, REFUSED, TROUBLE, hexkey
from ctl.suite_status import parse

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Registers with a key, says what came of it, and keeps the connection until told to end.
CLIENT = """
import os, sys
socket, device, key, tests = sys.argv[1:5]
sys.path.insert(0, tests)
sys.dont_write_bytecode = True
from support import scsi
from support.client import Connection
connection = Connection(socket)
fd = os.open(device, os.O_RDWR)
parameters = scsi.parameters(0, int(key, 16))
reply = connection.command(scsi.pr_out(len(parameters), scsi.REGISTER_AND_IGNORE), fd, parameters)
print(reply.status, flush=True)
sys.stdin.read()
"""


class Guest:
    """A client with the command line of a QEMU whose guest has this name."""

    def __init__(self, t, helper, name, key):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-c", CLIENT, helper.socket_path, t.lab.disk().path, f"{key:x}",
             TESTS, "-name", f"guest={name},debug-threads=on"], executable=sys.executable,
            # Python finds its modules by its name, which is another one here.
            env=environment({"PYTHONHOME": sys.base_prefix}), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        t.cleanup.callback(self.end)
        t.equal(self.process.stdout.readline(), "0\n", f"status of {name}'s REGISTER")

    def end(self):
        """Vanish without unregistering."""
        self.process.kill()
        self.process.communicate()


def start(t, *options):
    directory = t.directory()
    helper = Helper(t.lab.helper_binary, directory,
                    [f"--status-socket={directory}/status", *t.lab.helper_arguments, *options],
                    env=t.lab.control().environment())
    t.cleanup.callback(helper.close)
    helper.status_path = f"{directory}/status"
    return helper.wait_ready()


def needs_status_socket(t):
    if "--status-socket" not in t.run(t.lab.helper_binary, "--help").out:
        raise Skip("this helper has no --status-socket")
    t.disk.answer()


def status(t, helper, *options):
    return t.expect(t.ctl("status", "-s", helper.status_path, *options), GOOD, err="")


def wait_status(t, helper, text):
    """The helper hears of a client's end a moment after it."""
    for _ in range(round(scaled(500))):
        if text in status(t, helper).out:
            return
    raise AssertionError(f"no {text!r} in the status: {status(t, helper).out}")


def cleanup(t, helper, key):
    return t.ctl("cleanup", "-k", helper.socket_path, "-s", helper.status_path, f"--key={key:x}",
                 "--yes", t.lab.disk().path)


@test
def guest_by_name(t):
    needs_status_socket(t)
    helper = start(t)
    guest = Guest(t, helper, "alpha", 0xa1)
    text = status(t, helper).out
    t.matches(rf"0x00000000000000a1  alpha  {guest.process.pid}  .*  registered$", text, "key")
    t.matches(rf"^\d+ +alpha +{guest.process.pid} +{os.getuid()} +idle ", text, "client")


@test
def same_nexus(t):
    needs_status_socket(t)
    helper = start(t)
    Guest(t, helper, "alpha", 0xa1)
    Guest(t, helper, "beta", 0xb1)
    t.matches("^SAME NEXUS  .*: (alpha, beta|beta, alpha) are one initiator", status(t, helper).out, "alarm")
    report = t.ctl("doctor", "--json", "-k", helper.socket_path, "-s", helper.status_path,
                   t.lab.disk().path)
    t.expect(report, TROUBLE)
    nexus = next(one for one in report.json["checks"] if one["check"] == "nexus")
    t.equal(nexus["verdict"], "failure", "doctor")
    t.matches("share one I_T nexus: .*alpha", nexus["text"], "doctor")


@test
def metrics(t):
    needs_status_socket(t)
    helper = start(t)
    Guest(t, helper, "alpha", 0xa1)
    text = t.expect(t.ctl("metrics", "-s", helper.status_path), GOOD, err="").out
    found = {}
    for _, samples in parse(t, text, helper.status_path).values():
        found.update(samples)
    t.equal(found["clients", ()], 1, "clients")
    counts = [value for (name, _), value in found.items() if name == "lun_command_seconds_count"]
    t.equal(counts, [1], "commands")
    keys = [value for (name, _), value in found.items() if name == "lun_keys"]
    t.equal(keys, [1], "keys")


@test
def reservation_is_told(t):
    needs_status_socket(t)
    helper = start(t)
    Guest(t, helper, "alpha", 0xa1)
    t.expect(t.ctl("reserve", "-k", helper.socket_path, "--key=a1", "--type=write-exclusive",
                   t.lab.disk().path), GOOD)
    told = json.loads(status(t, helper, "--json").out)["devices"][0]["reservation"]
    t.check(told.pop("age_s") < scaled(20), "its age")
    t.equal(told, {"type": "write-exclusive", "key": "0x00000000000000a1"}, "reservation")


@test
def stale_key_is_removed(t):
    needs_status_socket(t)
    helper = start(t)
    guest = Guest(t, helper, "alpha", 0xa1)
    t.matches("in use by alpha", t.expect(cleanup(t, helper, 0xa1), REFUSED, "").err, "message")
    guest.end()
    wait_status(t, helper, "unverified, client gone")
    t.lab.control().forget()
    t.expect(cleanup(t, helper, 0xa1), GOOD, f"removed key {hexkey(0xa1)}\n", "")
    t.equal([(call.cdb[:2].hex(), call.parameters[:16].hex()) for call in t.lab.disk().calls()],
            [("5f00", "00000000000000a1" + "00" * 8)], "on the device")
    t.check(hexkey(0xa1) not in status(t, helper).out, "the helper still lists the key")
