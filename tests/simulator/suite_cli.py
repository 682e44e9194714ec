# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line, the sockets, and how it ends."""
import os
import re
import signal
import socket

from support import scsi
from support.process import serving
from support.tap import cases, test

ABSOLUTE = "not NAME=SOCKET with an absolute path"


def refused(t, message, *argv):
    """It ends with 1 and says exactly this."""
    program = t.run(*argv)
    t.equal(program.wait_exit(), 1, "exit code")
    t.equal(program.log(), f"qemu-pr-simulator: {message}\n", "standard error")
    t.equal(program.output(), "", "standard output")


@cases(*((value, value) for value in ("a", "a=", "=/x", "a=x/y", "")))
def bad_nexus(t, value):
    refused(t, f"--nexus={value}: {ABSOLUTE}", f"--nexus={value}")


@test
def nothing_to_serve(t):
    refused(t, "nothing to serve: give at least one --nexus NAME=SOCKET")


@test
def same_name_twice(t):
    refused(t, "--nexus=a=/y: duplicate nexus name",
            "--nexus", "a=/x", "--nexus", "a=/y")


@test
def too_many_nexuses(t):
    refused(t, "--nexus=n16=/x: more than 16", *(f"--nexus=n{index}=/x" for index in range(17)))


@cases("x" * 240, "a,i,0x2")
def no_initiator_name(t, name):
    path = os.path.join(t.directory(), "s")
    refused(t, f"--nexus={name}={path}: not valid in the name of an iSCSI initiator", "--nexus",
            f"{name}={path}")


@test
def positional_argument(t):
    refused(t, "unexpected argument 'lun'; see --help", "--nexus", "a=/x", "lun")


@cases("", "x", "-1", "+1", "1x", "3600001", "99999999999999999999")
def bad_latency(t, value):
    refused(t, f"--device-latency={value}: not a number of milliseconds from 0 to 3600000",
            "--nexus", "a=/x", f"--device-latency={value}")


@test
def unknown_option(t):
    program = t.run("--frob")
    t.equal(program.wait_exit(), 1, "exit code")
    t.equal(program.log(), f"{t.lab.binary}: unrecognized option '--frob'\n"
            f"Try '{t.lab.binary} --help' for more information.\n", "standard error")


@cases(("missing", "nowhere", "No such file or directory"),
       ("no directory", "lun", "Not a directory"))
def bad_state_directory(t, name, why):
    directory = os.path.dirname(t.make_lun())
    state = os.path.join(directory, name)
    path = os.path.join(directory, "socket")
    refused(t, f"cannot open state directory {state}: {why}", "--nexus", f"a={path}", "--state",
            state)
    t.check(not os.path.lexists(path), "the socket was left behind")


@cases("-h", "--help")
def help_text(t, option):
    program = t.run(option, "--frob")
    t.equal(program.wait_exit(), 0, "exit code")
    t.matches(r"\AUsage: qemu-pr-simulator --nexus NAME=SOCKET", program.output(), "help")
    for name in ("nexus", "state", "device-latency", "faults", "verbose", "quiet", "help",
                 "version"):
        t.matches(rf"^ .*--{name}\b", program.output(), "help")


@cases("-V", "--version")
def version(t, option):
    program = t.run(option)
    t.equal(program.wait_exit(), 0, "exit code")
    t.matches(r"\Aqemu-pr-simulator \d+(\.\d+)+\n\Z", program.output(), "version")


@test
def says_that_nothing_is_protected(t):
    simulator = t.start("-q")
    t.equal(simulator.log(),
            "qemu-pr-simulator: simulating 2 nexus(es); no data is protected\n", "standard error")


# -- sockets


@test
def live_socket_is_left_alone(t):
    """The second nexus cannot be had: the first one's socket goes again, the other one stays."""
    owner = t.start(nexuses=("a",))
    first = os.path.join(t.directory(), "first")
    program = t.run("--nexus", f"x={first}", "--nexus", f"y={owner.sockets['a']}")
    t.equal(program.wait_exit(), 1, "exit code")
    t.matches(re.escape(owner.sockets["a"]), program.log(), "standard error")
    t.check(not os.path.lexists(first), "the first socket was left behind")
    t.check(serving(owner.sockets["a"]), "the owner of the socket does not serve any more")


@test
def stale_socket_is_replaced(t):
    directory = t.directory()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.path.join(directory, "a"))
    t.start(nexuses=("a",), directory=directory)


@cases("SIGTERM", "SIGINT", "SIGHUP")
def signal_ends_it(t, name):
    simulator = t.start()
    simulator.signal(getattr(signal, name))
    t.equal(simulator.wait_exit(), 0, "exit code")
    for path in simulator.sockets.values():
        t.check(not os.path.lexists(path), f"{path} was left behind")


@test
def somebody_elses_socket_stays(t):
    simulator = t.start()
    replaced = simulator.sockets["a"]
    os.unlink(replaced)
    with open(replaced, "wb"):
        pass
    t.equal(simulator.stop(), 0, "exit code")
    t.check(os.path.lexists(replaced), "removed what was not its own")
    t.check(not os.path.lexists(simulator.sockets["b"]), "its own socket was left behind")


@test
def end_while_a_client_is_there(t):
    simulator = t.start()
    host = t.host(simulator, "a", t.make_lun())
    t.good(host.register(1))
    host.connection.send_request(scsi.pr_in(16), [host.lun])
    simulator.signal(signal.SIGTERM)
    t.equal(host.connection.receive_reply().status, scsi.GOOD, "status of what was under way")
    t.equal(simulator.wait_exit(), 0, "exit code")
    t.equal(host.connection.receive_rest(), b"", "sent before closing")
