# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/monitoring.md, as it is typed; with ports, directory and installed files of the test's own."""
import os
import re
import shlex
import signal
import urllib.request

from support import pages, scaled
from support.process import Program
from support.tap import limit, test

from exporter import many
from exporter.fixture import TOP, free_port, load

PAGE = "docs/monitoring.md"


def substitute(t, text, words):
    for old, new in words.items():
        text = text.replace(old, new)
    return text


@test
@limit(120)
def from_nothing_to_the_first_alert(t):
    for name in ("prometheus", "promtool", "curl"):
        t.tool(name)
    directory = os.path.join(t.directory(), "demo")
    words = {"/tmp/pr-demo": directory, "127.0.0.1:9979": f"127.0.0.1:{free_port()}",
             "127.0.0.1:9090": f"127.0.0.1:{free_port()}",
             "/usr/share/qemu-pr-helper/monitoring": os.path.join(TOP, "dist", "monitoring")}
    # Its default is the port that the page names; here it has to be told.
    words["qemu-pr-exporter --status"] = f"qemu-pr-exporter --listen={words['127.0.0.1:9979']} --status"
    blocks = [one for one in pages.items(TOP, PAGE) if pages.WHERE[one.key] == pages.EXPORTER]
    t.check(len(blocks) >= 8, f"only {len(blocks)} blocks")
    text = "\n".join(f"echo block {i}\n" + substitute(t, one.text, words)
                     for i, one in enumerate(blocks))
    shell = Program(["bash", "-c", f"set -eu\ncd {shlex.quote(t.directory())}\n{text}\necho done"],
                    t.directory(), env={"PATH": f"{t.lab.build}:{os.environ['PATH']}"})
    t.programs.append(shell)
    t.cleanup.callback(end_group, shell)
    try:
        shell.wait_exit(60)
    finally:
        print("\n".join(f"# {line}" for line in shell.output().splitlines()
                        if line.startswith("block")))
    said = shell.output()
    t.matches(r"^done$", said, f"the end: {shell.log()}")
    for name in ("alpha", "beta"):
        t.matches(rf'^qemu_pr_helper_up\{{helper="{name}"\}} 1$', said, f"{name} at first")
        t.matches(rf"^{name} +answered", said, f"{name} by status --all")
    t.matches(r'ALERTS\{alertname="QemuPrHelperUnreadable", alertstate="pending", helper="beta"', said,
              "the first alert")
    t.matches("^# QemuPrHelperUnreadable$", said, "its runbook")
    t.check(not os.path.exists(directory), "what was made is removed")


@test
def figures_of_many_nodes(t):
    """The table in docs/fleets.md is what fleet.json says, and that is of a whole run."""
    figures = load("tests", "exporter", "fleet.json")
    t.equal(many.read_page()[1], many.table(figures), "the page's table")
    t.equal((figures["nodes"], figures["up"], figures["refused"]), (500, 500, 0), "nodes")
    t.check(figures["seconds"] >= 120 and figures["took_s"] < 600, "how long it was measured, and took")


@test
@limit(60)
def make_run_ends_with_the_page(t):
    """And there a newcomer sees who holds the disk of the story."""
    story = Program([os.path.join(TOP, "tools", "story"), t.lab.build], t.directory())
    t.programs.append(story)
    t.cleanup.callback(end_group, story)
    found = []
    story.wait_until("the address of the page", lambda: found.extend(
        re.findall(r"who holds the disk: (http://127\.0\.0\.1:\d+/)$", story.output().rstrip())) or
        found, 40)
    with urllib.request.urlopen(found[0], timeout=scaled(10)) as reply:
        text = reply.read().decode()
    t.matches("Reserved, write-exclusive-registrants-only, held by key <code>0x000000000000000b</code>",
              text, "who holds it")
    t.matches(r'<strong>host-b</strong>.*\n?.*class="tie holds">holds it', text, "the picture")
    story.signal(signal.SIGTERM)
    story.wait_exit()


def end_group(shell):
    """It and all that it has started and not ended."""
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    shell.process.wait()
