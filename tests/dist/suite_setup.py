# SPDX-License-Identifier: LGPL-2.1-or-later
"""tools/setup on systems that are not this one: its PATH is a directory of ours, with stand-ins for
the package tools, which install nothing."""
import os
import shutil
import subprocess

from support.tap import cases, test

from dist.fixture import TOP, read

#: What the script itself runs, and what a complete system has beside it.
NEEDED = ("bash", "env", "grep", "id", "install", "mktemp", "rm", "sed", "sort", "tail")
PRESENT = ("cc", "meson", "ninja", "pkg-config", "rst2man", "git", "python3", "qemu-system-x86_64",
           "clang", "cmark-gfm", "mandoc")
#: Of cc, the preprocessor's question for a header; of pkg-config, for a library.
CC = 'case "$*" in *"$HEADER_MISSING"*) exit 1;; esac'
PKG_CONFIG = 'case "$*" in *"$LIBRARY_MISSING"*) exit 1;; esac'
#: A Debian on which one package is not installed, and another not known.
DPKG_QUERY = 'for one; do :; done; [ "$one" = "$PACKAGE_MISSING" ] || printf installed'
APT_CACHE = ('shift; for one; do [ "$one" = "$PACKAGE_UNKNOWN" ] || echo " $one | 1 | somewhere"; '
             'done')


class System:
    def __init__(self, t, *without, debian=False, user=0):
        self.path = t.lab.make_directory()
        self.log = os.path.join(self.path, "log")
        for name in NEEDED:
            os.symlink(shutil.which(name), os.path.join(self.path, name))
        os.unlink(os.path.join(self.path, "id"))
        self.script("id", f"echo {user}")
        self.script("sudo", "exit 1")
        for name in PRESENT:
            self.script(name, {"cc": CC, "pkg-config": PKG_CONFIG}.get(name, ":"))
        if debian:
            self.script("dpkg-query", DPKG_QUERY)
            self.script("apt-cache", APT_CACHE)
            self.script("apt-get", f'echo "$*" >>{self.log}')
            # Where it would forbid services to start, which is no business of this test.
            os.unlink(os.path.join(self.path, "install"))
            self.script("install", ":")
            os.unlink(os.path.join(self.path, "rm"))
            self.script("rm", ":")
        for name in without:
            os.unlink(os.path.join(self.path, name))

    def script(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{shutil.which('bash')}\n{text}\n")
        os.chmod(path, 0o755)

    def setup(self, kind, **variables):
        """Exit status, and all that it prints."""
        settings = {"HEADER_MISSING": "no such", "LIBRARY_MISSING": "no such", "PACKAGE_MISSING": "no such",
                    "PACKAGE_UNKNOWN": "no such", **variables}
        done = subprocess.run([os.path.join(TOP, "tools", "setup"), kind], check=False, text=True,
                              env={"PATH": self.path, **settings}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def installed(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            return [line.split()[-1] for line in file if line.startswith("install")]


@cases("build", "docs", "check", "fuzz")
def nothing_missing_is_said(t, kind):
    for debian in (False, True):
        status, output = System(t, debian=debian).setup(kind)
        t.equal(status, 0, f"exit status, {'Debian' if debian else 'another system'}")
        t.matches(rf"needed to {kind} is missing", output, "what it prints")


@cases("cc", "meson", "ninja", "pkg-config")
def build_cannot_work_without(t, tool):
    status, output = System(t, tool).setup("build")
    t.equal(status, 1, "exit status")
    t.matches(rf"Please install by hand.*\n(.*\n)*  command {tool} ", output, "what it prints")


@cases("library libseccomp", "header scsi/sg.h", "header linux/landlock.h", "header stdlib.h")
def build_cannot_work_without_headers(t, name):
    kind, missing = name.split()
    status, output = System(t).setup("build", **{f"{kind.upper()}_MISSING": missing})
    t.equal(status, 1, "exit status")
    t.matches(rf"  {name} ", output, "what it prints")


@test
def what_is_done_without_is_named(t):
    for variables, wanted in (({"LIBRARY_MISSING": "json-c"}, "json-c .*qemu-pr-ctl is not built"),
                              ({"HEADER_MISSING": "sys/sdt.h"}, "sdt.h .*probe points")):
        status, output = System(t).setup("build", **variables)
        t.equal(status, 0, f"exit status with {variables}")
        t.matches(wanted, output, "what it prints")
    status, output = System(t, "git", "rst2man").setup("check", LIBRARY_MISSING="cmocka")
    t.equal(status, 0, "exit status")
    for wanted in ("command git", "command rst2man", "library cmocka"):
        t.matches(wanted, output, "what it prints")


@test
def dpkg_on_another_system(t):
    """Its database is empty there; apt-get there is none."""
    system = System(t, debian=True)
    status, output = system.setup("build", PACKAGE_MISSING="dpkg")
    t.equal((status, system.installed()), (0, []), "exit status and what is installed")
    t.matches("Not a Debian-like system", output, "what it prints")
    system = System(t, "apt-get", debian=True)
    t.matches("Not a Debian-like system", system.setup("build")[1], "what it prints")


@cases("git", "make", "build-essential", "libjson-c-dev")
def missing_package_is_installed(t, package):
    system = System(t, debian=True)
    status, output = system.setup("check", PACKAGE_MISSING=package)
    t.equal((status, system.installed()), (0, [package]), "exit status and what is installed")
    t.matches(rf"  {package} .*\n(.*\n)*Installed: {package}\n", output, "what it prints")


@test
def without_rights_it_says_what_to_type(t):
    system = System(t, debian=True, user=1000)
    status, output = system.setup("check", PACKAGE_MISSING="git")
    t.equal((status, system.installed()), (1, []), "exit status and what is installed")
    t.matches("sudo apt-get install --no-install-recommends git\n", output, "what it prints")


@test
def package_that_a_release_lacks(t):
    system = System(t, debian=True)
    status, output = system.setup("check", PACKAGE_MISSING="cppcheck", PACKAGE_UNKNOWN="cppcheck")
    t.equal((status, system.installed()), (0, []), "exit status and what is installed")
    t.matches("Left out, since this release.*\n  cppcheck ", output, "what it prints")


# -- what make run and make serve build and say


@test
def programs_alone_are_built_for_the_story(t):
    """What `make run` builds: the programs, and no test, fuzz target or load."""
    commands = t.run(["ninja", "-C", t.lab.build, "-t", "commands", "programs"])
    t.matches("qemu-pr-simulator", commands, "what is built")
    t.check(" tests/" not in commands and " bench/" not in commands, "tests are built")
    makefile = read("Makefile")
    for name in ("run", "serve"):
        t.matches(rf"(?m)^{name}: setup-build programs$", makefile, "Makefile")


@test
def serve_tells_whether_multipath_maps_are_served(t):
    """The helper's own word: with a worker, and without."""
    directory = t.lab.make_directory()
    for name in ("qemu-pr-helper", "qemu-pr-ctl"):
        os.symlink(t.lab.program(name), os.path.join(directory, name))
    serve = [os.path.join(TOP, "tools", "serve"), directory, "--once"]
    reason = "cannot execute" if os.geteuid() == 0 else "not started as root"
    t.matches(rf"(?m)^  no +multipath maps: .*{reason}", t.run(serve), "without a worker")
    os.symlink(t.lab.program("qemu-pr-mpath"), os.path.join(directory, "qemu-pr-mpath"))
    output = t.run(serve)
    if os.geteuid() != 0 or "without CAP_SYS" in output:
        t.matches(r"(?m)^  no +multipath maps: .*not started|started without", output, "no rights")
    else:
        t.matches(r"(?m)^  yes +multipath maps: ", output, "with a worker")
