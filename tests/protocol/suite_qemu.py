# SPDX-License-Identifier: LGPL-2.1-or-later
"""The client that matters: a real QEMU connects, no matter who starts the helper."""
import os
import shutil

from support import procfs, scsi
from support.client import reply
from support.process import Program
from support.qmp import Qmp
from support.tap import Skip, cases, limit, test

from protocol.fixture import DEFAULT_DATA

QEMU = "qemu-system-x86_64"


class Guest:
    """A QEMU without a machine that has a pr-manager-helper for each of the sockets."""

    def __init__(self, t, *paths):
        if not shutil.which(QEMU):
            raise Skip(f"{QEMU} is not installed")
        directory = t.directory()
        qmp_path = os.path.join(directory, "qmp")
        argv = [QEMU, "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none",
                "-qmp", f"unix:{qmp_path},server=on,wait=off"]
        for number, path in enumerate(paths):
            argv += ["-object", f"pr-manager-helper,id=pr{number},path={path}"]
        self.program = Program(argv, directory)
        t.programs.append(self.program)
        t.cleanup.callback(self.program.close)
        self.qmp = Qmp(qmp_path)
        t.cleanup.callback(self.qmp.close)

    def managers(self):
        return {one["id"]: one["connected"] for one in self.qmp.command("query-pr-managers")}

    def quit(self):
        self.qmp.command("quit")
        return self.program.wait_exit()


def documented(t):
    """docs/interop/pr-helper.rst, and its manual page: as a service, or by hand."""
    return t.start()


def libvirt(t):
    """One for each domain: only -k, standard error a pipe that is closed once it serves."""
    read_end, write_end = os.pipe()
    helper = t.start(socket_path=os.path.join(t.directory(), "pr-helper0.sock"), stderr=write_end)
    os.close(write_end)
    os.close(read_end)
    return helper


def kubevirt(t):
    """One for a node: only -k, in a directory that is made for it."""
    directory = os.path.join(t.directory(), "daemons", "pr")
    os.makedirs(directory)
    return t.start(socket_path=os.path.join(directory, "pr-helper.sock"))


@cases(("as documented", documented), ("by libvirt", libvirt), ("by KubeVirt", kubevirt))
@limit(60)
def connects(t, start):
    helper = start(t)
    before = len(procfs.fds(helper.pid))
    guest = Guest(t, helper.socket_path)
    t.equal(guest.managers(), {"pr0": True}, "pr-managers")
    t.check(len(procfs.fds(helper.pid)) > before, "the helper has no connection")
    # It stays: an idle connection is not closed, nor is another client in its way.
    disk = t.own(t.disk.open())
    t.ask(scsi.pr_in(16), disk, reply(payload=DEFAULT_DATA), helper=helper)
    t.equal(guest.managers(), {"pr0": True}, "pr-managers")
    t.equal(guest.quit(), 0, "exit code of QEMU")
    t.eventually("the connection gone", lambda: len(procfs.fds(helper.pid)) <= before,
                 helper=helper)
    t.equal(helper.log(), "", "standard error of the helper")


@test
@limit(60)
def two_managers_in_one_guest(t):
    first, second = t.start(), t.start()
    guest = Guest(t, first.socket_path, second.socket_path, first.socket_path)
    t.equal(guest.managers(), {"pr0": True, "pr1": True, "pr2": True}, "pr-managers")
    t.equal(guest.quit(), 0, "exit code of QEMU")


@test
@limit(60)
def three_guests_of_one_helper(t):
    helper = t.start()
    guests = [Guest(t, helper.socket_path) for _ in range(3)]
    for guest in guests:
        t.equal(guest.managers(), {"pr0": True}, "pr-managers")
    for guest in guests:
        t.equal(guest.quit(), 0, "exit code of QEMU")


@test
@limit(60)
def guest_without_a_helper_does_not_start(t):
    """What the tests above rely on: connected really says so."""
    if not shutil.which(QEMU):
        raise Skip(f"{QEMU} is not installed")
    with_helper = t.start()
    path = with_helper.socket_path
    with_helper.stop()
    guest = Program([QEMU, "-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none",
                     "-object", f"pr-manager-helper,id=pr0,path={path}"], t.directory())
    t.programs.append(guest)
    t.cleanup.callback(guest.close)
    t.equal(guest.wait_exit(30), 1, "exit code of QEMU")
