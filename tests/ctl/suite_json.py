# SPDX-License-Identifier: LGPL-2.1-or-later
"""--json: docs/ctl.schema.json, which the fixture holds each object against; names that are no UTF-8;
lists that are longer than an answer."""
import json
import os
import struct
import subprocess

from support import scsi
from support.client import reply
from support.process import environment
from support.tap import Skip, cases, test

from ctl.fixture import CONFLICT, DEVICE, GOOD, HELPER, SCHEMA, hexkey

#: A byte that is no UTF-8, some that are, what JSON and a shell have a meaning for.
NAME = b"lun \xff\xc3\xa4\xe2\x82 'x' \"\\\t$"
NAME_TOLD = "lun \\xff\u00e4\\xe2\\x82 'x' \"\\\t$"
DESCRIPTOR_SIZE = 24 + 24


def raw(t, *argv):
    """(exit status, standard output as bytes, standard error)"""
    done = subprocess.run([os.fsencode(t.lab.ctl), *map(os.fsencode, argv)], env=environment(None),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def make(t):
    path = os.path.join(os.fsencode(t.directory()), NAME)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
    except OSError as error:
        raise Skip(f"the file system takes no such name: {error}") from None
    return path


def check(t, out):
    document = json.loads(out.decode("utf-8"))
    t.equal(SCHEMA.faults(document), [], "against the schema")
    t.equal(document["format"], 1, "format")
    return document


@cases(("good", ["keys"], GOOD), ("conflict", ["reserve", "-K", "1", "-T", "1"], CONFLICT),
       ("not there", ["keys"], DEVICE), ("no helper", ["keys"], HELPER))
def name_that_is_no_utf_8(t, argv, status):
    """In the device's name, the error and the command of the hint."""
    path = make(t)
    way = ["-k", "/none"] if status == HELPER else t.host("a")
    if status == DEVICE:
        path += b"\xfe"
    got, out, _ = raw(t, *argv, "--json", *way, path)
    t.equal(got, status, "exit status")
    document = check(t, out)
    told = NAME_TOLD + ("\\xfe" if status == DEVICE else "")
    t.equal(document["device"].rpartition("/")[2], told, "device")


@test
def doctor_and_status_of_such_a_name(t):
    path = make(t)
    _, out, _ = raw(t, "doctor", "--json", *t.host("a"), path)
    check(t, out)
    status, out, _ = raw(t, "status", "--json", "-s", path)
    t.equal(status, HELPER, "exit status")
    check(t, out)


@test
def hint_for_such_a_name_can_be_typed(t):
    """A shell makes of it what was meant."""
    path = make(t)
    status, _, error = raw(t, "reserve", "-K", "1", "-T", "1", *t.host("a"), path)
    t.equal(status, CONFLICT, "exit status")
    command = error.split(b"qemu-pr-ctl ")[-1].rstrip(b"\n")
    done = subprocess.run([b"sh", b"-c", os.fsencode(t.lab.ctl) + b" " + command],
                          env=environment(None), stdout=subprocess.PIPE, check=False)
    t.equal((done.returncode, done.stdout.decode()),
            (GOOD, f"registered with key {hexkey(1)}\n"), "the hint's command")


@cases(("long", "x" * 250), ("quotes", "'" * 200))
def hint_is_not_cut(t, name):
    """However long the device's name is."""
    path = os.path.join(t.directory(), *[name] * 6, "lun")
    os.makedirs(os.path.dirname(path))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
    t.expect(t.ctl("register", "-S", "2", *t.host("b"), path), GOOD)
    t.expect(t.ctl("reserve", "-K", "2", "-T", "1", *t.host("b"), path), GOOD)
    t.expect(t.ctl("register", "-S", "1", *t.host("a"), path), GOOD)
    result = t.expect(t.ctl("reserve", "-K", "1", "-T", "1", *t.host("a"), path), CONFLICT)
    commands = [line for line in result.err.splitlines() if line.startswith("    qemu-pr-ctl ")]
    t.equal(len(commands), 2, "commands")
    for command in commands:
        typed = command.replace("qemu-pr-ctl", t.lab.ctl, 1)
        t.expect(t.run("sh", "-c", typed, typed="y\n"), GOOD)


@test
def device_that_looks_like_an_option(t):
    """The hint has two dashes before it."""
    directory = t.directory()
    os.close(os.open(os.path.join(directory, "-x"), os.O_RDWR | os.O_CREAT, 0o666))
    done = subprocess.run([t.lab.ctl, "reserve", "-K", "1", "-T", "1", *t.host("a"), "--", "-x"],
                          cwd=directory, env=environment(None), text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.equal(done.returncode, CONFLICT, "exit status")
    t.matches(" -- -x$", done.stderr, "the command")


# -- a reservation whose type is none of SPC-4


@cases("2", "4", "9", "f")
def type_of_nobody(t, kind):
    """The hint says so, and names no command that could not be typed."""
    number = int(kind, 16)
    data = struct.pack(">IIQ4xBB2x", 1, 16, 1, 0, number)
    fake = t.fake(reply(scsi.RESERVATION_CONFLICT).encode(),
                  reply(payload=scsi.read_keys_data(1)).encode(), reply(payload=data).encode(),
                  reply(payload=bytes(8)).encode())
    result = t.expect(t.ctl("reserve", "-K", "1", "-T", "1", "-k", fake.path, t.make_lun()), CONFLICT)
    t.matches(f"holds the reservation, of unknown type {number}\\.$", result.err, "holder")
    t.matches(f"^  Type {number} is not a reservation type of SPC-4", result.err, "what to do")
    t.check("--type=" not in result.err, result.err)


# -- more registrations than an answer has room for


def descriptors(count):
    """READ FULL STATUS of as many registrations, each by a SAS port of its own."""
    body = b"".join(
        struct.pack(">Q4xBBIHI", number, 0, 0, 0, 1, 24)
        + struct.pack(">B3xQ12x", 6, 0x5000C50000000000 + number) for number in range(1, count + 1))
    return struct.pack(">II", 7, len(body)) + body


@cases(("text", False), ("json", True))
def full_status_says_how_many_are_missing(t, as_json):
    """121 registrations, of which a helper's answer has room for 170 at most, here for 97."""
    whole = descriptors(121)
    room = whole[:8 + 97 * DESCRIPTOR_SIZE]
    keys = scsi.read_keys_data(*range(1, 122), generation=7)
    fake = t.fake(reply(payload=room).encode(), reply(payload=keys).encode())
    result = t.expect(t.ctl("full-status", *["-j"] * as_json, "-k", fake.path, t.make_lun()), GOOD,
                      err="")
    if as_json:
        found = result.json
        t.equal((len(found["registrations"]), found["total"], found["truncated"]), (97, 121, True),
                "shown, total, truncated")
        return
    lines = result.out.splitlines()
    t.equal((lines[0], lines[-1], len(lines)),
            ("PRgeneration 0x7, 121 registrations", "and 24 more, which did not fit",
             97 + 3), "first and last line, lines")


@test
def full_status_where_keys_do_not_say(t):
    room = descriptors(121)[:8 + 97 * DESCRIPTOR_SIZE]
    fake = t.fake(reply(payload=room).encode(), reply(8).encode())
    lines = t.expect(t.ctl("full-status", "-k", fake.path, t.make_lun()), GOOD).out.splitlines()
    t.equal((lines[0], lines[-1]), ("PRgeneration 0x7, 97 or more registrations",
                                    "and more, which did not fit"), "first and last line")


@cases(("one command", 170, 1), ("just one more", 171, 2), ("a thousand", 1000, 2),
       ("the most that SCSI has", 1365, 2), ("more than that", 2000, 3))
def direct_reads_on(t, count, commands):
    """--direct grows the allocation length to what the device says that it needs."""
    t.disk.answer(descriptors(count))
    found = t.expect(t.ctl("full-status", "-j", "--direct", t.lab.disk().path,
                           env=t.lab.control().environment()), GOOD, err="").json
    shown = min(count, (65535 - 8) // DESCRIPTOR_SIZE)
    t.equal((len(found["registrations"]), found["truncated"]), (shown, shown < count),
            "shown, truncated")
    calls = t.lab.disk().calls()
    t.equal(len(calls), commands, "commands")
    lengths = [struct.unpack(">H", call.cdb[7:9])[0] for call in calls[:2]]
    t.equal(lengths, [8192, min(65535, 8 + count * DESCRIPTOR_SIZE)][:min(commands, 2)],
            "allocation lengths")


@cases(("1023", 1023, 1), ("1024", 1024, 2), ("8190", 8190, 2), ("9000", 9000, 2))
def direct_reads_all_keys(t, count, commands):
    t.disk.answer(scsi.read_keys_data(*range(1, count + 1)))
    found = t.expect(t.ctl("keys", "-j", "--direct", t.lab.disk().path,
                           env=t.lab.control().environment()), GOOD, err="").json
    shown = min(count, (65535 - 8) // 8)
    t.equal((len(found["keys"]), found["keys"][-1], found["total"], found["truncated"]),
            (shown, hexkey(shown), count, shown < count), "shown, the last one, total, truncated")
    t.equal(len(t.lab.disk().calls()), commands, "commands")
