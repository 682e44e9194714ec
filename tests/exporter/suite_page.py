# SPDX-License-Identifier: LGPL-2.1-or-later
"""The node's page in a real browser (Chromium, without a screen), and by axe-core's rules of
accessibility, narrow and wide, dark and light. Only in full: both are large, and axe-core comes by npm."""
import html
import json
import os
import re
import subprocess

from support.tap import Skip, cases, limit, test

from ctl.status_server import example
from exporter.fixture import client, device, document, key

WWN = "naa.6001405aaaaaaaaaaaaaaaaaaaaaaaaa"
#: Runs in the page: what axe finds, and whether anything is wider than the window.
LOOK = """
<script>%s</script>
<script>axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}).then(
    function (found) {
        var said = document.createElement("pre");
        said.id = "said";
        said.textContent = JSON.stringify({
            violations: found.violations.map(function (one) {
                return one.id + ": " + one.nodes.map(function (node) { return node.html; }).join(" | ");
            }),
            passes: found.passes.length,
            dark: matchMedia("(prefers-color-scheme: dark)").matches,
            width: innerWidth, needed: document.documentElement.scrollWidth});
        document.body.appendChild(said);
    });</script></body>"""
made = {}


def axe(t):
    """axe-core, once for all tests."""
    if "axe" not in made:
        directory = t.lab.make_directory()
        # With the whole environment: what a registry is reached by is in it.
        result = subprocess.run([t.tool("npm"), "install", "--no-audit", "--no-fund", "--fetch-retries=1",
                                 "--prefix", directory, "axe-core@4"], capture_output=True, text=True,
                                check=False, timeout=120)
        path = os.path.join(directory, "node_modules", "axe-core", "axe.min.js")
        made["axe"], made["why"] = None, " ".join(result.stderr.split())[-200:]
        if result.returncode == 0 and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                made["axe"] = file.read()
    if not made["axe"]:
        raise Skip(f"npm cannot install axe-core: {made['why']}")
    return made["axe"]


def node(t):
    """One with something of each kind to show."""
    directory = t.directory()
    held = {"key": "0x00000000000000a1", "type": "write-exclusive-registrants-only", "age_s": 12.0}
    t.serve(directory, "alpha", document(connections=[client("alpha", 10)], devices=[
        device(WWN, keys=[key("alpha", 0xa1, 10)], reservation=held)]))
    t.serve(directory, "beta", document(connections=[client("beta", 11)], devices=[
        device(WWN, keys=[key("beta", 0xb1, 11), key("gone", 0xc1, 12, connected=False, stale=True)])]))
    t.serve(directory, "host", example())
    t.serve(directory, "liar", b"{")
    return t.exporter(directory)


def browser(t, width, dark, *options):
    t.needs_full()
    home = t.directory()
    return t.run(t.tool("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
                 "--hide-scrollbars", f"--user-data-dir={home}", f"--window-size={width},2400",
                 *(["--blink-settings=preferredColorScheme=0"] if dark else []), *options, timeout=120)


@cases(("500 light", 500, False), ("500 dark", 500, True), ("1440 light", 1440, False),
       ("1440 dark", 1440, True))
@limit(240)
def accessible(t, width, dark):
    """Windows of Chromium are at least 500 wide: a narrow page is a frame's."""
    t.needs_full()
    text = node(t).get("/").text
    page = os.path.join(t.directory(), "page.html")
    with open(page, "w", encoding="utf-8") as file:
        file.write(text.replace("</body>", LOOK % axe(t)))
    result = browser(t, width, dark, "--virtual-time-budget=20000", "--dump-dom", f"file://{page}")
    found = re.search(r'<pre id="said">(.*?)</pre>', result.stdout, re.DOTALL)
    t.check(found, f"the browser said nothing: {result.stderr[-300:]}")
    said = json.loads(html.unescape(found.group(1)))
    t.equal(said["dark"], dark, "colours")
    t.equal(said["violations"], [], "what axe finds")
    t.check(said["passes"] > 15, f"axe looked at {said['passes']} things only")
    t.check(said["needed"] <= said["width"], f"{said['needed']} pixels of {said['width']}")


@test
@limit(240)
def narrow(t):
    """At 360 pixels nothing is wider than the window, in a frame of that width."""
    t.needs_full()
    text = node(t).get("/").text
    directory = t.directory()
    with open(os.path.join(directory, "page.html"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(directory, "frame.html"), "w", encoding="utf-8") as file:
        file.write("<!DOCTYPE html><body><iframe id=f width=360 height=2000 src=page.html></iframe>"
                   "<script>onload = function () { var root = document.getElementById('f')"
                   ".contentDocument.documentElement; document.title = root.clientWidth + ' ' +"
                   " root.scrollWidth; };</script></body>")
    result = browser(t, 800, False, "--allow-file-access-from-files", "--virtual-time-budget=5000",
                     "--dump-dom", f"file://{directory}/frame.html")
    found = re.search(r"<title>(\d+) (\d+)</title>", result.stdout)
    t.check(found, f"the browser said nothing: {result.stderr[-300:]}")
    width, needed = map(int, found.groups())
    t.check(340 <= width <= 364 and needed <= width, f"{needed} pixels of {width}")


@test
@limit(240)
def screenshots(t):
    """It is drawn by the exporter as it is, with its policy against scripts: not one blank picture."""
    t.needs_full()
    one = node(t)
    for width, dark in ((500, False), (500, True), (1440, False), (1440, True)):
        path = os.path.join(t.directory(), "page.png")
        browser(t, width, dark, f"--screenshot={path}", f"http://127.0.0.1:{one.port}/")
        t.check(os.path.exists(path) and os.path.getsize(path) > 50000, f"a picture of {width} pixels")
