"""Many releases at once through the sequential test, in arrays.

The same arithmetic as `decision.analysis.sequential` and the same slots as `decision.analysis.scores`, which
`tests/unit/decision/test_release_verdicts.py` holds together. Releases of all settings with the same pods are computed
together, in blocks that stay in the cache of the processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from resilience_operator.decision.analysis import scores, sequential, within

Floats = NDArray[np.float64]
ODDS = np.array(sequential.ODDS)
LOG_WEIGHTS = np.log(np.array(sequential.WEIGHTS))


@dataclass(frozen=True, slots=True)
class Setting:
    """rate: requests/s of the target. new, old: pods of each side, which share the requests equally if `share` is None.

    base, bad: failure rates of the old and of the new revision. burst: failures that come together, on one pod.
    before: seconds of the baseline. every: seconds between two evaluations. shared: failure rate of both revisions in
    addition, during a shared incident of `incident` seconds.
    """

    rate: float
    new: int = 1
    old: int = 3
    base: float = 0.001
    bad: float | None = None
    burst: int = 1
    share: float | None = None
    before: float = 120.0
    every: float = 5.0
    shared: float = 0.0
    incident: float = 60.0

    @property
    def shares(self) -> Floats:
        """The share of the requests of each pod, new ones first."""
        share = self.new / (self.new + self.old) if self.share is None else self.share
        return np.concatenate([np.full(self.new, share / self.new), np.full(self.old, (1 - share) / self.old)])

    @property
    def rates(self) -> Floats:
        """The failure rate of each pod."""
        bad = self.base if self.bad is None else self.bad
        return np.where(np.arange(self.new + self.old) < self.new, bad, self.base)


class Scores:
    """The scores of `releases` releases."""

    def __init__(self, releases: int, new: int, pods: int, effect: float = 1.0) -> None:
        self.new, self.effect = new, effect
        self.likelihoods = np.zeros((releases, len(ODDS)))
        self.chance, self.failing, self.old_failing = np.zeros((3, releases))
        self.sums = np.zeros((7, releases, 2))
        self.requests, self.failures = np.zeros((releases, pods)), np.zeros((releases, pods))
        self.lasted = np.zeros(releases)
        self.within = np.zeros((3, releases))

    def add(self, requests: Floats, failures: Floats, seconds: float) -> None:
        """Add the increments of one evaluation, and close the slots that are complete."""
        self.requests += requests
        self.failures += failures
        self.lasted += seconds
        new = self.requests[:, : self.new].sum(1)
        old = self.requests[:, self.new :].sum(1)
        full = (self.lasted >= scores.SLOT) & (new >= scores.ENOUGH) & (old >= scores.ENOUGH)
        done = full | (self.lasted >= scores.LONGEST_SLOT)
        self._close(np.where(done[:, None], self.requests, 0.0), np.where(done[:, None], self.failures, 0.0))
        keep = ~done
        self.requests *= keep[:, None]
        self.failures *= keep[:, None]
        self.lasted *= keep

    def _close(self, n: Floats, x: Floats) -> None:
        new, old = n[:, : self.new].sum(1), n[:, self.new :].sum(1)
        both = (new > 0) & (old > 0)
        share = np.where(both, new * self.effect / np.maximum(new * self.effect + old, 1e-9), 0.5)
        on_new, bad = x[:, : self.new].sum(1), x.sum(1)
        # Half of each side's requests fail where nothing did, so that the formulas are defined; it does not count.
        some = both & (bad > 0)
        sides = np.where(some, new, 2.0), np.where(some, old, 2.0), np.where(some, bad, 2.0)
        for place, odds in enumerate(ODDS):
            step = on_new * np.log(odds) - growth(*sides, self.effect, odds)
            self.likelihoods[:, place] += np.where(some, step, 0.0)
        self._fit(n, x)
        failing = (x[:, : self.new] > 0).sum(1)
        self.chance += np.where(both, failing * -np.log(share), 0.0)
        self.failing += failing
        self.old_failing += (x[:, self.new :] > 0).sum(1)
        for side, part in enumerate((slice(0, self.new), slice(self.new, None))):
            xs, ns = x[:, part], n[:, part]
            parts = (ns, xs, xs * xs, xs * ns, ns * ns, (ns > 0).astype(float))
            for row, values in enumerate(parts):
                self.sums[row, :, side] += values.sum(1)
            self.sums[6, :, side] = np.maximum(self.sums[6, :, side], xs.max(1))

    def _fit(self, n: Floats, x: Floats) -> None:
        """As `within.with_slot`."""
        for part in (slice(0, self.new), slice(self.new, None)):
            pods = (n[:, part] > 0).sum(1)
            requests, failures = n[:, part].sum(1), x[:, part].sum(1)
            known = (pods > 1) & (failures >= within.MIN_FAILURES)
            rate = failures / np.maximum(requests, 1e-9)
            parts = 1.0 - (n[:, part] ** 2).sum(1) / np.maximum(requests, 1e-9) ** 2
            chance = np.where(known, failures * (1.0 - rate) * parts, 0.0)
            left = ((x[:, part] - rate[:, None] * n[:, part]) ** 2).sum(1)
            self.within += np.where(chance > 0, [left, chance, chance * chance / np.maximum(pods - 1, 1)], 0.0)

    def dispersion_within(self) -> Floats:
        """As `within.dispersion_within`."""
        left, chance, squares = self.within
        freedom = chance * chance / np.maximum(squares, 1e-300)
        known = (squares > 0) & (left > 0) & (freedom >= within.ENOUGH)
        unit = 2.0 / (9.0 * np.where(known, freedom, 100.0))
        bound = left / np.maximum(chance, 1e-300) / (1.0 - unit - within.UPPER_Z * np.sqrt(unit)) ** 3
        return np.where(known, np.maximum(1.0, bound), np.inf)

    def dispersion(self) -> Floats:
        """As `sequential.dispersion`."""
        n, x, xx, xn, nn, cells, largest = self.sums
        some = x > 0
        rate, mean = x / np.maximum(n, 1e-9), x / np.maximum(cells, 1e-9)
        variation = np.maximum(0.0, xx - 2 * rate * xn + rate * rate * nn)
        weight = np.where(some, np.minimum(1.0, mean), 0.0)
        independent = np.maximum(mean, 1e-12) * (1.0 - np.minimum(rate, sequential.MAX_RATE))
        excess = np.where(some, variation / independent * weight, 0.0).sum(1)
        dof = ((cells - 1) * weight).sum(1)
        pooled = x.sum(1) / np.maximum(n.sum(1), 1e-9)
        expected = np.maximum(pooled * n[:, 0] / np.maximum(cells[:, 0], 1.0), 1e-12)
        deviation = np.maximum(0.0, largest[:, 0] - expected)
        variance = expected * (1.0 - np.minimum(pooled, sequential.MAX_RATE))
        burst = np.minimum(largest[:, 0], deviation * deviation / variance)
        prior = sequential.PRIOR_BURSTS
        found: Floats = np.maximum(1.0, (excess + prior * burst) / (dof + prior))
        return np.minimum(found, self.dispersion_within())

    def log_evidence(self) -> Floats:
        """As `sequential.log_evidence`."""
        terms = LOG_WEIGHTS + self.likelihoods / self.dispersion()[:, None]
        top = terms.max(1)
        found: Floats = top + np.log(np.exp(terms - top[:, None]).sum(1))
        return found

    def convicted(self, before_requests: Floats, before_failures: Floats, limit: float) -> NDArray[np.bool_]:
        """As `sequential.convicts`, with the old pods and the time before as the baseline."""
        found, spread = self.log_evidence(), self.dispersion()
        n, x = np.maximum(self.sums[0, :, 0], 1e-9), self.sums[1, :, 0]
        m, y = self.sums[0, :, 1] + before_requests, self.sums[1, :, 1] + before_failures
        likely = expected_failures(n, m, x + y, self.effect)
        ratio = surplus(x, likely) + surplus(n - x, n - likely)
        ratio += surplus(y, x + y - likely) + surplus(m - y, m - x - y + likely)
        information = (x + y) * (1 - (x + y) / (n + m)) * n * m / ((n + m) * (n + m))
        before = ratio / spread - 0.5 * np.log1p(np.maximum(information, 0) / spread) - 1
        before = np.where((x > likely) & (x > 0), before, 0.0)
        many = np.maximum(self.failing, 2 * np.minimum(self.failing, self.old_failing)) >= sequential.MANY_FAILING
        unlikely = (self.chance >= sequential.CHANCE) | many
        proven = (found >= limit) | ((found >= sequential.COMBINED) & (before >= limit))
        answer: NDArray[np.bool_] = proven & unlikely & (self.failing >= sequential.MIN_FAILING)
        return answer


def expected_failures(new: Floats, old: Floats, bad: Floats, odds: float) -> Floats:
    """As `sequential.expected_failures`."""
    linear, constant = odds * (new + bad) + old - bad, odds * new * bad
    root = np.sqrt(np.maximum(0.0, linear * linear - 4.0 * (odds - 1.0) * constant))
    found: Floats = np.minimum(np.minimum(2.0 * constant / (linear + root), new), bad)
    return found


def growth(new: Floats, old: Floats, bad: Floats, effect: float, odds: float) -> Floats:
    """As `sequential._growth`."""
    before, after = (expected_failures(new, old, bad, at) for at in (effect, effect * odds))
    found = np.log(effect) * (after - before) + np.log(odds) * after
    for mean, sign in ((before, 1.0), (after, -1.0)):
        for part in (mean, new - mean, bad - mean, old - bad + mean):
            found = found + sign * surplus(part, np.ones_like(part))
    grown: Floats = found + (found - np.log(odds) * before) / np.maximum(1.0, new + old - 1.0)
    rare = bad * np.log1p(new * effect / (new * effect + old) * (odds - 1.0))
    return np.where(bad <= sequential.RARE * (new + old), rare, grown)


def surplus(count: Floats, likely: Floats) -> Floats:
    """count × log(count / likely); 0 for no counts."""
    found: Floats = np.where(count > 0, count * np.log(np.maximum(count, 1e-300) / np.maximum(likely, 1e-300)), 0.0)
    return found


def draw(rng: np.random.Generator, mean: Floats, rates: Floats, burst: Floats) -> tuple[Floats, Floats]:
    """Requests and failures of one evaluation. A burst's failures are requests of one pod on top of the others."""
    single = burst == 1
    failures = rng.poisson(mean * rates / burst) * burst
    return rng.poisson(mean * np.where(single, 1.0 - rates, 1.0)) + failures, failures


BLOCK = 2000
"""Releases that are computed together."""


def convictions(
    setting: Setting, releases: int, seconds: float, seed: int, *, false_alarms: float = 0.001, effect: float = 1.0
) -> Floats:
    """When each release is convicted, in seconds; infinite if it is not within `seconds`."""
    found = convictions_of([setting], releases, seconds, seed, false_alarms=false_alarms, effect=effect)
    row: Floats = found[0]
    return row


def convictions_of(
    settings: Sequence[Setting],
    releases: int,
    seconds: float,
    seed: int,
    *,
    false_alarms: float = 0.001,
    effect: float = 1.0,
) -> Floats:
    """As `convictions`, a row for each setting. All must have the same pods of each side, and the same `every`."""
    rows = [setting for setting in settings for _ in range(releases)]
    found = np.concatenate(
        [
            _block(part, seconds, np.random.default_rng((seed, number)), false_alarms, effect)
            for number, part in enumerate(_blocks(rows))
        ]
    )
    return found.reshape(len(settings), releases)


def _blocks(rows: Sequence[Setting]) -> Iterable[Sequence[Setting]]:
    left = iter(rows)
    return iter(lambda: list(islice(left, BLOCK)), [])


def _block(
    rows: Sequence[Setting], seconds: float, rng: np.random.Generator, false_alarms: float, effect: float
) -> Floats:
    first = rows[0]
    mean = np.array([row.rate * row.every * row.shares for row in rows])
    rates = np.array([row.rates for row in rows])
    burst = np.array([[float(row.burst)] for row in rows])
    shared = np.array([[row.shared] for row in rows])
    length = np.array([row.incident for row in rows])
    begins = rng.uniform(0.0, seconds, len(rows))
    # The time before: all requests by equal pods of the old revision.
    whole = np.array([[row.rate * row.before] for row in rows])
    before = draw(rng, whole, np.array([[row.base] for row in rows]), burst)
    state = Scores(len(rows), first.new, first.new + first.old, effect)
    limit = sequential.limit(false_alarms)
    found = np.full(len(rows), np.inf)
    for look in range(1, round(seconds / first.every) + 1):
        at = look * first.every
        hit = (begins < at) & (at <= begins + length)
        now = np.minimum(1.0, rates + shared * hit[:, None]) if shared.any() else rates
        state.add(*draw(rng, mean, now, burst), first.every)
        convicted = state.convicted(before[0][:, 0], before[1][:, 0], limit)
        found[convicted & np.isinf(found)] = at
        if not np.isinf(found).any():
            break
    return found
