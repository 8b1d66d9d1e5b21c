"""Confidence intervals of a proportion."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

CONFIDENCE_Z = NormalDist().inv_cdf(0.975)
"""Two-sided 95%."""


def wilson(events: float, samples: float, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion of `events` among `samples` (> 0)."""
    p = min(1.0, max(0.0, events / samples))
    z2 = z * z
    centre = p + z2 / (2 * samples)
    spread = z * sqrt(p * (1 - p) / samples + z2 / (4 * samples * samples))
    scale = 1 + z2 / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
