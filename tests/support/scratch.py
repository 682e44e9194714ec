# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directories for the files of tests."""
import os
import shutil
import tempfile


class Scratch:
    """A directory for a whole run, and in it one for each caller. Others may enter it, but only
    by names that they know."""

    def __init__(self, prefix: str):
        self.directory = tempfile.mkdtemp(prefix=prefix)
        os.chmod(self.directory, 0o711)
        self._count = 0

    def make_directory(self) -> str:
        self._count += 1
        path = os.path.join(self.directory, str(self._count))
        os.mkdir(path, 0o755)
        return path

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
