# SPDX-License-Identifier: LGPL-2.1-or-later
"""The doctor and virtual machines that have the device open: processes that are called like QEMU."""
import json
import os
import subprocess

from support import procfs, scsi
from support.sysfs import number
from support.tap import Skip, cases, test

from ctl.fixture import NOBODY
from ctl.machine import healthy
from ctl.suite_doctor import through_helper, without_helper

QEMU = "/usr/bin/qemu-system-x86_64"
#: A PID namespace of one's own, and its own /proc, as a container has.
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def start(t, *arguments, program=QEMU, flags=os.O_RDWR, user=None, disk=None):
    """A process of that command line which has the disk open."""
    fd = (disk or t.disk).open(flags)
    # A shell that waits; the arguments after its script are nothing to it.
    process = subprocess.Popen([program, "-c", "read -r line", *arguments], executable="/bin/sh",
                               stdin=subprocess.PIPE, pass_fds=(fd,), user=user)
    os.close(fd)

    def end():
        process.stdin.close()
        process.wait()
    t.cleanup.callback(end)
    while procfs.command(process.pid) != "sh":
        pass  # it has not been executed yet
    return process.pid


def in_host(t):
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        raise Skip("these tests are in a PID namespace of their own already")
    if t.run(*CONTAINER, "true").status != 0:
        raise Skip("no PID namespace to be had")


def capable(t):
    """As a container's root is not."""
    with open("/proc/self/status", encoding="ascii") as file:
        mask = int(next(line for line in file if line.startswith("CapEff:")).split()[1], 16)
    if not mask >> 17 & 1:
        raise Skip("no CAP_SYS_RAWIO")


def doctor_of(result):
    """Findings of a run."""
    return {one["check"]: (one["verdict"], one["text"], one.get("remedy", ""))
            for one in result.json["checks"]}


def checks(t, **arguments):
    t.disk.answer(scsi.read_keys_data(1))
    return through_helper(t, t.lab.disk().path, **arguments)


@cases(("by name", ("-name", "node-a"), "node-a"), ("by guest=", ("-name", "guest=node-a,x=y"), "node-a"),
       ("without a name", (), "unnamed"))
def one(t, arguments, name):
    pid = start(t, *arguments)
    found = checks(t)
    t.equal(found["nexus"][:2],
            ("good", f"one virtual machine of this host uses it: {name} (pid {pid})"), "nexus")
    t.equal(found["access"][:2], ("good", "virtual machines have it open for writing"), "access")


@test
def two(t):
    pids = {name: start(t, "-name", name) for name in ("node-a", "node-b")}
    verdict, text, remedy = checks(t)["nexus"]
    t.equal(verdict, "failure", "verdict")
    t.matches("^virtual machines share one I_T nexus: ", text, "text")
    for name, pid in pids.items():
        t.check(f"{name} (pid {pid})" in text, f"{name} is not in {text!r}")
    t.matches("NPIV", remedy, "remedy")


@cases("/usr/libexec/qemu-kvm", "kvm")
def other_names_of_the_program(t, program):
    start(t, "-name", "node-a", program=program)
    t.matches("node-a", checks(t)["nexus"][1], "nexus")


@test
def another_program(t):
    start(t, "-name", "node-a", program="/usr/bin/qemu-img")
    t.equal(checks(t)["nexus"][:2], ("good", "no virtual machine of this host uses it now"), "nexus")


@test
def only_reads(t):
    pid = start(t, "-name", "node-a", flags=os.O_RDONLY)
    verdict, text, remedy = checks(t)["access"]
    t.equal((verdict, text), ("warning", f"open for reading only: node-a (pid {pid})"), "access")
    t.matches("read-only=on", remedy, "remedy")


@test
def another_pid_namespace(t):
    """There they are seen that are in it, and that the others are not seen is said."""
    in_host(t)
    pids = [start(t, "-name", name) for name in ("node-a", "node-b")]
    t.disk.answer(scsi.read_keys_data(1))
    argv = [*CONTAINER, t.lab.ctl, "doctor", "--json", "-k", t.lab.helper().socket_path,
            t.lab.disk().path]
    verdict, text, remedy = doctor_of(t.run(*argv))["nexus"]
    t.equal((verdict, text),
            ("unknown", "no virtual machine uses it in this PID namespace; other processes of the host "
                        "are not visible"), f"with {pids} outside")
    t.matches("On the host, as root: 'qemu-pr-ctl doctor /", remedy, "remedy")


@test
def within_a_container(t):
    """One that is seen is no proof that it is the only one."""
    in_host(t)
    script = 'exec 9<>"$1"; exec -a qemu-system-x86_64 sh -c "read -r line" -name node-a <&8 & ' \
             'exec 9>&-; shift; until grep -q qemu /proc/$!/cmdline; do :; done; ' \
             '"$@"; kill $!; exit 0'
    t.disk.answer(scsi.read_keys_data(1))
    waits, keeps = os.pipe()
    os.set_inheritable(waits, True)
    try:
        result = t.run(*CONTAINER, "bash", "-c", f"exec 8<&{waits}; {script}", "-", t.lab.disk().path,
                       t.lab.ctl, "doctor", "--json", "-k", t.lab.helper().socket_path,
                       t.lab.disk().path, pass_fds=(waits,))
    finally:
        os.close(waits)
        os.close(keeps)
    verdict, text, _ = doctor_of(result)["nexus"]
    t.equal(verdict, "unknown", "verdict")
    t.matches(r"^one virtual machine uses it: node-a \(pid \d+\) in this PID namespace; other processes of",
              text, "text")


@test
def hidden_processes(t):
    """A /proc with hidepid shows an ordinary user no processes but his own."""
    start(t, "-name", "node-a")
    t.disk.answer(scsi.read_keys_data(1))
    script = 'mount -t proc -o hidepid=2 proc /proc || exit 99; shift; ' \
             'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
    result = t.run("unshare", "-m", "--propagation", "private", "sh", "-c", script, "-", "-",
                   t.lab.ctl, "doctor", "--json", "-k", t.lab.helper().socket_path,
                   t.lab.disk().path)
    if result.status == 99:
        raise Skip(f"no proc file system can be mounted: {result.err}")
    t.equal(doctor_of(result)["nexus"][:2],
            ("unknown", "only root can see whether virtual machines share it"), "nexus")


@test
def map_and_its_path(t):
    """One machine has a multipath map, and another one a path of it: on that path they are one."""
    machine = healthy(t)
    other = t.lab.disk(scsi_disk=False)
    os.symlink("../../block/sdb", machine.path(f"sys/dev/block/{number(other.rdev)}"))
    pids = [start(t, "-name", "node-a"), start(t, "-name", "node-b", disk=other)]
    verdict, text, _ = machine.checks()["nexus"]
    t.equal(verdict, "failure", f"verdict: {text}")
    for name, pid in zip(("node-a", "node-b"), pids):
        t.check(f"{name} (pid {pid})" in text, f"{name} is not in {text!r}")


# -- how the guest has it


MANAGER = ("-object", "pr-manager-helper,id=pr0,path=SOCKET")
MANAGER_JSON = ("-object", '{"qom-type":"pr-manager-helper","id":"pr0","path":"SOCKET"}')
NODE = ("-blockdev", "driver=host_device,filename=DISK,node-name=d0,pr-manager=pr0")
#: As libvirt has it: a node of the file, and one of the format.
LIBVIRT = ("-blockdev", '{"driver":"host_device","filename":"DISK","pr-manager":"pr0",'
                        '"node-name":"libvirt-1-storage","auto-read-only":true}',
           "-blockdev", '{"node-name":"libvirt-1-format","read-only":false,"driver":"raw",'
                        '"file":"libvirt-1-storage"}')
BLOCK = ("-device", "scsi-block,drive=d0")
BLOCK_JSON = ("-device", '{"driver":"scsi-block","bus":"scsi0.0","drive":"libvirt-1-format"}')
#: Of a disk that is not this one.
OTHER = ("-blockdev", "driver=host_device,filename=/dev/null,node-name=other",
         "-device", "scsi-block,drive=other,werror=stop,rerror=stop")
MACHINE = ("-machine", "pc-q35-11.0,accel=kvm")


def typed(t, arguments):
    """The command line with this disk and this helper in it."""
    return [one.replace("DISK", t.disk.path).replace("SOCKET", t.lab.helper().socket_path)
            for one in arguments]


def run_qemu(t, *arguments, **how):
    return start(t, "-name", "node-a", *typed(t, arguments), **how)


#: Command lines that bring the guest's reservations to this helper, and the model.
SUITED = {
    "libvirt": (*MANAGER_JSON, *LIBVIRT, *BLOCK_JSON),
    "one node": (*MANAGER, *NODE, *BLOCK),
    "two dashes": (*MANAGER, *NODE, "--device", "scsi-block,drive=d0"),
    "nested node": (*MANAGER, "-blockdev", "driver=raw,node-name=d0,file.driver=host_device,"
                    "file.filename=DISK,file.pr-manager=pr0", *BLOCK),
    "nested node in JSON": (*MANAGER, "-blockdev", '{"driver":"raw","node-name":"d0","file":{"driver":'
                            '"host_device","filename":"DISK","pr-manager":"pr0"}}', *BLOCK),
    "drive": (*MANAGER, "-drive", "file=DISK,if=none,id=d0,format=raw,file.pr-manager=pr0", *BLOCK),
    "drive with driver": (*MANAGER, "-drive", "if=none,id=d0,driver=raw,file.driver=host_device,"
                          "file.filename=DISK,file.pr-manager=pr0", *BLOCK),
    "drive with JSON": (*MANAGER, "-drive", 'if=none,id=d0,file=json:{"driver":"raw",,"file":{"driver":'
                        '"host_device",,"filename":"DISK",,"pr-manager":"pr0"}}', *BLOCK),
    "a filter between": (*MANAGER, *NODE, "-blockdev", "driver=throttle,node-name=t0,file=d0,"
                         "throttle-group=g", "-device", "scsi-block,drive=t0"),
    "beside another disk": (*MANAGER, *OTHER, *NODE, *BLOCK),
}


@cases(*SUITED)
def suited(t, name):
    pid = run_qemu(t, *MACHINE, *SUITED[name])
    found = checks(t)
    t.equal(found["pr-manager"], ("good", f"the guest has it as scsi-block with a pr-manager: node-a "
                                          f"(pid {pid})", ""), "pr-manager")
    t.equal(found["error-policy"][:2], ("good", "errors are reported to the guest"), "policy")
    t.equal(found["migration"][:2], ("good", "a live migration also migrates the reservation"),
            "migration")


#: Command lines that do not; the model that QEMU makes of it.
EMULATED = {
    "scsi-hd": (*MANAGER, *NODE, "-device", "scsi-hd,drive=d0"),
    "virtio-blk-pci": (*MANAGER_JSON, *LIBVIRT, "-device", '{"driver":"virtio-blk-pci","drive":'
                       '"libvirt-1-format"}'),
    "ide-hd": ("-hda", "DISK"),
    "virtio-blk": ("-drive", "file=DISK,format=raw,if=virtio"),
    "nvme": (*MANAGER, *NODE, "-device", "nvme,drive=d0,serial=x"),
}


@cases(*EMULATED)
def emulated(t, model):
    pid = run_qemu(t, *EMULATED[model])
    verdict, text, remedy = checks(t)["pr-manager"]
    t.equal((verdict, text), ("failure", f"the guest has it as {model}, which does not pass "
                                         f"reservations to the disk: node-a (pid {pid})"), "pr-manager")
    t.matches("-device scsi-block.*device='lun'.*guest has to be stopped", remedy, "remedy")


@cases(("as root", None, "warning", "so QEMU itself reserves it, as root"),
       ("as nobody", NOBODY, "failure", "so QEMU uses no helper"))
def without_pr_manager(t, user, verdict, text):
    if user is None:
        capable(t)
    pid = run_qemu(t, "-blockdev", "driver=host_device,filename=DISK,node-name=d0", *BLOCK, user=user)
    found = checks(t)["pr-manager"]
    t.equal(found[:2], (verdict, f"scsi-block without a pr-manager, {text}: node-a (pid {pid})"),
            "pr-manager")
    t.matches("-object pr-manager-helper,id=pr0,path=/.*<reservations managed='yes'/>", found[2],
              "remedy")


@test
def plugged_in_later(t):
    """Then it is not on the command line."""
    pid = run_qemu(t, *MANAGER, *OTHER)
    found = checks(t)
    t.equal(found["pr-manager"][:2], ("unknown", "QEMU's command line does not say how the guest has "
                                                 f"it: node-a (pid {pid})"), "pr-manager")
    t.matches("virsh dumpxml", found["pr-manager"][2], "remedy")
    t.equal(found["error-policy"][:2], ("unknown", "QEMU's command line does not say its error "
                                                   f"policy: node-a (pid {pid})"), "policy")
    t.check("migration" not in found, "what is not known is left out")


@test
def another_helper(t):
    fake = t.fake()
    pid = run_qemu(t, *[one.replace("SOCKET", fake.path) for one in MANAGER], *NODE, *BLOCK)
    verdict, text, remedy = checks(t)["pr-manager"]
    t.equal((verdict, text), ("warning", f"node-a (pid {pid}) uses another helper, at {fake.path}"),
            "pr-manager")
    t.check(f"'qemu-pr-ctl doctor -k {fake.path} {t.disk.path}'" in remedy, f"remedy: {remedy}")


@test
def helper_of_the_vm(t):
    """Without -k the one is asked that the virtual machine with the disk asks."""
    pid = run_qemu(t, *MANAGER, *NODE, *BLOCK)
    t.disk.answer(scsi.read_keys_data(1))
    found = doctor_of(without_helper(t, 'exec "$@"', t.lab.ctl, "doctor", "--json", t.disk.path))
    t.matches(f"^it answers at {t.lab.helper().socket_path}, for a virtual machine; no helper listens at",
              found["helper"][1], "helper")
    t.equal(found["pr-manager"][:2], ("good", "the guest has it as scsi-block with a pr-manager: "
                                              f"node-a (pid {pid})"), "pr-manager")


@cases("werror=stop", "rerror=stop", '"werror":"stop"')
def stops_upon_errors(t, word):
    device = f"scsi-block,drive=d0,{word}"
    if word.startswith('"'):
        device = json.dumps({"driver": "scsi-block", "drive": "d0", "werror": "stop"})
    pid = run_qemu(t, *MANAGER, *NODE, "-device", device)
    verdict, text, remedy = checks(t)["error-policy"]
    t.equal((verdict, text), ("warning", f"paused on errors of this disk: node-a (pid {pid})"),
            "policy")
    t.matches("werror=report", remedy, "remedy")


@test
def drive_that_stops(t):
    pid = run_qemu(t, "-drive", "file=DISK,if=none,id=d0,werror=stop", *BLOCK)
    t.equal(checks(t)["error-policy"][:2],
            ("warning", f"paused on errors of this disk: node-a (pid {pid})"), "policy")


MIGRATION = {
    "machine type of 10.2": (("-machine", "pc-q35-10.2"), BLOCK, "warning",
                             "a live migration does not migrate the reservation (pc-q35-10.2)"),
    "of another architecture": (("-M", "virt-9.2,gic-version=3"), BLOCK, "warning",
                                "a live migration does not migrate the reservation (virt-9.2)"),
    "in JSON": (("-machine", '{"type":"pc-i440fx-8.1"}'), BLOCK, "warning",
                "a live migration does not migrate the reservation (pc-i440fx-8.1)"),
    "switched off": (MACHINE, ("-device", "scsi-block,drive=d0,migrate-pr=off"), "warning",
                     "a live migration does not migrate the reservation (pc-q35-11.0)"),
    "switched off in JSON": ((), ("-device", '{"driver":"scsi-block","drive":"d0","migrate-pr":false}'),
                             "warning",
                             "a live migration does not migrate the reservation (migrate-pr=off)"),
    "switched on": (("-machine", "pc-q35-9.2", "-global", "scsi-block.migrate-pr=on"), BLOCK, "good",
                    "a live migration also migrates the reservation"),
    "of a distribution": (("-machine", "pc-q35-rhel9.6.0"), BLOCK, "unknown",
                          "it is not known whether a live migration migrates the reservation"),
    "that says nothing": (("-machine", "q35"), BLOCK, "unknown",
                          "it is not known whether a live migration migrates the reservation"),
}


@cases(*MIGRATION)
def migration(t, name):
    machine, device, verdict, text = MIGRATION[name]
    pid = run_qemu(t, *machine, *MANAGER, *NODE, *device)
    found = checks(t)["migration"]
    t.equal(found[:2], (verdict, text if verdict == "good" else f"{text}: node-a (pid {pid})"),
            "migration")
    if verdict != "good":
        t.matches("migrate-pr", found[2], "remedy")


@test
def ordinary_user(t):
    """It cannot see what root's processes have open."""
    start(t, "-name", "node-a")
    verdict, text, remedy = checks(t, user=NOBODY)["nexus"]
    t.equal((verdict, text),
            ("unknown", "only root can see whether virtual machines share it"), "nexus")
    t.matches("Run the doctor as root", remedy, "remedy")
    t.check("pr-manager" not in checks(t, user=NOBODY), "what is not seen is not judged")
