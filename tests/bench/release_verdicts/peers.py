"""The rules of other tools, on the same streams: they look at metric points, not at counts."""

from __future__ import annotations

import numpy as np

from tests.bench.release_verdicts.vectorised import Floats, Setting, draw

POINT = 60.0
"""Seconds of a metric point of Kayenta."""

_Z_98 = 2.3263
"""Kayenta's classifier asks for a confidence of 0.98 that the canary is higher."""


def judged(setting: Setting, releases: int, seconds: float, seed: int, threshold: float = 0.01) -> tuple[float, float]:
    """The shares of releases that fail by Kayenta's Mann-Whitney test, and by a fixed threshold every 15 s.

    Kayenta compares the points of a whole analysis once. Argo Rollouts and Flagger, with `failureLimit: 1`, fail at
    the second of the measurements over the threshold.
    """
    rng = np.random.default_rng(seed)
    mean = np.tile(setting.rate * 15.0 * setting.shares, (releases, 1))
    burst = np.full((releases, 1), float(setting.burst))
    new_points: list[Floats] = []
    old_points: list[Floats] = []
    over = np.zeros(releases)
    sums = np.zeros((4, releases))
    for step in range(1, round(seconds / 15.0) + 1):
        n, x = draw(rng, mean, setting.rates, burst)
        new_n, new_x = n[:, : setting.new].sum(1), x[:, : setting.new].sum(1)
        over += new_x > threshold * new_n
        sums += np.stack([new_n, new_x, n[:, setting.new :].sum(1), x[:, setting.new :].sum(1)])
        if step % round(POINT / 15.0) == 0:
            new_points.append(sums[1] / np.maximum(sums[0], 1))
            old_points.append(sums[3] / np.maximum(sums[2], 1))
            sums[:] = 0
    return float(np.mean(_mann_whitney(np.array(new_points).T, np.array(old_points).T))), float(np.mean(over >= 2))


def _mann_whitney(new: Floats, old: Floats) -> Floats:
    """Whether the new points are higher: the normal approximation with the correction for ties."""
    count = new.shape[1]
    above = (new[:, :, None] > old[:, None, :]).sum((1, 2)) + 0.5 * (new[:, :, None] == old[:, None, :]).sum((1, 2))
    both = np.sort(np.concatenate([new, old], axis=1), axis=1)
    ties = np.zeros(len(new))
    for row in range(len(new)):
        repeated = np.unique(both[row], return_counts=True)[1].astype(float)
        ties[row] = (repeated**3 - repeated).sum()
    total = 2.0 * count
    variance = count * count / 12.0 * (total + 1 - ties / (total * (total - 1)))
    z = (above - count * count / 2.0 - 0.5) / np.sqrt(np.maximum(variance, 1e-9))
    higher: Floats = z > _Z_98
    return higher
