# SPDX-License-Identifier: LGPL-2.1-or-later
"""Installed fence agents, many times: what they import is read once, here, and each call is a child of
this process, which executes the agent's own file. To start Python anew for each takes most of the time.
"""
import atexit
import functools
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import types
from typing import Callable, Dict, NoReturn, Sequence

#: Where fence agents find their modules.
PLACES = ("/usr/share/fence", "/usr/lib/python3/dist-packages")
#: What they import.
MODULES = ("ctypes", "fencing", "hashlib", "logging", "stat")


@functools.lru_cache(None)
def _program(name: str) -> types.CodeType:
    sys.path += [place for place in PLACES if place not in sys.path]
    for module in MODULES:
        importlib.import_module(module)
    path = shutil.which(name) or name
    with open(path, encoding="utf-8") as file:
        return compile(file.read(), path, "exec")


def _execute(code: types.CodeType, arguments: Sequence[str]) -> int:
    """Its exit status. It thinks that it is alone in its process."""
    sys.argv = [code.co_filename, *arguments]
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)
    try:
        try:
            exec(code, {"__name__": "__main__", "__file__": code.co_filename})
        finally:
            atexit._run_exitfuncs()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _become(code: types.CodeType, arguments: Sequence[str], environment: Dict[str, str], output: int,
            prepare: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        prepare()
        os.environ.clear()
        os.environ.update(environment)
        status = _execute(code, arguments)
        if not sys.stdout.closed:
            sys.stdout.flush()
    finally:
        os._exit(status & 0xFF)


def run(name: str, *arguments: str, environment: Dict[str, str],
        prepare: Callable[[], None] = lambda: None) -> subprocess.CompletedProcess:
    """As subprocess.run() does it, with what it prints. prepare() is called in the child."""
    code = _program(name)
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _become(code, arguments, environment, output.fileno(), prepare)
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except BaseException:  # a time limit
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        output.seek(0)
        return subprocess.CompletedProcess([name, *arguments], status,
                                           output.read().decode("utf-8", "backslashreplace"))
