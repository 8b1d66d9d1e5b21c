"""A bake ends early once it is proven that the release is not worse, and not a look before."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from resilience_operator.decision.analysis.sequential import add_slot
from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.model.policy import Release
from resilience_operator.decision.model.score import Cell, Score
from resilience_operator.decision.release.bake import advance_bake
from resilience_operator.decision.release.non_inferiority import is_not_worse
from tests.unit.decision.builders import FAILING, T0, policy

KEY = "error-rate>0.01"
POLICY = policy(FAILING, release=Release(bake=600.0, until_proven=0.2))
BAKING = ReleaseMemory(Phase.BAKING, T0, "b", good="a", bake_started=T0, observed_at=T0)


def counted(draw: random.Random, new: float, old: float, slots: int, requests: int = 5000) -> Score:
    """Counts of two pods of each revision, with these failure rates."""
    score = Score()
    for slot in range(slots):
        cells = [
            Cell(f"{name}-{pod}", name == "b", requests, sum(draw.random() < rate for _ in range(requests)))
            for name, rate in (("b", new), ("a", old))
            for pod in range(2)
        ]
        score = add_slot(score, cells, T0 + 15 * slot)
    return score


def with_score(score: Score) -> ReleaseMemory:
    return replace(BAKING, scores={KEY: score})


def test_equal_revisions_are_proven_equal_with_many_failures() -> None:
    assert is_not_worse(with_score(counted(random.Random(1), 0.05, 0.05, 20)), POLICY)


def test_few_failures_prove_nothing() -> None:
    assert not is_not_worse(with_score(counted(random.Random(1), 0.0005, 0.0005, 2)), POLICY)
    assert not is_not_worse(BAKING, POLICY)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_worse_by_as_much_is_never_proven(seed: int) -> None:
    draw = random.Random(seed)
    score = Score()
    for slot in range(20):
        more = counted(draw, 0.06, 0.05, 1, requests=1000)
        score = add_slot(
            score,
            [
                Cell("b-0", True, more.new_side.requests, more.new_side.failures),
                Cell("a-0", False, more.old_side.requests, more.old_side.failures),
            ],
            T0 + slot,
        )
        assert not is_not_worse(with_score(score), POLICY)


def test_without_the_field_nothing_is_proven() -> None:
    score = counted(random.Random(1), 0.05, 0.05, 20)
    assert not is_not_worse(with_score(score), policy(FAILING))


@pytest.mark.parametrize(
    ("proven", "serving", "clean", "phase"),
    [
        (True, True, True, Phase.STABLE),
        (False, True, True, Phase.BAKING),
        (True, False, True, Phase.BAKING),
        (True, True, False, Phase.BAKING),
    ],
)
def test_the_bake_ends_early_only_if_it_counts(*, proven: bool, serving: bool, clean: bool, phase: Phase) -> None:
    release, _ = advance_bake(
        BAKING, POLICY, measured=True, serving=serving, clean=clean, proven=proven,
        now=T0 + 30, patience=45.0, lookback=60.0,
    )  # fmt: skip
    assert release.phase is phase


def bake_at(release: ReleaseMemory, now: float, **given: bool) -> ReleaseMemory:
    found = {"measured": True, "serving": True, "clean": True, "proven": False, **given}
    return advance_bake(release, POLICY, now=now, patience=45.0, lookback=60.0, **found)[0]


def test_a_gap_of_the_operator_does_not_count() -> None:
    release = BAKING
    for second in range(0, 300, 15):
        release = bake_at(release, T0 + second)
    later = bake_at(release, T0 + 5000)
    assert later.phase is Phase.BAKING
    assert later.bake_started is not None
    assert 285 - 75 <= T0 + 5000 - later.bake_started <= 300


def test_a_clock_that_is_set_back_loses_nothing_and_one_set_forward_gains_nothing() -> None:
    release = BAKING
    for second in range(0, 300, 15):
        release = bake_at(release, T0 + second)
    back = bake_at(release, T0 - 7200)
    assert back.bake_started is not None
    assert 240 <= T0 - 7200 - back.bake_started <= 300
    again = bake_at(back, T0 + 300)
    assert again.phase is Phase.BAKING


def test_time_with_a_missing_pod_does_not_count() -> None:
    release = BAKING
    for second in range(0, 1005, 15):
        release = bake_at(release, T0 + second, serving=not 100 < second < 500)
    assert release.phase is Phase.BAKING
    assert bake_at(release, T0 + 1005).phase is Phase.STABLE
