# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs can check of texts: shell scripts, spelling, links."""
import json
import os
import re
import subprocess

from support import pages
from support.tap import test

from dist.fixture import TOP, first_line, read

#: Words that codespell takes for slips: the suffix of an SELinux policy; in its newer versions, the
#: letters before an accent that a test cuts off, and O_WRONLY; a word of AppArmor.
NO_SLIPS = "te,caf,inflight,wronly,WRONLY,readby"


def shell_scripts(t):
    return [path for path in t.lab.tracked()
            if re.match(r"#!.*[/ ](ba|da)?sh\b", first_line(path))
            or path.startswith("dist/completion/")]


@test
def shell_scripts_pass_shellcheck(t):
    scripts = shell_scripts(t)
    for wanted in ("tools/setup", ".ci/run", "debian/qemu-pr-helper.preinst",
                   "dist/completion/qemu-pr-ctl"):
        t.check(wanted in scripts, f"{wanted} is no shell script?")
    t.run([t.tool("shellcheck", "shellcheck"), "--format=gcc",
           *(os.path.join(TOP, path) for path in scripts)])


@test
def what_shellcheck_shall_not_say_has_a_reason(t):
    """On the directive's own line, after a second #."""
    directives = [(path, line) for path in shell_scripts(t)
                  for line in re.findall(r"^ *# shellcheck disable=.*$", read(path), re.MULTILINE)]
    t.equal([(path, line) for path, line in directives
             if not re.search(r"disable=\w+(,\w+)* # \w.{10,}", line)], [], "without a reason")


@test
def spelling(t):
    """Common slips only; a language is more than that."""
    files = [path for path in t.lab.tracked() if not path.startswith("LICENSES/")]
    t.run([t.tool("codespell", "codespell"), "-L", NO_SLIPS,
           *(os.path.join(TOP, path) for path in files)])


@test
def links_lead_somewhere(t):
    """Those of the pages in Markdown, to files and to headings."""
    tracked = t.lab.tracked("*.md")
    t.check(len(tracked) > 8, f"only {len(tracked)} pages")
    dead = []
    for page in tracked:
        for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
            path, _, heading = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            found = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(os.path.join(TOP, found)):
                dead.append((page, target))
            elif heading and heading not in headings(read(found)):
                dead.append((page, target))
    t.equal(dead, [], "dead links")


def headings(text):
    return {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-")
            for one in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@test
def pages_can_be_found(t):
    """Each page for users is linked from README."""
    t.equal([page for page in t.lab.tracked("docs/*.md") if f"({page})" not in read("README.md")],
            [], "not in README")


@test
def arrays_are_those_of_the_quirks(t):
    """What validate says to be known of a target has a row in docs/support.md with the quirk's name and the
    same evidence."""
    section = read("docs/support.md").partition("\n## Arrays\n")[2]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    known = [(quirk["name"], one["target"], one["evidence"])
             for quirk in json.loads(read("dist/validate/quirks.json"))["quirks"]
             for one in quirk.get("known", [])]
    t.check(len(known) > 10, f"only {known}")
    missing = [(quirk, target) for quirk, target, evidence in known if not any(
        row.startswith(f"| {re.split('[ ,:]', target)[0]}") and f"(`{quirk}`)" in row
        and f"| {evidence} |" in row for row in rows)]
    t.equal(missing, [], "not in docs/support.md")
    named = set(re.findall(r"\(`([a-z-]+)`\)", "\n".join(rows)))
    t.equal(sorted(named - {quirk for quirk, _, _ in known}), [], "quirks that there are not")


# -- commands in the pages


@test
def blocks_are_tried_or_have_a_reason(t):
    """Each block of each page, once; and there is no entry for one that has gone."""
    found = [one.key for page in pages.PAGES for one in pages.items(TOP, page)]
    t.check(len(found) > 30, f"only {len(found)} blocks in all pages")
    differ = sorted({one for one in found if found.count(one) > 1} | set(found) ^ set(pages.WHERE))
    t.equal(differ, [], "twice in a page, or in only one of page and tests/support/pages.py")


@test
def pages_for_people_are_all_looked_at(t):
    t.equal(sorted({*t.lab.tracked("docs/*.md"), "README.md", "HACKING.md"}), sorted(pages.PAGES),
            "pages")


def commands(page):
    """Lines of code blocks that call one of our programs, as (program, words behind it)."""
    text = re.sub(r"\\\n\s*", " ", read(page))
    blocks = re.findall(r"(?m)^(?:    |\t)+(\S.*)$", text)
    blocks += "\n".join(re.findall(r"(?ms)^ *```\w*\n(.*?)^ *```", text)).splitlines()
    for line in blocks:
        line = line.partition("#")[0]
        found = re.match(r"(?:\$ |sudo |build/)*(qemu-pr-(?:helper|ctl))((?: .*)?)$", line.strip())
        if found:
            yield found.group(1), found.group(2).split("  ")[0].split()


@test
def commands_in_pages_exist(t):
    """Each with options that it has."""
    seen, wrong = 0, []
    for page in t.lab.tracked("*.md"):
        for name, words in commands(page):
            seen += 1
            program, command = [t.lab.program(name)], []
            if name == "qemu-pr-ctl":
                command = words[:1]
                if not command or command[0].startswith("-"):
                    wrong.append((page, name, words, "no command comes first"))
                    continue
            done = subprocess.run([*program, *command, "--help"], text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            options = [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
            missing = [one for one in options
                       if not re.search(rf"(?m)(^| ){re.escape(one)}\b", done.stdout)]
            if done.returncode or missing:
                wrong.append((page, name, words, missing))
    t.check(seen >= 10, f"only {seen} commands in all pages")
    t.equal(wrong, [], "commands that there are not")
