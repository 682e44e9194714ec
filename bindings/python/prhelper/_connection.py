# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections that wait. They do so in Python, so that signals are heard and other threads run."""
import select
from typing import Any, Optional

from . import _abi
from ._commands import Commands, Operation, decoded, start_connect
from ._library import path_of


def _wait(operation: Operation) -> None:
    with operation.cancelled_by_exceptions():
        while operation.pending:
            poll = select.poll()
            if operation.fd >= 0:
                poll.register(operation.fd, operation.events)
            poll.poll(operation.timeout_ms)
            operation.go_on()


class Connection(Commands):
    """To the helper that listens at `path`; timeout, in seconds, is for connecting."""

    def __init__(self, path, features: int = _abi.FEATURES, timeout: Optional[float] = None):
        self._handle, operation = start_connect(path_of(path), features, timeout)
        try:
            _wait(operation)
            operation.check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_exception) -> None:
        self.close()

    def _perform(self, name, device, arguments, decode) -> Any:
        operation = self._start(name, device, arguments)
        _wait(operation)
        return decoded(operation, decode)
