# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs can check of texts: shell scripts, spelling, links."""
import os
import re

from support.tap import test

from dist.fixture import TOP, first_line, read

#: Words that codespell takes for slips: the suffix of an SELinux policy.
NO_SLIPS = "te"


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
    t.lab.tracked()
    t.run(["sh", "-c", f"git -C '{TOP}' ls-files -z -- ':!LICENSES' | "
           f"(cd '{TOP}' && xargs -0 '{t.tool('codespell', 'codespell')}' -L '{NO_SLIPS}')"])


@test
def links_lead_somewhere(t):
    """Those of the pages in Markdown, to files and to headings."""
    pages = t.lab.tracked("*.md")
    t.check(len(pages) > 8, f"only {len(pages)} pages")
    dead = []
    for page in pages:
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
    pages = t.lab.tracked("docs/*.md")
    t.equal([page for page in pages if f"({page})" not in read("README.md")], [], "not in README")
