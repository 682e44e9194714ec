# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor without real disks: helper, device and verdicts. tests/vm has the rest."""
import os
import re

from support import scsi
from support.process import Helper
from support.tap import Skip, cases, test

from ctl.fixture import GOOD, NOBODY, TROUBLE


def doctor(t, *argv, status=None, **arguments):
    """Its findings by name: (verdict, text, remedy)."""
    result = t.ctl("doctor", "--json", *argv, **arguments)
    t.equal(result.json["exit_status"], result.status, "exit status in the JSON")
    checks = {one["check"]: (one["verdict"], one["text"], one.get("remedy", ""))
              for one in result.json["checks"]}
    failed = any(verdict == "failure" for verdict, _, _ in checks.values())
    t.expect(result, TROUBLE if failed else GOOD, err="")
    return checks


def through_helper(t, device=None, **arguments):
    return doctor(t, "-k", t.lab.helper().socket_path, *([device] if device else []), **arguments)


@test
def helper_alone(t):
    checks = through_helper(t)
    t.equal([(name, one[0]) for name, one in checks.items()],
            [("helper", "good"), ("socket", "good"), ("protocol", "good")], "checks")


@test
def no_helper(t):
    checks = doctor(t, "-k", "/nonexistent/socket")
    t.equal(list(checks), ["helper"], "checks")
    t.equal(checks["helper"][0], "failure", "verdict")
    t.matches("start qemu-pr-helper", checks["helper"][2], "remedy")


@test
def no_permission(t):
    fake = t.fake()
    os.chmod(fake.path, 0o700)
    checks = doctor(t, "-k", fake.path, user=NOBODY)
    t.matches(r"The socket is root:root 0700\. .*--socket-mode", checks["helper"][2], "remedy")


@cases(("root's", 0, "warning", r"^only its owner may connect to the socket, which is root:root 0600$"),
       ("QEMU's", NOBODY, "good", r"^the socket is nobody:\w+ 0600$"))
def socket_of_one_user(t, owner, verdict, text):
    """libvirt and KubeVirt give it to QEMU's user."""
    if os.geteuid() != 0:
        raise Skip("only root can give a file away")
    fake = t.fake()
    os.chmod(fake.path, 0o600)
    os.chown(fake.path, owner, -1)
    found = doctor(t, "-k", fake.path)["socket"]
    t.equal(found[0], verdict, "verdict")
    t.matches(text, found[1], "text")


def default_socket(t):
    return re.search(r"/\S*qemu-pr-helper\.sock", t.ctl("keys", "--help").out)[0]


def without_helper(t, script, *argv):
    """A shell's script where no helper listens at the usual place."""
    t.mounts_or_skip()
    directory = os.path.dirname(default_socket(t))
    return t.run("unshare", "-m", "--propagation", "private", "sh", "-c",
                 f'if [ -d {directory} ]; then mount -t tmpfs none {directory}/ || exit 99; fi; {script}',
                 "-", *argv)


def on_libvirt_host(t, *sockets, argv=()):
    """The doctor without -k, where no helper listens at the usual place, and libvirt has these."""
    script = ('mount -t tmpfs none /var/lib || exit 99; '
              'mkdir -p /var/lib/libvirt/qemu; while [ "$1" != -- ]; do '
              'd=/var/lib/libvirt/qemu/domain-$2; mkdir "$d"; ln -s "$1" "$d/pr-helper0.sock"; shift 2; '
              'done; shift; exec "$@"')
    pairs = [word for at, path in enumerate(sockets, 1) for word in (path, f"{at}-vm{at}")]
    result = without_helper(t, script, *pairs, "--", t.lab.ctl, "doctor", "--json", *argv)
    return {one["check"]: (one["verdict"], one["text"], one.get("remedy", ""))
            for one in result.json["checks"]}


@test
def no_helper_of_libvirt(t):
    """libvirt starts one with each virtual machine, so without one that is no failure."""
    verdict, text, remedy = on_libvirt_host(t)["helper"]
    t.equal((verdict, text), ("unknown", f"no helper listens at {default_socket(t)}, and no virtual machine "
                                         f"has one now"), "helper")
    t.matches("<reservations managed='yes'/>", remedy, "remedy")


@cases(("a path", "/nonexistent/qemu-pr-helper", True), ("a bare name", "no-such-qemu-pr-helper", True),
       ("a bare name that is found", "sh", False), ("a comment", None, False))
def program_of_libvirt(t, value, missing):
    """What pr_helper of qemu.conf names."""
    conf = os.path.join(t.directory(), "qemu.conf")
    with open(conf, "w", encoding="ascii") as file:
        file.write('#pr_helper = "/nonexistent/commented-out"\nuser = "root"\n')
        if value:
            file.write(f'pr_helper = "{value}"\n')
    script = ('mount -t tmpfs none /var/lib && mount -t tmpfs none /etc || exit 99; '
              'mkdir -p /var/lib/libvirt/qemu /etc/libvirt; cp "$1" /etc/libvirt/; shift; exec "$@"')
    result = without_helper(t, script, conf, t.lab.ctl, "doctor", "--json")
    found = result.json["checks"][0]
    if missing:
        t.equal((found["verdict"], found["text"]),
                ("failure", f"libvirt is configured to start {value}, which is not a program on this "
                            f"host"), "helper")
    else:
        t.equal(found["verdict"], "unknown", "verdict")


@test
def helper_of_libvirt(t):
    fake = t.fake()
    checks = on_libvirt_host(t, fake.path)
    t.equal(checks["helper"][:2],
            ("good", "it answers at /var/lib/libvirt/qemu/domain-1-vm1/pr-helper0.sock, for a virtual "
                     f"machine; no helper listens at {default_socket(t)}"), "helper")
    t.check("protocol" in checks, "it goes on with that one")


@test
def named_helper_on_a_libvirt_host(t):
    """A socket that was named is the one that is meant."""
    checks = on_libvirt_host(t, t.fake().path, argv=("-k", "/nonexistent"))
    t.equal(checks["helper"][0], "failure", "verdict")


@test
def helper_without_cleanup(t):
    checks = doctor(t, "-k", t.fake(b"", greeting=bytes(4)).path)
    t.equal(checks["protocol"][0], "warning", "verdict")


@cases(("root", "root", "the helper runs as root", "CAP_SETUID"),
       ("nobody", "nobody", "the helper runs as user nobody, whose other processes can stop it", "useradd"),
       ("its own", "qemu-pr-helper", None, None))
def user_of_the_helper(t, user, text, remedy):
    if os.geteuid() != 0:
        raise Skip("only root can start a helper as another user")
    directory = t.directory()
    helper = Helper(t.lab.helper_binary, directory, ["-u", user, *t.lab.helper_arguments],
                    env=t.lab.control().environment())
    t.cleanup.callback(helper.close)
    helper.wait_ready()
    checks = doctor(t, "-k", helper.socket_path)
    if text is None:
        t.check("user" not in checks, "something against the helper's own user")
        return
    t.equal(checks["user"][:2], ("warning", text), "finding")
    t.matches(remedy, checks["user"][2], "remedy")


@test
def not_a_scsi_disk(t):
    disk = t.no_scsi_disk
    disk.answer(scsi.read_keys_data(1))
    checks = through_helper(t, disk.path)
    t.equal(checks["device"][:2], ("failure", "it is a block device, but not a SCSI disk"), "device")


@test
def scsi_disk(t):
    t.disk.answer(scsi.read_keys_data(1))
    checks = through_helper(t, t.lab.disk().path)
    t.matches(r"^it is a SCSI device, 7:0:0:\d+: standin loop\d+$", checks["device"][1], "device")
    t.equal((checks["device"][0], checks["reservations"][0]), ("good", "good"), "verdicts")


@cases(("missing", {"status": 2, "sense": scsi.sense(5, 0x20, 0)},
        "does not support persistent reservations"),
       ("in trouble", {"host_status": 1}, "has failed: see dmesg"))
def reservations(t, answer, remedy):
    t.disk.answer(**answer)
    verdict, _, advice = through_helper(t, t.lab.disk().path)["reservations"]
    t.equal(verdict, "failure", "verdict")
    t.matches(remedy, advice, "remedy")


@test
def device_hangs(t):
    """One request is received and not answered: that is a finding, and no reason to wait on."""
    fake = t.fake(b"", b"")
    checks = doctor(t, "-k", fake.path, "-t", "0.3", t.disk.path)
    t.equal(len(fake.requests), 1, "requests")
    t.matches("Connection timed out", checks["reservations"][1], "text")
    t.matches("The device does not answer", checks["reservations"][2], "remedy")
    t.check("types" not in checks and "nexus" in checks, "it goes on with what needs no answer")


@test
def partition(t):
    path = t.disk.partition()
    t.disk.answer(scsi.read_keys_data())
    verdict, text, remedy = through_helper(t, path)["device"]
    t.equal((verdict, text), ("failure", "it is a partition, and a reservation applies to the whole disk"),
            "finding")
    t.matches(r"the whole disk, /dev/loop\d+\.", remedy, "remedy")


@test
def read_only_node(t):
    path = t.disk.path
    os.chmod(path, 0o444)
    t.cleanup.callback(os.chmod, path, 0o666)
    t.disk.answer(scsi.read_keys_data())
    verdict, text, _ = through_helper(t, path, user=NOBODY)["writing"]
    t.equal((verdict, text), ("failure", "this user may not write to it: Permission denied"),
            "finding")


@test
def sends_only_what_reads(t):
    t.disk.answer(scsi.read_keys_data(1))
    through_helper(t, t.lab.disk().path)
    calls = t.lab.disk().calls()
    t.check(calls, "it was asked")
    t.equal({call.cdb[0] for call in calls}, {scsi.PR_IN}, "commands")
    t.equal({call.access & os.O_ACCMODE for call in calls}, {os.O_RDONLY}, "access modes")


@test
def text(t):
    result = t.ctl("doctor", "-k", "/nonexistent/socket")
    t.expect(result, TROUBLE, err="")
    lines = result.out.splitlines()
    t.matches("^FAIL  helper           cannot reach the helper at /nonexistent/socket: No such file",
              lines[0], "finding")
    t.matches("^        The socket does not exist: start qemu-pr-helper", lines[1], "remedy")
    t.equal(lines[-2:], ["1 failure, 0 warnings, 0 unknown, 0 good",
                         "Name a DEVICE to check it as well."], "summary")


@test
def hostile_text(t):
    """Names that others choose cannot do anything to a terminal; what is readable stays so."""
    path = os.path.join(t.directory(), "\x1b[2J\u202eü\\")
    result = t.ctl("doctor", "-k", path)
    t.matches(r"/\\x1b\[2J\\xe2\\x80\\xaeü\\x5c: No such file", result.out, "escaped")
