"""The old pods were in breach too, and are gone: what of the new ones' breach is their own."""

from __future__ import annotations

import random
from typing import Any

import pytest

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.analysis.judgement import OTHER_CAUSES, CanaryContext, Judgement
from resilience_operator.decision.analysis.proof import judge_scored
from resilience_operator.decision.model.memory import Phase, ReleaseMemory, RequestCounts
from resilience_operator.decision.model.policy import Condition, Signal
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.score import Cell, LiveEvidence, LiveScore, Score, Slot

ERRORS, ABOVE = Signal("error-rate", 120.0, 20.0, "ratio"), Condition("error-rate", 0.01)
CROSSING = Judgement(True, "Crossed", "", 0.05)
BEFORE = RequestCounts(20_000, 20)


def judged(
    *parts: tuple[int, float, float],
    seed: int = 1,
    ok_before: bool = False,
    signal: Signal = ERRORS,
    before: RequestCounts = BEFORE,
    shared_incident: bool = False,
    served_clean: float | None = None,
) -> Judgement:
    """Judge a release of two new pods beside two old ones, of 100 requests in each slot of 5 s.

    parts: the slots, and the failure rates of the new and of the old side. A negative rate is a side without pods.
    """
    rng, score, slots, now = random.Random(seed), Score(), [], 0.0
    for count, *rates in parts:
        for _ in range(count):
            cells = [
                Cell(f"{side}-{pod}", side == 0, 100.0, float(sum(rng.random() < rate for _ in range(100))))
                for side, rate in enumerate(rates)
                if rate >= 0
                for pod in range(2)
            ]
            now += 5.0
            score = sequential.add_slot(score, cells, now)
            new, old = ([c for c in cells if c.new is side] for side in (True, False))
            counts = [sum(getattr(c, name) for c in side) for side in (new, old) for name in ("requests", "failures")]
            slots.append(Slot(now - 5.0, now, *counts))
    live = LiveScore(replace(score, served_clean=served_clean), slots=tuple(slots), crossed_since=5.0)
    release = ReleaseMemory(
        Phase.BAKING, 0.0, "b", baseline={"error-rate": before}, live=LiveEvidence({"error-rate>0.01": live})
    )
    context = CanaryContext("b", release=release, now=now, baseline=release.baseline, shared_incident=shared_incident)
    found = judge_scored(
        ABOVE, signal, context, CROSSING, old_crossed=None, ok_before=ok_before, since_release=True, after=30.0
    )
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(5))
def test_what_stays_after_a_shared_overload_is_the_new_revisions(seed: int) -> None:
    found = judged((3, 0.32, 0.2), (40, 0.05, -1), seed=seed)
    assert found.crossed is True, found.message


@pytest.mark.parametrize("seed", range(5))
def test_a_shared_breach_that_goes_on_is_held_and_reported(seed: int) -> None:
    found = judged((1, 0.1, 0.1), (120, 0.1, -1), seed=seed)
    assert found.crossed is None and found.reason == "SharedBefore" and found.suspect


def test_a_breach_that_was_as_frequent_on_the_old_pods_is_shared() -> None:
    found = judged((20, 0.2, 0.2), (60, 0.2, -1))
    assert found.crossed is False and found.reason == "SharedByRevisions"


def test_a_shared_breach_that_ends_is_recovered() -> None:
    assert judged((3, 0.2, 0.2), (40, 0.2, -1), (30, 0.001, -1)).reason == "Recovered"


@pytest.mark.parametrize("seed", range(5))
def test_old_pods_that_end_as_a_shared_breach_begins_were_in_breach_by_their_last_requests(seed: int) -> None:
    found = judged((20, 0.001, 0.001), (1, -1, 0.1), (40, 0.1, -1), seed=seed, ok_before=True)
    assert found.crossed is None and found.reason == "SharedBefore" and found.suspect


def test_old_pods_that_served_well_until_their_end_are_no_excuse() -> None:
    assert judged((20, -1, 0.001), (40, 0.05, -1), ok_before=True).crossed is True


@pytest.mark.parametrize("seed", range(5))
def test_what_stays_after_a_short_shared_breach_is_the_new_revisions(seed: int) -> None:
    """The old pods saw only its begin, so that they failed no more often than the new ones do afterwards."""
    found = judged((8, -1, 0.001), (4, -1, 0.04), (18, 0.2, -1), (26, 0.03, -1), seed=seed, ok_before=True)
    assert found.crossed is True, found.message


@pytest.mark.parametrize("slots", range(1, 24))
def test_a_shared_breach_that_ends_just_now_convicts_nobody(slots: int) -> None:
    found = judged((8, -1, 0.001), (4, -1, 0.15), (30, 0.15, -1), (slots, 0.001, -1), ok_before=True)
    assert not found.crossed, found.message


LATENCY = replace(ERRORS, quantile=0.99)


@pytest.mark.parametrize(
    ("parts", "options", "reason"),
    [
        pytest.param(
            [(4, -1, 0.001), (60, 0.001, -1), (40, 0.05, -1)], {"served_clean": 300.0}, "LateOnset", id="served-well"
        ),
        pytest.param([(20, -1, 0.001), (30, 0.05, -1)], {"shared_incident": True}, "SharedIncident", id="others-too"),
        pytest.param(
            [(20, -1, 0.001), (40, 0.05, -1)],
            {"signal": LATENCY, "before": RequestCounts(1_000, 1)},
            "LoadGrew",
            id="more-load",
        ),
    ],
)
def test_a_likelier_cause_than_the_release_is_named(
    parts: list[tuple[int, float, float]], options: dict[str, Any], reason: str
) -> None:
    found = judged(*parts, ok_before=True, **options)
    assert (found.crossed, found.reason) == (None, reason), found.message
    assert found.reason in OTHER_CAUSES


def test_the_same_breach_without_that_cause_is_the_releases() -> None:
    assert judged((20, -1, 0.001), (40, 0.05, -1), ok_before=True, signal=LATENCY).crossed is True
