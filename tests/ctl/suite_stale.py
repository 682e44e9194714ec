# SPDX-License-Identifier: LGPL-2.1-or-later
"""cleanup --key: keys that vanished clients have left, removed only if they are, and on request."""
import os

from support import scsi
from support.tap import cases, test

from ctl.fixture import CONFLICT, GOOD, HELPER, REFUSED, hexkey
from ctl.status_server import StatusServer, example

KEY = 0xc01
REMOVED = ("5f000000000000001800", f"{KEY:016x}" + "00" * 16)


def serve(t, *changes, device=None):
    """A status that lists the key on the disk, changed so for each reader."""
    documents = []
    for change in changes:
        document = example()
        number = os.stat(device or t.lab.disk().path).st_rdev
        key = dict(document["devices"][0]["keys"][0], key=f"0x{KEY:016x}", connected=False,
                   stale=True, replaced=False, pid=2900, vm="node-c")
        key.update(change)
        document["devices"][0].update(device=f"{os.major(number)}:{os.minor(number)}", keys=[key])
        documents.append(document)
    server = StatusServer(os.path.join(t.directory(), "status"), documents)
    t.cleanup.callback(server.close)
    return server


def cleanup(t, server, *options, key=KEY, **arguments):
    return t.ctl("cleanup", "-k", t.lab.helper().socket_path, "-s", server.path, f"--key={key:x}",
                 *options, t.lab.disk().path, **arguments)


def sent(t):
    """What changes something. Who would lose it is read before a question."""
    return [(call.cdb.hex(), call.parameters.hex()) for call in t.lab.disk().calls()
            if call.cdb[0] == scsi.PR_OUT]


@test
def removed_on_request(t):
    t.disk.answer()
    t.expect(cleanup(t, serve(t, {}), "--yes"), GOOD, f"removed key {hexkey(0xc01)}\n", "")
    t.equal(sent(t), [REMOVED], "on the device")


@cases(("in use", {"stale": False, "connected": True}, fr"key {hexkey(0xc01)} is in use by node-c \(pid "
                                                       fr"2900\)"),
       ("replaced", {"replaced": True}, fr"key {hexkey(0xc01)} of node-c \(pid 2900\) is no longer "
                                        fr"registered"),
       ("another key", {"key": hexkey(0xc02)}, f"the helper lists no stale key {hexkey(0xc01)} here"))
def left_alone(t, change, message):
    t.disk.answer()
    result = t.expect(cleanup(t, serve(t, change), "--yes"), REFUSED, "")
    t.matches(message, result.err, "message")
    t.equal(sent(t), [], "on the device")


@test
def another_device(t):
    t.disk.answer()
    result = t.expect(cleanup(t, serve(t, {}, device="/dev/null"), "--yes"), REFUSED, "")
    t.matches(f"register --key={hexkey(0xc01)} --new-key=0 -k", result.err, "the way for who knows better")
    t.equal(sent(t), [], "on the device")


@test
def in_use_by_one_of_two(t):
    """A VM that came back registered with the same key."""
    t.disk.answer()
    server = serve(t, {})
    server.close()
    document = example()
    number = os.stat(t.lab.disk().path).st_rdev
    stale = dict(document["devices"][0]["keys"][0], key=f"0x{KEY:016x}", connected=False, stale=True)
    again = dict(stale, connected=True, stale=False, vm="node-d")
    document["devices"][0].update(device=f"{os.major(number)}:{os.minor(number)}",
                                  keys=[again, stale])
    server = StatusServer(server.path, [document])
    t.cleanup.callback(server.close)
    t.matches("in use by node-d", t.expect(cleanup(t, server, "--yes"), REFUSED, "").err, "message")
    t.equal(sent(t), [], "on the device")


@test
def nobody_to_ask(t):
    t.disk.answer()
    result = t.expect(cleanup(t, serve(t, {})), REFUSED, "")
    t.matches(": not confirmed\n", result.err, "message")
    t.matches("\n  Standard input is not a terminal, so the question cannot be asked: use --yes.\n",
              result.err, "what to do")
    t.equal(sent(t), [], "on the device")


@test
def no_status(t):
    t.disk.answer()
    result = t.ctl("cleanup", "-k", t.lab.helper().socket_path, "-s", "/none", "--key=1", "--yes",
                   t.lab.disk().path)
    t.expect(result, HELPER, "")
    t.equal(sent(t), [], "on the device")


@test
def somebody_else_has_the_nexus(t):
    """The status was wrong: the device knows better, and nothing happens."""
    t.disk.answer(status=scsi.RESERVATION_CONFLICT)
    t.expect(cleanup(t, serve(t, {}), "--yes"), CONFLICT, "")


def on_a_terminal(t, server, answer):
    result = cleanup(t, server, typed=answer)
    t.matches(rf"Key {hexkey(KEY)} was registered by node-c \(pid 2900\), which has gone.*\n(  .*\n)*"
              r"Send it\? \[y/N\] ", result.err, "question")
    return result


@test
def question_and_yes(t):
    t.disk.answer()
    t.expect(on_a_terminal(t, serve(t, {}), "y\n"), GOOD, f"removed key {hexkey(0xc01)}\n")
    t.equal(sent(t), [REMOVED], "on the device")


@cases(("no", "n\n"), ("enter", "\n"), ("end of file", "\x04"))
def question_and_not_yes(t, answer):
    t.disk.answer()
    t.matches("not confirmed", t.expect(on_a_terminal(t, serve(t, {}), answer), REFUSED, "").err,
              "message")
    t.equal(sent(t), [], "on the device")


@test
def came_back_during_the_question(t):
    t.disk.answer()
    server = serve(t, {}, {"stale": False, "connected": True})
    t.matches("in use", t.expect(on_a_terminal(t, server, "y\n"), REFUSED, "").err, "message")
    t.equal((sent(t), server.readers), ([], 2), "on the device, and readers of the status")
