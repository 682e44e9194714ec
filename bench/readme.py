# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures that are committed: a digest of one whole run (figures.json), and made of it the tables
in README.md and bench/README.md and the picture in docs/. Tests compare them."""
import json
import os
import re
from typing import Dict, List, Optional, Tuple

import chart
from rows import BOUND_MS, ROWS, VM_ROWS

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
FIGURES = os.path.join(HERE, "figures.json")
PICTURE = os.path.join(TOP, "docs", "bench.svg")
BEGIN, END = "<!-- bench/run --readme: begin -->\n", "<!-- bench/run --readme: end -->\n"
DIGITS = 4
BUSY = 1.0  # load from which on a run's times deserve a warning
VERDICTS = {True: "", False: "missed", None: "not measured"}
#: Of whom a whole run has every figure, but for those that none could give.
REQUIRED = [row.figure for row in ROWS + VM_ROWS if not row.figure.startswith("hung_")]

#: QEMU's helpers, and of which release of Debian each is.
PEERS = {"peer": "Debian 12", "newest": "sid"}

Figures = Dict[str, Dict[str, float]]


class Incomplete(Exception):
    """This run is no whole one; the message says what is missing."""


def rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def digest(run: dict) -> dict:
    """What is committed of the JSON of bench/run."""
    missing = [figure for figure in REQUIRED if "helper" not in run["medians"].get(figure, {})]
    if missing:
        raise Incomplete(f"not a whole run: {len(missing)} figures are missing, {missing[0]} "
                         "to begin with")
    for peer in PEERS:
        if peer not in run["medians"][REQUIRED[0]]:
            raise Incomplete(f"a helper of QEMU's was not there: {peer}")

    def each(figures: Figures) -> Figures:
        return {figure: {who: rounded(value) for who, value in by.items()}
                for figure, by in figures.items()}
    return {"machine": run["machine"], "date": run["date"], "rounds": run["rounds"],
            "load": rounded(run["load"]), "versions": run["versions"],
            "medians": each(run["medians"]), "ratios": each(run["ratios"]),
            "targets": [{**target, "measured": rounded(target["measured"])}
                        for target in run["targets"]]}


# -- the tables


def where(figures: dict) -> str:
    busy = f" (busy: load {figures['load']:.1f})" if figures["load"] > BUSY else ""
    return f"{figures['machine']}{busy}, {figures['date']}"


def text_of(value: float) -> str:
    return f"{value:,.0f}" if value == 0 or abs(value) >= 100 else f"{value:.3g}"


def amount(figure: str, unit: str, scale: float = 1.0):
    """A cell of the table: server -> text."""
    def cell(medians: Figures, server: str) -> str:
        value = medians.get(figure, {}).get(server)
        return "-" if value is None else f"{text_of(value * scale)} {unit}".rstrip()
    return cell


def beside_hung(medians: Figures, server: str) -> str:
    if medians.get("hung_200_at_stalled", {}).get(server, 1):
        return f"no reply within {BOUND_MS // 1000} s"
    return amount("hung_200_at_p99_us", "us")(medians, server)


#: What, its cell, and the figure whose ratio stands beside it.
LINES: List[Tuple[str, object, str]] = [
    ("One client: request to reply, median", amount("latency_p50_us", "us"), "latency_p50_us"),
    ("The same among 1,000 idle clients, 99th percentile", amount("among_1000_p99_us", "us"),
     "among_1000_p99_us"),
    ("The same with 200 hung commands, 99th percentile", beside_hung, ""),
    ("Requests/s, 64 clients, a disk that answers at once", amount("load_64_0ms_per_s", ""),
     "load_64_0ms_per_s"),
    ("Requests/s, 1,000 clients, a disk that takes 10 ms", amount("load_1000_10ms_per_s", ""),
     "load_1000_10ms_per_s"),
    ("System calls for each request", amount("system_calls", ""), "system_calls"),
    ("Start: exec to listening", amount("start_listening_us", "ms", 1e-3), "start_listening_us"),
    ("Private memory, idle", amount("idle_private_kb", "kB"), "idle_private_kb"),
    ("Private memory for each idle client", amount("connection_1000_private_kb", "kB"),
     "connection_1000_private_kb"),
    ("500 clients connect at once and register on 400 disks", amount("storm_all_ms", "ms"),
     "storm_all_ms"),
]


def readme_table(figures: dict) -> str:
    medians, ratios = figures["medians"], figures["ratios"]
    names = [f"QEMU {figures['versions'][peer]} ({release})" for peer, release in PEERS.items()]
    out = [f"| | this helper | {' | '.join(names)} | ratios |", "| --- | --- | --- | --- | --- |"]
    for title, cell, figure in LINES:
        over = [ratios.get(figure, {}).get(peer) for peer in PEERS]
        out.append(" | ".join([
            f"| {title}", *(cell(medians, who) for who in ("helper", *PEERS)),
            ", ".join(text_of(ratio) for ratio in over if ratio is not None)]) + " |")
    cycle = text_of(ratios["map_cycle_us"]["tool"])
    read = text_of(ratios["lun_read_p50_us"]["peer"])
    return "\n".join([
        *out, "",
        f"Medians, rounds: {figures['rounds']}, servers alternating; ratios: ours to each of the "
        f"others.", f"{where(figures)}.",
        "The disk is simulated. On a LIO LUN in an emulated machine, READ KEYS takes "
        f"{read} times as long as",
        "through Debian 12's helper; register, reserve, release and unregister on a multipath map take "
        f"{cycle} times", "as long as with mpathpersist(8).",
        "", "![requests/s, and healthy clients without a reply](docs/bench.svg)", ""])


def titles() -> Dict[str, str]:
    """Of the rows, an indented one's with what it is a part of."""
    result = {}
    above = ""
    for row in ROWS + VM_ROWS:
        if row.title.startswith("  "):
            result[row.figure] = f"{above}: {row.title.strip()}"
        else:
            above = re.sub(r"(, median)? \(\S+\)$", "", row.title)
            result[row.figure] = row.title
    return result


def targets_table(figures: dict) -> str:
    out = [f"{where(figures)}; rounds: {figures['rounds']}. Of the hung commands fewer",
           "than 200 are in the table only if replies stalled.", "",
           "| figure | target | measured | |", "| --- | --- | --- | --- |"]
    for target in figures["targets"]:
        figure, measured = target["figure"], target["measured"]
        if figure.startswith("hung_") and "_200_" not in figure and target["met"]:
            continue
        out.append(f"| {titles()[figure]} | {target['target']} | "
                   f"{'-' if measured is None else text_of(measured)} | "
                   f"{VERDICTS[target['met']]} |")
    return "\n".join(out + [""])


#: The files that have a table of these.
TABLES = {os.path.join(TOP, "README.md"): readme_table,
          os.path.join(HERE, "README.md"): targets_table}


def replaced(text: str, table: str) -> str:
    parts = re.split(f"({re.escape(BEGIN)}|{re.escape(END)})", text)
    if parts[1::2] != [BEGIN, END]:
        raise ValueError(f"not one pair of these lines: {BEGIN}{END}")
    return parts[0] + BEGIN + table + END + parts[4]


# -- the two commands


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def update(run_path: str) -> int:
    """Make all of it out of the JSON of a run."""
    try:
        figures = digest(json.loads(read(run_path)))
    except Incomplete as reason:
        print(f"{run_path}: {reason}")
        return 1
    write(FIGURES, json.dumps(figures, indent=1) + "\n")
    for path, table in TABLES.items():
        write(path, replaced(read(path), table(figures)))
    write(PICTURE, chart.draw(figures["medians"]))
    print(f"written: {', '.join(os.path.relpath(p, TOP) for p in (FIGURES, PICTURE, *TABLES))}")
    return 0


def check() -> int:
    """TAP: is all of it what figures.json says?"""
    figures = json.loads(read(FIGURES))
    results = [(f"the table of {os.path.relpath(path, TOP)} is made of bench/figures.json",
                replaced(read(path), table(figures)) == read(path))
               for path, table in TABLES.items()]
    results.append((f"{os.path.relpath(PICTURE, TOP)} is, too",
                    read(PICTURE) == chart.draw(figures["medians"])))
    known = [(row.figure, str(target)) for row in ROWS + VM_ROWS for target in row.targets]
    results.append(("its targets are the benchmark's own",
                    known == [(one["figure"], one["target"]) for one in figures["targets"]]))
    print(f"1..{len(results)}")
    for number, (what, good) in enumerate(results, 1):
        print(f"{'' if good else 'not '}ok {number} - {what}")
    if not all(good for _, good in results):
        print("# bench/run --readme makes them of the JSON of a run")
    return 0 if all(good for _, good in results) else 1
