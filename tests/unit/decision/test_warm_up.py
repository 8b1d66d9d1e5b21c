"""The warm-up of new pods, learned from the start-ups of the target."""

from __future__ import annotations

import numpy as np
import pytest

from resilience_operator.decision.analysis.warm_up import (
    DEFAULT,
    LONGEST,
    MIN_COLD,
    STEP,
    effective,
    learned,
    with_ages,
)
from resilience_operator.decision.model.observation import Histogram, Increment, Observation
from resilience_operator.decision.model.policy import Condition, Release
from resilience_operator.decision.model.score import AgeCounts, LiveEvidence, LiveScore

CLASSES = int(LONGEST // STEP)


def counted(warm_up: float, cold: float = 0.2, warm: float = 0.02, requests: int = 500, seed: int = 1) -> LiveEvidence:
    """Pods whose share of slow requests is `cold` for `warm_up` seconds, and `warm` later."""
    rng = np.random.default_rng(seed)
    ages = {
        index: AgeCounts(float(requests), float(rng.binomial(requests, cold if index * STEP < warm_up else warm)))
        for index in range(CLASSES)
    }
    ages[CLASSES] = AgeCounts(20_000.0, float(rng.binomial(20_000, warm)))
    return LiveEvidence({"latency-p99>1": LiveScore(ages=ages)})


@pytest.mark.parametrize("warm_up", [20.0, 60.0, 120.0, LONGEST])
def test_what_is_learned_is_how_long_new_pods_are_slower(warm_up: float) -> None:
    assert learned(None, counted(warm_up)) == warm_up


def test_pods_without_a_warm_up_have_the_shortest() -> None:
    wrong = [seed for seed in range(300) if learned(None, counted(0.0, seed=seed)) != STEP]
    assert wrong == []


def test_a_shorter_one_counts_by_half_and_a_longer_one_at_once() -> None:
    assert learned(100.0, counted(60.0)) == 80.0
    assert learned(30.0, counted(60.0)) == 60.0


@pytest.mark.parametrize("found", [None, LiveEvidence(), counted(60.0, requests=int(MIN_COLD) - 1)])
def test_too_few_requests_teach_nothing(found: LiveEvidence | None) -> None:
    assert learned(45.0, found) == 45.0
    assert learned(None, found) is None


@pytest.mark.parametrize(
    ("written", "known", "seconds"),
    [
        (None, None, DEFAULT),
        (None, 60.0, 60.0),
        (None, 9e9, LONGEST),
        (None, -1.0, STEP),
        (0.0, 60.0, 0.0),
        (45.0, 60.0, 45.0),
    ],
)
def test_the_policy_decides_then_what_is_learned(written: float | None, known: float | None, seconds: float) -> None:
    assert effective(Release(warm_up=written), known) == seconds


def test_requests_are_counted_by_the_age_of_their_pod() -> None:
    slow = Histogram((1.0, float("inf")), (8.0, 10.0))
    increments = (
        Increment("young", "b", 10.0, None, slow),
        Increment("old", "b", 10.0, None, slow),
        Increment("other", "a", 10.0, None, slow),
    )
    condition = Condition("latency-p99", 1.0)
    began = {"young": 975.0, "old": 0.0}
    observation = Observation(1005.0, increments=increments, since=1000.0)
    found = with_ages({}, observation, condition, 1.0, "b", began)
    assert found == {2: AgeCounts(10.0, 2.0), CLASSES: AgeCounts(10.0, 2.0)}
