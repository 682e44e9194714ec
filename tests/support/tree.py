# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's own files, in a git checkout and in an unpacked archive."""
import fnmatch
import os
import subprocess
from typing import List

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: What .gitignore has at the top, for a tree that git knows nothing of.
BUILT = ("build*", "obj-*", ".cache")


def is_checkout() -> bool:
    """An archive may lie inside of another checkout: that says nothing about its files."""
    return os.path.exists(os.path.join(TOP, ".git"))


def _walk() -> List[str]:
    found = []
    for directory, directories, names in os.walk(TOP):
        if directory == TOP:
            directories[:] = [name for name in directories
                              if not any(fnmatch.fnmatchcase(name, built) for built in BUILT)]
        directories[:] = [name for name in directories if name != "__pycache__"]
        found += [os.path.relpath(os.path.join(directory, name), TOP) for name in names
                  if not name.endswith(".pyc")]
    return sorted(found)


def tracked(*patterns: str) -> List[str]:
    """Relative to the top; of patterns those that one matches, where * stands for / too, and a
    directory for all below it."""
    if is_checkout():
        output = subprocess.run(["git", "-C", TOP, "ls-files", "-z", *patterns], check=True,
                                capture_output=True, text=True).stdout
        return [path for path in output.split("\0") if path]
    return [path for path in _walk() if not patterns or any(
        fnmatch.fnmatchcase(path, pattern) or path.startswith(pattern.rstrip("/") + "/")
        for pattern in patterns)]
