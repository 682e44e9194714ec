# SPDX-License-Identifier: LGPL-2.1-or-later
"""What programs that are built already rely on: versions, symbols, sizes; and the ways to link it."""
import os
import re
import subprocess
import sys
from typing import Dict, List

from client.installed import HEADER, MAP, TOP, Context, functions, read, without_comments
from support.tap import Skip, cases, limit, test

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
VERSION = re.search(r"^  version: '([0-9.]+)',$", read(os.path.join(TOP, "meson.build")),
                    re.MULTILINE).group(1)
NODE = re.search(r"^(LIBPRHELPER_\S+) \{", read(MAP), re.MULTILINE).group(1)

#: Bytes of each struct, and where its members are, on 64-bit machines: they stay as they are.
LAYOUT: Dict[str, Dict[str, int]] = {
    "prhelper_result": {"": 8320, "status": 0, "outcome_unknown": 1, "reserved": 2, "size": 28,
                        "sense": 32, "data": 128},
    "prhelper_transportid": {"": 264, "size": 0, "reserved": 2, "bytes": 8},
    "prhelper_list": {"": 56, "needed": 0, "generation": 8, "state": 12, "bytes": 16, "size": 24,
                      "offset": 32, "reserved": 40},
    "prhelper_registrant": {"": 296, "key": 0, "all_tg_pt": 8, "holder": 9, "scope": 10, "type": 11,
                            "target_port": 12, "reserved": 14, "port": 32},
    "prhelper_reservation": {"": 24, "generation": 0, "held": 4, "scope": 5, "type": 6,
                             "reserved": 7, "key": 16},
    "prhelper_capabilities": {"": 32, "replace_lost": 0, "compatible": 1, "spec_i_pt": 2,
                              "all_tg_pt": 3, "persistent": 4, "persistent_active": 5,
                              "types_valid": 6, "allow_commands": 7, "types": 8, "reserved": 10},
    "prhelper_sense": {"": 8, "key": 0, "asc": 1, "ascq": 2, "reserved": 3},
}


def members(text: str) -> Dict[str, List[str]]:
    """The structs of a header and the names of what is in them."""
    return {name: re.findall(r"(\w+)(?:\[\w+\])?;", body) for name, body in
            re.findall(r"struct (\w+) \{(.*?)\n\};", without_comments(text), re.DOTALL)}


def library_path(t: Context) -> str:
    return os.path.dirname(t.library())


def stub(t: Context, node: str, names: List[str]) -> str:
    """A directory with a library of that soname whose functions have that version: for a program to
    be linked with that is then run with the real one."""
    directory = t.lab.make_directory()
    with open(os.path.join(directory, "map"), "w", encoding="utf-8") as file:
        file.write(node)
    with open(os.path.join(directory, "stub.c"), "w", encoding="utf-8") as file:
        file.write("".join(f"int {name}(void);\nint {name}(void) {{ return 0; }}\n"
                           for name in names))
    t.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libprhelper.so.0",
           f"-Wl,--version-script,{directory}/map", "-o", f"{directory}/libprhelper.so",
           f"{directory}/stub.c"])
    return directory


def program(t: Context, source: str, include: str, library: str) -> str:
    path = os.path.join(t.lab.make_directory(), "program")
    t.write(path + ".c", source)
    t.run(["cc", *WARNINGS, "-I", include, "-o", path, path + ".c", "-L", library, "-lprhelper"])
    return path


# -- versions


@test
def header_and_library_have_the_version_of_the_project(t):
    numbers = [int(part) for part in VERSION.split(".")]
    printed = t.run([t.compile("""#include <prhelper.h>
#include <stdio.h>
#if PRHELPER_VERSION < PRHELPER_VERSION_NUMBER(0, 2, 0)
#error "the macro is of no use to the preprocessor"
#endif
int main(void)
{
    printf("%s %d %d\\n", prhelper_version(), prhelper_version_number(), PRHELPER_VERSION);
}
""")], LD_LIBRARY_PATH=library_path(t)).split()
    number = str(numbers[0] * 1000000 + numbers[1] * 1000 + numbers[2])
    t.equal(printed, [VERSION, number, number], "string, number, and the header's")


@test
def every_symbol_has_a_version(t):
    defined = t.run(["nm", "-D", "--defined-only", "--with-symbol-versions", t.library()])
    found = dict(re.findall(r" T (\w+)@@(\S+)", defined))
    t.equal(set(found) ^ functions(), set(), "with a version, or in the header, only")
    t.equal(set(found.values()), {NODE}, "versions")


@test
def debian_knows_every_symbol(t):
    lines = read(os.path.join(TOP, "debian", "libprhelper0.symbols")).splitlines()
    listed = {line.split()[0]: line.split()[1] for line in lines if line.startswith(" ")}
    t.equal(set(listed) ^ {f"{name}@{NODE}" for name in functions() | {NODE}}, set(),
            "only there, or only in the header")
    t.check(all(re.fullmatch(r"[0-9.]+", version) for version in listed.values()), "versions")


# -- an older library and a newer header, and the reverse


def newer_header(t: Context) -> str:
    """A directory with the header of a later release: a function more, and a member where there is
    reserved room now."""
    text = read(HEADER)
    changed = re.sub(r"(define PRHELPER_VERSION_MINOR +)2\n", r"\g<1>3\n", text)
    changed = changed.replace("    uint8_t reserved[26];\n",
                              "    uint16_t later;\n    uint8_t reserved[24];\n")
    changed = changed.replace("/* Close it, dead or alive,",
                              "int prhelper_later(struct prhelper *helper);\n/* Close it, dead or alive,")
    t.check(all(word in changed for word in ("uint16_t later;", "prhelper_later(")) and
            changed.count("3\n") > text.count("3\n"),
            "the header was changed")
    directory = t.lab.make_directory()
    t.write(os.path.join(directory, "prhelper.h"), changed)
    return directory


def newer_library(t: Context) -> str:
    names = "".join(f"{name};" for name in functions())
    return stub(t, f"{NODE} {{ global: {names} local: *; }};\n"
                f"LIBPRHELPER_0.3 {{ global: prhelper_later; }} {NODE};\n",
                [*functions(), "prhelper_later"])


NEWER = """#include <prhelper.h>
#include <stdio.h>
int main(void)
{{
    static struct prhelper_result result;
    static struct prhelper *helper;
    int r = prhelper_connect("/nonexistent/socket", 0, 0, &helper);

    r = r < 0 ? prhelper_sense_decode(result.sense, sizeof(result.sense), &(struct prhelper_sense){{0}})
              : 0;
    printf("%d %d %d %d\\n", r, result.later, prhelper_version_number() < PRHELPER_VERSION,
           PRHELPER_VERSION);
    {use}
    return 0;
}}
"""


@test
def newer_header_and_older_library(t):
    """It runs, finds out, and sees zero where the older library has reserved room."""
    path = program(t, NEWER.format(use=""), newer_header(t), newer_library(t))
    t.equal(t.run([path], LD_LIBRARY_PATH=library_path(t)), "18 0 1 3000\n", "what it prints")


@test
def newer_function_and_older_library(t):
    """Not at the call but at the start, and with words: before anything was done to a disk."""
    path = program(t, NEWER.format(use="prhelper_later(helper);"), newer_header(t),
                   newer_library(t))
    said = t.run([path], 1, LD_LIBRARY_PATH=library_path(t))
    t.matches("version `LIBPRHELPER_0.3' not found", said, "what the loader says")


@test
def program_of_the_first_release(t):
    """Its structs were smaller, so it must not even start."""
    library = stub(t, "LIBPRHELPER_0 { global: *; };\n", sorted(functions()))
    source = "#include <prhelper.h>\nint main(void) { return prhelper_version() == 0; }\n"
    path = program(t, source, os.path.dirname(HEADER), library)
    t.matches("version `LIBPRHELPER_0' not found",
              t.run([path], 1, LD_LIBRARY_PATH=library_path(t)), "what the loader says")


# -- sizes


@test
def every_struct_has_reserved_room(t):
    found = members(read(HEADER))
    t.equal(set(found), set(LAYOUT), "structs")
    t.equal([name for name, names in found.items() if "reserved" not in names], [], "without")


@test
def layout_stays_as_it_is(t):
    if sys.maxsize < 2**32:
        raise Skip("the table is of 64-bit machines")
    prints = "".join(
        f'    printf("{name} {member} %zu\\n", ' +
        (f"offsetof(struct {name}, {member}));\n" if member else f"sizeof(struct {name}));\n")
        for name, layout in LAYOUT.items() for member in layout)
    printed = t.run([t.compile("#include <prhelper.h>\n#include <stdio.h>\n"
                               f"int main(void)\n{{\n{prints}}}\n")],
                    LD_LIBRARY_PATH=library_path(t))
    found: Dict[str, Dict[str, int]] = {}
    for name, member, number in re.findall(r"^(\w+) (\w*) (\d+)$", printed, re.MULTILINE):
        found.setdefault(name, {})[member] = int(number)
    t.equal(found, LAYOUT, "sizes and offsets")
    t.equal({name: set(names) for name, names in members(read(HEADER)).items()},
            {name: set(layout) - {""} for name, layout in LAYOUT.items()}, "members")


@test
def nothing_is_inline(t):
    """The author of a binding has only the symbols."""
    t.check("inline" not in without_comments(read(HEADER)), "the header has inline functions")


# -- ways to link


def static_library(t: Context) -> str:
    try:
        return t.lab.find("libprhelper.a")
    except AssertionError as error:
        raise Skip("built with default_library=shared") from error


#: Names that the library's insides have too.
CLASH = """#include <prhelper.h>
#include <stdio.h>
int sense_decode(void);
int cdb_decode(void);
int stream_send(void);
int sense_decode(void) { return 1; }
int cdb_decode(void) { return 2; }
int stream_send(void) { return 3; }
int main(void)
{
    struct prhelper_sense sense = {0};
    unsigned char bytes[18] = {0x70, 0, 5};
    int r = prhelper_sense_decode(bytes, sizeof(bytes), &sense);

    printf("%d %d\\n", r, sense.key);
    return sense_decode() + cdb_decode() + stream_send() - 6;
}
"""


@test
def static_library_shows_nothing_else(t):
    path = static_library(t)
    defined = t.run(["nm", "--defined-only", "--extern-only", path])
    t.equal({line.split()[2] for line in defined.splitlines() if len(line.split()) == 3}
            ^ functions(), set(), "only there, or only in the header")
    binary = os.path.join(t.lab.make_directory(), "program")
    t.write(binary + ".c", CLASH)
    t.run(["cc", *WARNINGS, "-I", os.path.dirname(HEADER), "-o", binary, binary + ".c", path])
    t.equal(t.run([binary]), "0 5\n", "what it prints")


SUPERPROJECT = """project('super', 'c', default_options: ['c_std=c11'])
executable('program', 'program.c', dependencies: dependency('libprhelper', version: '>= 0.2'))
"""


@limit(120)
@cases("shared", "static")
def subproject(t, kind):
    """Of another Meson project: found by dependency(), and nothing but the library is built."""
    directory = t.lab.make_directory()
    os.mkdir(os.path.join(directory, "subprojects"))
    os.symlink(TOP, os.path.join(directory, "subprojects", "libprhelper"))
    t.write(os.path.join(directory, "meson.build"), SUPERPROJECT)
    t.write(os.path.join(directory, "program.c"), CLASH)
    build = os.path.join(directory, "build")
    t.run(["meson", "setup", build, directory, f"-Dlibprhelper:default_library={kind}",
           "--force-fallback-for=libprhelper"], patience=60)
    t.run(["ninja", "-C", build], patience=60)
    binary = os.path.join(build, "program")
    t.equal(t.run([binary]), "0 5\n", "what it prints")
    needed = t.run(["readelf", "-d", binary])
    t.equal("libprhelper.so.0" in needed, kind == "shared", "it needs the shared library")
    made = subprocess.run(["find", build, "-name", "qemu-pr-*", "-type", "f"], check=True,
                          capture_output=True, text=True).stdout
    t.equal(made, "", "programs that were built")
