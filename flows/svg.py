"""Charts as inline SVG, in the colours of the page's style sheet: they turn dark with it, and nothing is loaded."""

import math
from collections.abc import Sequence
from html import escape

Bar = tuple[str, float, str, str]
"""A label, a value, what is written behind the bar, and the class that colours it."""

WIDTH, LINE = 760, 24
"""Pixels: the width of a chart, the height of a bar with its space."""
LABEL = 28
"""Characters of a label: so many fit before a bar, also in wide letters."""


def bars(rows: Sequence[Bar], left: int = 230) -> str:
    """Horizontal bars, the longest as wide as there is room."""
    most = max((value for _, value, _, _ in rows), default=0) or 1
    room = WIDTH - left - 150
    parts = []
    for i, (label, value, told, colour) in enumerate(rows):
        y, wide = i * LINE, max(1.0, room * value / most) if value else 0.0
        parts.append(f'<text x="{left - 8}" y="{y + 16}" class="end">{escape(_cut(label, LABEL))}</text>'
                     f'<rect x="{left}" y="{y + 4}" width="{wide:.1f}" height="{LINE - 8}" class="{colour}"/>'
                     f'<text x="{left + wide + 6:.1f}" y="{y + 16}" class="soft">{escape(told)}</text>')
    return _svg(WIDTH, len(rows) * LINE + 4, parts)


def intervals(rows: Sequence[tuple[str, float, float, float, str]], left: int = 230) -> str:
    """A rate with its interval for each row: label, low, value, high (0 to 1), what is written behind."""
    room, end = WIDTH - left - 190, len(rows) * LINE
    parts = [f'<line x1="{left + room * x:.1f}" x2="{left + room * x:.1f}" y1="0" y2="{end}" class="grid"/>'
             f'<text x="{left + room * x:.1f}" y="{end + 16}" class="mid soft">{x:.0%}</text>'
             for x in (0, 0.25, 0.5, 0.75, 1)]
    for i, (label, low, value, high, told) in enumerate(rows):
        y, begin = i * LINE + 12, left + room * low
        parts.append(f'<text x="{left - 8}" y="{y + 4}" class="end">{escape(_cut(label, LABEL))}</text>'
                     f'<line x1="{begin:.1f}" x2="{left + room * high:.1f}" y1="{y}" y2="{y}" class="reach"/>'
                     f'<circle cx="{left + room * value:.1f}" cy="{y}" r="4.5" class="fill-main"/>'
                     f'<text x="{left + room + 12}" y="{y + 4}" class="soft">{escape(told)}</text>')
    return _svg(WIDTH, end + 24, parts)


def histogram(rows: Sequence[tuple[str, tuple[int, int]]], height: int = 190) -> str:
    """Two series side by side, each as a share of its own total: label of the bucket, (correct, wrong)."""
    totals = [sum(counts[side] for _, counts in rows) or 1 for side in (0, 1)]
    most = max((counts[side] / totals[side] for _, counts in rows for side in (0, 1)), default=0) or 1
    step = (WIDTH - 20) / max(1, len(rows))
    parts = [f'<line x1="10" x2="{WIDTH - 10}" y1="{height}" y2="{height}" class="axis"/>']
    for i, (label, counts) in enumerate(rows):
        x = 10 + i * step
        for side, colour in enumerate(("fill-good", "fill-bad")):
            tall = (height - 14) * counts[side] / totals[side] / most
            parts.append(f'<rect x="{x + (0.06 + 0.44 * side) * step:.1f}" y="{height - tall:.1f}" '
                         f'width="{0.42 * step:.1f}" height="{tall:.1f}" class="{colour}">'
                         f'<title>{escape(label)}: {counts[side]:,}</title></rect>')
        if i % max(1, len(rows) // 8) == 0:
            parts.append(f'<text x="{x:.1f}" y="{height + 16}" class="soft">{escape(label)}</text>')
    return _svg(WIDTH, height + 24, parts)


def curves(lines: Sequence[tuple[str, str, Sequence[tuple[float, float, float, float]]]], told: str,
           height: int = 260) -> str:
    """Rates (0 to 1) with their intervals over a logarithmic axis: label, class, points of (x, low, value, high) for
    each line; `told` is what x is."""
    xs = [x for _, _, points in lines for x, *_ in points if x > 0]
    if not xs:
        return ""
    left, right, base, first, last = 46, WIDTH - 170, height, math.log2(min(xs)), math.log2(max(xs))

    def across(x: float) -> float:
        return left + (right - left) * (math.log2(x) - first) / ((last - first) or 1)

    def up(rate: float) -> float:
        return base - (base - 12) * rate
    parts = [f'<line x1="{left}" x2="{right}" y1="{up(r):.1f}" y2="{up(r):.1f}" class="grid"/>'
             f'<text x="{left - 6}" y="{up(r) + 4:.1f}" class="end soft">{r:.0%}</text>'
             for r in (0, 0.25, 0.5, 0.75, 1)]
    ticks = [2**power for power in range(math.ceil(first), math.floor(last) + 1)] or [min(xs)]
    parts += [f'<text x="{across(x):.1f}" y="{base + 16}" class="mid soft">{x:,.0f}</text>' for x in ticks]
    middle = (left + right) / 2
    parts.append(f'<text x="{middle}" y="{base + 34}" class="mid soft">{escape(told)}</text>')
    for i, (label, colour, points) in enumerate(lines):
        placed = [(across(x), up(low), up(value), up(high)) for x, low, value, high in points if x > 0]
        parts += [_curve(colour, placed),
                  f'<circle cx="{right + 20}" cy="{22 + 20 * i}" r="4.5" class="{colour}"/>'
                  f'<text x="{right + 30}" y="{26 + 20 * i}">{escape(label)}</text>']
    return _svg(WIDTH, base + 42, parts)


def _curve(colour: str, points: Sequence[tuple[float, float, float, float]]) -> str:
    """Dots with their intervals, joined by a line."""
    path = " ".join(f"{x:.1f},{value:.1f}" for x, _, value, _ in points)
    return f'<polyline points="{path}" class="line"/>' + "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" class="axis"/>'
        f'<circle cx="{x:.1f}" cy="{value:.1f}" r="4.5" class="{colour}"/>' for x, low, value, high in points)


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<div class="wide"><svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg></div>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"
