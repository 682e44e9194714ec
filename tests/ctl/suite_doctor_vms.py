# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor and virtual machines that have the device open: processes that are called like QEMU."""
import os
import subprocess

from support import procfs, scsi
from support.tap import cases, test

from ctl.fixture import NOBODY
from ctl.suite_doctor import through_helper

QEMU = "/usr/bin/qemu-system-x86_64"


def start(t, *arguments, program=QEMU, flags=os.O_RDWR):
    """A process of that command line which has the disk open."""
    fd = t.disk.open(flags)
    # A shell that waits; the arguments after its script are nothing to it.
    process = subprocess.Popen([program, "-c", "read -r line", *arguments], executable="/bin/sh",
                               stdin=subprocess.PIPE, pass_fds=(fd,))
    os.close(fd)

    def end():
        process.stdin.close()
        process.wait()
    t.cleanup.callback(end)
    while procfs.command(process.pid) != "sh":
        pass  # it has not been executed yet
    return process.pid


def checks(t, **arguments):
    t.disk.answer(scsi.read_keys_data(1))
    return through_helper(t, t.lab.disk().path, **arguments)


@cases(("by name", ("-name", "node-a"), "node-a"), ("by guest=", ("-name", "guest=node-a,x=y"), "node-a"),
       ("without a name", (), "unnamed"))
def one(t, arguments, name):
    pid = start(t, *arguments)
    found = checks(t)
    t.equal(found["nexus"][:2],
            ("good", f"one virtual machine of this host uses it: {name} (pid {pid})"), "nexus")
    t.equal(found["access"][:2], ("good", "virtual machines have it open for writing"), "access")
    t.equal(found["error-policy"][:2], ("good", "errors are reported to the guest"), "policy")


@test
def two(t):
    pids = {name: start(t, "-name", name) for name in ("node-a", "node-b")}
    verdict, text, remedy = checks(t)["nexus"]
    t.equal(verdict, "failure", "verdict")
    t.matches("^virtual machines share one I_T nexus: ", text, "text")
    for name, pid in pids.items():
        t.check(f"{name} (pid {pid})" in text, f"{name} is not in {text!r}")
    t.matches("NPIV", remedy, "remedy")


@cases("/usr/libexec/qemu-kvm", "kvm")
def other_names_of_the_program(t, program):
    start(t, "-name", "node-a", program=program)
    t.matches("node-a", checks(t)["nexus"][1], "nexus")


@test
def another_program(t):
    start(t, "-name", "node-a", program="/usr/bin/qemu-img")
    t.equal(checks(t)["nexus"][:2], ("good", "no virtual machine of this host uses it now"), "nexus")


@test
def only_reads(t):
    pid = start(t, "-name", "node-a", flags=os.O_RDONLY)
    verdict, text, remedy = checks(t)["access"]
    t.equal((verdict, text), ("warning", f"open for reading only: node-a (pid {pid})"), "access")
    t.matches("read-only=on", remedy, "remedy")


@cases("werror=stop", "rerror=stop", '{"werror":"stop"}')
def stops_upon_errors(t, word):
    argument = word if word.startswith("{") else f"scsi-block,drive=d,{word}"
    pid = start(t, "-name", "node-a", "-device", argument)
    verdict, text, remedy = checks(t)["error-policy"]
    t.equal((verdict, text), ("warning", f"paused upon errors of a disk: node-a (pid {pid})"),
            "policy")
    t.matches("werror=report", remedy, "remedy")


@test
def ordinary_user(t):
    """It cannot see what root's processes have open."""
    start(t, "-name", "node-a")
    verdict, text, remedy = checks(t, user=NOBODY)["nexus"]
    t.equal((verdict, text),
            ("unknown", "only root can see whether virtual machines share it"), "nexus")
    t.matches("Run the doctor as root", remedy, "remedy")
