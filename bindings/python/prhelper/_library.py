# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library itself, with the types of its functions."""
import ctypes
import os

from . import _abi

SONAME = "libprhelper.so.0"


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(SONAME)
    for name, (result, parameters) in _abi.FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise ImportError(f"{SONAME} is older than this package: it has no {name}()") from error
        function.restype, function.argtypes = result, parameters
    return library


lib = _load()


def fd_of(device) -> int:
    """An fd, or what has one."""
    return device if isinstance(device, int) else device.fileno()


def path_of(path) -> bytes:
    return os.fsencode(path)
