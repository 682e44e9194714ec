# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor's advice does not hurt a live holder: each command in the remedies that its source has is
known here, as one that takes nothing from others, or as one before which the loss is said. What
qemu-pr-ctl is told to do is done, beside a host that holds the reservation."""
import glob
import os
import re

from support.tap import cases, test

from ctl.fixture import CONFLICT, GOOD
from ctl.machine import MAP, Machine, fc_path, healthy
from ctl.suite_hints import A, B, NONE, Scene

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: They look, or permit something; or it is said below why nothing is lost by them.
HARMLESS = {
    "'lsblk -s'", "'lsblk -S'", "'ls -l %s'", "'fuser -v %s'", "'multipath -ll %s'",
    "'dmsetup table %s'", "'virsh dumpxml DOMAIN'", "'info qtree'", "'info block'", "'qom-get'",
    "'qemu-pr-ctl status'", "'qemu-pr-ctl keys %s'", "'qemu-pr-ctl full-status'",
    "'qemu-pr-ctl full-status %s'", "'qemu-pr-ctl doctor %s'", "'qemu-pr-ctl doctor -k %s %s'",
    "'sudo qemu-pr-ctl doctor %s'",
    "'blockdev --setrw %s'", "'chmod u+w %s'",  # who may write; the storage decides on reservations
    "'useradd --system --user-group qemu-pr-helper'", "'systemctl start multipathd'",
    "'file'", "'reservation_key file'", "'multipathd reconfigure'",  # which key multipathd takes from now on
    # Of a key to itself, by the path it is asked of: carried out below.
    "'qemu-pr-ctl register --direct --key=%#x --new-key=%#x%s /dev/%s'",
    "'-device scsi-block'", "'-object pr-manager-helper,id=pr0,path=%s'",  # at the guest's next start
}

#: What has to be said before: what is lost, and for whom.
WARNED = {
    "'qemu-pr-ctl cleanup %s'": "Warning: once multipathd has forgotten the key",
    "'multipathd setprkey map %s key %#x'": "Warning: .* the running guest loses access",
    "'no_path_retry fail'": "a guest gets errors when all paths are gone for a moment",
    "let the guest register again": None,  # what follows is the loss
}


def texts():
    """The literals of the doctor's source, each with those that the compiler joins to it."""
    for path in sorted(glob.glob(os.path.join(TOP, "src", "doctor", "*.c"))):
        with open(path, encoding="utf-8") as file:
            source = re.sub(r"\\\n", "", file.read())
        macros = re.findall(r"^#define (\w+)\s+(\".*\")", source, re.M)
        source = re.sub(r"^#define .*", "", source, flags=re.M)
        for name, value in macros:
            source = re.sub(rf"\b{name}\b", lambda _, value=value: value, source)
        source = source.replace("PRIx64", '"x"')
        for literals in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', source):
            yield "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', literals))


def commands(text):
    """What is in quotes, but for apostrophes and the attributes of XML."""
    return [(one.start(), one[0]) for one in re.finditer(r"(?<![\w=])'[^']+'(?!\w)", text)]


@test
def every_command_is_known(t):
    seen = set()
    for text in texts():
        for at, command in commands(text):
            seen.add(command)
            t.check(command in HARMLESS or command in WARNED, f"{command} is not known: {text}")
            if command in WARNED:
                t.matches(WARNED[command], text[:at], f"what stands before {command}")
    t.equal(sorted(HARMLESS - seen), [], "commands that are in no remedy any more")
    t.equal(sorted(one for one in WARNED if one[0] == "'" and one not in seen), [], "the same")


@test
def registering_again_stops_the_guest(t):
    found = [text for text in texts() if "guest register again" in text]
    t.check(len(found) >= 5, f"only {len(found)} remedies let the guest register again")
    for text in found:
        t.matches("register again: .*which interrupts the programs that use it", text, "remedy")


def asked(machine):
    """The arguments of the command that tells whether a path is registered."""
    remedy = machine.checks()["registrations"][2]
    command = re.search("'qemu-pr-ctl (register --direct [^']*)'", remedy)
    machine.t.check(command, f"no command: {remedy}")
    return command[1].split()


@cases(*(f"{state}, key {key}, host {host}" for state in ("registered", "1", "3", "5", "6", "7", "8")
         for key in (A, B, NONE) for host in "ab"))
def asking_a_path_takes_nothing(t, name):
    """By whichever host, with the right key or with another."""
    state, key, host = re.match(r"(\w+), key (\w), host (\w)", name).groups()
    machine = healthy(t)
    machine.registered(fc_path(int(key), 1), active=True)
    machine.multipathd.answers["getprkey"] = b"none\n"
    argv = asked(machine)
    t.equal(argv[:4], ["register", "--direct", f"--key=0x{key}", f"--new-key=0x{key}"], "command")
    for b_registered in (False, True):
        scene = Scene(t, state, b_registered)
        before = scene.look()
        own = A if host == "a" else B if b_registered else None
        result = t.ctl(argv[0], *argv[2:-1], *t.host(host), scene.lun)
        t.equal(result.status, GOOD if key == own else CONFLICT, f"what host {host} is told")
        t.equal(scene.look(), before, "host a, and who may write beside it")


@test
def warned_where_it_is_printed(t):
    """A remedy is cut where it does not fit; not these."""
    machine = healthy(t)
    machine.multipathd.answers["getprkey"] = b"0xffffffffffffffff\n"
    machine.registered(*(fc_path(0xfffffffffffffffe, at) for at in (1, 2)))
    t.matches(rf"Warning: .* the running guest loses access .*: 'multipathd setprkey map {MAP} key "
              r"0xfffffffffffffffe'\.$", machine.checks()["registrations"][2], "remedy")
    machine = Machine(t)
    machine.make_map_of("sdb", "sdc")
    machine.start_multipathd(prstatus="set")
    machine.registered()
    t.matches(r"Warning: once .*: 'qemu-pr-ctl cleanup /.*'\.$",
              machine.checks()["registrations"][2], "remedy")
