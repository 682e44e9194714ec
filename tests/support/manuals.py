# SPDX-License-Identifier: LGPL-2.1-or-later
"""The claims of a manual page: its paragraphs, and entries of lists with what they say, in order. A
block of code or a table is one as well. Each is known by how it begins."""
import os
import re
from typing import List

#: What tells them apart, in letters, of which whole words are taken. Two that begin alike have to be
#: written apart.
BEGIN = 56


def claims(top: str, page: str) -> List[str]:
    """How each begins, in a single line."""
    with open(os.path.join(top, "man", page + ".rst"), encoding="utf-8") as file:
        text = file.read()
    found = []
    for block in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in block.split("\n") if line.strip()]
        is_heading = len(lines) <= 3 and any(re.fullmatch(r"[=-]{3,}", line) for line in lines)
        if not lines or is_heading or lines[0].startswith((".. ", ":Manual")) or lines == ["::"]:
            continue
        words = " ".join(block.split())
        found.append(words if len(words) <= BEGIN else words[:BEGIN].rpartition(" ")[0])
    return found
