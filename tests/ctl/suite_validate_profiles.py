# SPDX-License-Identifier: LGPL-2.1-or-later
"""validate's profiles: what a file may say, parts, conditions, versions; a slip of the pen is found
before anything is sent."""
import json
import os

from support.tap import cases, test

from ctl.fixture import GOOD, TROUBLE, USAGE
from ctl.suite_validate import NAMES, PROFILES, profile, steps, untouched, validate, verdicts


@test
def names(t):
    text = t.expect(t.ctl("validate", "--profiles", PROFILES, "--for=list"), GOOD, err="").out
    t.equal([line.split()[0] for line in text.splitlines()], NAMES, "names")


@test
def versions(t):
    """Of a program whose versions send different commands it is said which of them will not work."""
    lun = t.make_lun()
    t.fault(lun, "quirk self-preempt-removes")
    result = t.expect(validate(t, lun, "--yes", software="pacemaker"), TROUBLE)
    t.matches(r"^pacemaker +WILL NOT PASS\n +fence_scsi 4\.12 \(Debian 12\): will pass\n"
              r" +fence_scsi 4\.16 \(Debian 13\) and 4\.17 \(sid\): WILL NOT PASS\n"
              r" +fence_mpath 4\.12 .*: will pass$", result.out, "verdicts")
    whole = t.expect(validate(t, lun, "--yes", "--json", software="pacemaker"), TROUBLE).json
    t.equal([one["verdict"] for one in whole["profiles"][0]["senders"]], ["pass", "fail", "pass"], "senders")
    bad = [step for _, _, step in steps(whole) if step["verdict"] == "fail"]
    t.equal({step["quirk"] for step in bad}, {"self-preempt-hurts"}, "quirk of the failures")


@test
def own_profile(t):
    """Adding one needs no C."""
    report = t.expect(validate(t, t.make_lun(), "--yes", "--json", software=profile(t)), GOOD).json
    t.equal(verdicts(report), {"own": "pass"}, "verdicts")


@test
def parts_and_conditions(t):
    """Steps that are written once, each nexus with its own keys; and those that depend on what was read."""
    own = profile(t, parts={"on": [
        {"id": "1", "do": "register-ignore", "new": "own", "expect": "good"},
        {"id": "2", "do": "keys", "has": ["own"], "lacks": ["other"]},
        {"id": "3", "do": "reservation", "expect": "any"},
        {"id": "4", "do": "reserve", "key": "own", "type": 5, "if": "no-reservation", "expect": "good"},
        {"id": "5", "do": "register-ignore", "new": "own", "if": "not-holder", "expect": "good"}]},
        sequences=[{"name": "two", "nexuses": 2, "steps": [
            {"part": "on", "nexus": "A", "keys": {"own": "kA", "other": "kB"}},
            {"part": "on", "nexus": "B", "keys": {"own": "kB", "other": "kC"}},
            {"part": "on", "nexus": "A", "keys": {"own": "kA", "other": "kC"}},
            {"id": "end", "nexus": "A", "do": "reservation", "holder": "kA"}]}])
    report = t.expect(validate(t, t.make_lun(), "--yes", "--json", software=own), GOOD).json
    t.equal([f"{step['nexus']}{step['id']}" for _, _, step in steps(report)],
            ["A1", "A2", "A3", "A4", "A5", "B1", "B2", "B3", "B5", "A1", "A2", "A3", "Aend"], "steps sent")


def step(**members):
    return [{"name": "one", "nexuses": 1, "steps": [{"id": "1", "nexus": "A", **members}]}]


@cases(("format", {"format": 2}, "format is not 1"),
       ("member", {"heading": "x"}, "unknown member 'heading'"),
       ("no verb", {"sequences": step(do="sing")}, "'do' is not a known command"),
       ("misspelt", {"sequences": step(do="keys", having=["k"])}, "unknown member 'having'"),
       ("no key", {"sequences": step(do="clear")}, "missing 'key'"),
       ("no new key", {"sequences": step(do="register", expect="good")}, "missing 'new' key"),
       ("expectation", {"sequences": step(do="clear", key="k", expect="fine")}, "'expect' is not a known"),
       ("nexus", {"sequences": step(do="keys", nexus="C")}, "neither A nor B"),
       ("one nexus", {"sequences": step(do="keys", nexus="B")}, "there is only one nexus"),
       ("list", {"sequences": step(do="keys", has="k")}, "'has' is not a list of keys"),
       ("number", {"sequences": step(do="keys", has=[1])}, "an entry that is not the name of a key"),
       ("type", {"sequences": step(do="reserve", key="k", type=16)}, "invalid 'type'"),
       ("no steps", {"sequences": [{"name": "one", "nexuses": 1}]}, "one has no steps"),
       ("condition", {"sequences": step(do="keys", **{"if": "rain"})}, "'if' is not a known condition"),
       ("no part", {"sequences": step(part="x")}, "unknown 'id' of a part"),
       ("unknown part", {"sequences": [{"name": "one", "nexuses": 1, "steps": [
           {"part": "x", "nexus": "A"}]}]}, "unknown part 'x'"),
       ("unused part", {"parts": {"x": [{"id": "1", "do": "keys"}]}}, "no sequence has the part 'x'"),
       ("part in a part", {"parts": {"x": [{"id": "1", "part": "x"}]}, "sequences": [
           {"name": "one", "nexuses": 1, "steps": [{"part": "x", "nexus": "A"}]}]}, "unknown member 'part'"),
       ("key", {"keys": {"k": "xyz"}}, "not a hexadecimal number"))
def bad_profile(t, members, message):
    lun = t.make_lun()
    result = t.expect(validate(t, lun, "--yes", software=profile(t, **members)), USAGE, "")
    t.matches(message, result.err, "message")
    untouched(t, lun)


@test
def every_quirk_can_be_named(t):
    """The file of quirks: each has its words, and names are not used twice."""
    with open(os.path.join(PROFILES, "quirks.json"), encoding="utf-8") as file:
        quirks = json.load(file)["quirks"]
    t.equal(len({one["name"] for one in quirks}), len(quirks), "names")
    for one in quirks:
        t.check(one["means"] and one["concerns"] and one["when"], one["name"])
        t.check(all(known["evidence"] in "SDCM" for known in one.get("known", [])), one["name"])
