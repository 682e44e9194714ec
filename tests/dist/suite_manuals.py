# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manual pages: every option of --help is in the page, and the page has no other."""
import re

from support.tap import cases, test

from dist.fixture import read

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
       ("qemu-pr-simulator", "qemu-pr-simulator", 1, 8))
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
