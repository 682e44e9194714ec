# SPDX-License-Identifier: LGPL-2.1-or-later
"""What suites have said before, kept in the build directory: how long they took, and, of a commit
without changes in the tree, their results. A long run can be taken up again by these."""
import json
import os
import subprocess
from typing import Dict, Optional

from .suite import Result, Suite

#: Settings of suites; with others a result is another one.
SETTINGS = ("TEST_", "ASAN_", "UBSAN_", "TSAN_")


def commit(directory: str) -> str:
    """That of a tree without changes, else ""."""
    def git(*words: str) -> Optional[str]:
        try:
            return subprocess.run(["git", "-C", directory, *words], check=True, text=True,
                                  capture_output=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
    # Only of this very directory: an unpacked archive may lie in another repository.
    if (git("rev-parse", "--show-prefix") or "-").strip() or git("status", "--porcelain") != "":
        return ""
    return (git("rev-parse", "HEAD") or "").strip()


def _key(suite: Suite) -> str:
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items())
                if name.startswith(SETTINGS)]
    return " ".join([*settings, *suite.command])


class Record:
    """The file of a build directory. What cannot be read is as good as none."""

    def __init__(self, build: str, directory: str):
        self._path = os.path.join(build, "test-results.json")
        self._directory = directory
        self._commit = commit(directory)
        self.seconds: Dict[str, float] = {}
        self._results: Dict[str, list] = {}
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
            self.seconds = {str(name): float(value) for name, value in found["seconds"].items()}
            if self._commit and found["commit"] == self._commit:
                self._results = dict(found["results"])
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            pass

    def passed(self, suite: Suite) -> Optional[Result]:
        """Its result for this commit, if nothing has failed."""
        found = self._results.get(_key(suite))
        return Result(*found) if found else None

    def add(self, suite: Suite, result: Result) -> None:
        self.seconds[suite.name] = round(result.seconds, 1)
        self._results.pop(_key(suite), None)
        # The tree may have been changed while the suite ran.
        if not result.failed and self._commit and commit(self._directory) == self._commit:
            self._results[_key(suite)] = [*result.counts, round(result.seconds, 1)]
        self._write()

    def _write(self) -> None:
        try:
            with open(self._path + "~", "w", encoding="utf-8") as file:
                json.dump({"commit": self._commit, "seconds": self.seconds,
                           "results": self._results}, file, indent=1)
            os.replace(self._path + "~", self._path)
        except OSError:
            pass  # it is a convenience
