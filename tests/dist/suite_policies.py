# SPDX-License-Identifier: LGPL-2.1-or-later
"""Confinement: the SELinux module compiles and the AppArmor profile is understood."""
import os
import re

from support.tap import test

from dist.fixture import TOP, read

MODULE = "qemu_pr_helper"
PROFILE = "dist/apparmor/qemu-pr-helper"


@test
def selinux_module_compiles(t):
    # checkmodule wants the module's own name as the name of its output.
    output = os.path.join(t.lab.make_directory(), MODULE + ".mod")
    t.run([t.tool("checkmodule", "checkpolicy"), "-M", "-m", "-o", output,
           os.path.join(TOP, "dist", "selinux", MODULE + ".te")])
    t.check(os.path.getsize(output) > 0, "the module is empty")


@test
def selinux_labels_what_is_installed(t):
    """File contexts name types of the module and files that there are."""
    policy = read(f"dist/selinux/{MODULE}.te")
    types = set(re.findall(r"^type (\w+),", policy, re.MULTILINE))
    lines = read(f"dist/selinux/{MODULE}.fc").split("\n")
    contexts = [re.match(r"(\S+)\s+(?:--\s+)?gen_context\(system_u:object_r:(\w+),s0\)$", line)
                for line in lines if line and not line.startswith("#")]
    t.check(len(contexts) >= 4 and all(contexts), f"lines of the file contexts: {lines}")
    t.equal({one.group(2) for one in contexts} - types, set(), "types that are not the module's")
    for path in (one.group(1) for one in contexts):
        if path.startswith("/usr/"):
            t.lab.program(os.path.basename(path))
            t.check(os.path.exists(t.lab.root() + path), f"{path} is not installed")


@test
def apparmor_profile_is_understood(t):
    parser = t.tool("apparmor_parser", "apparmor")
    # Warnings about this machine's kernel are none of the profile's.
    t.run([parser, "--skip-kernel-load", "--skip-cache", "--quiet", os.path.join(TOP, PROFILE)])


@test
def apparmor_profile_is_for_what_is_installed(t):
    profile = read(PROFILE)
    t.matches(r"(?m)^profile qemu-pr-helper flags=", profile, "a profile attached to no program")
    executed = re.findall(r"^  (/usr/\S+) mr(?:ix)?,", profile, re.MULTILINE)
    t.equal(len(executed), 2, "programs of ours")
    for path in executed:
        t.lab.program(os.path.basename(path))
        t.check(os.path.exists(t.lab.root() + path), f"{path} is not installed")
