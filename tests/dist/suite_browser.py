# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual in HTML in a browser (Chromium, without a screen): its search, and its pages narrow and wide,
dark and light."""
import json
import os
import re

from support.tap import cases, limit

from dist.suite_html import directory, manual

#: What is searched for, and the section that has to be among the first found.
SEARCHES = (("reservation_key multipathd", "troubleshooting.html#8-multipath-registering-fails"),
            ("--io-timeout", "qemu-pr-helper.8.html"), ("stale key", "qemuprstalekey.html"))
#: Those with the widest tables and blocks.
PAGES = ("index.html", "support.html", "qemu-pr-helper.8.html", "multipath.html", "hacking.html")


def browser(t, width: int, dark: bool, *options: str) -> str:
    home = t.lab.make_directory()
    return t.run([t.tool("chromium", "chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
                  "--hide-scrollbars", "--allow-file-access-from-files", f"--user-data-dir={home}",
                  f"--window-size={width},1500", f"--blink-settings=preferredColorScheme={int(not dark)}",
                  *options], patience=120)


@cases(*((words, words, target) for words, target in SEARCHES))
@limit(240)
def search(t, words, target):
    manual(t)
    address = f"file://{directory(t)}/index.html?q={words.replace(' ', '%20')}"
    shown = browser(t, 1440, False, "--virtual-time-budget=5000", "--dump-dom", address)
    found = re.findall(r'<li><a href="([^"]+)"', shown.partition('<section id="search-found"')[2].partition("</section>")[0])
    t.check([one for one in found[:5] if one.startswith(target)], f"found {found[:8]}")


@cases(("360 light", 360, False), ("360 dark", 360, True), ("1440 light", 1440, False),
       ("1440 dark", 1440, True))
@limit(300)
def fits(t, width, dark):
    """Nothing is wider than the window, and the colours are those asked for: in frames of that width, since a
    window of Chromium is at least 500 wide."""
    manual(t)
    frame = os.path.join(directory(t), "frame.test.html")
    t.cleanup.callback(os.unlink, frame)
    with open(frame, "w", encoding="utf-8") as file:
        file.write("<!DOCTYPE html><meta name=color-scheme content='light dark'><body>" + "".join(
            f"<iframe width={width} height=900 src='{name}'></iframe>" for name in PAGES) + """<script>
onload = () => { document.title = JSON.stringify([...document.querySelectorAll("iframe")].map((one) => [
    one.contentDocument.documentElement.clientWidth, one.contentDocument.documentElement.scrollWidth,
    one.contentWindow.getComputedStyle(one.contentDocument.body).backgroundColor])); };</script></body>""")
    shown = browser(t, 1600, dark, "--virtual-time-budget=20000", "--dump-dom", f"file://{frame}")
    said = json.loads(re.search(r"<title>(.*?)</title>", shown)[1])
    t.equal(len(said), len(PAGES), "pages that were drawn")
    t.equal([(name, one) for name, one in zip(PAGES, said) if one[1] > one[0]], [], "wider than the window")
    t.equal({one[2] for one in said}, {"rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)"}, "background")
