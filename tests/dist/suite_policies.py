# SPDX-License-Identifier: LGPL-2.1-or-later
"""Confinement: the SELinux module compiles and the AppArmor profiles are understood. vm/test_apparmor.py
has these in force."""
import os
import re

from support.tap import cases, test

from dist.fixture import TOP, read

MODULE = "qemu_pr_helper"
PROFILES = ("qemu-pr-helper", "qemu-pr-exporter")
#: And how they get to the program: by its path, or by the units (None).
ATTACHED = {"qemu-pr-helper": None, "qemu-pr-mpath": "/usr/libexec/qemu-pr-mpath",
            "qemu-pr-exporter": "/usr/bin/qemu-pr-exporter"}


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
    contexts = [re.match(r"(\S+)\s+(?:--\s+)?system_u:object_r:(\w+):s0$", line)
                for line in lines if line and not line.startswith("#")]
    t.check(len(contexts) >= 4 and all(contexts), f"lines of the file contexts: {lines}")
    t.equal({one.group(2) for one in contexts} - types, set(), "types that are not the module's")
    for path in (one.group(1) for one in contexts):
        if path.startswith("/usr/"):
            t.lab.program(os.path.basename(path))
            t.check(os.path.exists(t.lab.root() + path), f"{path} is not installed")


@cases(*PROFILES)
def apparmor_profile_is_understood(t, name):
    parser = t.tool("apparmor_parser", "apparmor")
    # Warnings about this machine's kernel are none of the profile's.
    t.run([parser, "--skip-kernel-load", "--skip-cache", "--quiet",
           os.path.join(TOP, "dist", "apparmor", name)])


@test
def apparmor_profiles_are_for_what_is_installed(t):
    text = "".join(read(f"dist/apparmor/{name}") for name in PROFILES)
    t.equal({name: path or None for name, path in
             re.findall(r"(?m)^profile (\S+)(?: (/\S+))? flags=", text)}, ATTACHED, "profiles")
    executed = set(re.findall(r"(?m)^  (/usr/\S+/qemu-pr-\S+) mr", text))
    t.equal(len(executed), 3, "programs of ours")
    for path in executed:
        t.lab.program(os.path.basename(path))
        t.check(os.path.exists(t.lab.root() + path), f"{path} is not installed")
    t.matches("(?m)^AppArmorProfile=-qemu-pr-helper$", read("dist/systemd/qemu-pr-helper.service.in"),
              "the unit, which applies the helper's")
