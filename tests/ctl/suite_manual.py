# SPDX-License-Identifier: LGPL-2.1-or-later
"""qemu-pr-ctl(1) is true: its examples are carried out, its messages are those of the program, and each
exit status comes about as it says. Which test is for which of its claims: tests/dist/manual_claims.py."""
import os
import re

from support import scsi
from support.client import check_condition, reply
from support.tap import test

from ctl.fixture import (CHECK, CONFLICT, DATA, DEVICE, GOOD, HELPER, INTERNAL, OTHER, REFUSED, SCHEMA,
                         TOP, TROUBLE, UNKNOWN, USAGE, hexkey)

with open(os.path.join(TOP, "man", "qemu-pr-ctl.1.rst"), encoding="utf-8") as page_file:
    PAGE = page_file.read()


def section(name):
    return re.split(r"\n\n[A-Z][A-Z_ ]+\n=+\n", PAGE.partition(f"\n{name}\n===")[2])[0]


def blocks(text):
    """What is indented behind "::", without its indentation."""
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n")
            for block in re.findall(r"^::\n\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)]


def on(t, host, lun, text):
    """As it is typed in a shell of that host, with yes for an answer."""
    script = re.sub(r"^(.*?)/dev/sdb", rf"\1{' '.join(t.host(host))} {lun}", text, flags=re.MULTILINE)
    script = re.sub(r"(?<=&& )(qemu-pr-ctl.*?)/dev/sdb", rf"\1{' '.join(t.host(host))} {lun}", script)
    return t.run("sh", "-ec", script.replace("qemu-pr-ctl", t.lab.ctl), typed=9 * "y\n")


@test
def examples(t):
    take, take_over, put_away, stale, script = blocks(section("EXAMPLES"))
    lun = t.make_lun()
    t.expect(on(t, "a", lun, take), GOOD)
    t.expect(t.ctl("register", "-S", "2", *t.host("b"), lun), GOOD)
    dry, real = take_over.split("\n")
    t.matches("^Nothing was sent", t.expect(on(t, "b", lun, dry), GOOD).out, "--dry-run")
    t.equal(t.ctl("keys", "-j", *t.host("b"), lun).json["keys"], [hexkey(1), hexkey(2)], "keys")
    t.expect(on(t, "b", lun, real), GOOD)
    t.equal(t.ctl("keys", "-j", *t.host("b"), lun).json["keys"], [hexkey(2)], "keys")
    t.expect(on(t, "b", lun, put_away), CONFLICT)  # this host is registered, so it is refused
    t.equal(t.ctl("keys", "-j", *t.host("b"), lun).json["keys"], [hexkey(2)], "keys")
    t.expect(on(t, "a", lun, put_away), GOOD)
    t.equal(t.ctl("keys", "-j", *t.host("b"), lun).json["keys"], [], "keys")
    t.matches(r"^qemu-pr-ctl status\nqemu-pr-ctl cleanup --key=0xc01 /dev/sdb$", stale, "of cleanup")
    t.expect(t.ctl("register", "-S", "5", *t.host("b"), lun), GOOD)
    t.equal(script, "qemu-pr-ctl keys --json /dev/sdb | jq -r '.keys[]'", "of a script")


@test
def message_of_a_failure(t):
    wanted, = blocks(section("DIAGNOSTICS"))
    lun = t.make_lun()
    result = t.expect(t.ctl("reserve", "-K", "abc", "-T", "1", *t.host("a"), lun), CONFLICT, "")
    way = f"{' '.join(t.host('a'))} {lun}"
    t.equal(result.err.replace(way, "/dev/sdb").replace(lun, "/dev/sdb").rstrip("\n"), wanted,
            "standard error")


@test
def question(t):
    wanted, = blocks(section("CONFIRMATION"))
    lun = t.make_lun()
    t.expect(t.ctl("register", "-S", "1", *t.host("a"), lun), GOOD)
    t.expect(t.ctl("register", "-S", "2", *t.host("b"), lun), GOOD)
    t.expect(t.ctl("reserve", "-K", "1", "-T", "5", *t.host("a"), lun), GOOD)
    result = t.ctl("preempt", "-K", "2", "-S", "1", "-T", "5", *t.host("b"), lun, typed="n\n")
    said = re.sub(r"iscsi:\S+?,i,0x[0-9a-f]{12}", "PORT", result.err.replace(lun, "/dev/sdb"))
    t.equal(said.partition("Send it? [y/N] ")[0].rstrip("\n").split("\n"),
            re.sub(r"iscsi:\S+?,i,0x[0-9a-f]{12}", "PORT", wanted).split("\n")[:-1], "the question")


@test
def long_names_may_be_shortened(t):
    lun = t.make_lun()
    t.expect(t.ctl("keys", "--js", "--sock", t.lab.simulator().sockets["a"], lun), GOOD)
    t.expect(t.ctl("register", "--n=1", "--ap", *t.host("a"), lun), GOOD)
    t.matches("ambiguous", t.expect(t.ctl("register", "--a", "-S", "1", *t.host("a"), lun), USAGE,
                                    "").err, "what it says of two that begin so")


@test
def options_of_every_command(t):
    """Who of the commands lacks one of those that all have is said, and no other does."""
    text = t.ctl("--help").out
    commands = set(re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE))
    without = {letter: {one for one in commands if f"  -{letter}, " not in t.ctl(one, "--help").out}
               for letter in "kDtjh"}
    said = " ".join(section("OPTIONS").partition("Every command takes the following options")[2]
                    .partition("have no **-D**:")[0].split()) + " have no **-D**"
    found = {letter: set() for letter in "kDtjh"}
    for names, letter in re.findall(r"((?:\*\*[a-z]+\*\*(?:, | and )?)+)[, ]*ha(?:ve|s) no "
                                    r"\*\*-(\w)\*\*", said):
        found[letter] |= set(re.findall(r"\*\*([a-z]+)\*\*", names))
    t.equal(found, without, "commands without it")


@test
def keys_are_hexadecimal(t):
    """With or without 0x, which is also so of ports."""
    for text in ("abc", "0xabc", "0x0000000000000ABC", "ABC"):
        lun = t.make_lun()
        t.expect(t.ctl("register", f"--new-key={text}", *t.host("a"), lun), GOOD,
                 f"registered with key {hexkey(0xabc)}\n", "")


@test
def timeouts(t):
    """Of a command, of the connection, of the doctor and of --direct."""
    lun = t.make_lun()
    t.fault(lun, "hang")
    t.expect(t.ctl("keys", "-t", "0.2", *t.host("a"), lun), UNKNOWN)
    numbers = {}
    for path in ("src/ctl/session.c", "src/ctl/direct.h", "src/doctor/check_helper.c"):
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            numbers.update(re.findall(r"^#define (\w+_MS) +(\d+)$", file.read(), re.MULTILINE))
    text = " ".join(section("OPTIONS").split())
    for name, words in (("SESSION_CONNECT_MS", r"(\d+) seconds for the connection"),
                        ("DOCTOR_WAIT_MS", r"\*\*doctor\*\* waits (\d+) seconds"),
                        ("DIRECT_TIMEOUT_MS", r"resets the device after (\d+) seconds")):
        t.equal(int(re.search(words, text).group(1)) * 1000, int(numbers[name]), name)


@test
def every_exit_status(t):
    """What the page says of each, carried out."""
    lun = t.make_lun()
    a = t.host("a")

    def of_answer(*answers):
        return t.ctl("clear", "-K", "1", "--yes", "-k", t.fake(*answers).path, lun).status

    with open("/dev/full", "w", encoding="ascii") as full:
        no_room = t.ctl("keys", *a, lun, stdout=full).status
    found = {
        GOOD: t.ctl("keys", *a, lun).status,
        INTERNAL: no_room,
        USAGE: t.ctl("keys", "--key=1", lun).status,
        DEVICE: t.ctl("keys", *a, lun + "-").status,
        HELPER: t.ctl("keys", "-k", "/none", lun).status,
        UNKNOWN: of_answer(None),
        REFUSED: t.ctl("clear", "-K", "1", *a, lun).status,
        CONFLICT: t.ctl("clear", "-K", "1", "--yes", *a, lun).status,
        CHECK: of_answer(check_condition(5, 0x24, 0).encode()),
        OTHER: of_answer(reply(8).encode()),
        DATA: t.ctl("keys", "-k", t.fake(reply(payload=b"x").encode()).path, lun).status,
        TROUBLE: t.ctl("doctor", "-k", "/none").status,
    }
    t.equal(found, {status: status for status in range(12)}, "exit statuses")
    t.equal(t.ctl("cleanup", "-k", t.fake(greeting=bytes(4)).path, lun).status, HELPER,
            "exit status of a helper without CLEANUP")
    for open_end in (check_condition(11, 0, 6), check_condition(4, 0x44, 0),
                     check_condition(6, 0x29, 0), reply(0x40)):
        t.equal(of_answer(open_end.encode()), UNKNOWN, f"exit status of {open_end}")
    for settled in (check_condition(5, 0x26, 0), check_condition(7, 0x27, 0)):
        t.equal(of_answer(settled.encode()), CHECK, f"exit status of {settled}")


@test
def members_are_those_of_the_schema(t):
    """JSON: each that the page names, and no other."""
    names = set(re.findall(r"\*\*([a-z_]+)\*\*", section("JSON"))) - {
        "keys", "reservation", "capabilities", "doctor", "status", "register", "cleanup",
        "validate", "fence", "list",
        "good", "unknown", "warning", "failure"} | {"keys", "warning"}

    def properties(schema):
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
        for item in schema.values() if isinstance(schema, dict) else schema:
            if isinstance(item, (dict, list)):
                yield from properties(item)

    wanted = set(properties(SCHEMA.root)) | {"key"}
    # Of loses only: whether the registration, or the reservation, is lost.
    t.equal(sorted(wanted - names - {"registration", "reservation"}), [], "in the schema only")
    t.equal(sorted(names - wanted), [], "in the page only")


@test
def conflict_reads_what_there_is(t):
    """Keys, reservation and, if there is one, its holder; nothing that changes something."""
    empty = reply(payload=bytes(8)).encode()
    fake = t.fake(reply(scsi.RESERVATION_CONFLICT).encode(),
                  reply(payload=scsi.read_keys_data(1)).encode(), empty, empty)
    t.expect(t.ctl("reserve", "-K", "1", "-T", "1", "-k", fake.path, t.make_lun()), CONFLICT)
    t.equal([cdb[:2].hex() for cdb, _ in fake.requests], ["5f01", "5e00", "5e01"], "commands")
