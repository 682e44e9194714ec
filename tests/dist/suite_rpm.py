# SPDX-License-Identifier: LGPL-2.1-or-later
"""The RPM packages: built by rpmbuild from the spec and an archive of the tracked files, judged by
rpmlint, installed into a root directory and run from there. Fedora's macros, which Debian's rpm does not
have, are in rpm.macros."""
import glob
import os
import re
import shutil

from support import pages
from support.process import Helper
from support.tap import cases, limit, test

from dist.fixture import TOP, read
from dist.suite_install import expected
from dist.suite_release import meson_version

SPEC = "dist/rpm/prhelper.spec"
PACKAGES = ("prhelper", "prhelper-ctl", "prhelper-simulator", "libprhelper", "libprhelper-devel",
            "python3-prhelper", "prhelper-selinux")
#: Left out on purpose: AppArmor's, and a static library.
LEFT_OUT = {"etc/apparmor.d/qemu-pr-helper", "etc/apparmor.d/qemu-pr-exporter", "usr/lib64/libprhelper.a"}
#: Checks of rpmlint that are another distribution's policy than Fedora's, or about what the test does not
#: have (a signature). Each was looked at.
OTHER_POLICY = ("no-packager-tag", "no-group-tag", "no-signature", "library-without-ldconfig",
                "lib-package-without-%mklibname", "missing-hash-section", "shlib-policy-name-error",
                "no-dependency-on locales", "outside-libdir-files", "non-versioned-file-in-library-package")
#: The README takes the archive from git.
COMMIT = ("git init --quiet && git add --all && git -c user.name=test -c user.email=test@test.invalid "
          "commit --quiet --message=test")
#: Built once for all tests.
built = {}


def script(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)


def directory(t):
    if not built:
        rpmbuild = t.tool("rpmbuild", "rpm")
        for tool, package in (("checkmodule", "checkpolicy"), ("semodule_package", "semodule-utils")):
            t.tool(tool, package)
        path = t.lab.make_directory()
        for one in t.lab.tracked():
            os.makedirs(os.path.dirname(os.path.join(path, "source", one)), exist_ok=True)
            shutil.copy(os.path.join(TOP, one), os.path.join(path, "source", one))
        os.mkdir(f"{path}/bin")
        # Debian's rpmbuild has neither Fedora's macros nor a database of what is installed.
        script(f"{path}/bin/rpmbuild",
               f'exec {rpmbuild} --nodeps --define "_topdir {path}/top" '
               f'--load {os.path.join(TOP, "tests/dist/rpm.macros")} "$@"')
        script(f"{path}/bin/dnf", ":")
        block = pages.item(TOP, "README.md", "dnf builddep")
        t.equal(pages.WHERE[block.key], pages.RPM, "where it is to be tried")
        t.run(["sh", "-ec", f"cd '{path}/source'\n{COMMIT}\n{block.text}"], patience=300,
              PATH=f"{path}/bin:{os.environ['PATH']}", HOME=path)
        built["path"] = path
    return built["path"]


def package(t, name):
    path, = glob.glob(f"{directory(t)}/top/RPMS/*/{name}-[0-9]*.rpm")
    return path


def contents(t, name):
    """Paths without the first slash, pages without their compression."""
    lines = t.run(["rpm", "-qlp", package(t, name)]).splitlines()
    return {re.sub(r"(/man\d/.*)\.gz$", r"\1", line.lstrip("/")) for line in lines
            if line.startswith("/")}


@limit(400)
@test
def all_are_built(t):
    found = {re.match(r"(.*)-[0-9.]+-\d", os.path.basename(path)).group(1)
             for path in glob.glob(f"{directory(t)}/top/RPMS/*/*.rpm")}
    debug = {name for name in found if "-debug" in name}
    t.equal(found - debug, set(PACKAGES), "packages")


@test
def each_file_is_in_one_package(t):
    """All that meson installs, in lib64 and in Fedora's place for Python."""
    lists = [contents(t, name) for name in PACKAGES]
    plain = [path for one in lists for path in one if "/usr/share/doc/" not in f"/{path}"
             and "/licenses/" not in path and ".build-id" not in path]
    t.equal(sorted({path for path in plain if plain.count(path) > 1}), [], "in two packages")
    wanted = {re.sub(r"^usr/lib/\w+-linux-\w+/", "usr/lib64/",
                     re.sub(r"lib/python3[.\d]*/\w+-packages", "lib/python3/site-packages", path))
              for path in expected(t)}
    there = {re.sub(r"lib/python3[.\d]*/\w+-packages", "lib/python3/site-packages", path)
             for path in plain}
    t.equal(sorted(wanted - there), sorted(LEFT_OUT & wanted), "in no package")
    t.check("etc/qemu-pr-helper.conf" in there, "no configuration")


@limit(120)
@test
def rpmlint_finds_no_error(t):
    output = t.run([t.tool("rpmlint", "rpmlint"), os.path.join(TOP, SPEC),
                    *glob.glob(f"{directory(t)}/top/*RPMS/*.rpm"),
                    *glob.glob(f"{directory(t)}/top/RPMS/*/*.rpm")], status=None, patience=100)
    t.matches(r"packages and \d+ specfiles checked", output, "what it says at the end")
    errors = [line for line in output.splitlines() if " E: " in line
              and not any(f" E: {one}" in line for one in OTHER_POLICY)]
    t.equal(errors, [], "errors")


@test
def takes_the_place_of_qemus(t):
    """It cannot be installed beside it, and packages that require it are content."""
    for kind in ("conflicts", "provides"):
        output = t.run(["rpm", "-qp", f"--{kind}", package(t, "prhelper")])
        t.matches(r"(?m)^qemu-pr-helper$", output, kind)
    t.matches(r"(?m)^config\(prhelper\)", t.run(["rpm", "-qp", "--provides", package(t, "prhelper")]),
              "its configuration is kept by an upgrade")


@cases("postinstall", "preuninstall", "postuninstall")
def units_are_known_to_systemd(t, scriptlet):
    scripts = t.run(["rpm", "-qp", "--scripts", package(t, "prhelper")])
    sections = re.split(r"(?m)^(\w+) scriptlet .*$", scripts)
    found = dict(zip(sections[1::2], sections[2::2]))
    t.check("qemu-pr-helper.service" in found.get(scriptlet, ""), f"{scriptlet}: {found}")


@limit(60)
@test
def runs_from_a_root_directory(t):
    """Unpacked by rpm, the helper serves, and says the version of the package."""
    top = t.lab.make_directory()
    for name in ("prhelper", "prhelper-ctl", "libprhelper"):
        t.run(["sh", "-ec", 'rpm2cpio "$1" | (cd "$2" && cpio --extract --make-directories --quiet)',
               "sh", package(t, name), top])
    libraries = os.path.join(top, "usr/lib64")
    t.matches(rf"^qemu-pr-ctl {re.escape(meson_version())}\b",
              t.run([f"{top}/usr/bin/qemu-pr-ctl", "--version"], LD_LIBRARY_PATH=libraries), "ctl")
    helper = Helper(f"{top}/usr/bin/qemu-pr-helper", t.lab.make_directory(),
                    [f"--mpath-worker={top}/usr/libexec/qemu-pr-mpath"])
    t.cleanup.callback(helper.close)
    helper.wait_ready()
    t.equal(helper.stop(), 0, "exit status")


@test
def spec_is_of_this_version(t):
    text = read(SPEC)
    t.equal(re.search(r"(?m)^Version: +(\S+)$", text).group(1), meson_version(), "Version")
    t.matches(rf"(?m)^%changelog\n\* .* - {re.escape(meson_version())}-\d+$", text, "changelog")
