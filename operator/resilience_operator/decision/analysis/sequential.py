"""A sequential test: does the new revision fail more often than the old one? Valid however often it is evaluated.

Of the failures in a slot, each falls on the new side with the probability of its share of the requests, if both
revisions are equal. The likelihood ratio of an odds ratio above one against that is a martingale under equality, so
the mixture over several odds ratios exceeds 1/a with probability at most a, at any time (J. Ville, 1939; Howard et
al., "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49(2), 2021; Lindon et
al., "Rapid Regression Detection in Software Deployments through Sequential Testing", KDD 2022). Conditioning on the
number of failures of both sides removes the common rate: a shared incident changes both.

Failures come in bursts, so they are not independent. The log-likelihoods are divided by the dispersion: the variance
of the failures of a cell (one pod in one slot) over their mean, as in quasi-likelihood (McCullagh and Nelder, 1989).
Few cells cannot show a dispersion, so the largest cell counts as one more burst, and the failing cells alone must be
improbable: if each were one burst, all of them on the new side by chance.

All numbers are natural logarithms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import exp, log, log1p

from resilience_operator.decision.model.score import Cell, Score, SideCounts

ODDS = (1.4, 2.0, 4.0, 20.0)
"""Odds ratios of the mixture."""

WEIGHTS = (0.15, 0.25, 0.25, 0.35)
"""Their weights."""

PRIOR_BURSTS = 0.5
"""Weight, in cells, of the assumption that the largest cell is one burst."""

CHANCE = log(100.0)
"""The failing cells alone must be at most this probable (1 %)."""

MANY_FAILING = 20
"""Failing cells with which the dispersion is known well enough without that."""

COMBINED = log(100.0)
"""The limit beside old pods (1 %), if the comparison with the time before the release reaches the full limit."""

MIN_FAILING = 2
"""Cells of the new side that must fail: two pods, or two slots."""

CLEAN = log(20.0)
"""Certainty that the new revision served like its baseline: 95 %."""


def limit(false_alarms: float, tests: int = 1) -> float:
    """Return the score that convicts. `tests` tests share the budget, and each has two ways to reach it."""
    return log(2.0 * max(tests, 1) / false_alarms)


def add_slot(score: Score, cells: Iterable[Cell], end: float, effect: float = 1.0) -> Score:
    """Return the score after one more slot. effect: odds ratio up to which the new revision counts as equal."""
    cells = tuple(cells)
    new_requests, new_failures, failing = _sums(cells, new=True)
    old_requests, old_failures, _ = _sums(cells, new=False)
    likelihoods, chance = _likelihoods(score) or (0.0,) * len(ODDS), score.chance
    if new_requests > 0 and old_requests > 0:
        share = new_requests * effect / (new_requests * effect + old_requests)
        failures = new_failures + old_failures
        if failures:
            likelihoods = tuple(
                before + new_failures * log(odds) - failures * log1p(share * (odds - 1.0))
                for before, odds in zip(likelihoods, ODDS, strict=True)
            )
            chance += failing * -log(share)
    return replace(
        score,
        at=end,
        new=_add(score.new_side, (c for c in cells if c.new)),
        old=_add(score.old_side, (c for c in cells if not c.new)),
        likelihoods=likelihoods,
        chance=chance,
        failing=score.failing + failing,
        effect=effect,
    )


def dispersion(score: Score) -> float:
    """Return how many failures come together, at least 1: the pooled variance over the mean of the cells."""
    excess = cells = 0.0
    for side in (score.new_side, score.old_side):
        if side.failures <= 0 or side.cells < 1:
            continue
        rate, mean = side.failures / side.requests, side.failures / side.cells
        variation = max(0.0, side.squares - 2 * rate * side.cross + rate * rate * side.request_squares)
        weight = min(1.0, mean)  # a cell without an expected failure shows little about bursts
        excess += variation / mean * weight
        cells += (side.cells - 1) * weight
    return max(1.0, (excess + PRIOR_BURSTS * score.new_side.largest) / (cells + PRIOR_BURSTS))


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
    """Return the same against counts from before: a likelihood ratio, reduced by the cost of its two free rates.

    Not a proof by itself, because time changes more than the revision.
    """
    if new_requests <= 0 or requests <= 0 or new_failures <= 0:
        return 0.0
    weighted = new_requests * effect
    if new_failures * requests <= failures * weighted:
        return 0.0
    pooled = (new_failures + failures) / (weighted + requests)
    ratio = new_failures * log(new_failures / (weighted * pooled))
    if failures > 0:
        ratio += failures * log(failures / (requests * pooled))
    return ratio / spread - 0.5 * log1p((new_failures + failures) / spread) - 1.0


def convicts(score: Score, limit_: float, before: float = 0.0) -> bool:
    """Return whether the new revision is proven worse than the old one beside it.

    before: the evidence against the time before the release, which lowers the limit beside the old pods.
    """
    if score.failing < MIN_FAILING or (score.chance < CHANCE and score.failing < MANY_FAILING):
        return False
    found = log_evidence(score)
    return found >= limit_ or (found >= COMBINED and before >= limit_)


def add_clean(score: Score, requests: float, failures: float, good: float, bad: float, at: float) -> Score:
    """Return the score after requests of the new revision, with the test of "clean since exposure".

    good, bad: the failure rates of a revision like its baseline, and of one that fails.
    """
    if score.served_clean is not None or requests <= 0 or not 0 < good < bad < 1:
        return score
    spread = dispersion(score)
    failures = min(failures, requests)
    step = failures * log(good / bad) + (requests - failures) * log((1 - good) / (1 - bad))
    clean = score.clean + step / spread
    return replace(score, clean=clean, served_clean=at if clean >= CLEAN else None)


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
