# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/support.md: its table is written from what tests/matrix/run found, and says when. The row of a
cell that was not run stays as it is."""
import re
from typing import Callable, Dict, List

BEGIN, END = "<!-- tests/matrix/run --write: begin -->", "<!-- tests/matrix/run --write: end -->"
HEAD = ["| System | What | Outcome | Versions | Tried | Seconds |",
        "| --- | --- | --- | --- | --- | --- |"]


def row(release: str, name: str, result: Dict[str, object]) -> str:
    outcome = "passes" if result["status"] == 0 else f"**fails**: {result['output']}"
    if result["status"] == 0 and str(result["output"]).endswith("skipped"):
        outcome = str(result["output"])
    outcome = outcome.replace("|", "/")
    return (f"| {release} | {name} | {outcome} | {result['versions']} | {result['date']} | "
            f"{result['seconds']} |")


def cells_of(line: str) -> List[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def table(all_cells: List, key: Callable, names: Dict[str, str],
          results: Dict[str, Dict[str, object]], before: str) -> str:
    """before: the table from the last time."""
    old = {tuple(cells_of(line)[:2]): line for line in before.splitlines() if line.startswith("| ")}
    lines = list(HEAD)
    for cell in all_cells:
        where = names[cell.release], cell.name
        lines.append(row(*where, results[key(cell)]) if key(cell) in results else
                     old.get(where, f"| {' | '.join(where)} | not tried | | | |"))
    seconds = sum(int(cells_of(line)[5] or 0) for line in lines[2:])
    made = sum(int(str(one["made_seconds"])) for one in results.values()) // 60
    made = max([made, *map(int, re.findall(r"took another (\d+)\.", before))])  # of a run of more cells
    lines += ["", f"Together {seconds // 60} minutes. To make the systems, which are kept, took "
                  f"another {made}."]
    return "\n".join(lines)


def write(path: str, all_cells: List, key: Callable, results: Dict[str, Dict[str, object]]) -> None:
    from matrix import cells
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{path} has no place for the table: {BEGIN}, {END}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{table(all_cells, key, cells.RELEASES, results, old)}\n{END}{after}")
