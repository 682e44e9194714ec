# SPDX-License-Identifier: LGPL-2.1-or-later
"""The blocks of code in the pages for people, and where each is tried word by word.

A block is fenced, or indented by four and more behind an empty line; one fenced as `text` is a
picture. A block with what its lines do beside them is a list of commands, each of them one item;
any other block is one item, named by its first line.
"""
import os
import re
from typing import Dict, Iterator, List, NamedTuple, Tuple

PAGES = ("README.md", "HACKING.md", "docs/fleets.md", "docs/guide.md", "docs/kubevirt.md", "docs/libvirt.md",
         "docs/migration.md", "docs/monitoring.md", "docs/multipath.md", "docs/nvme.md",
         "docs/pacemaker.md", "docs/qemu.md",
         "docs/support.md",
         "docs/troubleshooting.md", "docs/validate.md")
#: tests/vm/test_pages.py; suite_pages.py of tests/dist, in a clone; suite_docs.py of tests/exporter;
#: suite_rpm.py of tests/dist; the cells "packages" of tests/matrix; tests/vm/test_nvme.py.
VM, CLONE, EXPORTER, RPM, MATRIX, NVME = "vm", "clone", "exporter", "rpm", "matrix", "nvme"

#: By page and first line. What is none of these is the reason why it is not tried.
WHERE: Dict[Tuple[str, str], str] = {
    ("README.md", "make run"): CLONE,
    ("README.md", "make check"): "it is what runs this",
    ("README.md", "qemu-pr-helper -k /run/qemu-pr-helper.sock &"): VM,
    ("README.md", "# /etc/qemu-pr-helper.conf"): VM,
    ("README.md", "apt build-dep ./"): MATRIX,
    ("README.md", "apt install ../qemu-pr-helper_*.deb ../qemu-pr-ctl_*.deb "
                  "../libprhelper0_*.deb"): MATRIX,
    ("README.md", "dnf builddep dist/rpm/prhelper.spec"): RPM,
    ("README.md", "meson setup build"): CLONE,
    ("HACKING.md", "make"): CLONE,
    ("HACKING.md", "make SETUP=no"): CLONE,
    ("HACKING.md", "make docs"): CLONE,
    ("HACKING.md", "meson setup other -Db_sanitize=address,undefined && "
                   "ninja -C other"): CLONE,
    ("HACKING.md", "make check"): "it is what runs this",
    ("HACKING.md", "make check-full"): "it is what runs this",
    ("HACKING.md", "make check-matrix"): "it takes an hour, as root; its short form is the suite matrix",
    ("HACKING.md", "tests/run --list"): CLONE,
    ("HACKING.md", "tests/run --build build unit"): CLONE,
    ("HACKING.md", "tests/run --not vm"): "it is most of what runs this",
    ("HACKING.md", "tests/run -j 1 protocol/replies"): CLONE,
    ("HACKING.md", "tests/run --repeat 20 --busy 4 mpath"): "it takes ten minutes",
    ("HACKING.md", "make coverage"): "it is the suite coverage",
    ("HACKING.md", "build/tests/unit/test-pool"): CLONE,
    ("HACKING.md", "tests/protocol/run replies"): CLONE,
    ("HACKING.md", "tests/vm/run --only release real_lun"): CLONE,
    ("HACKING.md", "tests/exporter/run liars"): CLONE,
    ("HACKING.md", "tests/dist/run"): CLONE,
    ("HACKING.md", "tests/dist/run rpm"): "it is the suite dist/rpm",
    ("HACKING.md", "tests/dist/run browser"): "it is the suite dist/browser",
    ("HACKING.md", "tests/vm/table --build build sid qemu"): "it writes into the page that says so",
    ("HACKING.md", "tests/dist/vm"): "it is the suite vm/package",
    ("HACKING.md", "tests/sanitized build address"): "it is the suite sanitized/address",
    ("HACKING.md", "tests/static/run"): "it is the suite static",
    ("HACKING.md", "make soak TIME=600"): "it is the suite soak, for longer",
    ("HACKING.md", "make fuzz TIME=60"): "it takes 16 minutes, and other packages",
    ("HACKING.md", "make bench"): "it takes half an hour, and a machine for itself",
    ("HACKING.md", "tests/model/run"): "it is the suite model",
    ("HACKING.md", "tests/house/run"): CLONE,
    ("HACKING.md", "make serve"): CLONE,
    ("HACKING.md", "build/qemu-pr-helper -k /tmp/s -T '*'"): CLONE,
    ("HACKING.md", "qemu-pr-ctl doctor -k /tmp/s /dev/sdX"): "as in docs/qemu.md, and there it is",
    ("HACKING.md", "tests/vm/run --shell real_lun"): CLONE,
    ("HACKING.md", "tests/vm/run --shell maps"): "as with real_lun",
    ("docs/guide.md", "qemu-pr-ctl validate --for=windows,pacemaker --direct /dev/DISK"): VM,
    ("docs/guide.md", "qemu-pr-ctl doctor /dev/DISK"): VM,
    ("docs/nvme.md", "modprobe -a target_core_mod tcm_loop"): NVME,
    ("docs/kubevirt.md",
     "podman build -t REGISTRY/qemu-pr-helper:VERSION -f dist/kubernetes/Containerfile ."):
        "the base image comes from a registry; dist/container builds it on one of its own",
    ("docs/kubevirt.md", "kubectl -n kubevirt set env deployment/virt-operator "
                         "PR_HELPER_IMAGE=REGISTRY/qemu-pr-helper:VERSION"): "wants a cluster",
    ("docs/kubevirt.md", "spec:"): "wants a cluster",
    ("docs/kubevirt.md", "kubectl apply -k dist/kubernetes/base"): "likewise; dist/kubernetes renders it",
    ("docs/kubevirt.md", "kubectl apply -k dist/kubernetes/multipath"): "likewise",
    ("docs/kubevirt.md", "qemu-pr-ctl status --status-socket="
                         "/var/run/kubevirt/daemons/pr/status-PID.sock"):
        "wants a cluster; dist/kubernetes starts a helper with that file",
    ("docs/kubevirt.md", "ln -sfn /var/run/kubevirt/daemons/pr/multipathd.socket "
                         "/run/multipathd.socket"): "likewise; vm/kubevirt does it in such a container",
    ("docs/kubevirt.md", "kubectl apply -k dist/kubernetes/monitoring"): "likewise",
    ("docs/monitoring.md", "mkdir -p /tmp/pr-demo/status"): EXPORTER,
    ("docs/monitoring.md", "qemu-pr-exporter --status=/tmp/pr-demo/status &"): EXPORTER,
    ("docs/monitoring.md", "curl -s --retry 5 --retry-connrefused http://127.0.0.1:9979/metrics | "
                           "grep '^qemu_pr_helper_up'"): EXPORTER,
    ("docs/monitoring.md", "cat >/tmp/pr-demo/prometheus.yml <<END"): EXPORTER,
    ("docs/monitoring.md", "kill -STOP $(cat /tmp/pr-demo/beta.pid)"): EXPORTER,
    ("docs/monitoring.md", "until promtool query instant http://127.0.0.1:9090 "
                           "'ALERTS{alertname=\"QemuPrHelperUnreadable\"}' |"): EXPORTER,
    ("docs/monitoring.md", "cat /usr/share/qemu-pr-helper/monitoring/runbooks/"
                           "QemuPrHelperUnreadable.md"): EXPORTER,
    ("docs/monitoring.md", "kill $(cat /tmp/pr-demo/*.pid)"): EXPORTER,
    ("docs/libvirt.md", 'pr_helper = "/usr/bin/qemu-pr-helper"'): VM,
    ("docs/libvirt.md", "<controller type='scsi' model='virtio-scsi'/>"): VM,
    ("docs/libvirt.md", "io-timeout=20"): VM,
    ("docs/libvirt.md", "qemu-pr-ctl status"): VM,
    **{("docs/pacemaker.md", f"# {block}"): "it is the suites vm/pacemaker and vm/map-pacemaker"
       for block in ("on the third machine", "on both nodes: packages",
                     "/etc/corosync/corosync.conf", "on both nodes: the start",
                     "on one node: the file system", "/root/cluster.crm",
                     "on one node: the resources")},
    ("docs/qemu.md", "qemu-pr-helper -k /run/qemu-pr-helper.sock --socket-group=kvm "
                     "--socket-mode=660 &"): VM,
    ("docs/qemu.md", "mkdir -p /etc/systemd/system/qemu-pr-helper.socket.d"): VM,
    ("docs/qemu.md", "qemu-system-x86_64 ... \\"): VM,
    ("docs/qemu.md", "qemu-pr-ctl full-status -k /run/qemu-pr-helper.sock /dev/sdX"): VM,
    ("docs/qemu.md", "systemctl enable --now qemu-pr-helper@blue.socket"): VM,
    ("docs/qemu.md", "qemu-pr-ctl status --status-socket=/run/qemu-pr-helper/status/service-blue"): VM,
    ("docs/qemu.md", "systemctl mask --now qemu-pr-mpath.socket"): VM,
    ("docs/qemu.md", "echo '/run/cluster/{,**} rwkl,' >>/etc/apparmor.d/local/qemu-pr-helper"):
        "user-mode-linux has no AppArmor; vm/apparmor does the same",
    ("docs/qemu.md", "checkmodule -M -m -o qemu_pr_helper.mod "
                     "/usr/share/qemu-pr-helper/selinux/qemu_pr_helper.te"):
        "no machine here has SELinux; dist/selinux builds a policy with the module",
    ("docs/troubleshooting.md", "qemu-pr-ctl doctor /dev/DISK"): VM,
    ("docs/troubleshooting.md", "qemu-pr-ctl keys /dev/DISK"): VM,
    ("docs/troubleshooting.md", "-device scsi-block,drive=disk0,werror=report,rerror=report"): VM,
    ("docs/troubleshooting.md", "qemu-pr-ctl register --new-key=99 /dev/DISK &&"): VM,
    ("docs/troubleshooting.md", "defaults {"): VM,
    ("docs/validate.md", "qemu-pr-ctl validate --for=all --second /dev/OTHER /dev/DISK"): VM,
    ("docs/validate.md", "qemu-pr-ctl validate --for=windows,pacemaker /dev/mapper/MAP"): VM,
    ("docs/validate.md", "qemu-pr-ctl validate --for=all --report /tmp/storage-report /dev/DISK"): VM,
    ("docs/validate.md", "qemu-pr-ctl validate --for=all --direct /dev/DISK"): VM,
    ("docs/validate.md", "{"): VM,
}


class Item(NamedTuple):
    page: str
    text: str

    @property
    def key(self) -> Tuple[str, str]:
        return self.page, self.text.split("\n", 1)[0]


def blocks(text: str) -> Iterator[str]:
    """Without their indentation."""
    lines, at = text.split("\n"), 0
    while at < len(lines):
        fence = re.match(r" *```(\w*)$", lines[at])
        size = len(lines[at]) - len(lines[at].lstrip())
        begin = at
        if fence:
            begin, at = at + 1, at + 1
            while not re.match(r" *```$", lines[at]):
                at += 1
        elif size >= 4 and at and not lines[at - 1].strip():
            while at < len(lines) and (not lines[at] or lines[at].startswith(" " * size)):
                at += 1
        if at > begin and not (fence and fence.group(1) == "text"):
            yield "\n".join(line[size:] for line in lines[begin:at]).rstrip()
        at += bool(fence) or at == begin


def items(top: str, page: str) -> List[Item]:
    with open(os.path.join(top, page), encoding="utf-8") as file:
        text = file.read()
    found = []
    for block in blocks(text):
        lines = block.split("\n")
        explained = [re.match(r"(\S.*?\S?)(?: {2,}[^ #].*| +# .*)?$", line) for line in lines]
        is_list = (any(re.search(r"\S {2,}[^ #]", line) for line in lines)
                   or all(re.search(r"\S +# ", line) for line in lines))
        if is_list and all(explained):
            found += [Item(page, match.group(1)) for match in explained if match]
        else:
            found.append(Item(page, block))
    return found


def item(top: str, page: str, start: str) -> Item:
    """The one that begins so."""
    found = [one for one in items(top, page) if one.text.startswith(start)]
    if len(found) != 1:
        raise AssertionError(f"{page} has {len(found)} blocks that begin {start!r}")
    return found[0]
