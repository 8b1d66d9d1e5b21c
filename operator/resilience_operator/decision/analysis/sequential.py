"""A sequential test: does the new revision fail more often than the old one? Valid however often it is evaluated.

Within a slot, the number of failures of both sides and the requests of each side are taken as given. If both revisions
are equal, how many of the failures fall on the new side has a hypergeometric distribution, whatever the common rate is:
a shared incident changes both sides and cancels out. With an odds ratio between the sides the distribution is the
noncentral one (R. A. Fisher, 1935). The likelihood ratio of a larger odds ratio against equality is a martingale under
equality, so the mixture over several of them exceeds 1/a with probability at most a, at any time (J. Ville, 1939;
Howard et al., "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49(2), 2021;
Lindon et al., "Rapid Regression Detection in Software Deployments through Sequential Testing", KDD 2022). Its
normalizer is taken at the saddle point, where the mean is that of J. Cornfield (1956).

Failures come in bursts, so they are not independent. The log-likelihoods are divided by the dispersion: the variance
of the failures of a cell (one pod in one slot) over that of independent ones, as in quasi-likelihood (McCullagh and
Nelder, 1989). Few cells cannot show a dispersion, so the largest cell counts as one more burst, and the failing cells
alone must be improbable: if each were one burst, all of them on the new side by chance.

An incident that both sides share, such as an overload, changes the failure rate over time. The variance over all slots
takes that for bursts. So once enough is known, the dispersion is at most the one within slots (`analysis.within`).

All numbers are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log, log1p, sqrt

from resilience_operator.decision.analysis.within import dispersion_within, with_slot
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.score import Cell, Score, SideCounts

ODDS = (1.6, 6.0, 25.0)
"""Odds ratios of the mixture."""

WEIGHTS = (0.375, 0.25, 0.375)
"""Their weights."""

PRIOR_BURSTS = 0.25
"""Weight, in cells, of the assumption that the largest cell is one burst."""

CHANCE = log(100.0)
"""The failing cells alone must be at most this probable (1%)."""

MANY_FAILING = 20
"""Failing cells of the new side, or of both sides in equal parts, with which the dispersion is known well enough
without that."""

COMBINED = log(20.0)
"""The limit beside old pods (5%), if the comparison with the time before the release reaches the full limit."""

MIN_FAILING = 3
"""Cells of the new side that must fail. That is at least two pods or two slots, and no two bursts are enough."""

RARE = 0.05
"""Failure rate up to which the binomial distribution is close to the hypergeometric one."""

MAX_RATE = 0.95
"""Maximum failure rate for the variance of independent failures, so that it is not zero."""

CLEAN = log(20.0)
"""Certainty that the new revision served like its baseline: 95%."""


def limit(false_alarms: float, tests: int = 1) -> float:
    """Return the score that convicts. `tests` tests share the budget, and each has two ways to reach it.

    Half of the budget is left for the dispersion, which is an estimate.
    """
    return log(4.0 * max(tests, 1) / false_alarms)


def add_slot(score: Score, cells: Iterable[Cell], end: float, effect: float = 1.0) -> Score:
    """Return the score after one more slot. effect: odds ratio up to which the new revision counts as equal."""
    cells = tuple(cells)
    new_requests, new_failures, failing = _sums(cells, new=True)
    old_requests, old_failures, old_failing = _sums(cells, new=False)
    likelihoods, chance = _likelihoods(score) or (0.0,) * len(ODDS), score.chance
    if new_requests > 0 and old_requests > 0:
        failures = new_failures + old_failures
        if failures:
            likelihoods = tuple(
                before + new_failures * log(odds) - _growth(new_requests, old_requests, failures, effect, odds)
                for before, odds in zip(likelihoods, ODDS, strict=True)
            )
            chance -= failing * log(new_requests * effect / (new_requests * effect + old_requests))
    return replace(
        score,
        at=end,
        new=_add(score.new_side, (c for c in cells if c.new)),
        old=_add(score.old_side, (c for c in cells if not c.new)),
        likelihoods=likelihoods,
        chance=chance,
        failing=score.failing + failing,
        old_failing=score.old_failing + old_failing,
        within=with_slot(score.within, cells),
        effect=effect,
    )


def expected_failures(new: float, old: float, failures: float, odds: float) -> float:
    """Return how many of `failures` fall on the new side with that odds ratio, between 0 and `failures`.

    new, old: requests of each side. Cornfield's mean of the noncentral hypergeometric distribution: the m for which
    m (old - failures + m) = odds (new - m) (failures - m). It is also the most likely number under that odds ratio.
    """
    square, linear = odds - 1.0, odds * (new + failures) + old - failures
    constant = odds * new * failures
    root = sqrt(max(0.0, linear * linear - 4.0 * square * constant))
    return min(2.0 * constant / (linear + root), new, failures)


def _growth(new: float, old: float, failures: float, effect: float, odds: float) -> float:
    """Return the logarithm by which the normalizer of the distribution grows from `effect` to `effect * odds`.

    If few requests fail it is that of the binomial distribution, which is an upper bound. The saddle point omits that
    the variance is larger by N / (N - 1) if requests are taken without replacement.
    """
    if failures <= RARE * (new + old):
        return failures * log1p(new * effect / (new * effect + old) * (odds - 1.0))
    before = expected_failures(new, old, failures, effect)
    after = expected_failures(new, old, failures, effect * odds)
    found = log(effect) * (after - before) + log(odds) * after
    found += _x_log_x(before, new - before, failures - before, old - failures + before)
    found -= _x_log_x(after, new - after, failures - after, old - failures + after)
    return found + (found - log(odds) * before) / max(1.0, new + old - 1.0)


def _x_log_x(*values: float) -> float:
    return sum(value * log(value) for value in values if value > 0)


def dispersion(score: Score) -> float:
    """Return how many failures come together, at least 1: the pooled variance over that of independent failures."""
    found = _dispersion_over_time(score)
    return min(found, dispersion_within(score.within)) if found > 1.0 else 1.0


def _dispersion_over_time(score: Score) -> float:
    """Return the dispersion of the cells of each side around the side's failure rate in all slots."""
    excess = cells = 0.0
    for side in (score.new_side, score.old_side):
        if side.failures <= 0 or side.cells < 1:
            continue
        rate, mean = side.failures / side.requests, side.failures / side.cells
        variation = max(0.0, side.squares - 2 * rate * side.cross + rate * rate * side.request_squares)
        weight = min(1.0, mean)  # a cell without an expected failure shows little about bursts
        excess += variation / (mean * (1.0 - min(rate, MAX_RATE))) * weight
        cells += (side.cells - 1) * weight
    return (excess + PRIOR_BURSTS * _largest_burst(score)) / (cells + PRIOR_BURSTS)


def _largest_burst(score: Score) -> float:
    """Return the largest cell of the new side as one burst.

    If many requests fail anyway, most of the cell's failures need no burst. So the burst is at most the squared
    deviation from what both sides together expect, in units of its variance.
    """
    new, old = score.new_side, score.old_side
    if new.largest <= 0 or new.failures <= 0 or new.cells < 1:
        return new.largest
    rate = (new.failures + old.failures) / (new.requests + old.requests)
    expected = rate * new.requests / new.cells
    deviation = max(0.0, new.largest - expected)
    return min(new.largest, deviation * deviation / (expected * (1.0 - min(rate, MAX_RATE))))


def log_evidence(score: Score, spread: float | None = None) -> float:
    """Return the logarithm of the evidence that the new revision is worse. spread: the dispersion, if known."""
    likelihoods = _likelihoods(score)
    if not likelihoods:
        return 0.0
    spread = dispersion(score) if spread is None else spread
    terms = [log(weight) + found / spread for weight, found in zip(WEIGHTS, likelihoods, strict=True)]
    top = max(terms)
    return top + log(sum(exp(term - top) for term in terms))


def log_evidence_before(
    new_requests: float, new_failures: float, requests: float, failures: float, spread: float, effect: float = 1.0
) -> float:
    """Return the same against counts from before: a likelihood ratio, reduced by the cost of its free odds ratio.

    That cost is the logarithm of the prior's standard deviation, in units of that of the estimate, and 1 as a margin.
    Not a proof by itself, because time changes more than the revision.
    """
    if new_requests <= 0 or requests <= 0 or new_failures <= 0:
        return 0.0
    bad = new_failures + failures
    expected = expected_failures(new_requests, requests, bad, effect)
    if new_failures <= expected:
        return 0.0
    found = (
        (new_failures, expected),
        (new_requests - new_failures, new_requests - expected),
        (failures, bad - expected),
        (requests - failures, requests - bad + expected),
    )
    ratio = sum(count * log(count / likely) for count, likely in found if count > 0 and likely > 0)
    every = new_requests + requests
    information = bad * (1.0 - bad / every) * new_requests * requests / (every * every)
    return ratio / spread - 0.5 * log1p(information / spread) - 1.0


def convicts(score: Score, limit_: float, before: float = 0.0) -> bool:
    """Return whether the new revision is proven worse than the old one beside it.

    before: the evidence against the time before the release, which lowers the limit beside the old pods.
    """
    many = max(score.failing, 2 * min(score.failing, score.old_failing)) >= MANY_FAILING
    if score.failing < MIN_FAILING or (score.chance < CHANCE and not many):
        return False
    found = log_evidence(score)
    return found >= limit_ or (found >= COMBINED and before >= limit_)


def are_equal(score: Score) -> bool:
    """Return whether both sides certainly fail alike: the smallest odds ratio of the mixture is refuted (95%)."""
    likelihoods = _likelihoods(score)
    return bool(likelihoods) and likelihoods[0] / dispersion(score) <= -CLEAN


def add_clean(score: Score, requests: float, failures: float, good: float, bad: float, at: float) -> Score:
    """Return the score after requests of the new revision, with the test of "clean since exposure".

    good, bad: the failure rates of a revision like its baseline, and of one that fails.
    """
    if score.served_clean is not None or requests <= 0 or not 0 < good < bad < 1:
        return score
    clean = score.clean + log_clean(requests, failures, good, bad) / dispersion(score)
    return replace(score, clean=clean, served_clean=at if clean >= CLEAN else None)


def log_clean(requests: float, failures: float, good: float, bad: float) -> float:
    """Return the log-likelihood ratio of the rate `good` against `bad`."""
    failures = min(failures, requests)
    return failures * log(good / bad) + (requests - failures) * log((1 - good) / (1 - bad))


def more_requests(score: Score, limit_: float) -> float | None:
    """Return about how many more requests of the new revision a verdict needs at this rate, or None if unknown."""
    found, requests = log_evidence(score), score.new_side.requests
    if found <= 0.5 or requests <= 0 or found >= limit_:
        return None
    return requests * (limit_ - found) / found


def _likelihoods(score: Score) -> tuple[float, ...]:
    """Return the likelihoods; none if they belong to other odds ratios."""
    return score.likelihoods if len(score.likelihoods) == len(ODDS) else ()


def _sums(cells: Iterable[Cell], *, new: bool) -> tuple[float, float, int]:
    requests = failures = 0.0
    failing = 0
    for cell in cells:
        if cell.new is new:
            requests += cell.requests
            failures += cell.failures
            failing += cell.failures > 0
    return requests, failures, failing


def _add(side: SideCounts, cells: Iterable[Cell]) -> SideCounts:
    requests, failures, squares, cross, request_squares, count, largest = side
    for cell in cells:
        n, x = cell.requests, cell.failures
        requests += n
        failures += x
        squares += x * x
        cross += x * n
        request_squares += n * n
        count += 1
        largest = max(largest, x)
    return SideCounts(requests, failures, squares, cross, request_squares, count, largest)
