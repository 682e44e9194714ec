# SPDX-License-Identifier: LGPL-2.1-or-later
"""The project's own Python binding, on the library of a build directory: for tests that are not about
bytes."""
import ctypes
import json
import os
import sys

from .tap import Skip

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load(build: str):
    """The module prhelper. Who asks for the library by its soname finds this one loaded already."""
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as file:
        options = {one["name"]: one["value"] for one in json.load(file)}
    if options["b_sanitize"] != "none":
        raise Skip("the library was built with sanitizers, the interpreter was not")
    if options["default_library"] == "static":
        raise Skip("there is no shared library")
    ctypes.CDLL(os.path.join(build, "src", "client", "libprhelper.so.0"))
    path = os.path.join(TOP, "bindings", "python")
    if path not in sys.path:
        sys.path.insert(0, path)
    import prhelper  # pylint: disable=import-outside-toplevel
    return prhelper
