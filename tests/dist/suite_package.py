# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages: built in a copy of the tracked files, judged by lintian."""
import glob
import os
import re

from support.tap import limit, test

from dist.fixture import TOP, read
from dist.suite_install import expected

PACKAGES = ("golang-prhelper-dev", "libprhelper-dev", "libprhelper0", "python3-prhelper", "qemu-pr-ctl",
            "qemu-pr-exporter", "qemu-pr-helper", "qemu-pr-simulator")
#: Built once for all tests.
built = {}


def directory(t):
    if not built:
        for tool, package in (("dpkg-buildpackage", "dpkg-dev"), ("dh", "debhelper")):
            t.tool(tool, package)
        path = t.lab.make_directory()
        t.run([os.path.join(TOP, "tests", "dist", "package"), path], patience=500)
        built["path"] = path
    return built["path"]


def archive(t, package):
    path, = glob.glob(os.path.join(directory(t), f"{package}_[0-9]*.deb"))
    return path


@limit(540)
@test
def all_are_built(t):
    names = {os.path.basename(path).split("_")[0]
             for path in glob.glob(os.path.join(directory(t), "*.deb"))}
    wanted = set(re.findall(r"^Package: (\S+)$", read("debian/control"), re.MULTILINE))
    t.equal(wanted, set(PACKAGES), "packages in debian/control")
    t.equal({name for name in names if not name.endswith("-dbgsym")}, wanted, "packages")


@test
def each_file_is_in_one_package(t):
    """All that meson installs, pages compressed, units where this release has them."""
    contents = [line.split()[5].lstrip("./") for package in PACKAGES
                for line in t.run(["dpkg-deb", "--contents", archive(t, package)]).splitlines()
                if not line.startswith("d") and "/usr/share/doc/" not in line]
    plain = [re.sub(r"^lib/systemd", "usr/lib/systemd", re.sub(r"(/man\d/.*)\.gz$", r"\1", path))
             for path in contents]
    wanted = {re.sub(r"lib/python3[.\d]*/\w+-packages", "lib/python3/dist-packages", path)
              for path in expected(t)}
    links = {path for path in plain if path not in wanted}
    # Source of Go is not installed, but by the package.
    source = {path for path in links if path.startswith("usr/share/gocode/src/")}
    t.equal({os.path.basename(path) for path in source},
            set(os.listdir(os.path.join(TOP, "bindings", "go"))), "source of the Go binding")
    links -= source
    t.equal(sorted(wanted - set(plain)), [], "in no package")
    t.equal(sorted(links), [], "installed by the package alone")
    t.equal(len(plain), len(set(plain)), "files in two packages")


@test
def upgrade_stops_nothing(t):
    """What debhelper adds to our scripts: sockets and services are stopped by removal alone."""
    control = t.lab.make_directory()
    t.run(["dpkg-deb", "--control", archive(t, "qemu-pr-helper"), control])
    texts = {name: read(os.path.join(control, name)) for name in ("preinst", "prerm", "postinst")}
    for name in ("preinst", "postinst"):
        t.check(not re.search(r"(invoke|systemctl)[^\n]* stop", texts[name]), f"{name} stops services")
    stops = re.findall(r"(?m)^if (.*); then\n(?:.*\n)*?.*invoke stop", texts["prerm"])
    t.check(stops and all('= remove ]' in one for one in stops), f"prerm stops them if {stops}")
    t.matches(r"try-restart qemu-pr-helper.service", texts["postinst"], "postinst")


@test
def what_administrators_look_for(t):
    """News, pages, a sample configuration, the profile as a configuration file."""
    listing = t.run(["dpkg-deb", "--contents", archive(t, "qemu-pr-helper")])
    for path in ("NEWS", "README.md", "qemu.md", "examples/qemu-pr-helper.conf",
                 "examples/kubernetes/base/daemonset.yaml"):
        t.matches(rf"usr/share/doc/qemu-pr-helper/(.*/)?{path}(\.gz)?\n",
                  listing, "what is in the package")
    for package in ("qemu-pr-helper", "qemu-pr-exporter"):
        t.matches(f"(?m)^/etc/apparmor.d/{package}$",
                  t.run(["dpkg-deb", "--info", archive(t, package), "conffiles"]), "conffiles")
        t.matches("apparmor_parser", t.run(["dpkg-deb", "--info", archive(t, package), "postinst"]),
                  f"postinst of {package}")


@test
def each_page_is_in_one_package(t):
    """Those of docs/, and README.md's links to them lead somewhere."""
    listing = [line.split()[5] for package in PACKAGES
               for line in t.run(["dpkg-deb", "--contents", archive(t, package)]).splitlines()]
    pages = [re.sub(r"\.gz$", "", os.path.basename(path)) for path in listing
             if re.search(r"/usr/share/doc/[^/]+/[^/]+\.md(\.gz)?$", path)]
    wanted = [os.path.basename(path) for path in glob.glob(os.path.join(TOP, "docs", "*.md"))]
    t.equal(sorted(pages), sorted(wanted + ["README.md", "SECURITY.md"]), "pages")


@test
def symbols_are_as_recorded(t):
    """A symbol that goes fails the build; one that is not in debian/libprhelper0.symbols does not."""
    t.equal(re.findall(r"(?m)^dpkg-gensymbols: .*$", read(os.path.join(directory(t), "log"))), [],
            "what dpkg-gensymbols had to say")


@limit(120)
@test
def lintian_finds_nothing(t):
    """No error, and no warning either."""
    changes, = glob.glob(os.path.join(directory(t), "*.changes"))
    # Root is who runs it in a container.
    t.run([t.tool("lintian", "lintian"), "--allow-root", "--fail-on=error,warning", changes],
          patience=100)
