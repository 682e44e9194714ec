# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manual pages: every option of --help is in the page, and the page has no other."""
import re
import subprocess

from support import manuals
from support.tap import cases, test

from dist.fixture import TOP, read
from dist.manual_claims import CLAIMS

#: Names of sg_persist's that qemu-pr-ctl takes as well; --help leaves them to the page.
SYNONYMS = {"--param-rk", "--param-sark", "--prout-type", "--param-aptpl", "--param-alltgpt"}


def help_options(text):
    """Those that begin a line; -k and --socket are two."""
    lines = re.findall(r"^ {2,6}(-.*?)(?:  .*)?$", text, re.MULTILINE)
    return options_of(lines)


def page_options(page):
    section = page.partition("\nOPTIONS\n")[2]
    section = re.split(r"\n\n[A-Z][A-Z ]+\n=+\n", section)[0]
    return options_of(re.findall(r"^(-.*)$", section, re.MULTILINE))


def options_of(lines):
    return {option for line in lines
            for option in re.findall(r"(?:^|[ ,])(--[a-z][a-z-]+|-\w)\b", line)}


def helps(t, name):
    """Of a program and, if it has any, of its commands."""
    program = t.lab.program(name)
    text = t.run([program, "--help"])
    commands = re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE)
    return [text] + [t.run([program, command, "--help"]) for command in commands]


@cases(("qemu-pr-helper", "qemu-pr-helper", 8, 30), ("qemu-pr-ctl", "qemu-pr-ctl", 1, 25),
       ("qemu-pr-exporter", "qemu-pr-exporter", 8, 12), ("qemu-pr-simulator", "qemu-pr-simulator", 1, 8))
def options(t, name, section, least):
    known = set.union(*(help_options(text) for text in helps(t, name)))
    t.check(len(known) >= least, f"only {len(known)} options in --help: {sorted(known)}")
    page = read(f"man/{name}.{section}.rst")
    documented = page_options(page) - SYNONYMS
    general = {"-h", "--help", "-V", "--version"}
    t.equal(sorted((documented ^ known) - general), [], "in only one of page and --help")
    t.equal([option for option in ("--help", "--version") if option not in page], [], "not in the page")


@test
def pages_are_installed(t):
    """Each page that is written is one that meson knows."""
    pages = {path[len("man/"):-len(".rst")] for path in t.lab.tracked("man/*.rst")}
    named = set(re.findall(r"'([a-z-]+\.\d)'", read("man/meson.build")))
    t.equal(sorted(pages ^ (named - {"prhelper.3"})), [], "pages")


@test
def protocol_page_has_the_numbers(t):
    """Sizes, operation codes and features as in wire.h."""
    page, header = read("man/qemu-pr-helper-protocol.7.rst"), read("src/proto/wire.h")
    numbers = dict(re.findall(r"^#define WIRE_(\w+) +((?:0x)?[0-9a-f]+)u?\b", header,
                              re.MULTILINE))
    t.equal(sorted(numbers), ["CDB_SIZE", "CLEANUP", "DATA_MAX", "FEATURES_SIZE",
                              "FEATURE_CLEANUP", "REPLY_SIZE"], "constants of wire.h")
    for size in ("FEATURES_SIZE", "CDB_SIZE"):
        t.matches(rf" {numbers[size]} bytes ", page, size)
    reply = re.search(r"^REPLIES\n=+\n\n::\n\n(.*?)\n\n", page, re.MULTILINE | re.DOTALL).group(1)
    t.equal(sum(map(int, re.findall(r" (\d+) bytes ", reply))), int(numbers["REPLY_SIZE"]),
            "bytes of a reply before its data")
    t.matches(rf"Lengths are {numbers['DATA_MAX']} at most", page, "DATA_MAX")
    t.matches(rf"^{int(numbers['CLEANUP'], 0):X}h, CLEANUP$", page, "CLEANUP")
    t.matches(rf"^{numbers['FEATURE_CLEANUP']}$\n    CLEANUP", page, "feature")


# -- what they claim


def written_in(t, reference):
    """Whether there is such a test: FOLDER/SUITE.NAME."""
    folder, _, rest = reference.partition("/")
    suite, _, name = rest.partition(".")
    for form in ("suite_{}.py", "test_{}.py", "test_{}.c", "{}.py"):
        path = f"tests/{folder}/{form.format(suite)}"
        if path in t.lab.tracked("tests/*"):
            return re.search(rf"^(def|static void) {name}\(", read(path), re.MULTILINE) is not None
    return False


@cases(*CLAIMS)
def every_claim_is_tried_or_has_a_reason(t, page):
    """The list has each claim of the page, in its order, and the tests that it names are there."""
    listed = [begin for begin, _ in CLAIMS[page]]
    t.equal([one for one in manuals.claims(TOP, page) if one not in listed], [],
            "claims without an entry in dist/manual_claims.py")
    t.equal(listed, manuals.claims(TOP, page), "claims, in order")
    references = [one for _, where in CLAIMS[page] if not where.startswith("- ")
                  for one in where.split()]
    t.check(len(references) >= len(listed) // 2, f"only {len(references)} of tests")
    t.equal(sorted({one for one in references if not written_in(t, one)}), [], "no such test")


#: What a page says with a number, and where that is in the source: page, words, file, what it is there,
#: how many of it make one of the page's.
NUMBERS = (
    ("qemu-pr-helper.8", r"for taking a reply, from 1 to (\d+)\.", "src/helper/options_table.c",
     r"OPTIONS_SECONDS_MAX (\d+)", 1),
    ("qemu-pr-helper.8", r"do not take, from 1 to (\d+)\.", "src/helper/options_table.c",
     r"OPTIONS_BUFFERS_MAX (\d+)", 1),
    ("qemu-pr-helper.8", r"one more than clients, at most (\d+)\.", "src/helper/main.c",
     r"MAIN_THREADS_MAX +(\d+)", 1),
    ("qemu-pr-helper.8", r"at most (\d+) lines in five seconds", "src/serve/budget.c",
     r"\[BUDGET_CHANGES\] = \{(\d+), \d+\}", 1),
    ("qemu-pr-helper.8", r"all together ([\d,]+); for all other", "src/serve/budget.c",
     r"\[BUDGET_CHANGES\] = \{\d+, (\d+)\}", 1),
    ("qemu-pr-helper.8", r"for all other commands it is (\d+),", "src/serve/budget.c",
     r"\[BUDGET_OTHERS\] = \{(\d+), \d+\}", 1),
    ("qemu-pr-helper.8", r"225 and (\d+), so that none", "src/serve/budget.c",
     r"\[BUDGET_OTHERS\] = \{\d+, (\d+)\}", 1),
    ("qemu-pr-helper.8", r"process has (\d+) such lines in five seconds", "src/serve/budget.c",
     r"\[BUDGET_MESSAGES\] = \{(\d+),", 1),
    ("qemu-pr-helper.8", r"(Eight) readers are served at a time", "src/serve/status.h",
     r"STATUS_READERS_MAX (\d+)", 1),
    ("qemu-pr-helper.8", r"each for at most (five) seconds", "src/serve/status.h",
     r"STATUS_READER_MS +(\d+)", 1000),
    ("qemu-pr-helper.8", r"the first ([\d,]+) connections", "src/helper/report.h",
     r"REPORT_CONNECTIONS_MAX (\d+)", 1),
    ("qemu-pr-helper.8", r"listed, (\d+) devices", "src/ledger/record.h",
     r"LEDGER_DEVICES_MAX (\d+)", 1),
    ("qemu-pr-helper.8", r"(\d+) keys of each", "src/ledger/record.h",
     r"LEDGER_KEYS_MAX +(\d+)", 1),
    ("qemu-pr-helper.8", r"the paths of (\d+) maps", "src/helper/report.h",
     r"REPORT_MAPS_MAX +(\d+)", 1),
    ("qemu-pr-helper.8", r"Limits below (\d+) are not shared out", "src/serve/budget.h",
     r"BUDGET_SHARED_MIN (\d+)", 1),
    ("qemu-pr-simulator.1", r"Up to (\d+) times", "src/serve/server.h",
     r"SERVER_ENDPOINTS_MAX (\d+)", 1),
    ("qemu-pr-ctl.1", r"helper's answer ends at (\d+) bytes", "src/proto/wire.h",
     r"WIRE_DATA_MAX +(\d+)", 1),
    ("qemu-pr-ctl.1", r"\*\*--direct\*\* it ends at ([\d,]+)", "src/ctl/direct.h",
     r"DIRECT_ROOM_MAX +(\d+)", 1),
    ("qemu-pr-ctl.1", r"or else \*\*format\*\*, which is (\d+)", "src/ctl/output.c",
     r"OUTPUT_FORMAT (\d+)", 1),
)
WORDS = {"Eight": 8, "five": 5}


@cases(*((f"{page}: {words}", page, words, file, constant, factor)
         for page, words, file, constant, factor in NUMBERS))
def number(t, page, words, file, constant, factor):
    """As it is in the source."""
    said = re.search(words, " ".join(read(f"man/{page}.rst").split()))
    meant = re.search(constant, read(file))
    t.check(said and meant, f"said: {said}, meant: {meant}")
    value = WORDS.get(said.group(1)) or int(said.group(1).replace(",", ""))
    t.equal(value * factor, int(meant.group(1)), words)


@cases("io-timeout", "client-timeout", "stop-timeout", "max-buffers", "status-mode", "mpath-timeout",
       "log", "audit", "sandbox")
def default(t, option):
    """Of the helper's options: as --help has it."""
    shown = " ".join(t.run([t.lab.program("qemu-pr-helper"), "--help"]).split())
    entry = re.split(rf"^--{option}=", read("man/qemu-pr-helper.8.rst"), flags=re.MULTILINE)[1]
    help_says = re.search(rf"--{option}=.*?\(default:? ([\w]+)", shown)
    page_says = re.search(r"Default:? (standard error|[\w]+)", " ".join(entry.split()))
    t.check(help_says and page_says, f"--help: {help_says}, page: {page_says}")
    t.equal(page_says.group(1).replace("standard error", "stderr"), help_says.group(1), option)


@test
def every_page_is_listed(t):
    pages = {path[len("man/"):-len(".rst")] for path in t.lab.tracked("man/*.rst")}
    t.equal(set(CLAIMS), pages, "pages")


@test
def quirks_are_those_of_the_source(t):
    """Of the simulator: each name that it takes is in its page."""
    page = read("man/qemu-pr-simulator.1.rst").partition("Quirks that violate the standard")[2]
    named = set(re.findall(r"\*\*([a-z0-9-]+)\*\*", page))
    known = set(re.findall(r'\[QUIRK_\w+\] = "([a-z0-9-]+)"', read("src/simulator/quirk.c")))
    t.check(len(known) > 20, f"only {known}")
    t.equal(named ^ known, set(), "in only one of page and source")


@test
def prefix_of_errors(t):
    """Of the helper's: its name, but for what getopt says, which is that of the start."""
    program = t.lab.program("qemu-pr-helper")
    for argv, begin in ((["--nonsense"], program), (["extra"], "qemu-pr-helper")):
        done = subprocess.run([program, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        t.equal(done.returncode, 1, "exit status")
        t.check(done.stdout.startswith(f"{begin}: "), done.stdout)
