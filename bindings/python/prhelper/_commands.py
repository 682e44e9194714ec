# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands, for connections that wait and for those of asyncio: the names and parameters are those
of libprhelper(3). Each is handed to _perform(), which starts it, waits in its way, and returns what the
decoder makes of a GOOD result."""
import contextlib
import ctypes
from typing import Any, Callable, Optional, Sequence

from . import _abi, _types
from ._library import fd_of, lib


class Operation:
    """Something that is under way on a connection."""

    def __init__(self, helper: ctypes.c_void_p, r: int, result: Optional[_abi.prhelper_result]):
        self.helper, self.r, self.result = helper, r, result

    @property
    def pending(self) -> bool:
        return self.r == _abi.PENDING

    @property
    def fd(self) -> int:
        return lib.prhelper_fd(self.helper)

    @property
    def events(self) -> int:
        return lib.prhelper_events(self.helper)

    @property
    def timeout_ms(self) -> Optional[int]:
        """None: no limit."""
        timeout = lib.prhelper_timeout(self.helper)
        return None if timeout < 0 else timeout

    def go_on(self) -> None:
        self.r = lib.prhelper_continue(self.helper)

    @contextlib.contextmanager
    def cancelled_by_exceptions(self):
        """A caller that waits may be interrupted, which is not the end of the command: tell what is known."""
        try:
            yield
        except BaseException as error:
            self.r = lib.prhelper_cancel(self.helper)
            error.outcome = _types.Outcome(lib.prhelper_outcome(self.r, self.result))
            raise

    def check(self) -> None:
        if self.r != 0:
            raise _types.error_of(self.r, self.result)


class Commands:
    _handle: Optional[ctypes.c_void_p] = None

    def _helper(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise ValueError("the connection is closed")
        return self._handle

    def _start(self, name: str, device, arguments: Sequence[Any]) -> Operation:
        result, helper = _abi.prhelper_result(), self._helper()
        start = getattr(lib, f"prhelper_start_{name}")
        return Operation(helper, start(helper, fd_of(device), *arguments, result), result)

    def _perform(self, name: str, device, arguments: Sequence[Any],
                 decode: Callable[[_types.Result], Any]) -> Any:
        raise NotImplementedError

    # -- the connection

    def close(self) -> None:
        if self._handle is not None:
            lib.prhelper_close(self._handle)
            self._handle = None

    def __del__(self):
        self.close()

    @property
    def features(self) -> int:
        """Those that were asked for and are offered."""
        return lib.prhelper_features(self._helper())

    def set_timeout(self, seconds: Optional[float]) -> None:
        """For each later command; None: no limit. One that runs into it ends the connection."""
        lib.prhelper_set_timeout(self._helper(),
                                 _abi.FOREVER if seconds is None else int(seconds * 1000))

    def set_reconnect(self, tries: int = 5, interval: float = 1.0) -> None:
        """Let commands connect again after the helper was restarted, by default as QEMU does it."""
        r = lib.prhelper_set_reconnect(self._helper(), tries, int(interval * 1000))
        if r != 0:
            raise _types.error_of(r)

    # -- commands

    def execute(self, device, cdb: bytes, out: bytes = b""):
        """Any command of the protocol. Returns a Result, also if it is not GOOD."""
        return self._perform("execute", device, (cdb, len(cdb), out, len(out)), None)

    def read_keys(self, device):
        return self._perform("read_keys", device, (), _types.keys_of)

    def read_reservation(self, device):
        return self._perform("read_reservation", device, (), _types.reservation_of)

    def report_capabilities(self, device):
        return self._perform("report_capabilities", device, (), _types.capabilities_of)

    def read_full_status(self, device):
        return self._perform("read_full_status", device, (), _types.full_status_of)

    def register(self, device, key: int, new_key: int, flags: int = 0):
        return self._perform("register", device, (key, new_key, flags), _types.nothing_of)

    def register_ports(self, device, key: int, new_key: int, transportids: Sequence[bytes],
                       flags: int = 0):
        ports = (_abi.prhelper_transportid * len(transportids))(
            *(_types.transportid_struct(one) for one in transportids))
        return self._perform("register_ports", device, (key, new_key, flags, ports, len(ports)),
                             _types.nothing_of)

    def register_ignore(self, device, new_key: int, flags: int = 0):
        return self._perform("register_ignore", device, (new_key, flags), _types.nothing_of)

    def register_move(self, device, key: int, new_key: int, transportid: bytes, target_port: int,
                      type: int = 0, flags: int = 0):  # pylint: disable=redefined-builtin
        return self._perform("register_move", device, (key, new_key, type, flags, target_port,
                                                       _types.transportid_struct(transportid)),
                             _types.nothing_of)

    def reserve(self, device, key: int, type: int):  # pylint: disable=redefined-builtin
        return self._perform("reserve", device, (key, type), _types.nothing_of)

    def release(self, device, key: int, type: int):  # pylint: disable=redefined-builtin
        return self._perform("release", device, (key, type), _types.nothing_of)

    def clear(self, device, key: int):
        return self._perform("clear", device, (key,), _types.nothing_of)

    def preempt(self, device, key: int, victim_key: int, type: int):  # pylint: disable=redefined-builtin
        return self._perform("preempt", device, (key, victim_key, type), _types.nothing_of)

    def preempt_abort(self, device, key: int, victim_key: int,
                      type: int):  # pylint: disable=redefined-builtin
        return self._perform("preempt_abort", device, (key, victim_key, type), _types.nothing_of)

    def replace_lost(self, device, new_key: int, type: int):  # pylint: disable=redefined-builtin
        return self._perform("replace_lost", device, (new_key, type), _types.nothing_of)

    def cleanup(self, device):
        return self._perform("cleanup", device, (), _types.nothing_of)


def decoded(operation: Operation, decode: Optional[Callable[[_types.Result], Any]]) -> Any:
    """What a command that is over returns."""
    operation.check()
    result = _types.result_of(operation.result)
    return decode(_types.good(result)) if decode else result


def start_connect(path: bytes, features: int, timeout: Optional[float]):
    """The handle, if there is one, and the operation."""
    handle = ctypes.c_void_p()
    r = lib.prhelper_start_connect(path, features,
                                   _abi.FOREVER if timeout is None else int(timeout * 1000), handle)
    return (handle if handle.value else None), Operation(handle, r, None)
