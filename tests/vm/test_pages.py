# SPDX-License-Identifier: LGPL-2.1-or-later
"""The pages for people, word by word: blocks of code are taken from README.md and docs/, and are
executed as they are typed, on real disks, with systemd, libvirtd and QEMU.

Only what a page leaves to its reader is put in: its disk for /dev/sdX, its machine's other options
for "...". Which blocks are for here is in tests/support/pages.py.
"""
import contextlib
import grp
import os
import re
import shutil
import stat
import subprocess
import xml.etree.ElementTree
from typing import Callable, Iterator, List, Optional, Set

import context
import lab
import multipath
import test_libvirt
import test_systemd
from host import WRITE_EXCLUSIVE_REGISTRANTS, Host
from support import pages, tap, terminal
from support.process import Helper, Program, serving
from support.qmp import Qmp
from support.tap import limit, test

PACKAGES = ["multipath", "systemd", "libvirt", "qemu"]
MEMORY = 1024

TOP = "/payload/pages"
SOCKET = "/run/qemu-pr-helper.sock"
CONFIG = "/etc/qemu-pr-helper.conf"
PROFILES = "/usr/share/qemu-pr-helper/validate"
DROP_INS = "/usr/share/qemu-pr-helper/systemd"
#: udev's package makes it, with another number perhaps.
GROUP = "kvm"
MAP = "mpatha"
KEY, OTHER_KEY = 0x123, 0xDEAD
#: What the reader's virtual machine has beside: none of it matters here.
MACHINE = "-nodefaults -display none -S -M pc -m 64 -qmp unix:{},server=on,wait=off"
DOMAIN = """<domain type='qemu'>
  <name>page</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/>{}<memballoon model='none'/></devices>
</domain>
"""

tried: Set[pages.Item] = set()


def typed(page: str, start: str) -> str:
    one = pages.item(TOP, page, start)
    tried.add(one)
    return one.text


def put_in(text: str, **words: str) -> str:
    """What the reader puts in: each of the words is there."""
    for word, instead in words.items():
        if not re.search(rf"\b{word}\b", text):
            raise AssertionError(f"no {word} in {text!r}")
        text = re.sub(rf"\b{word}\b", instead, text)
    return text


class Lab:
    """A disk, another host's view of it, and what each way of starting a helper needs, when it is
    wanted."""

    def __init__(self, settings: dict):
        for name in ("qemu-pr-ctl", "qemu-pr-helper"):
            shutil.copy(f"/payload/bin/{name}", "/usr/bin")
        os.makedirs("/usr/libexec", exist_ok=True)
        shutil.copy("/payload/bin/qemu-pr-mpath", "/usr/libexec")
        os.makedirs(DROP_INS)
        shutil.copytree("/payload/validate", PROFILES)
        if not os.path.exists("/var/run"):
            os.symlink("/run", "/var/run")
        with open("/etc/group", "a", encoding="ascii") as file:
            file.write(f"{GROUP}:x:106:\n")
        self.store = lab.Backstore("shared")
        self.disk, self.other = (lab.Loopback(self.store, number).initiator for number in (1, 2))
        self.settings = settings
        self._manager: Optional[test_systemd.Manager] = None

    def manager(self) -> test_systemd.Manager:
        if not self._manager:
            self._manager = test_systemd.Manager(self.settings["helper"])
            self._manager.control("stop", test_systemd.SOCKET_UNIT)
        return self._manager

    def close(self) -> None:
        if self._manager:
            self._manager.close()


class Context(context.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__(name)
        self.lab = shared
        self._said: List[str] = []
        lab.reset([shared.disk, shared.other])

    @property
    def name(self) -> str:
        """The disk's, in /dev."""
        return os.path.basename(self.lab.disk.path)

    def log(self) -> str:
        return "\n".join([*self._said, super().log()])

    def shell(self, text: str) -> str:
        """To its end, without an error; what it printed. Each question is answered with yes."""
        with terminal.typed(9 * "y\n") as stdin:
            done = subprocess.run(["busybox", "sh", "-ec", text], stdin=stdin, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self._said += [text, done.stdout]
        self.equal(done.returncode, 0, f"exit status of {text!r}")
        return done.stdout

    def by_manager(self, text: str) -> None:
        """The same, where systemd is."""
        done = self.lab.manager().run("busybox", "sh", "-ec", text)
        self._said += [text, done.stdout]
        self.equal(done.returncode, 0, f"exit status of {text!r}")

    def started(self, name: str, text: str) -> Program:
        """It goes on; so do commands in its background."""
        directory = f"/run/{name}"
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        return self.watched(name, Program(["busybox", "sh", "-ec", text + "\nwait"], directory))

    def helper(self) -> None:
        """One where programs look for it by default."""
        directory = "/run/helper"
        os.makedirs(directory, exist_ok=True)
        self.watched("helper", Helper("/usr/bin/qemu-pr-helper", directory,
                                      socket_path=SOCKET)).wait_ready()

    def host(self, path: str) -> Host:
        host = Host(SOCKET, path)
        self.cleanup.callback(host.close)
        return host

    def manager_connected(self, qmp: str) -> None:
        """QEMU has started, and has found its helper."""
        with contextlib.closing(Qmp(qmp, 60)) as asked:
            self.equal(asked.command("query-pr-managers"), [{"id": "pr0", "connected": True}],
                       "query-pr-managers")


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = Lab(settings)
    try:
        yield lambda one: Context(shared, one.full_name)
    finally:
        shared.close()


# -- with plain QEMU


@test
@limit(120)
def readme_plain_qemu(t: Context) -> None:
    text = typed("README.md", "qemu-pr-helper -k ")
    t.started("readme", put_in(text, sdX=t.name).replace(" ... ", f" {MACHINE.format('/run/q1')} "))
    t.manager_connected("/run/q1")
    t.check(serving(SOCKET), "its helper serves")


@test
def readme_configuration(t: Context) -> None:
    lab.write(CONFIG, typed("README.md", "# /etc/qemu-pr-helper.conf") + "\n")
    t.cleanup.callback(os.unlink, CONFIG)
    t.helper()
    t.equal(t.host(t.lab.disk.path).keys()[1], [], "keys")
    with open(CONFIG, "a", encoding="ascii") as file:
        file.write("no-such-option=1\n")
    program = t.watched("refused", Program(["qemu-pr-helper", "-k", "/run/refused"], "/run/helper"))
    t.equal(program.wait_exit(), 1, "exit status with an option in it that there is not")


@test
@limit(120)
def plain_qemu(t: Context) -> None:
    """A helper for a group; QEMU, with the line of docs/troubleshooting.md as well; a look."""
    t.started("helper", typed("docs/qemu.md", "qemu-pr-helper -k "))
    lab.wait_for(SOCKET, lambda: serving(SOCKET))
    found = os.stat(SOCKET)
    t.equal((oct(stat.S_IMODE(found.st_mode)), found.st_gid),
            ("0o660", grp.getgrnam(GROUP).gr_gid), "mode and group of the socket")
    text = put_in(typed("docs/qemu.md", "qemu-system-x86_64"), sdX=t.name)
    options, xml_line = typed("docs/troubleshooting.md", "-device scsi-block").split("\n")
    t.check("-device scsi-block,drive=disk0" in text, "the line that the other page is about")
    text = text.replace("-device scsi-block,drive=disk0", options)
    t.started("qemu", text.replace(" ... ", f" {MACHINE.format('/run/q2')} "))
    t.manager_connected("/run/q2")
    t.equal(xml.etree.ElementTree.fromstring(xml_line).attrib["rerror_policy"], "report",
            "in libvirt's words")
    host = t.host(t.lab.disk.path)
    t.good(host.tell(0, action_key=KEY), "REGISTER")
    look = put_in(typed("docs/qemu.md", "qemu-pr-ctl full-status"), sdX=t.name)
    t.matches(f"0x0*{KEY:x}", t.shell(look), "what it prints")
    t.good(host.tell(0, key=KEY), "REGISTER of no key")


# -- with systemd


@test
@limit(120)
def systemd_socket(t: Context) -> None:
    t.by_manager(typed("docs/qemu.md", "mkdir -p /etc/systemd/system/qemu-pr-helper.socket.d"))
    unit = test_systemd.SOCKET_UNIT
    t.cleanup.callback(t.lab.manager().control, "disable", "--now", unit, test_systemd.UNIT)
    found = os.stat(SOCKET)
    t.equal((oct(stat.S_IMODE(found.st_mode)), found.st_gid),
            ("0o660", grp.getgrnam(GROUP).gr_gid), "mode and group of the socket")
    t.equal(t.lab.manager().show("UnitFileState", unit=unit), {"UnitFileState": "enabled"},
            "at the next boot")
    t.equal(t.host(t.lab.disk.path).keys()[1], [], "keys")


@test
@limit(180)
def systemd_template(t: Context) -> None:
    t.by_manager(typed("docs/qemu.md", "systemctl mask --now qemu-pr-mpath"))
    units = ["qemu-pr-helper@blue.socket", "qemu-pr-helper@blue.service"]
    t.cleanup.callback(t.lab.manager().control, "unmask", test_systemd.MPATH_SOCKET_UNIT)
    t.cleanup.callback(t.lab.manager().control, "disable", "--now", *units)
    t.by_manager(typed("docs/qemu.md", "systemctl enable --now qemu-pr-helper@blue"))
    host = Host("/run/qemu-pr-helper-blue.sock", t.lab.disk.path)
    t.cleanup.callback(host.close)
    t.equal(host.keys()[1], [], "keys")
    t.matches("pid", t.shell(typed("docs/qemu.md", "qemu-pr-ctl status")), "what it prints")
    t.equal(t.lab.manager().show("ActiveState", unit=units[1]), {"ActiveState": "active"},
            "the service, without multipath")
    t.equal(t.lab.manager().show("LoadState", "ActiveState", unit=test_systemd.MPATH_SOCKET_UNIT),
            {"LoadState": "masked", "ActiveState": "inactive"}, "the worker's socket")


# -- with libvirt


@test
@limit(180)
def libvirt(t: Context) -> None:
    """libvirtd starts the helper for the page's disk, with the page's configuration."""
    lab.write(CONFIG, typed("docs/libvirt.md", "io-timeout=20") + "\n")
    t.cleanup.callback(os.unlink, CONFIG)
    virtual = test_libvirt.Libvirt("/usr/bin/qemu-pr-helper")
    t.cleanup.callback(virtual.daemon.close)
    t.check(typed("docs/libvirt.md", "pr_helper = ") in lab.read("/etc/libvirt/qemu.conf"),
            "libvirtd has the page's line in its configuration")
    disk = put_in(typed("docs/libvirt.md", "<controller"), sdX=t.name)
    lab.write("/run/page.xml", DOMAIN.format(disk))
    virtual.virsh("create", "--paused", "/run/page.xml")
    t.cleanup.callback(virtual.virsh, "destroy", "page")
    t.matches('"connected": *true', virtual.virsh("qemu-monitor-command", "page",
                                                  '{"execute":"query-pr-managers"}'), "of QEMU")
    told = t.shell(typed("docs/libvirt.md", "qemu-pr-ctl status"))
    t.matches("page", told, "clients in the status")


# -- when it does not work


@test
def keys(t: Context) -> None:
    """What a guest would do. The disk has no key before, and none afterwards."""
    t.helper()
    text = put_in(typed("docs/troubleshooting.md", "qemu-pr-ctl keys"), DISK=t.name)
    t.matches("0x0*123", t.shell(text.replace("qemu-pr-ctl register --key=123", """
        qemu-pr-ctl keys /dev/%s; qemu-pr-ctl register --key=123""" % t.name)), "while it is there")
    t.equal(t.lab.store.registrations(), [], "registrations at the end")


@test
def after_a_crash(t: Context) -> None:
    """A key that no host has any more, with the reservation, is put away."""
    t.helper()
    gone = t.host(t.lab.other.path)
    t.good(gone.tell(0, action_key=OTHER_KEY), "REGISTER")
    t.good(gone.tell(1, WRITE_EXCLUSIVE_REGISTRANTS, OTHER_KEY), "RESERVE")
    text = typed("docs/troubleshooting.md", "qemu-pr-ctl register --new-key=99")
    t.shell(put_in(text, DISK=t.name, KEY=f"{OTHER_KEY:x}", TYPE=str(WRITE_EXCLUSIVE_REGISTRANTS)))
    t.equal(t.lab.store.registrations(), [], "registrations at the end")
    t.lab.other.drain()  # it is told that it was preempted
    t.equal(gone.reservation(), None, "the reservation at the end")


@test
@limit(300)
def before_a_cluster(t: Context) -> None:
    """A disk of two paths to be tried: all passes; the report; without the helper; one's own profile."""
    t.helper()
    a, b = (os.path.basename(one.path) for one in lab.Iscsi(lab.Backstore("tried"), 2).initiators)
    page = "docs/validate.md"
    text = put_in(typed(page, "qemu-pr-ctl validate --for=all --second"), DISK=a, OTHER=b)
    t.matches("^windows +will pass$", t.shell(text), "what it prints, of two paths")
    text = put_in(typed(page, "qemu-pr-ctl validate --for=all --report"), DISK=a)
    t.matches("^windows +will pass as far as one I_T nexus can tell", t.shell(text), "of one path")
    with open("/tmp/storage-report", encoding="utf-8") as file:
        t.matches(r"^unit +naa\.6001405", file.read(), "the report")
    t.check(os.path.exists("/tmp/storage-report.json"), "no report for programs")
    text = put_in(typed(page, "qemu-pr-ctl validate --for=all --direct"), DISK=a)
    t.matches("^pacemaker +will pass as far", t.shell(text), "without the helper")
    text = put_in(typed("docs/guide.md", "qemu-pr-ctl validate"), DISK=a)
    t.matches("^windows +will pass as far", t.shell(text), "for two kinds of cluster")
    with open(f"{PROFILES}/mine.json", "w", encoding="utf-8") as file:
        file.write(typed(page, "{"))
    text = f"qemu-pr-ctl validate --for=mine --second /dev/{b} /dev/{a}"
    t.matches("^mine +will pass$", t.shell(text), "one's own profile")
    os.unlink(f"{PROFILES}/mine.json")


@test
@limit(180)
def doctor(t: Context) -> None:
    """Of a disk, and of a map for which multipath.conf has what the page says it needs."""
    daemons = multipath.Multipath(reservation_key="")
    t.cleanup.callback(daemons.close)
    with open("/etc/multipath.conf", "a", encoding="ascii") as file:
        file.write(typed("docs/troubleshooting.md", "defaults {") + "\n")
    daemons.ask("reconfigure")
    lab.Iscsi(lab.Backstore("mapped"), 2)
    daemons.wait_paths(MAP, 2)
    lab.wait_for(f"/dev/mapper/{MAP}", lambda: os.path.exists(f"/dev/mapper/{MAP}"))
    t.helper()
    t.matches("^ok +device", t.shell(put_in(typed("docs/guide.md", "qemu-pr-ctl doctor"), DISK=t.name)),
              "what it says of the disk")
    text = typed("docs/troubleshooting.md", "qemu-pr-ctl doctor")
    t.check("/path/of/the/helpers/socket" in text, "the words for a socket")
    printed = t.shell(put_in(text, DISK=t.name, MAP=MAP)
                      .replace("/path/of/the/helpers/socket", SOCKET))
    t.matches("reservation_key", printed, "what it says of the map")
    text = put_in(typed("docs/validate.md", "qemu-pr-ctl validate --for=windows,pacemaker"), MAP=MAP)
    t.matches("^pacemaker +will pass as far as one I_T nexus", t.shell(text), "whether a cluster works")


@test
def all_were_tried(t: Context) -> None:
    """Comes last: what is for here by the table, and was not tried above."""
    wanted = {key for key, where in pages.WHERE.items() if where == pages.VM}
    t.equal(sorted(wanted ^ {one.key for one in tried}), [], "blocks")
