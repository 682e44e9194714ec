# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is tried on which system: each cell a script of bash that runs inside of a root (roots.py),
with the project's files below /src, a directory that stays at /build, and nothing else of this machine.

A script ends with 0 if all is well. With SKIPPED it has written to /build/skipped why it could not try.
"""
import os
from typing import List, NamedTuple, Tuple

from support import pages

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = 77
RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian sid"}

#: In every root but the bare ones.
TOOLS = ("build-essential", "ca-certificates", "git", "libcmocka-dev", "libjson-c-dev",
         "libseccomp-dev", "linux-libc-dev", "meson", "ninja-build", "pkgconf", "python3",
         "qemu-system-common", "strace", "systemtap-sdt-dev")
#: What a newcomer has: these two, to get here at all.
BARE = ("ca-certificates", "git", "make")

#: Suites of tests/run that neither boot a machine nor build everything once more.
SHORT_SUITES = ("kernel/", "unit/", "protocol/handshake", "protocol/requests", "protocol/replies",
                "protocol/security", "protocol/sandbox")
CHROOT_SUITES = ("kernel/", "unit/", "client/", "fuzz/", "ctl", "mpath", "protocol/", "simulator")
#: Enough to see that `make check` finds and installs what it needs, for any user, from any directory: one
#: of each kind of program. The same system runs all of CHROOT_SUITES in a cell of its own.
NEWCOMER_SUITES = ("unit/", "fuzz/", "client/installed", "protocol/handshake", "cross/protocol",
                   "protocol/security", "ctl", "house")

#: If that fails, apt's first error is what the cell ends with, without the address.
INSTALL = """
apt-get -qq update
apt-get -qq install -y --no-install-recommends {} >/build/apt.log 2>&1 ||
    {{ sed -n 's|http[^ ]*/||; s/ *.IP: .*//; s/^E: //p' /build/apt.log | head -n 1; exit 1; }}
"""
#: Of tests/run: its failures, and its last line.
TESTS = ("tests/run --build {build} {suites} >/build/tests.log 2>&1 || "
         "{{ grep ^FAIL /build/tests.log; tail -n 1 /build/tests.log; exit 1; }}\n"
         "tail -n 1 /build/tests.log")
COMPILE = """
cd /src
[ -e /build/objects/build.ninja ] || {before} meson setup /build/objects {options} >/build/setup.log ||
    {{ tail -n 20 /build/setup.log; exit 1; }}
ninja -k 0 -C /build/objects {targets} >/build/ninja.log ||
    {{ grep -B3 -A6 -E 'error|warning' /build/ninja.log | head -n 60; exit 1; }}
"""


class Cell(NamedTuple):
    name: str                          # as in docs/support.md
    release: str
    script: str
    limit: int                         # seconds
    packages: Tuple[str, ...] = TOOLS
    kind: str = ""                     # of the root
    versions: str = ""                 # a command that prints what the cell is about
    home: bool = False                 # there is a clone in root's home, too
    keep: bool = False                 # objects from before


def compiled(options: str = "", before: str = "", targets: str = "") -> str:
    return COMPILE.format(options=f"--werror {options}", before=before, targets=targets)


def tested(suites: Tuple[str, ...], build: str = "/build/objects") -> str:
    return TESTS.format(build=build, suites=" ".join(suites))


#: The README's two commands, the second with some of the suites that a chroot can run.
NEWCOMER = f"""
cd ~/qemu-pr-helper
make run ARGS=--once >/build/run.log 2>&1 || {{ tail -n 20 /build/run.log; exit 1; }}
grep -q 'B has taken over' /build/run.log
make check ARGS='{" ".join(NEWCOMER_SUITES)}' >/build/tests.log 2>&1 ||
    {{ grep ^FAIL /build/tests.log; grep -v ^make: /build/tests.log | tail -n 1; exit 1; }}
tail -n 1 /build/tests.log
"""
#: An ordinary user without rights is told by each what to type; root types it, and then it works.
USER = f"""
useradd -m newcomer
as_user() {{
    setpriv --reuid=newcomer --regid=newcomer --init-groups --inh-caps=-all \\
        env HOME=/home/newcomer bash -euc "cd /home/newcomer; $1"
}}
try() {{
    ! as_user "make -C qemu-pr-helper $2" >/build/$1-first.log 2>&1
    typed=$(sed -n 's/^  sudo //p' /build/$1-first.log)
    [ -n "$typed" ] || {{ tail -n 20 /build/$1-first.log; exit 1; }}
    $typed -y >/build/apt.log 2>&1 || {{ tail -n 20 /build/apt.log; exit 1; }}
    as_user "make -C qemu-pr-helper $2" >/build/$1.log 2>&1 ||
        {{ grep ^FAIL /build/$1.log; grep -v ^make /build/$1.log | tail -n 1; exit 1; }}
}}
as_user 'git config --global safe.directory "*"; git clone --quiet /src qemu-pr-helper'
apt-get -qq update
try run 'run ARGS=--once'
grep -q 'B has taken over' /build/run.log
try check "check ARGS='{" ".join(NEWCOMER_SUITES)}'"
tail -n 1 /build/check.log
"""


def readme(start: str) -> str:
    """A block of the README, which is to be typed here: where apt does not ask."""
    block = pages.item(TOP, "README.md", start)
    if pages.WHERE[block.key] != pages.MATRIX:
        raise AssertionError(f"{block.key} is tried elsewhere")
    return f"""
echo 'APT::Get::Assume-Yes "true"; APT::Install-Recommends "false";' >/etc/apt/apt.conf.d/90assume
cd /build/package
( set -e
{block.text}
) >>/build/log 2>&1 </dev/null || {{ tail -n 30 /build/log; exit 1; }}
"""


PACKAGE = """
apt-get -qq update
cp -r ~/qemu-pr-helper /build/package
apt-get -qq install -y --no-install-recommends build-essential lintian >/build/apt.log 2>&1
""" + readme("apt build-dep") + """
lintian --allow-root --fail-on=error,warning /build/*.changes
"""
#: Installed, upgraded and removed, the distribution's own helper beside it. There is no service
#: manager here: with one it is tested in a virtual machine.
LIFE = """
apt-get -qq install -y --no-install-recommends qemu-system-common >>/build/apt.log 2>&1
theirs=$(sha256sum </usr/bin/qemu-pr-helper)
install() { apt-get -qq install -y --no-install-recommends --reinstall "$@" >>/build/apt.log 2>&1; }
install $(ls /build/*.deb | grep -v dbgsym)
qemu-pr-helper --help | grep -q status-socket
[ "$(sha256sum </usr/bin/qemu-pr-helper.qemu)" = "$theirs" ]
install qemu-system-common
qemu-pr-helper --help | grep -q status-socket
apt-get -qq purge -y qemu-pr-helper >>/build/apt.log 2>&1
[ "$(sha256sum </usr/bin/qemu-pr-helper)" = "$theirs" ]
[ ! -e /usr/bin/qemu-pr-helper.qemu ]
""" + readme("apt install") + """
qemu-pr-helper --help | grep -q status-socket
apt-get -qq purge -y qemu-pr-helper >>/build/apt.log 2>&1
"""
#: The packages' own tests, in debian/tests: each of them has to run.
AUTOPKGTEST = """
apt-get -qq install -y --no-install-recommends autopkgtest >>/build/apt.log 2>&1
rm -rf /build/autopkgtest
autopkgtest --output-dir=/build/autopkgtest --no-built-binaries $(ls /build/*.deb | grep -v dbgsym) \\
    /build/package -- null >/build/autopkgtest.log 2>&1 ||
    { tail -n 30 /build/autopkgtest.log; grep -A2 '^not ok' /build/autopkgtest.log || true
      grep -v ' PASS' /build/autopkgtest/summary; exit 1; }
cat /build/autopkgtest/summary
"""

#: musl has no libseccomp in Debian: it is built, from Debian's source.
MUSL = """
sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
""" + INSTALL.format("musl-tools gperf") + """
mkdir -p /build/musl && cd /build/musl
apt-get -qq source libseccomp >/build/source.log 2>&1
cd libseccomp-*/
CC='musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu' ./configure \\
    --prefix=/opt/musl --disable-shared --disable-python >/build/configure.log 2>&1
make -j2 -C src install >/build/make.log 2>&1 || { tail /build/make.log; exit 1; }
make -C include install >>/build/make.log 2>&1 && make install-pkgconfDATA >>/build/make.log 2>&1
cat >/build/musl.ini <<'INI'
[binaries]
c = ['musl-gcc', '-idirafter', '/usr/include', '-idirafter', '/usr/include/x86_64-linux-gnu']
pkg-config = 'pkg-config'
[properties]
pkg_config_libdir = '/opt/musl/lib/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
INI
""" + compiled("--cross-file /build/musl.ini -Dtests=false", targets="programs") + """
cd /build/objects
readelf -l qemu-pr-helper | grep -q ld-musl
./qemu-pr-helper -k /tmp/socket & helper=$!
for _ in {1..100}; do [ -S /tmp/socket ] && break; sleep 0.1; done
kill $helper && wait $helper
[ ! -e /tmp/socket ]
"""


def cross(arch: str, triplet: str) -> str:
    """With the release's own compiler and libraries for that architecture."""
    return (f"dpkg --add-architecture {arch}\n" + INSTALL.format(
        f"gcc-{triplet} pkgconf:{arch} libc6-dev:{arch} libseccomp-dev:{arch} "
        f"libjson-c-dev:{arch} libcmocka-dev:{arch}") + f"""
meson env2mfile --cross --debarch={arch} -o /build/cross.ini
""" + compiled("--cross-file /build/cross.ini"))


#: With the cross compiler's own C library, which every release has for each architecture; a mirror
#: that is behind with an architecture's packages does not matter to it.
SERVED = """
cd /src
rows() {{
    tests/cross/run --build /build/objects "$@" >/build/cross.log 2>&1 ||
        {{ grep '^not ok' /build/cross.log || tail -n 1 /build/cross.log; exit 1; }}
    grep '^ok' /build/cross.log | grep -v ' # SKIP' >/build/passed ||
        {{ tail -n 1 /build/cross.log; exit 1; }}
    passed=$((passed + $(wc -l </build/passed)))
    skipped=$((skipped + $(grep -c '^ok.* # SKIP' /build/cross.log || true)))
}}
passed=0 skipped=0
rows {arch}
rows --protocol {arch} handshake requests replies devices
echo "$passed passed, 0 failed, $skipped skipped"
"""


def served(arch: str, triplet: str) -> str:
    """Unit tests, library, corpora, and the helper itself under qemu-user."""
    return INSTALL.format(f"gcc-{triplet} libc6-dev-{arch}-cross qemu-user") + SERVED.format(arch=arch)


def cells() -> List[Cell]:
    all_of_them = []
    for release in RELEASES:
        all_of_them += [
            Cell("build with --werror, suites", release, compiled() + tested(CHROOT_SUITES), 1800,
                 versions="gcc -dumpfullversion; ldd --version | head -n 1 | sed 's/.* //'"),
            Cell("distribution's own helper", release, compiled(targets="qemu-pr-helper "
                 "tests/standin/libsgio.so") + tested(("protocol/peer",)), 900, keep=True,
                 versions="dpkg-query -W -f '${Version}' qemu-system-common"),
            Cell("newcomer as root", release, NEWCOMER, 3600, BARE, "bare", home=True),
            Cell("newcomer as a user", release, USER, 1200, BARE, "bare", home=True),
            Cell("packages, lintian, life", release, PACKAGE + LIFE + AUTOPKGTEST, 2400, BARE, "bare",
                 home=True, versions="dpkg-query -W -f '${Package} ${Version} ' debhelper lintian"),
        ]
    newest = "sid"
    all_of_them += [
        Cell("clang", newest, INSTALL.format("clang") + compiled(before="CC=clang"), 1200,
             versions="clang --version | head -n 1 | sed 's/.*version //; s/ .*//'"),
        Cell("link-time optimisation, programs", newest, compiled("-Db_lto=true -Dtests=false"), 1200),
        Cell("_FORTIFY_SOURCE=3 of the builder", newest,
             compiled("-Dc_args=-D_FORTIFY_SOURCE=3 -Dtests=false"), 600),
        Cell("musl, programs", "trixie", MUSL, 1200,
             versions="dpkg-query -W -f '${Version}' musl-tools"),
    ]
    for arch, triplet in (("arm64", "aarch64-linux-gnu"), ("i386", "i686-linux-gnu")):
        all_of_them.append(Cell(f"build for {arch}", "trixie", cross(arch, triplet), 1200,
                                versions=f"{triplet}-gcc -dumpfullversion"))
    for arch, triplet in (("arm64", "aarch64-linux-gnu"), ("ppc64el", "powerpc64le-linux-gnu"),
                          ("s390x", "s390x-linux-gnu")):
        all_of_them.append(Cell(f"{arch}: units, corpora, the helper serves", "trixie",
                                served(arch, triplet), 1200, keep=True,
                                versions=f"{triplet}-gcc -dumpfullversion"))
    return all_of_them


#: Without what only a debugger reads.
SHORT = Cell("build, unit and protocol suites", "trixie",
             compiled("-Ddebug=false") + tested(SHORT_SUITES), 600, keep=True)
