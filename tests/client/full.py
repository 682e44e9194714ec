# SPDX-License-Identifier: LGPL-2.1-or-later
"""What takes tools that only the full tests have: abidiff, other compilers, another C library."""
import glob
import os
import platform
import re
import shutil
from typing import List

from client.installed import MAP, TOP, Context, read
from support.tap import Skip, cases, limit, test

#: abidw --no-corpus-path --no-show-locs --no-comp-dir-path --no-elf-needed --drop-undefined-syms
#: --exported-interfaces-only. To be made anew if the ABI is changed on purpose.
RECORD = os.path.join(TOP, "tests", "client", "libprhelper.abi")
IGNORED = os.path.join(TOP, "tests", "client", "private.abignore")


def sources(top: str) -> List[str]:
    """What the library is made of."""
    return [path for pattern in ("client/*.c", "scsi/*.c", "proto/wire.c")
            for path in sorted(glob.glob(os.path.join(top, pattern)))]


def tool(name: str) -> str:
    if not shutil.which(name):
        raise Skip(f"no {name}")
    return name


def compare(t: Context, library: str, status: int) -> str:
    """What abidiff says of it, beside the record."""
    if platform.machine() != "x86_64":
        raise Skip("the record is of x86-64")
    return t.run([tool("abidiff"), "--no-added-syms", "--suppressions", IGNORED, RECORD, library],
                 status, patience=100)


@limit(120)
@test
def abi_is_that_of_the_last_release(t: Context):
    """Or that of the next one, where it has broken with the last: functions may come, nothing may go
    or change."""
    compare(t, t.library(), 0)


@limit(120)
@cases(("a member", "uint8_t reserved[26];", "uint8_t reserved[30];", "size changed"),
       ("a parameter", "unsigned type,\n", "unsigned char type,\n", "parameter"),
       ("private", "", "", ""))
def abi_change_is_noticed(t: Context, old, new, said):
    """In a public struct or a function, not in what is private."""
    source = os.path.join(t.lab.make_directory(), "src")
    shutil.copytree(os.path.join(TOP, "src"), source)
    header = os.path.join(source, "client", "prhelper.h" if old else "connection.h")
    old, new = (old, new) if old else ("    int sock; ", "    int one_more, sock; ")
    t.check(old in read(header), f"{old!r} in the header")
    t.write(header, read(header).replace(old, new))
    if "unsigned char" in new:
        for path in glob.glob(os.path.join(source, "client", "*.c")):
            t.write(path, read(path).replace(old, new))
    library = os.path.join(source, "libprhelper.so.0")
    t.run(["cc", "-g", "-shared", "-fPIC", "-std=gnu11", "-D_GNU_SOURCE", "-I", source, "-I", t.lab.build,
           "-Wl,-soname,libprhelper.so.0", "-Wl,--version-script," + MAP, "-o", library,
           *sources(source)], patience=60)
    t.check(said in compare(t, library, 4 if said else 0), f"it does not say {said!r}")


@test
def abi_record_is_of_this_soname(t: Context):
    record = read(RECORD)
    t.check("soname='libprhelper.so.0'" in record, "its soname")
    t.check(len(re.findall(r"<elf-symbol name='prhelper_", record)) >= 60, "its symbols")


PROGRAM = """#include <prhelper.h>
#include <stdio.h>
int main(void)
{
    struct prhelper *helper = NULL;
    char text[PRHELPER_TEXT_MAX];
    int r = prhelper_connect("/nonexistent/socket", 0, 0, &helper);

    prhelper_describe(text, sizeof(text), r, NULL);
    puts(text);
    return 0;
}
"""


@limit(120)
@cases("gcc", "clang", "musl-gcc")
def library_builds_without_a_warning(t: Context, compiler):
    """Its sources and those of scsi and proto that it has; and it answers."""
    directory = t.lab.make_directory()
    program = os.path.join(directory, "program")
    t.write(program + ".c", PROGRAM)
    t.run([tool(compiler), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wvla",
           "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Werror", "-static",
           "-I", os.path.join(TOP, "src"), "-I", os.path.join(TOP, "src", "client"),
           "-I", t.lab.build, "-o", program, program + ".c", *sources(os.path.join(TOP, "src"))],
          patience=100)
    t.equal(t.run([program]), "No such file or directory\n", "what it prints")
