# SPDX-License-Identifier: LGPL-2.1-or-later
"""Advice does not hurt a live holder: what hints say to do is done, beside a host that holds the
reservation. It keeps what it has, unless the hint had warned before it named the command."""
import glob
import os
import re
import shlex

from support import pages
from support.tap import cases, limit, test

from ctl.fixture import GOOD, REFUSED, USAGE, hexkey
from ctl.status_server import StatusServer, example

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: Host a's key, which holds the reservation; host b's, if it is registered; those of neither.
A, B, NEW, NONE = "1", "2", "9", "7"
#: What host a has: nothing, a registration, or one and a reservation of this type.
STATES = ("nothing", "registered", "1", "3", "5", "6", "7", "8")
#: How often advice leads to a command with advice of its own.
DEPTH = 4

COMMANDS = [
    *(["register", *key, "-S", NEW] for key in ([], ["-K", A], ["-K", NONE])),
    *(["register", "--yes", *key, "-S", "0"] for key in ([], ["-K", A], ["-K", NONE])),
    *(["reserve", "-K", key, "-T", kind] for key in (A, B, NONE) for kind in ("1", "5", "7")),
    *(["release", "--yes", "-K", key, "-T", kind] for key in (A, B, NONE) for kind in ("1", "8")),
    *(["clear", "--yes", "-K", key] for key in (A, B, NONE)),
    *([command, "--yes", "-K", key, "-S", victim, "-T", "5"] for command in ("preempt", "preempt-abort")
      for key, victim in ((A, NONE), (B, NONE), (NONE, A), (B, "0"))),
]

#: By state, the commands that were carried out.
walked = {}


class Scene:
    """A LUN of its own, on which host a has what the state says, and host b is registered or not."""

    def __init__(self, t, state, b_registered):
        self.t = t
        self.lun = t.make_lun()
        if state != "nothing":
            self.do("a", "register", "-S", A)
        if b_registered:
            self.do("b", "register", "-S", B)
        if state not in ("nothing", "registered"):
            self.do("a", "reserve", "-K", A, "-T", state)

    def do(self, host, *argv):
        self.t.expect(self.t.ctl(*argv, *self.t.host(host), self.lun), GOOD)

    def look(self):
        """(whether host a holds the reservation, its key, type; who may write beside it)"""
        found = self.t.expect(self.t.ctl("full-status", "-j", *self.t.host("a"), self.lun),
                              GOOD).json["registrations"]
        own = next((one for one in found if ":a,i," in one["initiator"]), None)
        others = {one["initiator"] for one in found if one is not own}
        if own is None:
            return None, others
        kept = own["key"], own["holder"], own.get("type")
        return kept, others if (own.get("type") or 0) >= 5 else set()


def loses(before, after):
    """Whether host a has less than before: registration, key, reservation, or being alone."""
    (own, beside), (own_now, beside_now) = before, after
    return own is not None and (own_now != own or bool(beside_now - beside))


def advised(lines):
    """(number of the line, command) of what these lines say to do."""
    for number, line in enumerate(lines):
        if line.startswith("    qemu-pr-ctl "):
            yield number, shlex.split(line)[1:]


def check_warned(t, command, said, before):
    """What was printed before the command named the loss, and the holder."""
    told = f"{' '.join(command)} took {before[0]} away, and was told so:\n" + "\n".join(said)
    t.check(any(line.startswith("  Warning: ") for line in said), f"no warning: {told}")
    key, holds, kind = before[0]
    # cleanup knows the helper's status only, and is about the key that was said.
    if holds and command[:3] != ["register", f"--key={hexkey(int(A))}", "--new-key=0"]:
        holder = ("All registered hosts hold the reservation" if kind in (7, 8)
                  else f"Key {key} holds the reservation, .*:a,i,0x")
        t.check(any(re.search(holder, line) for line in said), f"no holder: {told}")


def check_asked(scene, argv, refusal, before):
    """Nothing happens without a yes, and --dry-run says what the question says."""
    t = scene.t
    t.expect(refusal, REFUSED, "")
    shown = t.expect(t.ctl(*argv, "--dry-run"), GOOD, err="").out.splitlines()
    question = refusal.err.splitlines()[1:-1]
    t.equal(shown[-len(question):], question, f"question, and --dry-run of {' '.join(argv)}")
    t.matches("not confirmed", t.expect(t.ctl(*argv, typed="n\n"), REFUSED, "").err, "no")
    t.equal(scene.look(), before, "host a, before it was confirmed")


def follow(scene, argv, done, said=None, depth=DEPTH):
    """Run a command, and what its hint says to do, and so on. With nothing said before it, it is the
    user's own."""
    before = scene.look()
    result = scene.t.ctl(*argv)
    if said is not None and "use --yes" in result.err:
        check_asked(scene, argv, result, before)
        result = scene.t.ctl(*argv, typed="y\n")
    if said is not None:
        done.add(" ".join(argv))
        scene.t.check(result.status != USAGE, f"it cannot be typed: {result.err}")
        if loses(before, scene.look()):
            check_warned(scene.t, argv, said, before)
    if result.status != GOOD and depth > 0:
        lines = result.err.splitlines()
        for number, command in advised(lines):
            follow(scene, command, done, lines[:number], depth - 1)


def walk(t, state):
    if state in walked:
        return walked[state]
    done = set()
    for host in ("a", "b"):
        for b_registered in (False, True):
            for command in COMMANDS:
                scene = Scene(t, state, b_registered)
                follow(scene, [*command, *t.host(host), scene.lun], done)
    scene = Scene(t, state, False)
    server = StatusServer(os.path.join(t.directory(), "status"), [example()])
    t.cleanup.callback(server.close)
    follow(scene, ["cleanup", f"--key={A}", "--yes", "-s", server.path, *t.host("a"), scene.lun],
           done)
    walked[state] = done
    return done


@cases(*STATES)
@limit(60)
def carried_out(t, state):
    t.check(walk(t, state), "no hint named a command")


@test
@limit(300)
def every_command_was_carried_out(t):
    """Those that the source can print, by command and options."""
    formats = set()
    for path in glob.glob(os.path.join(TOP, "src", "ctl", "*.c")):
        with open(path, encoding="utf-8") as file:
            calls = re.findall(r"outcome_add_command\(\s*outcome,[^\",]*,\s*([^;]*);", file.read())
        for call in calls:
            text = "".join(re.findall(r'"([^"]*)"', call.replace("OUTCOME_KEY", '"VALUE"')))
            formats.add(re.sub(r"%#?s?(?=\s|$)", "VALUE", text))
    wanted = {one for one in formats if one not in ("full-status", "capabilities")}
    t.check(len(wanted) >= 5, f"only {wanted} were found in the source")
    done = set().union(*(walk(t, state) for state in STATES))
    for one in wanted:
        pattern = re.escape(one).replace("VALUE", r"\S+") + " "
        t.check(any(re.match(pattern, command) for command in done), f"{one!r} was not tried")


@test
def no_warning_about_nothing(t):
    """One that always comes is not read."""
    for command in COMMANDS:
        scene = Scene(t, "nothing", False)
        result = t.ctl(*command, *t.host("b"), scene.lun)
        t.check("Warning" not in result.err, f"{' '.join(command)}: {result.err}")


def page_says(scene, host, key, kind):
    """Do what docs/troubleshooting.md says of keys that stay behind, on this host."""
    text = pages.item(TOP, "docs/troubleshooting.md", "qemu-pr-ctl register --new-key=99").text
    for word, instead in (("/dev/DISK", " ".join([*scene.t.host(host), scene.lun])), ("KEY", key),
                          ("TYPE", kind), ("qemu-pr-ctl", scene.t.lab.ctl)):
        text = re.sub(rf"(?<!\w){word}\b", instead, text)
    return scene.t.run("sh", "-c", text, typed=9 * "y\n")


@cases("1", "3", "5", "6", "7", "8")
def page_on_the_holders_host(t, kind):
    """To the device it is the running holder that does it: nothing is done."""
    scene = Scene(t, kind, True)
    before = scene.look()
    for key in (A, B):
        result = page_says(scene, "a", key, kind)
        t.equal(result.err.count("RESERVATION CONFLICT"), 2, f"conflicts of {result.err}")
        t.equal(scene.look(), before, "host a, and who may write beside it")


@cases("1", "3", "5", "6")
def page_on_another_host(t, kind):
    """The holder's key and reservation are put away, and nothing is left of who did it."""
    scene = Scene(t, kind, False)
    t.expect(page_says(scene, "b", A, kind), GOOD)
    found = t.expect(t.ctl("full-status", "-j", *t.host("b"), scene.lun), GOOD).json
    t.equal(found["registrations"], [], "registrations")


@cases("7", "8")
def page_where_all_hold_it(t, kind):
    """The key has gone meanwhile: nothing is released for those that are left."""
    scene = Scene(t, kind, True)
    t.expect(t.ctl("register", "--yes", "-K", B, "-S", "0", *t.host("b"), scene.lun), GOOD)
    before = scene.look()
    result = page_says(scene, "b", NONE, kind)
    t.equal(result.err.count("RESERVATION CONFLICT"), 1, f"conflicts of {result.err}")
    t.equal(scene.look(), before, "host a, and who may write beside it")
