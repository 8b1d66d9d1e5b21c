"""The bench of verdicts: its arithmetic is the decision's, and a few releases of each kind end as they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.model.score import Cell, Score
from tests.bench.release_verdicts.__main__ import CASES
from tests.bench.release_verdicts.vectorised import Scores, Setting, convictions, convictions_of
from tests.bench.release_verdicts.whole import Verdict, run


def outcomes(name: str, runs: int) -> list[Verdict]:
    case = next(case for known, case, _ in CASES if known == name)
    return [run(case, seed) for seed in range(runs)]


def test_the_arrays_compute_what_the_decision_computes() -> None:
    rng = np.random.default_rng(4)
    arrays, score = Scores(1, 1, 4), Score()
    for look in range(1, 60):
        requests = rng.poisson(40.0, (1, 4)).astype(float) + 10
        shared = 0.2 if 20 < look < 40 else 0.0
        failures = rng.binomial(requests.astype(int), np.array((0.03, 0.01, 0.01, 0.01)) + shared).astype(float)
        arrays.add(requests, failures, 5.0)
        cells = [Cell(str(i), i == 0, requests[0, i], failures[0, i]) for i in range(4)]
        score = sequential.add_slot(score, cells, 5.0 * look)
        assert arrays.dispersion()[0] == pytest.approx(sequential.dispersion(score))
        assert arrays.log_evidence()[0] == pytest.approx(sequential.log_evidence(score))
        assert arrays.chance[0] == pytest.approx(score.chance)
    assert np.isfinite(arrays.dispersion_within()[0])
    assert arrays.dispersion()[0] == arrays.dispersion_within()[0]


@pytest.mark.parametrize("burst", [1, 5, 15, 50])
def test_equal_revisions_are_not_convicted(burst: int) -> None:
    found = convictions(Setting(50.0, 1, 3, 0.005, burst=burst), 300, 900.0, 5)
    assert np.isfinite(found).sum() <= 2


@pytest.mark.parametrize("pods", [(1, 3), (2, 2)])
def test_equal_revisions_are_not_convicted_in_a_shared_incident(pods: tuple[int, int]) -> None:
    settings = [Setting(50.0, *pods, 0.001, burst=burst, shared=0.2, incident=120.0) for burst in (1, 15)]
    assert np.isfinite(convictions_of(settings, 300, 900.0, 5)).sum() <= 2


def test_a_bad_revision_is_convicted_within_half_a_minute() -> None:
    found = convictions(Setting(50.0, 1, 3, 0.001, 0.05), 500, 120.0, 6)
    assert np.mean(found <= 30.0) >= 0.98


@pytest.mark.parametrize(
    "name",
    [
        "R1: 5% at 10/s",
        "R1: 10% at 3/s",
        "5% at 20/s, rolled out in 20 s",
        "R3: 40% slower at 50/s, after the warm-up",
    ],
)
def test_a_bad_release_is_rolled_back(name: str) -> None:
    assert all(found.rolled_back is not None for found in outcomes(name, 3))


@pytest.mark.parametrize(
    "name",
    [
        "R2: equal, 0.5% over 1 s at 10/s",
        "R7: equal, bursts of 15",
        "R22: equal, a shared minute at 50/s",
        "R23: twice as slow for 30 s",
    ],
)
def test_an_equal_release_is_not_rolled_back(name: str) -> None:
    assert all(found.rolled_back is None and found.convicted is None for found in outcomes(name, 2))


def test_breaches_of_other_workloads_delay_a_rollback_without_old_pods() -> None:
    """R22: a shared incident is likelier at first. A bad release may also be why the others fail, so it ends."""
    case = next(case for known, case, _ in CASES if known == "5% at 20/s, rolled out in 20 s")
    alone, together = run(case, 1).rolled_back, run(replace(case, others=True), 1).rolled_back
    assert alone is not None and alone < 200
    assert together is not None and together >= 360


def test_a_late_onset_is_reported_and_not_rolled_back() -> None:
    case = next(case for known, case, _ in CASES if known == "R1: 3% at 20/s")
    late = replace(case, failing=lambda at, new, age: 0.05 if new and at > 400 else 0.001)
    assert all(run(late, seed).rolled_back is None for seed in range(2))


def test_a_short_breach_is_not_rolled_back() -> None:
    """R16: 5 s of failures, then none; the window shows them for two minutes more."""
    case = next(case for known, case, _ in CASES if known == "R1: 5% at 10/s")
    short = replace(case, failing=lambda at, new, age: 1.0 if new and 20 <= at < 25 else 0.001)
    assert all(run(short, seed).rolled_back is None for seed in range(3))
