# SPDX-License-Identifier: LGPL-2.1-or-later
"""libprhelper as its users get it: installed into an empty directory and found by pkg-config."""
import glob
import os
import re
import shlex
import shutil
import subprocess
from typing import Dict, List, Optional, Sequence, Set

from simulator.fixture import Simulator
from support import scaled, tap
from support.process import environment
from support.scratch import Scratch
from support.tap import Skip, cases, test

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(TOP, "src", "client", "prhelper.h")
MAP = os.path.join(TOP, "src", "client", "libprhelper.map")
PAGE = os.path.join(TOP, "man", "libprhelper.3.rst")

EXAMPLE_LINES = 30
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wstrict-prototypes", "-Werror"]


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


class Lab(Scratch):
    def __init__(self, build: str):
        self.build = build
        super().__init__("prl-")
        self._root: Optional[str] = None

    def root(self) -> str:
        """What `meson install` puts into a directory of its own."""
        if not os.access(os.path.join(self.build, "meson-logs"), os.W_OK):
            raise Skip("meson install wants to write to the build directory")
        if not self._root:
            root = self.make_directory()
            subprocess.run(["meson", "install", "-C", self.build, "--no-rebuild", "--quiet",
                            "--destdir", root], check=True, stdout=subprocess.DEVNULL)
            self._root = root
        return self._root

    def find(self, pattern: str) -> str:
        """The one installed file that matches, below the root."""
        found = [path for path in glob.glob(os.path.join(self.root(), "**", pattern),
                                            recursive=True)]
        if len(found) != 1:
            raise AssertionError(f"{pattern} is installed {len(found)} times: {found}")
        return found[0]


class Context(tap.Context):
    def __init__(self, lab: Lab):
        super().__init__()
        self.lab = lab
        self._said: List[str] = []

    def run(self, argv: Sequence[str], status: Optional[int] = 0, patience: float = 30,
            cwd: Optional[str] = None, **env: str) -> str:
        """Run it for so many seconds at most, expect this exit status, return both streams."""
        done = subprocess.run(argv, env=environment(env), stdin=subprocess.DEVNULL, text=True, cwd=cwd,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=scaled(patience))
        self._said.append(f"{' '.join(argv)}\n{done.stdout}")
        if status is not None:
            self.equal(done.returncode, status, f"exit status of {argv[0]}")
        return done.stdout

    def log(self) -> str:
        return "\n".join(self._said)

    def library(self) -> str:
        return self.lab.find("libprhelper.so.0.*")

    def flags(self) -> List[str]:
        """What pkg-config says of the installed library."""
        return shlex.split(self.run(["pkg-config", "--cflags", "--libs", "libprhelper"],
                                    **self.pkg_config_environment()))

    def pkg_config_environment(self) -> Dict[str, str]:
        if not shutil.which("pkg-config"):
            raise Skip("no pkg-config")
        return {"PKG_CONFIG_LIBDIR": os.path.dirname(self.lab.find("libprhelper.pc")),
                "PKG_CONFIG_SYSROOT_DIR": self.lab.root(), "PKG_CONFIG_PATH": "",
                "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}

    def compile(self, source: str, compiler: str = "cc", *options: str) -> str:
        """The program that it makes."""
        if not shutil.which(compiler):
            raise Skip(f"no {compiler}")
        if "__asan" in self.undefined_text() or "__ubsan" in self.undefined_text():
            raise Skip("the library was built with sanitizers")
        directory = self.lab.make_directory()
        path = os.path.join(directory, "program." + ("cc" if compiler.endswith("++") else "c"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        program = os.path.join(directory, "program")
        self.run([compiler, *options, "-O2", "-o", program, path, *self.flags()])
        return program

    def write(self, path: str, text: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def undefined_text(self) -> str:
        return self.run(["nm", "-D", "--undefined-only", self.library()])

    def simulator(self) -> Simulator:
        simulator = Simulator(os.path.join(self.lab.build, "qemu-pr-simulator"),
                              self.lab.make_directory(), ["a"])
        self.cleanup.callback(simulator.close)
        return simulator.wait_ready()


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def prototypes(text: str) -> Set[str]:
    """Every function that is declared, on one line each."""
    types = r"(?:typedef )?(?:const )?(?:int|void|bool|char|size_t|uint32_t|enum \w+)"
    found = re.findall(rf"^ *({types} [^;{{}}=]*?\));", text, re.MULTILINE)
    return {re.sub(r"\(\s+", "(", re.sub(r"\s+", " ", one)) for one in found if "prhelper_" in one}


def functions() -> Set[str]:
    """Names of all functions that the header declares for linking."""
    return {re.search(r"(prhelper_\w+)\(", one).group(1)
            for one in prototypes(without_comments(read(HEADER)))
            if not one.startswith("typedef")}


# -- what is installed


@test
def header_is_the_interface(t):
    """It includes nothing of ours."""
    header = read(t.lab.find("prhelper.h"))
    t.equal(header, read(HEADER), "the installed header")
    t.equal(re.findall(r"#include (.*)", header),
            ["<stdbool.h>", "<stddef.h>", "<stdint.h>"], "includes")


@test
def soname_and_needs(t):
    dynamic = t.run(["readelf", "-d", t.library()])
    t.equal(re.findall(r"\(SONAME\).*\[(.*)\]", dynamic), ["libprhelper.so.0"], "SONAME")
    if "san" not in dynamic:
        t.equal(re.findall(r"\(NEEDED\).*\[(.*?)\.so", dynamic), ["libc"], "NEEDED")
    t.check("RUNPATH" not in dynamic and "RPATH" not in dynamic, "no path of the build is in it")
    links = {os.path.basename(path): os.readlink(path)
             for path in glob.glob(os.path.dirname(t.library()) + "/libprhelper.so*")
             if os.path.islink(path)}
    t.equal(set(links), {"libprhelper.so", "libprhelper.so.0"}, "links")


@test
def exported_symbols(t):
    """Those of the header, those of the map and those of the library are the same."""
    listed = set(re.findall(r"^\s+(prhelper_\w+);", read(MAP), re.MULTILINE))
    t.equal(listed ^ functions(), set(), "in only one of map and header")
    defined = t.run(["nm", "-D", "--defined-only", t.library()])
    exported = {line.split()[2].partition("@")[0] for line in defined.splitlines()
                if line.split()[1] != "A"}
    t.equal(exported ^ functions(), set(), "in only one of library and header")


@test
def calls_nothing_that_it_promises_not_to(t):
    """To exit, print, fork, start threads or change signals: it needs no function for any of it."""
    undefined = {line.split()[-1].partition("@")[0] for line in t.undefined_text().splitlines()}
    forbidden = re.compile(
        r"^_?(exit|_exit|abort|__assert_fail|fork|vfork|clone|execv.*|posix_spawn.*|system|popen|"
        r"pthread_create|signal|sigaction|sigprocmask|pthread_sigmask|raise|kill|setenv|putenv|"
        r"(__)?v?f?printf(_chk)?|puts|putchar|fputs|fwrite|write|perror|syslog|vsyslog|"
        r"std(out|err)|getenv|setlocale)$")
    t.equal({name for name in undefined if forbidden.match(name)}, set(), "functions it calls")
    t.check("recvmsg" in undefined, "the check sees what it calls at all")


@cases(("C99", "cc", "-std=c99"), ("C11", "cc", "-std=c11"), ("C23", "cc", "-std=c2x"),
       ("C++", "c++", "-std=c++17"), ("C++20", "c++", "-std=c++20"),
       ("clang", "clang", "-std=c11"), ("clang, C++", "clang++", "-std=c++20"))
def header_compiles_alone(t, compiler, standard):
    is_c = compiler in ("cc", "clang")
    warnings = [one for one in WARNINGS if is_c or one != "-Wstrict-prototypes"]
    program = t.compile(f"""#include <prhelper.h>
int main({"void" if is_c else ""})
{{
    static struct prhelper_result result;
    return prhelper_is_good(0, &result) && prhelper_version() ? 0 : 1;
}}
""", compiler, standard, *warnings)
    t.run([program], LD_LIBRARY_PATH=os.path.dirname(t.library()))


# -- the manual


@test
def manual_has_every_function(t):
    documented, declared = prototypes(read(PAGE)), prototypes(without_comments(read(HEADER)))
    t.check(len(declared) >= 60, f"the header declares only {len(declared)} functions")
    t.equal(documented ^ declared, set(), "in only one of page and header")


@test
def manual_has_every_error(t):
    errors = re.search(r"enum prhelper_error \{(.*?)\};", without_comments(read(HEADER)),
                       re.DOTALL).group(1)
    names = re.findall(r"(PRHELPER_\w+) =", errors)
    t.check(len(names) == 15, f"errors: {names}")
    page = read(PAGE)
    t.equal([name for name in names if name not in page and name != "PRHELPER_OK"], [],
            "errors that the page does not explain")


@test
def manual_has_every_struct(t):
    """Each member that is the caller's, with its type."""
    def structs(text):
        return {name: set(re.findall(r"^\s+(\w[\w ]+ \w+(?:\[\w+\])?);", body, re.MULTILINE))
                for name, body in re.findall(r"struct (prhelper_\w+) \{(.*?)\n *\};",
                                             without_comments(text), re.DOTALL)}

    def number(member):
        return re.sub(r"PRHELPER_\w+", lambda name: re.search(
            rf"define {name.group()} +(\d+)", read(HEADER)).group(1), member)

    declared, documented = structs(read(HEADER)), structs(read(PAGE))
    t.equal(set(declared) ^ set(documented), set(), "in only one of page and header")
    private = {"uint32_t state", "size_t size", "size_t offset"}
    for name, members in declared.items():
        wanted = {number(one) for one in members if " reserved[" not in one}
        if name == "prhelper_list":
            wanted -= private
        t.equal(documented[name] ^ wanted, set(), f"members of {name} in only one of them")


def example() -> str:
    """The program at the end of the page."""
    section = read(PAGE).partition("\nEXAMPLE\n")[2].partition("\nSEE ALSO\n")[0]
    lines = section.partition("::\n\n")[2].splitlines()
    return "\n".join(line[4:] for line in lines) + "\n"


@test
def example_works(t):
    t.check("int main(" in example(), "there is an example")
    t.check(len(example().splitlines()) <= EXAMPLE_LINES, "the example is too long")
    program = t.compile(example(), "cc", *WARNINGS)
    name = os.path.basename(program)
    simulator = t.simulator()
    lun = os.path.join(t.lab.make_directory(), "lun")
    with open(lun, "wb"):
        pass
    path = {"LD_LIBRARY_PATH": os.path.dirname(t.library())}
    socket = simulator.sockets["a"]
    t.equal(t.run([program, socket, lun], **path), "0xabc\n", "what it prints")
    t.equal(t.run([program, socket, "/dev/null"], 1, **path),
            f"{name}: /dev/null: CHECK CONDITION: ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE "
            "(5/20/00)\n",
            "what it prints for what is no disk")
    t.equal(t.run([program, socket + "-", lun], 1, **path),
            f"{name}: {lun}: No such file or directory\n",
            "what it prints without a helper")
    t.equal(t.run([program], 2, **path), f"{name}: usage: {program} SOCKET DISK\n",
            "usage")
