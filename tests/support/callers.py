# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lists of allowed system calls as they stand in the source, with who needs each of them."""
import ctypes
import functools
import glob
import os
import re
import subprocess
from typing import List, NamedTuple, Set

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "src")
#: FILE: FUNCTION: CALL, or LIBRARY: CALL.
CALLER = r"/\* (\S+): (?:(\w+): )?(\w+) \*/"
#: Where libraries and their plug-ins are.
PLACES = [prefix + place for prefix in ("", "/usr") for place in (
    "/lib", "/lib64", "/lib/*-linux-gnu*", "/lib/multipath", "/lib64/multipath",
    "/lib/*-linux-gnu*/multipath")]


class Entry(NamedTuple):
    name: str
    place: str     # a file of ours, or a library
    function: str  # nothing for a library
    call: str

    @property
    def is_ours(self) -> bool:
        return bool(self.function)

    def fault(self) -> str:
        """What is wrong with its caller; nothing if it is there and makes the call."""
        if not self.place:
            return f"{self.name} names no caller"
        return self._our_fault() if self.is_ours else self._library_fault()

    def _library_fault(self) -> str:
        files = [path for place in PLACES for path in glob.glob(f"{place}/{self.place}.so*")]
        if not files:
            return f"{self.name}: there is no {self.place}"
        if not any(self.call in _imports(os.path.realpath(path)) for path in files):
            return f"{self.name}: {self.place} does not take {self.call} from a library"
        return ""

    def _our_fault(self) -> str:
        path = os.path.join(SOURCE, self.place)
        if not os.path.exists(path):
            return f"{self.name}: there is no {self.place}"
        body = re.search(rf"^[^\s;][^;{{]*\b{self.function}\([^;{{]*\)\n\{{\n(.*?)^\}}",
                         _read(path), re.MULTILINE | re.DOTALL)
        if not body:
            return f"{self.name}: {self.place} has no {self.function}"
        if not re.search(rf"\b{self.call}\(", body.group(1)):
            return f"{self.name}: {self.function} of {self.place} does not call {self.call}"
        return ""


@functools.lru_cache(maxsize=None)
def _imports(path: str) -> Set[str]:
    """What a library takes from others, without marks of checked and 64-bit variants."""
    output = subprocess.run(["nm", "-D", "--undefined-only", path], check=False,
                            capture_output=True, text=True).stdout
    names = set(re.findall(r"^\s+[Uw] (\w+)", output, re.MULTILINE))
    return names | {re.sub(r"^__(\w+?)(64)?(_2|_chk)?$", r"\1", name) for name in names}


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def entries(file: str, array: str) -> List[Entry]:
    """Those of an array, in which each line is an entry with its caller behind it, or a comment
    with the caller of the entry below it."""
    block = re.search(rf"\b{array}\[\] = \{{\n(.*?)^\}};", _read(os.path.join(SOURCE, file)),
                      re.MULTILINE | re.DOTALL)
    assert block, f"{file} has no {array}"
    found, above = [], ("", "", "")
    for line in block.group(1).splitlines():
        name = re.match(r'^\s+\{?"?(\w+)"?,', line)
        caller = re.search(CALLER, line)
        if name:
            found.append(Entry(name.group(1), *(caller.groups("") if caller else above)))
        above = caller.groups("") if caller and not name else ("", "", "")
    return found


def is_known(name: str) -> bool:
    """Whether there is such a system call on this architecture."""
    library = ctypes.CDLL("libseccomp.so.2")
    return library.seccomp_syscall_resolve_name(name.encode()) >= 0
