# SPDX-License-Identifier: LGPL-2.1-or-later
"""A terminal as standard input, for programs that ask only there."""
import contextlib
import os
import pty
from typing import Iterator, Tuple


@contextlib.contextmanager
def opened() -> Iterator[Tuple[int, int]]:
    """(where a person types, where a program reads): fds."""
    ends = pty.openpty()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


@contextlib.contextmanager
def typed(text: str) -> Iterator[int]:
    """The program's end of one on which this has been typed. A line is an answer, and "\\x04" the end
    of file."""
    with opened() as (person, program):
        os.write(person, text.encode())
        yield program
