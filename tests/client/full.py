# SPDX-License-Identifier: LGPL-2.1-or-later
"""What takes tools that only the full tests have: abidiff, other compilers, another C library."""
import glob
import os
import platform
import re
import shutil

from client.installed import TOP, Context, read
from support.tap import Skip, cases, limit, test

#: What abidw wrote of the library; made anew by whoever changes its ABI on purpose, see HACKING.
RECORD = os.path.join(TOP, "tests", "client", "libprhelper.abi")


def tool(name: str) -> str:
    if not shutil.which(name):
        raise Skip(f"no {name}")
    return name


@limit(120)
@test
def abi_is_that_of_the_last_release(t: Context):
    """Or that of the next one, where it has broken with the last: functions may come, nothing may go
    or change."""
    if platform.machine() != "x86_64":
        raise Skip("the record is of x86-64")
    said = t.run([tool("abidiff"), "--no-unreferenced-symbols", "--no-added-syms",
                  "--headers-dir1", os.path.join(TOP, "src", "client"),
                  "--headers-dir2", os.path.join(TOP, "src", "client"), RECORD, t.library()],
                 patience=100)
    t.matches("^Functions changes summary: 0 Removed, 0 Changed", said, "differences")
    t.matches("^Variables changes summary: 0 Removed, 0 Changed", said, "differences")


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
    sources = [path for room in ("client", "scsi") for path in
               sorted(glob.glob(os.path.join(TOP, "src", room, "*.c")))]
    t.run([tool(compiler), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wvla",
           "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Werror", "-static",
           "-I", os.path.join(TOP, "src"), "-I", os.path.join(TOP, "src", "client"),
           "-I", t.lab.build, "-o", program, program + ".c", *sources,
           os.path.join(TOP, "src", "proto", "wire.c")], patience=100)
    t.equal(t.run([program]), "No such file or directory\n", "what it prints")
