"""Charts as inline SVG, in the colours of the page's style sheet: they turn dark with it, and nothing is loaded."""

from collections.abc import Sequence
from html import escape

Bar = tuple[str, float, str, str]
"""A label, a value, what is written behind the bar, and the class that colours it."""

WIDTH, LINE = 760, 24
"""Pixels: the width of a chart, the height of a bar with its space."""


def bars(rows: Sequence[Bar], left: int = 230) -> str:
    """Horizontal bars, the longest as wide as there is room."""
    most = max((value for _, value, _, _ in rows), default=0) or 1
    room = WIDTH - left - 150
    parts = []
    for i, (label, value, told, colour) in enumerate(rows):
        y, wide = i * LINE, max(1.0, room * value / most) if value else 0.0
        parts.append(f'<text x="{left - 8}" y="{y + 16}" class="end">{escape(_cut(label, 34))}</text>'
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
        parts.append(f'<text x="{left - 8}" y="{y + 4}" class="end">{escape(_cut(label, 34))}</text>'
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


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most - 1] + "…"
