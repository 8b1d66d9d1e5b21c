"""The test of values without failures (CPU per request), over look-back windows of two minutes."""

from __future__ import annotations

import math

import numpy as np

from resilience_operator.decision.analysis.means import log_evidence
from resilience_operator.decision.analysis.sequential import limit
from resilience_operator.decision.model.score import MeanSide
from tests.bench.release_verdicts.vectorised import Floats

BY = 0.2


def convicted(ratio: float, noise: float, releases: int, seed: int, *, beside: int = 0, windows: int = 15) -> Floats:
    """Return after how many windows each release is convicted; infinite if it is not within `windows`.

    ratio: of the cost of the new revision to that of the old one. noise: standard deviation of a window, as a share.
    beside: windows in which old pods serve beside the new ones, after the one before the release.
    """
    rng = np.random.default_rng(seed)
    proof = limit(0.001)
    found = np.full(releases, np.inf)
    for release in range(releases):
        new, old = MeanSide(), _with(MeanSide(), rng.normal(0.0, noise))
        for window in range(1, windows + 1):
            new = _with(new, math.log(ratio) + rng.normal(0.0, noise))
            if window <= beside:
                old = _with(old, rng.normal(0.0, noise))
            if log_evidence(new, old, BY) >= proof:
                found[release] = window
                break
    return found


def _with(side: MeanSide, value: float) -> MeanSide:
    return MeanSide(side.windows + 1, side.total + value, side.squares + value * value)
