# SPDX-License-Identifier: LGPL-2.1-or-later
"""Connections for asyncio: the same commands, to be awaited. A task that is cancelled gives up its
command, and with it the connection."""
import asyncio
import select
from typing import Any, Optional

from . import _abi
from ._commands import Commands, Operation, decoded, start_connect
from ._library import path_of


async def _ready(operation: Operation) -> None:
    """Until there is something to go on with."""
    loop = asyncio.get_running_loop()
    fd, events, timeout = operation.fd, operation.events, operation.timeout_ms
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    timer = None if timeout is None else loop.call_later(timeout / 1000, wake)
    if fd >= 0 and events & select.POLLIN:
        loop.add_reader(fd, wake)
    if fd >= 0 and events & select.POLLOUT:
        loop.add_writer(fd, wake)
    try:
        await ready
    finally:
        if timer:
            timer.cancel()
        # Before the fd can be closed.
        if fd >= 0:
            loop.remove_reader(fd)
            loop.remove_writer(fd)


async def _wait(operation: Operation) -> None:
    with operation.cancelled_by_exceptions():
        while operation.pending:
            await _ready(operation)
            operation.go_on()


class AsyncConnection(Commands):
    """Made by `await AsyncConnection.connect(path)`."""

    @classmethod
    async def connect(cls, path, features: int = _abi.FEATURES,
                      timeout: Optional[float] = None) -> "AsyncConnection":
        self = cls()
        self._handle, operation = start_connect(path_of(path), features, timeout)
        try:
            await _wait(operation)
            operation.check()
        except BaseException:
            self.close()
            raise
        return self

    async def __aenter__(self) -> "AsyncConnection":
        return self

    async def __aexit__(self, *_exception) -> None:
        self.close()

    async def _perform(self, name, device, arguments, decode) -> Any:
        operation = self._start(name, device, arguments)
        await _wait(operation)
        return decoded(operation, decode)
