# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table of qemu-pr-ctl(1) that has sg_persist's commands and our own side by side: each pair is
run, and has to ask the same of the device."""
import os
import shutil

from support import scsi
from support.tap import Skip, cases, test

MANUAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "man",
                      "qemu-pr-ctl.1.rst")
INDENT = 4

#: What sg_persist can ask for, of which each must have its place in the table.
SERVICE_ACTIONS = {
    "5e": {"00", "01", "02", "03"},
    "5f": {"00", "01", "02", "03", "04", "05", "06", "07", "08"},
}

#: And these parameters.
PARAMETERS = ("--param-rk", "--param-sark", "--prout-type", "--param-aptpl", "--param-alltgpt",
              "--transport-id", "--relative-target-port", "--unreg")


def pairs():
    with open(MANUAL, encoding="utf-8") as file:
        section = file.read().partition("\nSG_PERSIST\n")[2].partition("\nEXAMPLES\n")[0]
    lines = iter(section.splitlines())
    middle = next(line.index("qemu-pr-ctl") for line in lines if "sg_persist ..." in line)
    found = []
    next(lines)  # the rule below the heads
    for line in lines:
        if not line.strip():
            break
        left, right = line[INDENT:middle], line[middle:]
        if left[:1].strip():
            found.append([left.strip(), right.strip()])
        else:  # a continuation
            found[-1][0] += " " + left.strip()
            found[-1][1] += " " + right.strip()
    return [(theirs.split(), ours.split()) for theirs, ours in found]


PAIRS = pairs()


def asked(t, *argv):
    """Run it on the stand-in; the CDB and parameter list that reach the device."""
    disk = t.disk
    result = t.run(*argv, disk.path, env=t.lab.control().environment())
    calls = [call for call in disk.calls() if call.cdb[0] in (scsi.PR_IN, scsi.PR_OUT)]
    t.equal(len(calls), 1, f"commands on the device of {argv[0]} ({result.err.strip()!r})")
    return calls[0].cdb, calls[0].parameters


def ctl(t, ours):
    """A test has no terminal to be asked on."""
    answer = ["--yes"] if "--yes" in t.ctl(ours[0], "--help").out else []
    return [t.lab.ctl, ours[0], "--direct", *answer, *ours[1:]]


@cases(*((" ".join(theirs), theirs, ours) for theirs, ours in PAIRS))
def side_by_side(t, theirs, ours):
    sg_persist = shutil.which("sg_persist")
    if not sg_persist:
        raise Skip("sg_persist (sg3-utils) is not installed")
    their_cdb, their_list = asked(t, sg_persist, "--no-inquiry", *theirs)
    our_cdb, our_list = asked(t, *ctl(t, ours))
    if our_cdb[0] == scsi.PR_IN:
        # How much room there is for the answer is a matter of taste.
        their_cdb, our_cdb = their_cdb[:7] + their_cdb[9:], our_cdb[:7] + our_cdb[9:]
    t.equal(our_cdb, their_cdb, "CDB")
    t.equal(our_list, their_list, "parameter list")


@test
def nothing_is_missing(t):
    """Every service action has a line, and every parameter by its long name."""
    found = {"5e": set(), "5f": set()}
    for _, ours in PAIRS:
        cdb, _ = asked(t, *ctl(t, ours))
        found[cdb[:1].hex()].add(cdb[1:2].hex())
    t.equal(found, SERVICE_ACTIONS, "service actions")
    options = {word.partition("=")[0] for theirs, _ in PAIRS for word in theirs}
    t.equal([option for option in PARAMETERS if option not in options], [], "missing parameters")
