# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lists of allowed system calls as they stand in the source, with who needs each of them."""
import ctypes
import os
import re
from typing import List, NamedTuple

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "src")
CALLER = r"/\* (\S+): (\w+): (\w+) \*/"


class Entry(NamedTuple):
    name: str
    file: str
    function: str
    call: str

    def fault(self) -> str:
        """What is wrong with its caller; nothing if the function is there and makes the call."""
        if not self.file:
            return f"{self.name} names no caller"
        path = os.path.join(SOURCE, self.file)
        if not os.path.exists(path):
            return f"{self.name}: there is no {self.file}"
        body = re.search(rf"^[^\s;][^;{{]*\b{self.function}\([^;{{]*\)\n\{{\n(.*?)^\}}", _read(path),
                         re.MULTILINE | re.DOTALL)
        if not body:
            return f"{self.name}: {self.file} has no {self.function}"
        if not re.search(rf"\b{self.call}\(", body.group(1)):
            return f"{self.name}: {self.function} of {self.file} does not call {self.call}"
        return ""


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
        name = re.match(r'^\s+\{?"(\w+)",', line)
        caller = re.search(CALLER, line)
        if name:
            found.append(Entry(name.group(1), *(caller.groups() if caller else above)))
        above = caller.groups() if caller and not name else ("", "", "")
    return found


def is_known(name: str) -> bool:
    """Whether there is such a system call on this architecture."""
    library = ctypes.CDLL("libseccomp.so.2")
    return library.seccomp_syscall_resolve_name(name.encode()) >= 0
