# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the suites of this folder share: a staged installation, the tracked files, tools by name."""
import contextlib
import os
import shutil
from typing import List

from client import installed
from support import tree
from support.tap import Skip

TOP = installed.TOP
#: Where administrators' tools are; not every user's PATH has it.
SBIN = "/usr/sbin:/sbin"


class Lab(installed.Lab):
    def __init__(self, build: str):
        super().__init__(build)
        #: What is to be undone before the directories go.
        self.cleanup = contextlib.ExitStack()

    def close(self) -> None:
        self.cleanup.close()
        super().close()

    def tracked(self, *patterns: str) -> List[str]:
        """The project's own files, relative to its top."""
        return tree.tracked(*patterns)

    def program(self, name: str) -> str:
        """A program that was built."""
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise Skip(f"{name} was not built")
        return path


class Context(installed.Context):
    lab: Lab

    def tool(self, name: str, package: str) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":" + SBIN)
        if not path:
            raise Skip(f"no {name} here (package {package})")
        return path


def read(path: str) -> str:
    """A file of the project."""
    return installed.read(os.path.join(TOP, path))


def first_line(path: str) -> str:
    """Of a text file of the project; empty for another one."""
    try:
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            return file.readline()
    except (UnicodeDecodeError, IsADirectoryError):
        return ""
