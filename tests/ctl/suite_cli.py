# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line: what it takes, what it says of what it does not take, completion, manual."""
import os
import re

from support.tap import Skip, cases, test

from ctl.fixture import DEVICE, GOOD, INTERNAL, USAGE

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MANUAL = os.path.join(TOP, "man", "qemu-pr-ctl.1.rst")
COMPLETION = os.path.join(TOP, "dist", "completion", "qemu-pr-ctl")
STATUS = os.path.join(TOP, "src", "ctl", "exit_status.h")
DOCTOR = os.path.join(TOP, "src", "doctor", "cmd_doctor.c")
TROUBLESHOOTING = os.path.join(TOP, "docs", "troubleshooting.md")

COMMANDS = ("keys", "reservation", "capabilities", "full-status", "register", "register-ignore",
            "register-move", "reserve", "release", "clear", "preempt", "preempt-abort",
            "replace-lost", "cleanup", "fence", "validate", "doctor", "status", "metrics", "list")
#: What stands behind the options, if not DEVICE.
OPERANDS = {"doctor": " [DEVICE]", "validate": " [DEVICE]", "fence": " KEY|HOST DEVICE",
            "status": "", "metrics": "", "list": ""}

#: What each needs to make sense.
NEEDS = {
    "register": ["--new-key=1"], "register-ignore": ["--new-key=1"],
    "register-move": ["--key=1", "--new-key=2", "--transport-id=iqn.x,i,0x1",
                      "--relative-target-port=1"],
    "reserve": ["--key=1", "--type=1"], "release": ["--key=1", "--type=1"], "clear": ["--key=1"],
    "preempt": ["--key=1", "--victim-key=2", "--type=1"],
    "preempt-abort": ["--key=1", "--victim-key=2", "--type=1"],
    "replace-lost": ["--new-key=1", "--type=1"],
    "validate": ["--for=all"],
}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def help_options(t, command):
    """Long options of a command, as its --help has them."""
    text = t.expect(t.ctl(command, "--help"), GOOD, err="").out
    return re.findall(r"^  -\w, --([a-z-]+)", text, re.MULTILINE)


def wrong(t, message, *argv):
    """A usage error that says this and where to read on."""
    result = t.expect(t.ctl(*argv), USAGE, "")
    first, second = result.err.splitlines()
    t.equal(first, f"qemu-pr-ctl: {message}", "first line")
    t.matches(r"^Try 'qemu-pr-ctl( [a-z-]+)? --help'\.$", second, "second line")


@test
def help_and_version(t):
    text = t.expect(t.ctl("--help"), GOOD, err="").out
    t.equal(re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE), list(COMMANDS), "commands")
    t.equal(t.ctl("-h").out, text, "-h")
    version = t.expect(t.ctl("--version"), GOOD, err="").out
    t.matches(r"^qemu-pr-ctl [0-9.]+ \(libprhelper [0-9.]+\)$", version, "version")
    t.equal(t.ctl("-V").out, version, "-V")


@test
def no_command(t):
    wrong(t, "no command given")
    wrong(t, "no such command: key", "key", "/dev/null")
    wrong(t, "no such command: -k", "-k", "/x", "keys", "/dev/null")


@cases(*COMMANDS)
def help_of(t, command):
    text = t.expect(t.ctl(command, "--help"), GOOD, err="").out
    operands = OPERANDS.get(command, " DEVICE")
    t.check(text.startswith(f"Usage: qemu-pr-ctl {command} [OPTION]...{operands}\n"), text)
    t.equal(t.ctl(command, "-h").out, text, "-h")
    t.check(all(len(line) <= 90 for line in text.splitlines()), "a line is too long")
    needed = re.findall(r"--([a-z-]+)=\w+ .*\(needed\)$", text, re.MULTILINE)
    wanted = [option[2:].partition("=")[0] for option in NEEDS.get(command, [])]
    t.equal(sorted(needed), sorted(wanted), "options that it calls needed")


@cases(*((f"{command} without {option.partition('=')[0]}", command, option)
         for command, options in NEEDS.items() for option in options))
def missing_option(t, command, option):
    rest = [one for one in NEEDS[command] if one != option]
    wrong(t, f"{command}: missing option {option.partition('=')[0]}", command, *rest, "/dev/null")


@cases(*COMMANDS)
def missing_device(t, command):
    if command not in OPERANDS:
        wrong(t, f"{command}: no device given", command, *NEEDS.get(command, []))
    whom = ["whom"] if command == "fence" else []
    wrong(t, f"{command}: more than one device: b", command, *NEEDS.get(command, []), *whom, "a", "b")


@test
def missing_host(t):
    wrong(t, "fence: no host and no device given", "fence")
    wrong(t, "fence: no device given", "fence", "b")


@cases("status", "metrics", "list")
def device_too_many(t, command):
    wrong(t, f"{command}: unexpected device: /dev/null", command, "/dev/null")


@cases("", "x", "0x", "12345678123456781", "-1", "+1", "1 ", " 1", "0xg", "1h", "0x0x1")
def bad_key(t, value):
    wrong(t, f"clear: --key={value}: not a KEY", "clear", f"--key={value}", "/dev/null")
    wrong(t, f"register: --new-key={value}: not a KEY", "register", f"--param-sark={value}",
          "/dev/null")


@cases("", "0", "2", "4", "9", "Write-exclusive", "write-exclusive ", "0x51", "exclusive")
def bad_type(t, value):
    wrong(t, f"reserve: --type={value}: not a TYPE", "reserve", "-K", "1", "--prout-type", value,
          "/dev/null")


@cases("", "0", "-1", "x", "1s", "nan", "inf", "1e99")
def bad_timeout(t, value):
    wrong(t, f"keys: --timeout={value}: not a SECONDS", "keys", "--timeout", value, "/dev/null")


@cases("", "10000", "x")
def bad_target_port(t, value):
    wrong(t, f"register-move: --relative-target-port={value}: not a PORT", "register-move",
          *NEEDS["register-move"][:3], "-Q", value, "/dev/null")


@cases("", "sas:1", "sas,1", "nothing", "6,0,zz", "iqn.x,i,0x", "1,2,300",
       ("too many bytes", "0," * 257))
def bad_transport_id(t, value):
    wrong(t, f"register: --transport-id={value[:100]}: not a TransportID", "register", "-S", "1",
          "-X", value, "/dev/null")


@test
def bad_transport_id_file(t):
    path = os.path.join(t.directory(), "ids")
    wrong(t, f"register: --transport-id=file={path}: No such file or directory", "register", "-S",
          "1", "-X", f"file={path}", "/dev/null")
    with open(path, "w", encoding="utf-8") as file:
        file.write("sas:5000c500a1b2c3d4\nsas:5\n")
    wrong(t, "register: --transport-id=sas:5: not a TransportID", "register", "-S", "1", "-X",
          f"file={path}", "/dev/null")


@test
def two_ports_to_move_to(t):
    wrong(t, "register-move: a reservation can only move to one initiator port", "register-move",
          *NEEDS["register-move"], "-X", "iqn.y,i,0x2", "/dev/null")


@test
def too_many_transport_ids(t):
    path = os.path.join(t.directory(), "ids")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"sas:5000c500{number:08x}\n" for number in range(400))
    result = t.ctl("register", *t.host("a"), "-S", "1", "-X", f"file={path}", t.make_lun())
    t.expect(result, USAGE, "")
    t.matches("not a command that the protocol can carry\n  Too many TransportIDs", result.err,
              "standard error")


@cases(("keys", "keys", "-K", "1"), ("clear", "clear", "-K", "1", "--type=1"),
       ("reserve", "reserve", "-K", "1", "-T", "1", "--new-key=2"),
       ("cleanup", "cleanup", "--direct"), ("none such", "keys", "--nonsense"))
def option_of_another_command(t, *argv):
    t.expect(t.ctl(*argv, "/dev/null"), USAGE, "")


@test
def socket_and_direct(t):
    wrong(t, "keys: --socket and --direct exclude each other", "keys", "-D", "-k", "/x",
          "/dev/null")


@test
def device_behind_two_dashes(t):
    result = t.ctl("keys", "-k", "/nowhere", "--", "-x")
    t.expect(result, DEVICE, "")
    t.matches("^qemu-pr-ctl: -x: keys: cannot open it for reading: No such file", result.err,
              "standard error")


@cases("--help", "keys")
def standard_output_is_full(t, command):
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full")
    argv = [command] if command == "--help" else [command, *t.host("a"), t.make_lun()]
    with open("/dev/full", "w", encoding="ascii") as full:
        t.equal(t.ctl(*argv, stdout=full).status, INTERNAL, "exit status")


# -- completion


def complete(t, *words):
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    script = (f"source '{COMPLETION}'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
              f"_qemu_pr_ctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return t.expect(t.run("bash", "-c", script), 0, err="").out.split()


@test
def completes_commands(t):
    t.equal(complete(t, "qemu-pr-ctl", ""), [*COMMANDS, "--help", "--version"], "all")
    t.equal(complete(t, "qemu-pr-ctl", "pre"), ["preempt", "preempt-abort"], "some")


@cases(*COMMANDS)
def completes_options_of(t, command):
    offered = [word[2:] for word in complete(t, "qemu-pr-ctl", command, "--")]
    t.equal(sorted(offered), sorted(help_options(t, command)), "options")


@test
def completes_types(t):
    every = complete(t, "qemu-pr-ctl", "reserve", "-T", "")
    t.equal(len(every), 6, f"types {every}")
    t.equal(complete(t, "qemu-pr-ctl", "reserve", "--type", "=", "write-exclusive-a"),
            ["write-exclusive-all-registrants"], "--type=")
    t.equal(complete(t, "qemu-pr-ctl", "reserve", "--type", "="), every, "--type=")
    for name in every:
        result = t.ctl("reserve", "-K", "1", "-T", name, "/nonexistent")
        t.equal(result.status, DEVICE, f"exit status with --type={name}")


@test
def completes_files(t):
    t.equal(complete(t, "qemu-pr-ctl", "keys", "/dev/s"), [], "leaves it to bash")


# -- manual


@test
def manual_has_every_option(t):
    options = read(MANUAL).partition("\nOPTIONS\n")[2].partition("\nEXIT STATUS\n")[0]
    documented = set(re.findall(r"^-\w[^\n]*?--([a-z-]+)", options, re.MULTILINE))
    present = {option for command in COMMANDS for option in help_options(t, command)}
    t.equal(documented, present, "options in the manual")


@test
def manual_has_every_command(t):
    section = read(MANUAL).partition("\nCOMMANDS\n")[2].partition("\nOPTIONS\n")[0]
    found = re.findall(r"^\*\*([a-z-]+)\*\*.*\n    ", section, re.MULTILINE)
    t.equal(found, list(COMMANDS), "commands in the manual")


@test
def manual_has_every_exit_status(t):
    section = read(MANUAL).partition("\nEXIT STATUS\n")[2].partition("\nDIAGNOSTICS\n")[0]
    numbers = re.findall(r"^(\d+)$", section, re.MULTILINE)
    t.equal(numbers, re.findall(r"CTL_\w+ = (\d+)", read(STATUS)), "exit statuses")


# -- "when it does not work"


@test
def manual_has_every_check(t):
    section = read(MANUAL).partition("\nDOCTOR\n")[2].partition("\nJSON\n")[0]
    found = [name for line in re.findall(r"^\*\*[a-z_-]+\*\*(?:, .*)?$", section, re.MULTILINE)
             for name in re.findall(r"\*\*([a-z_-]+)\*\*", line)]
    checks = re.findall(r'^    \{"([a-z_-]+)", doctor_', read(DOCTOR), re.MULTILINE)
    t.equal(found, checks, "checks in the manual")


@test
def troubleshooting_leads_somewhere(t):
    """Each symptom has its section and each section its symptom; checks and commands exist."""
    page = read(TROUBLESHOOTING)
    headings = re.findall(r"^## (\d.*)$", page, re.MULTILINE)
    anchors = [re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings]
    table = page.partition("\n## ")[0]
    t.equal(re.findall(r"\(#([^)]*)\)", table), anchors, "sections that the table names")
    t.equal(set(re.findall(r"\(#([^)]*)\)", page)) - set(anchors), set(), "links to nowhere")
    checks = set(re.findall(r'^    \{"([a-z_-]+)", doctor_', read(DOCTOR), re.MULTILINE))
    named = {name for group in re.findall(r"[Dd]octor[^()`]{0,12}((?:`[a-z_-]+`(?:, )?)+)", page)
             for name in re.findall(r"`([a-z_-]+)`", group)}
    t.equal(named - checks, set(), "checks that there are not")
    t.check(len(named) >= 8, f"only {named} are named")
    commands = set(re.findall(r"qemu-pr-ctl ([a-z-]+)", page))
    t.equal(commands - set(COMMANDS), set(), "commands that there are not")
