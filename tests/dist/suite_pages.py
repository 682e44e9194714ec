# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pages' blocks that need neither a disk nor a service manager: each as it is typed, in a
clone. What else there is to try is in tests/vm/test_pages.py."""
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

from support import pages, scaled, tree
from support.process import Program, environment, serving
from support.tap import limit, test

from dist.fixture import TOP

MINUTES = 60
PROMPT = b"vm# "
#: Made once for all tests.
made = {}


def clone(t):
    """With the files as they are now, and with the virtual machine's images, which are large."""
    if not made:
        top = os.path.join(t.lab.make_directory(), "clone")
        if tree.is_checkout():
            t.run(["git", "clone", "--quiet", TOP, top], patience=60)
        for path in t.lab.tracked():
            os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(os.path.join(TOP, path), os.path.join(top, path))
        os.makedirs(os.path.join(t.lab.build, "vm"), exist_ok=True)
        made["top"] = top
    return made["top"]


def typed(t, page, start):
    """The block, which is to be tried here."""
    one = pages.item(TOP, page, start)
    t.equal(pages.WHERE[one.key], pages.CLONE, "where it is to be tried")
    return one.text


def run(t, page, start, minutes=1):
    return t.run(["sh", "-ec", f"cd '{clone(t)}'\n{typed(t, page, start)}"],
                 patience=minutes * MINUTES, HOME=os.path.dirname(clone(t)))


def started(t, page, start):
    """A block that goes on until Ctrl-C."""
    text = f"cd '{clone(t)}'\n{typed(t, page, start)}"
    program = Program(["sh", "-ec", text], t.lab.make_directory())
    t.cleanup.callback(program.close)
    return program


def press_ctrl_c(program):
    """As a terminal does: all processes in the foreground get it."""
    os.killpg(program.pid, signal.SIGINT)
    program.wait_exit(30)


def tell_the_story(t):
    program = started(t, "README.md", "make run")
    program.wait_until("the end of the story", lambda: "Ctrl-C ends it" in program.output(),
                       8 * MINUTES)
    press_ctrl_c(program)
    return program.output()


def build(t):
    """What comes first in any page."""
    if "built" not in made:
        made["said"] = tell_the_story(t)
        os.symlink(os.path.join(t.lab.build, "vm"), os.path.join(clone(t), "build", "vm"))
        made["built"] = True
    return made["said"]


@limit(10 * MINUTES)
@test
def make_run(t):
    t.matches("RESERVATION CONFLICT", build(t), "what it tells")


@limit(10 * MINUTES)
@test
def make(t):
    build(t)
    for start in ("make\n", "make SETUP=no", "make docs"):
        one, = [one for one in pages.items(TOP, "HACKING.md") if one.text == start.strip()]
        t.equal(pages.WHERE[one.key], pages.CLONE, "where it is to be tried")
        t.run(["make", "-C", clone(t), *one.text.split()[1:]], patience=8 * MINUTES)
    t.check(os.path.exists(os.path.join(clone(t), "build/docs/html/index.html")), "the manual")


@limit(12 * MINUTES)
@test
def meson_install(t):
    """By the README's block, below a directory of its own."""
    build(t)
    root = t.lab.make_directory()
    text = typed(t, "README.md", "meson setup build")
    t.run(["sh", "-ec", f"cd '{clone(t)}'\n{text}"], patience=8 * MINUTES, DESTDIR=root,
          HOME=os.path.dirname(clone(t)))
    program = os.path.join(root, "usr/bin/qemu-pr-helper")
    t.matches("^qemu-pr-helper version", t.run([program, "--version"]), "what was installed")


@limit(15 * MINUTES)
@test
def another_build(t):
    run(t, "HACKING.md", "meson setup other", 12)
    t.check(os.access(os.path.join(clone(t), "other", "qemu-pr-helper"), os.X_OK), "it was built")


@limit(12 * MINUTES)
@test
def single_tests(t):
    build(t)
    t.matches("^protocol/replies ", run(t, "HACKING.md", "tests/run --list"), "the list")
    output = run(t, "HACKING.md", "tests/run --build build unit", 5)
    t.matches(r"^[1-9]\d* passed, 0 failed", output, "unit tests")
    output = run(t, "HACKING.md", "tests/run -j 1 protocol/replies", 2)
    t.matches(r"^[1-9]\d* passed, 0 failed", output, "one suite")
    run(t, "HACKING.md", "build/tests/unit/test-pool")
    t.matches("^ok ", run(t, "HACKING.md", "tests/protocol/run replies", 2), "replies")
    t.check("not ok" not in run(t, "HACKING.md", "tests/house/run"), "all is well")
    t.matches("^ok .*release", run(t, "HACKING.md", "tests/vm/run --only release", 3),
              "in the virtual machine")


@limit(6 * MINUTES)
@test
def what_is_handed_out(t):
    build(t)
    t.check("not ok" not in run(t, "HACKING.md", "tests/dist/run", 5), "all is well")


@limit(12 * MINUTES)
@test
def helpers_to_debug(t):
    """They stay in the foreground, and serve on the socket that they name."""
    build(t)
    for start, where in (("make serve", r"path=(/\S+?)[ ,\n]"), ("build/qemu-pr-helper", None)):
        program = started(t, "HACKING.md", start)
        if where:
            program.wait_until("a socket's name", lambda: re.search(where, program.output()), 60)
            socket = re.search(where, program.output()).group(1)
        else:
            socket = re.search(r"-k (\S+)", typed(t, "HACKING.md", start)).group(1)
        program.wait_until("its greeting", lambda: serving(socket), 30)
        if not where:
            t.matches("client|connection", program.log(), "what it traces")
        press_ctrl_c(program)
        t.check(not os.path.exists(socket), f"{socket} is left")


@limit(12 * MINUTES)
@test
def shell_in_the_virtual_machine(t):
    """By a terminal: run-tests is there, exit ends it."""
    build(t)
    terminal, other = pty.openpty()
    t.cleanup.callback(os.close, terminal)
    program = subprocess.Popen(["sh", "-ec", f"cd '{clone(t)}'\n" +
                                typed(t, "HACKING.md", "tests/vm/run --shell real_lun")],
                               stdin=other, stdout=other, stderr=other, env=environment(),
                               start_new_session=True)
    t.cleanup.callback(lambda: program.poll() is None and program.kill())
    os.close(other)
    seen = b""
    answers = [b"run-tests 'release*'\n", b"exit\n"]
    prompts = 1
    deadline = time.monotonic() + scaled(4 * MINUTES)
    while program.poll() is None and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if answers and seen.count(PROMPT) >= prompts:
                os.write(terminal, answers.pop(0))
                prompts = seen.count(PROMPT) + 1
    t.equal(program.wait(scaled(30)), 0, f"exit status after {seen[-500:]!r}")
    t.check(re.search(rb"(?m)^ok .*release", seen), f"run-tests printed {seen[-1500:]!r}")
