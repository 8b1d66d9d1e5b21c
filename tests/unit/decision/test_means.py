"""The test of values without failures: CPU per request."""

from __future__ import annotations

import math

import numpy as np
import pytest

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.evidence import judge_release
from resilience_operator.decision.analysis.judgement import CanaryContext
from resilience_operator.decision.analysis.means import log_evidence, with_window
from resilience_operator.decision.model.memory import Phase, ReleaseMemory, RequestCounts
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Signal
from resilience_operator.decision.model.score import LiveEvidence, MeanScore, MeanSide
from tests.bench.release_verdicts.costs import convicted

COST = Signal("cpu-per-request", window=120.0, min_samples=20.0, unit="seconds")
WORSE = Condition("cpu-per-request", math.inf, worse_by=0.2)
KEY = "cpu-per-request>baseline+0.2"


def side(*values: float) -> MeanSide:
    logs = [math.log(value) for value in values]
    return MeanSide(len(logs), sum(logs), sum(x * x for x in logs))


@pytest.mark.parametrize(("ratio", "noise", "beside"), [(1.0, 0.05, 0), (1.2, 0.02, 0), (1.2, 0.2, 2)])
def test_an_equal_release_is_not_convicted_by_looking_often(ratio: float, noise: float, beside: int) -> None:
    assert not np.isfinite(convicted(ratio, noise, 60, 1, beside=beside)).any()


def test_a_release_that_costs_far_more_is_found_within_the_bake() -> None:
    assert np.median(convicted(1.8, 0.02, 30, 1)) <= 5


def test_one_window_proves_nothing_however_large_the_difference() -> None:
    assert log_evidence(side(10.0), side(1.0), 0.2) < math.log(3.0)


def test_the_noise_of_either_side_is_uncertainty() -> None:
    quiet = log_evidence(side(1.5, 1.51, 1.49, 1.5), side(1.0, 1.01), 0.2)
    assert log_evidence(side(1.5, 1.51, 1.49, 1.5), side(0.7, 1.3), 0.2) < quiet
    assert log_evidence(side(1.0, 2.0, 1.3, 1.7), side(1.0, 1.01), 0.2) < quiet


def test_the_integral_agrees_with_the_t_distribution() -> None:
    """With two windows on each side, the density ratio of t with two degrees of freedom has a closed form."""
    found = log_evidence(side(math.e, math.e**1.2), side(1.0, math.exp(0.1)), 0.0)
    new, old, squares = [1.0, 1.2], [0.0, 0.1], 0.02 + 0.005
    standardized = (sum(new) - sum(old)) / 2
    cosine = standardized / math.sqrt(standardized**2 + squares)
    y = np.linspace(1e-9, 60.0, 400_000)
    step = y[1] - y[0]
    ratios = [
        math.exp(-(d**2) / 2)
        * float((y**2 * np.exp(-(y**2) / 2 + d * cosine * y)).sum() * step)
        / float((y**2 * np.exp(-(y**2) / 2)).sum() * step)
        for d in (3.0, 8.0, 20.0)
    ]
    assert found == pytest.approx(math.log(sum(ratios) / 3), abs=1e-3)


def test_windows_are_disjoint_and_begin_when_all_new_pods_are_warm() -> None:
    new, old = Measured(0.03, 1000.0), [Measured(0.02, 1000.0)]
    score = MeanScore()
    for at in range(0, 600, 15):
        score = with_window(score, COST, float(at), new, old, 60.0)
    assert (score.new.windows, score.old.windows) == (4, 4)
    assert score.new.total == pytest.approx(4 * math.log(0.03))


def test_too_few_requests_are_no_window() -> None:
    score = with_window(MeanScore(), COST, 120.0, Measured(0.03, 3.0), [], 0.0)
    assert score.new == MeanSide()


@pytest.mark.parametrize(
    ("values", "crossed", "reason"),
    [
        ((), None, "TooFewSamples"),
        ((0.04, 0.0401, 0.0399, 0.04, 0.0401, 0.04), True, "Crossed"),
        ((0.04, 0.02, 0.03, 0.05, 0.02, 0.03), False, "NotWorse"),
        ((0.0205, 0.0206, 0.0204, 0.0205, 0.0206, 0.0205), False, "NotWorse"),
    ],
)
def test_what_is_judged(values: tuple[float, ...], crossed: bool | None, reason: str) -> None:
    live = LiveEvidence(means={KEY: MeanScore(0.0, side(*values))} if values else {})
    release = ReleaseMemory(Phase.BAKING, 0.0, "b", good="a", live=live, baseline={KEY: RequestCounts(10_000.0, 200.0)})
    value = Measured(0.04, 1000.0)
    observation = Observation(1000.0, value, by_revision={"b": value}, splittable=True)
    canary = CanaryContext("b", release=release, limit=sequential.limit(0.001), now=1000.0)
    found = judge_release(WORSE, COST, observation, canary, ok_before=True)
    assert (found.crossed, found.reason) == (crossed, reason)
