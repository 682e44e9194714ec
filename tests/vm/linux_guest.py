# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small Linux as the system of a QEMU: the lab's kernel for emulators, linux_init.c and
sg_persist.

In an emulated machine this is emulation in emulation, and its boot takes a minute or more. It is told
what to do by lines over its second serial port; its kernel's console, the first one, goes to a file.
"""
import lzma
import os
import socket
import time
from typing import Dict, List, Sequence, Tuple

import guest
import lab
import qemu
from support import scaled

KERNEL = "/payload/bin/vmlinux"
INIT = "/payload/bin/linux-init"
SG_PERSIST = "/usr/bin/sg_persist"
LOADER = "/lib64/ld-linux-x86-64.so.2"
INITRAMFS = "/run/initramfs"
#: In the order in which they need one another.
MODULES = ["virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_legacy_dev",
           "virtio/virtio_pci_modern_dev", "virtio/virtio_pci", "scsi/scsi_common",
           "scsi/scsi_mod", "scsi/virtio_scsi", "scsi/sd_mod", "scsi/sg"]
#: Without measurements of time, which take some and come out wrong in here.
ARGUMENTS = ("console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off nokaslr cryptomgr.notests "
             "random.trust_cpu=on lpj=4000000 tsc=reliable no_timer_check")
DISK = "/dev/sda"
BOOT_SECONDS = 400.0

DIRECTORY, FILE = 0o040755, 0o100755


def kernel_release() -> str:
    return guest.configuration()["kernels"]["cloud"]


def archive(entries: Sequence[Tuple[str, int, bytes]]) -> bytes:
    """The "newc" kind of cpio archive, as the kernel wants it
    (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    made = b""
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0]
        made += b"070701" + b"".join(b"%08X" % field for field in fields) + path
        made += bytes(-len(made) % 4) + data
        made += bytes(-len(made) % 4)
    return made


def contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def drivers(release: str) -> List[bytes]:
    """Those that are not built into the kernel, uncompressed: its first program cannot do that."""
    directory = f"/usr/lib/modules/{release}"
    built_in = contents(f"{directory}/modules.builtin").decode().split()
    found = []
    for path in (f"kernel/drivers/{name}.ko" for name in MODULES):
        if path in built_in:
            continue
        if os.path.exists(f"{directory}/{path}"):
            found.append(contents(f"{directory}/{path}"))
        else:
            found.append(lzma.decompress(contents(f"{directory}/{path}.xz")))
    return found


def libraries(program: str) -> Dict[str, str]:
    """Those of a program, by name."""
    listing = lab.run(LOADER, "--list", program)
    words = [line.split() for line in listing.splitlines()]
    return {line[0]: line[2] for line in words if len(line) > 2 and line[1] == "=>"}


def make_initramfs() -> str:
    if not os.path.exists(INITRAMFS):
        entries = [(name, DIRECTORY, b"") for name in ("dev", "modules", "lib", "lib64")]
        entries += [("init", FILE, contents(INIT)), ("sg_persist", FILE, contents(SG_PERSIST)),
                    (LOADER[1:], FILE, contents(LOADER))]
        entries += [(f"modules/{number:02}.ko", FILE, driver)
                    for number, driver in enumerate(drivers(kernel_release()))]
        entries += [(f"lib/{name}", FILE, contents(path))
                    for name, path in libraries(SG_PERSIST).items()]
        with open(INITRAMFS, "wb") as file:
            file.write(archive(entries))
        os.chmod(INITRAMFS, 0o644)
    return INITRAMFS


class LinuxGuest(qemu.Machine):
    def __init__(self, name: str, directory: str, disk: str, helper: str):
        self._console, self._port = f"{directory}/console", f"{directory}/port"
        super().__init__(name, directory, disk, helper, 192, [
            # Its time is what it executes, not ours: on a busy machine it would else do nothing but
            # take timer interrupts.
            "-icount", "shift=3", "-cpu", "qemu64", "-bios", "qboot.rom", "-kernel", KERNEL,
            "-initrd", make_initramfs(), "-append", ARGUMENTS,
            "-serial", f"file:{self._console}",
            "-chardev", f"socket,id=port,path={self._port},server=on,wait=off",
            "-serial", "chardev:port"])
        self._socket = socket.socket(socket.AF_UNIX)
        self.opened.callback(self._socket.close)
        self._rest = b""

    def start(self) -> None:
        """It boots from here on; wait_ready() is when it has."""
        super().start()
        self._socket.connect(self._port)

    def wait_ready(self) -> None:
        self.wait_line("ready", BOOT_SECONDS)
        print(f"# Linux of {self.name}: ready after {time.monotonic() - self.program.started:.0f} s",
              flush=True)

    def console(self) -> str:
        if not os.path.exists(self._console):
            return ""
        with open(self._console, encoding="utf-8", errors="backslashreplace") as file:
            return file.read()

    # -- what it is told

    def line(self, seconds: float = 120.0) -> str:
        """The next line that it says."""
        deadline = time.monotonic() + scaled(seconds)
        while b"\n" not in self._rest:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(4096)
            except socket.timeout:
                raise AssertionError(f"Linux of {self.name} says nothing within "
                                     f"{scaled(seconds):.0f} s") from None
            if not data:
                raise AssertionError(f"QEMU of {self.name} ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "backslashreplace").rstrip("\r")

    def wait_line(self, wanted: str, seconds: float = 120.0) -> str:
        """What comes after these words, at the beginning of a line; all lines before are lost."""
        seen: List[str] = []
        while True:
            seen.append(self.line(seconds))
            if seen[-1].startswith(wanted):
                return seen[-1][len(wanted):].strip()
            if len(seen) > 200:
                raise AssertionError(f"no {wanted!r} among {seen}")

    def tell(self, text: str) -> None:
        self._socket.sendall(text.encode() + b"\n")

    def run(self, *words: str) -> Tuple[int, str]:
        """(exit status, output) of a program."""
        self.tell("run " + " ".join(words))
        output = ""
        while True:
            line = self.line()
            if line.startswith("exit "):
                return int(line[5:]), output
            output += line + "\n"

    def sg_persist(self, *options: str) -> Tuple[int, str]:
        return self.run("/sg_persist", "--no-inquiry", *options, DISK)


def written(raw: bytes, writer: int) -> List[int]:
    """The numbers of the blocks that a Linux has written into a region; -1: untouched."""
    numbers = []
    for at in range(0, len(raw), qemu.BLOCK_SIZE):
        block = raw[at:at + qemu.BLOCK_SIZE].rstrip(b"\0")
        if not block:
            numbers.append(-1)
            continue
        word, number, sequence = block.split()
        if (word, int(number)) != (b"numbered", writer) or not block.endswith(b"\n"):
            raise AssertionError(f"not a block of writer {writer}: {block!r}")
        numbers.append(int(sequence))
    return numbers
