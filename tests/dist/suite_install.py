# SPDX-License-Identifier: LGPL-2.1-or-later
"""`meson install`: every file where distributions expect it, and nothing else."""
import json
import os
import re

from support.tap import cases, test

from dist.fixture import read

#: By what they come with: that may have been left out of the build for want of a library.
ALWAYS = """
    /etc/apparmor.d/qemu-pr-helper
    bin/qemu-pr-helper
    bin/qemu-pr-simulator
    include/prhelper.h
    lib/systemd/system/qemu-pr-helper.service
    lib/systemd/system/qemu-pr-helper.socket
    lib/systemd/system/qemu-pr-helper@.service
    lib/systemd/system/qemu-pr-helper@.socket
    lib/systemd/system/qemu-pr-mpath.socket
    lib/systemd/system/qemu-pr-mpath@.service
    LIBDIR/libprhelper.so
    LIBDIR/libprhelper.so.0
    LIBDIR/libprhelper.so.VERSION
    LIBDIR/pkgconfig/libprhelper.pc
    share/qemu-pr-helper/selinux/qemu_pr_helper.fc
    share/qemu-pr-helper/selinux/qemu_pr_helper.te
    share/qemu-pr-helper/node-status.schema.json
    share/qemu-pr-helper/status.schema.json
    lib/sysusers.d/qemu-pr-helper.conf
    lib/tmpfiles.d/qemu-pr-helper.conf
"""
WITH_CTL = """
    bin/qemu-pr-ctl
    share/bash-completion/completions/qemu-pr-ctl
    share/qemu-pr-helper/ctl.schema.json
    share/qemu-pr-helper/validate/lvm.json
    share/qemu-pr-helper/validate/none.json
    share/qemu-pr-helper/validate/ocf-sg-persist.json
    share/qemu-pr-helper/validate/opensvc.json
    share/qemu-pr-helper/validate/pacemaker.json
    share/qemu-pr-helper/validate/pnfs.json
    share/qemu-pr-helper/validate/quirks.json
    share/qemu-pr-helper/validate/storage.json
    share/qemu-pr-helper/validate/veritas.json
    share/qemu-pr-helper/validate/windows.json
"""
WITH_STATIC = """
    LIBDIR/libprhelper.a
"""
WITH_MPATH = """
    libexec/qemu-pr-mpath
"""
WITH_PYTHON = """
    PYTHON/prhelper/__init__.py
    PYTHON/prhelper/_abi.py
    PYTHON/prhelper/_aio.py
    PYTHON/prhelper/_commands.py
    PYTHON/prhelper/_connection.py
    PYTHON/prhelper/_library.py
    PYTHON/prhelper/_types.py
"""
WITH_PAGES = """
    share/man/man1/qemu-pr-simulator.1
    share/man/man3/libprhelper.3
    share/man/man3/prhelper.3
    share/man/man7/qemu-pr-helper-protocol.7
    share/man/man8/qemu-pr-helper.8
"""
WITH_EXPORTER = """
    /etc/apparmor.d/qemu-pr-exporter
    bin/qemu-pr-exporter
    lib/systemd/system/qemu-pr-exporter.service
    share/qemu-pr-helper/monitoring/dashboard.json
    share/qemu-pr-helper/monitoring/rules.yaml
    share/qemu-pr-helper/monitoring/rules-test.yaml
    share/qemu-pr-helper/monitoring/runbooks/QemuPrBusy.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrDataMissing.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrHelperGone.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrHelperUnreadable.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrHungCommand.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrLunWithoutAnswers.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrPathUnregistered.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrSameNexus.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrStaleKey.md
    share/qemu-pr-helper/monitoring/runbooks/QemuPrWorkerFailed.md
"""
WITH_PAGES_AND_EXPORTER = """
    share/man/man8/qemu-pr-exporter.8
"""
WITH_PAGES_AND_CTL = """
    share/man/man1/qemu-pr-ctl.1
"""
WITH_PAGES_AND_MPATH = """
    share/man/man8/qemu-pr-mpath.8
"""


def build_option(t, name):
    path = os.path.join(t.lab.build, "meson-info", "intro-buildoptions.json")
    with open(path, encoding="utf-8") as file:
        return next(one["value"] for one in json.load(file) if one["name"] == name)


def installed_files(root):
    return {os.path.relpath(os.path.join(directory, name), root)
            for directory, _, names in os.walk(root) for name in names}


def python_directory(t):
    """Where packages of this Python are installed, below the prefix; "" if it was built without."""
    path = os.path.join(t.lab.build, "meson-info", "intro-installed.json")
    with open(path, encoding="utf-8") as file:
        found = [path for path in json.load(file).values() if path.endswith("/prhelper/__init__.py")]
    return os.path.relpath(os.path.dirname(os.path.dirname(found[0])),
                           build_option(t, "prefix")) if found else ""


def expected(t):
    def built(name):
        return os.path.exists(os.path.join(t.lab.build, name))
    pages = built("man/qemu-pr-helper.8")
    text = ALWAYS + WITH_CTL * built("qemu-pr-ctl") + WITH_MPATH * built("qemu-pr-mpath")
    text += WITH_PYTHON.replace("PYTHON", python_directory(t)) * bool(python_directory(t))
    text += WITH_STATIC * (build_option(t, "default_library") != "shared")
    text += WITH_PAGES * pages + WITH_PAGES_AND_CTL * (pages and built("qemu-pr-ctl"))
    text += WITH_PAGES_AND_MPATH * (pages and built("qemu-pr-mpath"))
    text += WITH_EXPORTER * built("qemu-pr-exporter")
    text += WITH_PAGES_AND_EXPORTER * (pages and built("qemu-pr-exporter"))
    version = re.search(r"^  version: '([0-9.]+)'", read("meson.build"), re.MULTILINE).group(1)
    prefix = build_option(t, "prefix").lstrip("/")
    # os.path.join: what begins with a slash is not below the prefix.
    return {os.path.join(prefix, path.replace("LIBDIR", build_option(t, "libdir"))
                         .replace("VERSION", version)).lstrip("/") for path in text.split()}


@test
def files(t):
    t.equal(sorted(installed_files(t.lab.root()) ^ expected(t)), [],
            "files that are missing or not expected")


@test
def programs_can_be_executed_and_nothing_else(t):
    """Libraries may be, it is a matter of taste of distributions."""
    root = t.lab.root()
    executable = {os.path.relpath(os.path.join(directory, name), root)
                  for directory, _, names in os.walk(root) for name in names
                  if os.access(os.path.join(directory, name), os.X_OK)
                  and os.stat(os.path.join(directory, name)).st_mode & 0o111}
    programs = {path for path in expected(t) if "/bin/" in path or "/libexec/" in path}
    libraries = {path for path in executable if ".so" in path}
    t.equal(sorted((executable - libraries) ^ programs), [], "executable or no program")


@test
def sample_configuration(t):
    """It changes nothing as it is, and what it names are options that take such a value."""
    lines = read("dist/config/qemu-pr-helper.conf").splitlines()
    t.equal([line for line in lines if line and not line.startswith("#")], [], "lines in force")
    # Not every machine has the group kvm.
    settings = [re.sub(r"^(\w+-group)=\w+$", rf"\1={os.getegid()}", line[1:]) for line in lines
                if re.match(r"#[a-z-]+(=\S+)?$", line)]
    t.check(len(settings) >= 8, f"only {len(settings)} settings")
    path = os.path.join(t.lab.make_directory(), "conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(one for one in settings if not one.startswith("log=")) + "\nbad\n")
    # The first line that is not understood ends it, and that has to be the last one.
    output = t.run([t.lab.program("qemu-pr-helper"), f"--config={path}", "-k", path + ".sock"], 1)
    t.matches(rf"conf:{len(settings)}: unknown option 'bad'", output, "what it says")


@cases("qemu-pr-helper.service", "qemu-pr-helper@.service", "qemu-pr-mpath@.service")
def unit_starts_what_is_installed(t, name):
    unit = t.lab.find(name)
    with open(unit, encoding="utf-8") as file:
        started = re.search(r"^ExecStart=(\S+)", file.read(), re.MULTILINE).group(1)
    t.check(os.path.exists(t.lab.root() + started), f"{started} is installed")
