# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Go binding, which takes a compiler of some hundred megabytes: in the full tests only."""
import os
import re
import shutil
from typing import Dict, List

from client.examples import Takeover, check_takeover
from client.installed import TOP, Context, functions, read
from support.tap import Skip, limit, test

#: Go's cache, for all tests of a run.
caches: List[str] = []
GO = os.path.join(TOP, "bindings", "go")


def environment(t: Context) -> Dict[str, str]:
    """Nothing is fetched; pkg-config finds what was installed for the test."""
    if not shutil.which("go"):
        raise Skip("no go (golang)")
    if "__asan" in t.undefined_text() or "__tsan" in t.undefined_text():
        raise Skip("the library was built with sanitizers")
    # Not one that outlives the run: it has the flags for the linker in it, but not in its keys.
    if not caches:
        caches.append(t.lab.make_directory())
    return {"GOCACHE": caches[0], "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local",
            "HOME": t.lab.make_directory(), "LD_LIBRARY_PATH": os.path.dirname(t.library()),
            "PRHELPER_SIMULATOR": os.path.join(t.lab.build, "qemu-pr-simulator"),
            **t.pkg_config_environment()}


@test
def every_command_is_there(t):
    started = {name for name in functions() if name.startswith("prhelper_start_")}
    used = set(re.findall(r"C\.(prhelper_start_\w+)\(",
                          read(os.path.join(GO, "commands.go")) + read(os.path.join(GO, "conn.go"))))
    t.equal(started ^ used, {"prhelper_start_adopt"}, "not used")


@test
def is_laid_out_as_go_has_it(t):
    environment(t)
    t.equal(t.run(["gofmt", "-l", GO, os.path.join(TOP, "examples")]), "", "files that gofmt changes")


@limit(300)
@test
def vet_finds_nothing(t):
    t.run(["go", "vet", "."], patience=240, cwd=GO, **environment(t))


@limit(600)
@test
def tests_pass(t):
    """Its own, in bindings/go/prhelper_test.go, with the race detector."""
    said = t.run(["go", "test", "-race", "-count=1", "-v", "."], patience=500, cwd=GO,
                 **environment(t))
    t.check(said.count("--- PASS") >= 6 and "SKIP" not in said, said)


class TakeoverInGo(Takeover):
    def __init__(self, t: Context, _language: str):
        super().__init__(t, "Go")
        directory = t.lab.make_directory()
        shutil.copy(os.path.join(TOP, "examples", "takeover.go"), directory)
        t.write(os.path.join(directory, "go.mod"),
                "module takeover\n\ngo 1.19\n\nrequire qemu-pr-helper.invalid/prhelper v0.0.0\n\n"
                f"replace qemu-pr-helper.invalid/prhelper => {GO}\n")
        program = os.path.join(directory, "takeover")
        t.run(["go", "build", "-o", program, "."], patience=240, cwd=directory, **environment(t))
        self.refused = "connection refused"
        self.argv = [program]


@limit(300)
@test
def takeover(t):
    environment(t)
    check_takeover(t, "Go", TakeoverInGo)
