"""Draws overload against cost: one point per controller."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 720, 440, 60


def draw(points: Mapping[str, tuple[float, float]]) -> str:
    """Return an SVG. points: by controller, % of requests short of capacity, and pod-hours against the reference."""
    short = max(*(x for x, _ in points.values()), 0.01) * 1.1
    low, high = min(y for _, y in points.values()) * 0.95, max(y for _, y in points.values()) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{MARGIN} {MARGIN / 2}V{HEIGHT - MARGIN}H{WIDTH - MARGIN / 2}" fill="none" stroke="#666"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 15}" text-anchor="middle">requests short of capacity, %</text>',
        f'<text transform="rotate(-90)" x="{-HEIGHT / 2}" y="15" text-anchor="middle">pod-hours, HPA 70 % = 1</text>',
    ]
    for tick in range(5):
        x = MARGIN + (WIDTH - 1.5 * MARGIN) * tick / 4
        y = HEIGHT - MARGIN - (HEIGHT - 1.5 * MARGIN) * tick / 4
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{short * tick / 4:.2f}</text>')
        value = low + (high - low) * tick / 4
        parts.append(f'<text x="{MARGIN - 6}" y="{y:.0f}" text-anchor="end">{value:.2f}</text>')
    for name, (share, hours) in points.items():
        x = MARGIN + (WIDTH - 1.5 * MARGIN) * share / short
        y = HEIGHT - MARGIN - (HEIGHT - 1.5 * MARGIN) * (hours - low) / (high - low)
        colour = "#c2410c" if name.startswith("sample") else "#1d4ed8"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
