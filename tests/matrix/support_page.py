# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/support.md: its table is written from what tests/matrix/run found, and says when."""
from typing import Callable, Dict, List

BEGIN, END = "<!-- tests/matrix/run --write: begin -->", "<!-- tests/matrix/run --write: end -->"


def row(release: str, name: str, result: Dict[str, object]) -> str:
    if not result:
        return f"| {release} | {name} | not tried | | |"
    outcome = "passes" if result["status"] == 0 else f"**fails**: {result['output']}"
    if result["status"] == 0 and str(result["output"]).endswith("skipped"):
        outcome = str(result["output"])
    outcome = outcome.replace("|", "/")
    return (f"| {release} | {name} | {outcome} | {result['versions']} | "
            f"{result['date']} |")


def table(all_cells: List, key: Callable, names: Dict[str, str],
          results: Dict[str, Dict[str, object]]) -> str:
    lines = ["| System | What | Outcome | Versions | Tried |", "| --- | --- | --- | --- | --- |"]
    lines += [row(names[cell.release], cell.name, results.get(key(cell), {})) for cell in all_cells]
    seconds = sum(int(str(one["seconds"])) + int(str(one["made_seconds"]))
                  for one in results.values())
    lines += ["", f"All of it took {seconds // 60} minutes, systems that were made included."]
    return "\n".join(lines)


def write(path: str, all_cells: List, key: Callable, results: Dict[str, Dict[str, object]]) -> None:
    from matrix import cells
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{path} has no place for the table: {BEGIN}, {END}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{table(all_cells, key, cells.RELEASES, results)}\n{END}{after}")
