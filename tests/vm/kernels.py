# SPDX-License-Identifier: LGPL-2.1-or-later
"""On the host, a part of the script image: kernels out of their packages.

The one for an emulator (group cloud): a bzImage carries its code compressed, and under software
emulation unpacking takes seconds. Its header says where the payload is
(Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length). Debian 12's is an LZ4
"legacy" stream of 8 MiB blocks, later ones are zstd. What comes out is an ELF file with a PVH entry
point, which QEMU's -kernel starts directly.

The one that is a program (group uml): user-mode-linux is linked to libc, which may be newer than
this system's. So the image's own comes along.
"""
import ctypes
import glob
import os
import re
import shutil
import struct
import subprocess
from typing import Sequence

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "lib64/ld-linux-x86-64.so.2"
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LZ4_LEGACY_BLOCK = 8 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Unavailable(Exception):
    """The image cannot be made on this machine; the message says why."""


def run(command: Sequence[str], **options) -> str:
    """The command's standard output; its standard error only if it fails."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)
    if result.returncode:
        raise subprocess.CalledProcessError(result.returncode, command, result.stdout,
                                            result.stderr)
    return result.stdout


def uncompress_kernel(image: bytes) -> bytes:
    """The ELF file inside a bzImage; if that is compressed otherwise, the bzImage as it is, which
    QEMU starts as well, only slower."""
    setup_sectors = image[0x1F1] or 4
    if image[0x202:0x206] != b"HdrS":
        raise Unavailable("the kernel package holds no bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    # The last four bytes are none of the stream: the kernel's build appends the uncompressed size.
    stream = image[start:start + length - 4]
    size, = struct.unpack_from("<I", image, start + length - 4)
    if stream.startswith(LZ4_LEGACY_MAGIC):
        elf = uncompress_lz4(stream)
    elif stream.startswith(ZSTD_MAGIC):
        elf = uncompress_zstd(stream, size)
    else:
        return image
    if len(elf) != size:
        raise Unavailable("the kernel's compressed stream is incomplete")
    return elf


def uncompress_lz4(stream: bytes) -> bytes:
    lz4 = ctypes.CDLL("liblz4.so.1")
    block = ctypes.create_string_buffer(LZ4_LEGACY_BLOCK)
    elf = bytearray()
    at = len(LZ4_LEGACY_MAGIC)
    while at < len(stream):
        size, = struct.unpack_from("<I", stream, at)
        made = lz4.LZ4_decompress_safe(stream[at + 4:at + 4 + size], block, size, len(block))
        if made <= 0:
            raise Unavailable("the kernel's LZ4 stream is damaged")
        elf += block[:made]
        at += 4 + size
    return bytes(elf)


def uncompress_zstd(stream: bytes, size: int) -> bytes:
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                     ctypes.c_size_t]
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    elf = ctypes.create_string_buffer(size)
    made = zstd.ZSTD_decompress(elf, size, stream, len(stream))
    if made > size:  # zstd.h: an error is a number close to SIZE_MAX
        raise Unavailable("the kernel's zstd stream is damaged")
    return elf.raw[:made]


def take_cloud_kernel(root: str, made: str) -> str:
    """Leave only its modules in the root; its release."""
    # /boot, or since Debian 14 beside the modules.
    (path,) = (glob.glob(os.path.join(root, "boot/vmlinuz-*"))
               + glob.glob(os.path.join(root, "usr/lib/modules/*/vmlinuz")))
    release = os.path.basename(path)[len("vmlinuz-"):] or os.path.basename(os.path.dirname(path))
    with open(path, "rb") as compressed, open(os.path.join(made, "vmlinux"), "wb") as kernel:
        kernel.write(uncompress_kernel(compressed.read()))
    os.unlink(path)
    shutil.rmtree(os.path.join(root, "boot"), ignore_errors=True)
    return release


def take_uml_kernel(root: str, made: str) -> str:
    """The same of user-mode-linux, whose modules are elsewhere; with the libraries it needs."""
    release, = os.listdir(os.path.join(root, "usr/lib/uml/modules"))
    os.makedirs(os.path.join(root, "usr/lib/modules"), exist_ok=True)
    os.rename(os.path.join(root, "usr/lib/uml/modules", release),
              os.path.join(root, "usr/lib/modules", release))
    program = os.path.join(root, "usr/bin/linux.uml")
    libraries = os.path.join(made, "lib")
    os.mkdir(libraries)
    shutil.copy(os.path.join(root, LOADER), libraries)
    listing = run([os.path.join(root, LOADER), "--library-path", os.path.join(root, LIBRARIES),
                   "--list", program])
    for path in re.findall(rf"=> ({re.escape(root)}/\S+)", listing):
        shutil.copy(path, libraries)
    with open(program, "rb") as original, open(os.path.join(made, "linux.uml"), "wb") as changed:
        changed.write(relative_loader(original.read()))
    os.chmod(os.path.join(made, "linux.uml"), 0o755)
    os.unlink(program)
    return release


def relative_loader(program: bytes) -> bytes:
    """The program with "lib" in its working directory in place of /lib64 for its dynamic loader. It
    cannot be started by way of the loader: it looks for its memory behind its own code."""
    wanted, ours = (f"{directory}/{os.path.basename(LOADER)}\0".encode()
                    for directory in ("/lib64", "lib"))
    if program.count(wanted) != 1:
        raise Unavailable("user-mode-linux has another dynamic loader")
    return program.replace(wanted, ours.ljust(len(wanted), b"\0"))


KERNELS = {"cloud": take_cloud_kernel, "uml": take_uml_kernel}
