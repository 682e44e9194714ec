# SPDX-License-Identifier: LGPL-2.1-or-later
"""The SELinux module in a real policy: Debian's, built with it from its modules, in a directory. Nothing on
this machine is changed, and nothing here is confined by it."""
import glob
import os
import re
import subprocess

from support.process import environment
from support.tap import Skip, limit, test

from dist.fixture import TOP, read

MODULE = "qemu_pr_helper"
POLICY = "selinux-policy-default"


def fetch(t, directory):
    """Debian's policy, unpacked."""
    if subprocess.run([t.tool("apt-get", "apt"), "download", POLICY], cwd=directory,
                      env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                      check=False).returncode:
        raise Skip(f"the package {POLICY} cannot be had")
    archive, = glob.glob(os.path.join(directory, "*.deb"))
    t.run(["dpkg-deb", "--extract", archive, directory])


@test
@limit(1800)
def module_fits_into_debians_policy(t):
    """What it requires is there, and its labels are taken."""
    semodule = t.tool("semodule", "policycoreutils")
    directory = t.lab.make_directory()
    fetch(t, directory)
    for name in ("etc/selinux/default", "var/lib/selinux/default"):
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    shipped = os.path.join(TOP, "dist", "selinux", MODULE)
    module, package = (os.path.join(directory, MODULE + kind) for kind in (".mod", ".pp"))
    t.run([t.tool("checkmodule", "checkpolicy"), "-M", "-m", "-o", module, shipped + ".te"])
    t.run([t.tool("semodule_package", "semodule-utils"), "-o", package, "-m", module,
           "-f", shipped + ".fc"])
    modules = glob.glob(os.path.join(directory, "usr/share/selinux/default/*.pp.bz2"))
    t.check(len(modules) > 100, f"{len(modules)} modules in {POLICY}")
    t.run([semodule, "--path", directory, "--store", "default", "--noreload",
           *(word for one in [*modules, package] for word in ("--install", one))], patience=1700)
    t.check(glob.glob(os.path.join(directory, "etc/selinux/default/policy/policy.*")), "no policy")
    with open(os.path.join(directory, "etc/selinux/default/contexts/files/file_contexts"),
              encoding="utf-8") as file:
        labels = set(re.sub(r"\t+", " ", line.strip()) for line in file)
    ours = {re.sub(r"\t+", " ", line) for line in read(f"dist/selinux/{MODULE}.fc").splitlines()}
    t.equal(sorted(ours - labels), [], "labels that the policy has not")
