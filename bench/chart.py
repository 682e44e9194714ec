# SPDX-License-Identifier: LGPL-2.1-or-later
"""A picture of the report's two plainest stories, as SVG: what a slow device and hung commands do to
all others. Plain text, so that a new run makes a readable change."""
import html
import math
from typing import Dict, List, Optional, Tuple

import rows

WIDTH, HEIGHT = 380, 260
LEFT, TOP_MARGIN, RIGHT, BOTTOM = 62, 46, 14, 44
COLOURS = {"helper": "#0b6e4f", "peer": "#b3261e", "newest": "#d97706", "ideal": "#5f6b7a", "floor": "#a9b2bd"}
NAMES = {"helper": "this helper", "peer": "QEMU 7.2", "newest": "QEMU 11.1", "ideal": "ideal", "floor": "floor"}

Series = Dict[str, List[Tuple[float, float]]]  # server -> points


def _ticks(top: float) -> List[float]:
    """Round values from 0 to at least top."""
    step = 10 ** math.floor(math.log10(top or 1))
    for factor in (1, 2, 5, 10):
        if top / (step * factor) <= 5:
            step *= factor
            break
    return [index * step for index in range(math.ceil(top / step) + 1)]


def _panel(left: float, title: str, across: str, series: Series) -> List[str]:
    steps = sorted({x for points in series.values() for x, _ in points})
    ticks = _ticks(max(y for points in series.values() for _, y in points) or 1)
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP_MARGIN - BOTTOM

    def place(x: float, y: float) -> Tuple[float, float]:
        at = steps.index(x) / max(len(steps) - 1, 1)
        return (left + LEFT + at * plot_width,
                TOP_MARGIN + plot_height * (1 - y / ticks[-1]))

    out = [f'<text x="{left + LEFT}" y="18" class="title">{html.escape(title)}</text>']
    for tick in ticks:
        _, y = place(steps[0], tick)
        out.append(f'<line x1="{left + LEFT}" x2="{left + WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
                   ' class="grid"/>')
        out.append(f'<text x="{left + LEFT - 6}" y="{y + 4:.1f}" class="end">{tick:,.0f}</text>')
    for step in steps:
        x, _ = place(step, 0)
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" class="middle">{step:,.0f}</text>')
    out.append(f'<text x="{left + LEFT + plot_width / 2}" y="{HEIGHT - 8}" class="middle">'
               f"{html.escape(across)}</text>")
    for index, (server, points) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        colour = COLOURS.get(server, "#000000")
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{left + LEFT + index * 74}" y="36" fill="{colour}">'
                   f"{html.escape(NAMES.get(server, server))}</text>")
    return out


def _series(values: Dict[str, Dict[str, float]], steps, name: str) -> Optional[Series]:
    """name has {} where the step goes; servers without all points are left out."""
    servers = list(values.get(name.format(steps[-1]), {}))
    series = {server: [(step, values[name.format(step)][server]) for step in steps]
              for server in servers
              if all(server in values.get(name.format(step), {}) for step in steps)}
    return series or None


def draw(values: Dict[str, Dict[str, float]]) -> Optional[str]:
    """figure -> server -> median. None where the figures for it were not measured."""
    panels = [("Requests/s, device of 10 ms", "clients",
               _series(values, rows.CLIENT_STEPS, "load_{}_10ms_per_s")),
              ("Healthy clients without a reply", "commands hung on a dead disk",
               _series(values, rows.HUNG_STEPS, "hung_{}_at_stalled"))]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return None
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(panels)}" height="{HEIGHT}"'
           ' font-family="sans-serif" font-size="11">',
           "<style>.title{font-weight:bold;font-size:13px}.grid{stroke:#d8dde3}"
           ".end{text-anchor:end}.middle{text-anchor:middle}</style>",
           f'<rect width="{WIDTH * len(panels)}" height="{HEIGHT}" fill="#ffffff"/>']
    for index, (title, across, series) in enumerate(panels):
        out += _panel(index * WIDTH, title, across, series)
    return "\n".join(out + ["</svg>", ""])
