"""Draws overload against cost: one point per controller."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 440


LEFT, RIGHT, TOP, BOTTOM = 60, 110, 25, 60
"""Margins. The right one holds the label of a point at the edge."""
LINE = 15.0
"""Least distance of two labels, one above the other."""
LETTER = 7.0
"""Width of a letter, at most."""
RADIUS = 5
"""Of a point."""


def draw(points: Mapping[str, tuple[float, float]]) -> str:
    """Return an SVG. points: by controller, % of requests short of capacity, and pod-hours against the reference."""
    across, up = ticks(0.0, max(*(x for x, _ in points.values()), 0.01)), ticks(*_ends(y for _, y in points.values()))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#666"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 15}" text-anchor="middle">requests short of capacity, %</text>',
        f'<text transform="rotate(-90)" x="{-(TOP + bottom) / 2}" y="15" text-anchor="middle">'
        "pod-hours, HPA 70% = 1</text>",
    ]
    for value in across:
        x = LEFT + (right - LEFT) * value / across[-1]
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
    parts += [
        f'<text x="{LEFT - 6}" y="{_height(value, up) + 4:.0f}" text-anchor="end">{value:g}</text>' for value in up
    ]
    places = {
        name: (LEFT + (right - LEFT) * share / across[-1], _height(hours, up))
        for name, (share, hours) in points.items()
    }
    for name, (x, y) in places.items():
        colour = "#c2410c" if name.startswith("sample") else "#1d4ed8"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}"/>')
    for name, x, y in labels(places):
        px, py = places[name]
        if abs(y - py) > 1:
            parts.append(f'<path d="M{px:.1f} {py:.1f}L{x - 2:.1f} {y:.1f}" stroke="#999"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers from at most `low` to at least `high`."""
    span = (high - low) or 1.0
    unit = 10.0 ** math.floor(math.log10(span))
    step = next(unit * part for part in (0.2, 0.5, 1.0, 2.0) if span / (unit * part) <= 8)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(number * step, 9) for number in range(first, last + 1)]


def labels(places: Mapping[str, tuple[float, float]]) -> list[tuple[str, float, float]]:
    """Left end and middle of each label: right of its point, and below the labels and points that it would overlap."""
    taken = [(x - RADIUS, x + RADIUS, y) for x, y in places.values()]
    found: list[tuple[str, float, float]] = []
    for name, (x, y) in sorted(places.items(), key=lambda place: place[1][1]):
        left, middle = x + 8, y
        while near := [
            other
            for start, end, other in taken
            if abs(other - middle) < LINE - 0.01 and start < left + LETTER * len(name) and left < end
        ]:
            middle, left = max(near) + LINE, x + 22
        taken.append((left, left + LETTER * len(name), middle))
        found.append((name, left, middle))
    return found


def _height(value: float, up: list[float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - up[0]) / (up[-1] - up[0])


def _ends(values: Iterator[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)
