# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual in HTML, as `ninja docs` makes it: all documents are in it, each link leads somewhere, a page
loads nothing from elsewhere, the search has all of them. suite_browser.py looks at it in a browser."""
import html.parser
import json
import os
import re
from typing import Dict, List, Set, Tuple

from support.tap import Skip, test

from dist.fixture import TOP, read

#: Attributes by which a page names another file, but for links that a reader follows.
LOADS = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "srcset")}
#: Made once for all tests.
made: Dict[str, Dict[str, "Page"]] = {}


class Page(html.parser.HTMLParser):
    """What a page has: anchors, links, files that it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        self.ids: List[str] = []
        self.links: List[str] = []
        self.loads: List[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, "str | None"]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")
            elif (tag, name) in LOADS:
                self.loads.append(value or "")


def directory(t) -> str:
    return os.path.join(t.lab.build, "docs", "html")


def manual(t) -> Dict[str, Page]:
    """Each page by its name."""
    if not made:
        t.tool("cmark-gfm", "cmark-gfm")
        t.tool("mandoc", "mandoc")
        if not os.path.exists(os.path.join(t.lab.build, "man", "qemu-pr-helper.8")):
            raise Skip("no manual pages were built (package python3-docutils)")
        t.run([os.path.join(TOP, "tools", "manual"), TOP, t.lab.build], patience=60)
        pages = {}
        for name in os.listdir(directory(t)):
            if name.endswith(".html"):
                with open(os.path.join(directory(t), name), encoding="utf-8") as file:
                    pages[name] = Page(file.read())
        made["pages"] = pages
    return made["pages"]


def sections(t) -> List[Dict[str, str]]:
    """The index of the search."""
    manual(t)
    with open(os.path.join(directory(t), "index.js"), encoding="utf-8") as file:
        return json.loads(re.fullmatch(r"const SECTIONS = (.*);\n", file.read(), re.DOTALL)[1])


@test
def each_document_is_a_page(t):
    """With its title, and in the contents of the first page."""
    pages = manual(t)
    sources = [path for path in t.lab.tracked("*.md") if not path.startswith("LICENSES/")]
    t.check(len(sources) > 20, f"only {len(sources)} documents")
    contents = pages["index.html"].text
    missing = []
    for path in sources:
        title = re.search(r"^# (.*)$", read(path), re.MULTILINE)[1].replace("`", "")
        shown = "Overview" if path == "README.md" else title
        found = [page for page in pages.values() if re.search(rf"<h1[^>]*>(<[^>]+>)*{re.escape(title)}", page.text)]
        if not found or f">{shown}</a>" not in contents:
            missing.append(path)
    t.equal(missing, [], "not in the manual")
    names = [os.path.basename(path)[:-len(".rst")] for path in t.lab.tracked("man/*.rst")]
    t.equal([name for name in names if f"{name}.html" not in pages
             and os.path.exists(os.path.join(t.lab.build, "man", name))], [], "manual pages")


@test
def links_lead_somewhere(t):
    """To a page and an anchor that are there; and none of them is there twice."""
    pages, dead = manual(t), []
    for name, page in pages.items():
        t.equal(sorted({one for one in page.ids if page.ids.count(one) > 1}), [], f"anchors twice in {name}")
        for link in page.links:
            if re.match(r"https?:", link):
                continue
            target, _, anchor = link.partition("#")
            other = pages.get(target or name)
            if not other or (anchor and anchor not in other.ids):
                dead.append((name, link))
    t.equal(dead, [], "dead links")
    linked = {link.partition("#")[0] for page in pages.values() for link in page.links}
    t.equal(sorted(set(pages) - linked), [], "pages to which no link leads")


@test
def nothing_comes_from_elsewhere(t):
    """No font, script or picture of another machine; each file that is loaded is there."""
    there: Set[str] = set(manual(t)) | set(os.listdir(directory(t)))
    for name, page in manual(t).items():
        t.equal([one for one in page.loads if one not in there], [], f"what {name} loads")
        t.check("style.css" in page.loads and "search.js" in page.loads, f"{name} has no style or no search")
        t.equal(re.findall(r"\son\w+=", page.text), [], f"scripts within {name}")
    for name in ("style.css", "search.js"):
        t.equal(re.findall(r"url\(|@import|@font-face|https?:|fetch\(", read(f"docs/html/{name}")), [], name)


@test
def index_of_the_search(t):
    """Each entry leads to an anchor; each page has one; options of programs have their own."""
    pages, entries = manual(t), sections(t)
    t.equal([one["page"] + "#" + one["anchor"] for one in entries
             if one["anchor"] not in pages[one["page"]].ids], [], "entries that lead nowhere")
    t.equal(sorted(set(pages) - {one["page"] for one in entries}), [], "pages that cannot be found")
    t.check(any("--io-timeout" in one["heading"] for one in entries), "the options are no entries")
