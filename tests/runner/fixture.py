# SPDX-License-Identifier: LGPL-2.1-or-later
"""What these tests are given: suites that are shell scripts, and what came of them."""
import os
import subprocess
from typing import Dict, List, Sequence

from support import tap
from support.scratch import Scratch

from .schedule import Schedule
from .suite import Result, Suite


class Context(tap.Context):
    def __init__(self, lab: Scratch):
        super().__init__()
        self.directory = lab.make_directory()
        self.lines: List[str] = []
        self.results: Dict[str, Result] = {}

    def script(self, name: str, text: str, limit: int = 20, **settings) -> Suite:
        return Suite(name, limit, ["/bin/sh", "-c", text], **settings)

    def run(self, suites: Sequence[Suite], jobs: int = 1, **settings) -> None:
        """Into self.results and self.lines; on a quiet machine, if nothing else is said."""
        settings.setdefault("current_load", lambda: 1.0)
        Schedule(suites, jobs, self.directory, self.lines.append,
                 lambda suite, result: self.results.__setitem__(suite.name, result),
                 **settings).run()

    def git(self, *words: str) -> str:
        """In the test's directory, as a user of its own."""
        settings = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
                    "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
                    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        return subprocess.run(["git", *words], cwd=self.directory, check=True, text=True,
                              capture_output=True, env={**os.environ, **settings}).stdout
