# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which system calls a program makes once it has entered its seccomp filter."""
import os
import re
import shutil
import subprocess
from typing import Dict, List, NamedTuple, Set

from .tap import Skip

LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
#: What is made by clone is a thread of the maker, or a process that starts with its filter.
CLONES = ("clone", "clone3", "fork", "vfork")
UNFINISHED = " <unfinished ...>"


class Call(NamedTuple):
    begun: int  # line of the trace
    thread: str
    name: str
    text: str  # arguments and result

    @property
    def result(self) -> str:
        """A number that is no error, else nothing."""
        match = re.search(r"= (\d+)$", self.text)
        return match.group(1) if match else ""


def prefix(path: str) -> List[str]:
    """To be put before a program and its arguments; the pid stays the program's."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    if subprocess.run(["strace", "-D", "-o", os.devnull, "true"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("strace may trace nothing here")
    return ["strace", "-D", "-f", "-s", "16", "-o", path]


def _calls(path: str) -> List[Call]:
    """All of them; of one that never returned the arguments."""
    calls: List[Call] = []
    unfinished: Dict[str, int] = {}  # thread: index in calls
    with open(path, encoding="ascii", errors="backslashreplace") as file:
        for number, line in enumerate(file):
            match = LINE.match(line)
            if not match:
                continue
            thread, name, text = match.groups()
            if f"<... {name} resumed>" in line and thread in unfinished:
                index = unfinished.pop(thread)
                calls[index] = calls[index]._replace(text=calls[index].text + text)
                continue
            if text.endswith(UNFINISHED):
                text = text[:-len(UNFINISHED)]
                unfinished[thread] = len(calls)
            calls.append(Call(number, thread, name, text))
    return calls


def names(path: str) -> Set[str]:
    """All that was called, from the first execve on."""
    return {call.name for call in _calls(path)}


def filtered(path: str) -> List[Call]:
    """What was called by processes that had entered a filter, or descend from one that had."""
    calls = _calls(path)
    process: Dict[str, str] = {}  # of a thread
    since: Dict[str, int] = {}    # a process has a filter
    for call in calls:
        if call.name in CLONES and call.result and "CLONE_THREAD" in call.text:
            process[call.result] = process.get(call.thread, call.thread)
    for call in calls:
        maker = process.get(call.thread, call.thread)
        if call.name == "seccomp" and "SET_MODE_FILTER" in call.text and call.result == "0":
            since.setdefault(maker, call.begun)
        elif call.name in CLONES and call.result and "CLONE_THREAD" not in call.text:
            if since.get(maker, call.begun) < call.begun:
                since[call.result] = call.begun
    return [call for call in calls
            if since.get(process.get(call.thread, call.thread), call.begun) < call.begun]
