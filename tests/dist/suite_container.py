# SPDX-License-Identifier: LGPL-2.1-or-later
"""The container: built from its Containerfile without a registry, on a Debian that mmdebstrap makes
of what apt has; and run as the DaemonSet for plain disks says, with its arguments, its capabilities,
and a root directory that cannot be written to."""
import contextlib
import os
import re
import shutil
import subprocess

from support import client, procfs, scsi
from support.process import Program, serving
from support.tap import Skip, cases, limit, test

from dist.fixture import TOP, read
from dist.suite_kubernetes import CONTAINERFILE, DAEMONSET, SOCKETS, container, load

#: The directory that virt-handler and the container share.
KUBEVIRT = "/var/run/kubevirt/daemons/pr"
IMAGE = "localhost/qemu-pr-helper"
#: In a mount namespace of its own: the image's root, read-only, with the volume.
START = """
mount --bind "$1" "$1"
mount --bind "$2" "$1$3"
mount -o remount,bind,ro "$1"
root=$1
shift 3
exec chroot "$root" "$@"
"""
#: Made once for all tests: the image's root directory.
made = {}


class Buildah:
    """With a store of its own, which goes with the directory."""

    def __init__(self, t, directory):
        self.t, self.program = t, t.tool("buildah", "buildah")
        self.store = ["--root", f"{directory}/root", "--runroot", f"{directory}/run"]

    def __call__(self, *words, minutes=2):
        return self.t.run([self.program, *self.store, *words], patience=minutes * 60,
                          BUILDAH_ISOLATION="chroot")

    def close(self):
        """Without mounts the directory can be removed."""
        for words in (["umount", "--all"], ["rm", "--all"]):
            subprocess.run([self.program, *self.store, *words], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, check=True)


def base(t):
    """Kept for the next run: it takes minutes, and changes with Debian's releases."""
    directory = os.path.join(t.lab.build, "container")
    path, release = os.path.join(directory, "base.tar"), "bookworm"
    t.matches(r"(?m)^FROM \S+/debian:12", read(CONTAINERFILE), "the release")
    if not os.path.exists(path):
        os.makedirs(directory, exist_ok=True)
        # What it mounts ends with it, however it ends.
        output = t.run(["unshare", "--mount", "--propagation=private",
                        t.tool("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--mode=root",
                        release, path + ".new.tar"], None, 20 * 60)
        if not output.rstrip().endswith("seconds"):
            raise Skip(f"no Debian to be had: {output.strip().splitlines()[-1]}")
        os.rename(path + ".new.tar", path)
    return path


def root(t):
    """Of a container of the image that the Containerfile makes."""
    if os.geteuid() != 0:
        raise Skip("only root can build it without user namespaces")
    if not made:
        directory = t.lab.make_directory()
        source = os.path.join(directory, "source")
        for path in t.lab.tracked():
            os.makedirs(os.path.dirname(os.path.join(source, path)), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(os.path.join(TOP, path), os.path.join(source, path))
        buildah = Buildah(t, directory)
        t.lab.cleanup.callback(buildah.close)
        tar = base(t)
        empty = buildah("from", "scratch").split()[-1]
        buildah("add", "--quiet", empty, tar, "/")
        for name in set(re.findall(r"(?m)^FROM (\S+)", read(CONTAINERFILE))):
            buildah("commit", "--quiet", empty, name)
        buildah("bud", "--pull-never", "--network", "host", "-t", IMAGE,
                "-f", os.path.join(source, CONTAINERFILE), source, minutes=20)
        made["buildah"] = buildah
        made["root"] = buildah("mount", buildah("from", "--pull-never", IMAGE).split()[-1]).strip()
    return made["root"]


def capabilities():
    words = container(load(DAEMONSET))["securityContext"]["capabilities"]
    return [one.lower() for one in words["add"]]


def running(t, sockets, mounted, *command):
    """A command in a container of the image, with a directory of out here mounted in there."""
    top = root(t)
    inside = mounted.replace("/var/run", "/run")  # a link, in there as out here
    os.makedirs(top + inside, exist_ok=True)
    program = Program(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", START, "sh", top, sockets,
         inside, *command], t.lab.make_directory())
    t.cleanup.callback(program.close)
    return program


def started(t):
    """The helper in there; the directory of its sockets, out here."""
    sockets = t.lab.make_directory()
    added = ",".join(f"+{one}" for one in capabilities())
    entry, = re.findall(r'(?m)^ENTRYPOINT \["(\S+)"\]', read(CONTAINERFILE))
    program = running(
        t, sockets, SOCKETS, "setpriv", f"--bounding-set=-all,{added}", "--inh-caps=-all",
        "--no-new-privs", entry, *container(load(DAEMONSET))["args"])
    path = os.path.join(sockets, "pr-helper.sock")
    program.wait_until("its greeting", lambda: serving(path), 20)
    return program, path


def inside(t, program, *words, status=0):
    """A command in the container, as a probe of Kubernetes' is."""
    return t.run(["nsenter", f"--target={program.pid}", "--mount", "--root", "--wd=/", *words],
                 status)


@limit(45 * 60)
@test
def serves(t):
    """It answers, with the one capability that it keeps, what is no disk."""
    program, path = started(t)
    with client.Connection(path) as connection, open("/dev/null", "r+b") as device:
        t.equal(connection.command(scsi.pr_in(8), device.fileno()),
                client.check_condition(5, 0x20, 0), "reply")
    wanted = f"{procfs.capability_mask('sys_rawio'):016x}"
    found = procfs.status(program.pid)
    t.equal((found["CapEff"], found["CapPrm"], found["NoNewPrivs"], found["Seccomp"]),
            (wanted, wanted, "1", "2"), "rights while it serves")
    status = os.stat(path)
    t.equal((oct(status.st_mode & 0o777), status.st_gid), ("0o660", 107), "mode and group")


@limit(45 * 60)
@test
def lives_by_its_probes(t):
    program, _ = started(t)
    for probe in ("startupProbe", "livenessProbe"):
        inside(t, program, *container(load(DAEMONSET))[probe]["exec"]["command"])
    t.matches("Read-only", inside(t, program, "touch", "/usr/written", status=1), "its root")


@limit(45 * 60)
@cases("rw", "ro")
def kubevirt_starts_it(t, mode):
    """As virt-operator writes the pod: by /entrypoint.sh, privileged, with nothing but -k. What the
    script cannot do, with the root directory read-only, is said and costs no plain disk."""
    sockets = t.lab.make_directory()
    path = f"{KUBEVIRT}/pr-helper.sock"
    program = running(t, sockets, KUBEVIRT, *(["sh", "-ec", "mount -o remount,rw /; exec \"$@\"", "sh"]
                                              if mode == "rw" else []), "/entrypoint.sh", "-k", path)
    outside = os.path.join(sockets, "pr-helper.sock")
    program.wait_until("its greeting", lambda: serving(outside), 20)
    with client.Connection(outside) as connection, open("/dev/null", "r+b") as device:
        t.equal(connection.command(scsi.pr_in(8), device.fileno()),
                client.check_condition(5, 0x20, 0), "reply")
    if mode == "rw":
        t.equal(inside(t, program, "readlink", "/run/multipathd.socket").strip(),
                f"{KUBEVIRT}/multipathd.socket", "where multipathd is looked for")
        inside(t, program, "touch", "/run/qemu-pr-mpath/kept")
        t.equal(os.listdir(f"{sockets}/qemu-pr-mpath"), ["kept"], "what outlasts the container")
    else:
        t.matches("entrypoint.sh: warning: cannot link /run/multipathd.socket", program.log(),
                  "its log")


@limit(45 * 60)
@test
def worker_is_there(t):
    """For multipath: it can be executed."""
    program, _ = started(t)
    t.matches("started by qemu-pr-helper", inside(t, program, "/usr/libexec/qemu-pr-mpath",
                                                  status=1), "what the worker says")
