"""The sequential test: what it proves, and what bursts, restarts and repeated evaluations must not change."""

from __future__ import annotations

import random
from itertools import pairwise
from math import comb, exp

import pytest

from resilience_operator.decision.analysis import sequential
from resilience_operator.decision.model.score import Cell, Score


def slots(
    rng: random.Random, count: int, *, rates: tuple[float, float], pods: tuple[int, int] = (1, 3), requests: int = 62
) -> list[list[Cell]]:
    """Slots in which each pod serves `requests`, and fails at the rate of its side (new, old)."""
    found = []
    for _ in range(count):
        cells = []
        for side, number in enumerate(pods):
            for pod in range(number):
                failures = sum(rng.random() < rates[side] for _ in range(requests))
                cells.append(Cell(f"{side}-{pod}", side == 0, requests, failures))
        found.append(cells)
    return found


def scored(stream: list[list[Cell]], effect: float = 1.0) -> list[Score]:
    score, found = Score(), []
    for number, cells in enumerate(stream, 1):
        score = sequential.add_slot(score, cells, 5.0 * number, effect)
        found.append(score)
    return found


def evidence(*cells: tuple[float, float, float, float], times: int = 1) -> Score:
    """The score of slots of one new and one old pod: requests and failures of each."""
    stream = [[Cell("n", True, n, x), Cell("o", False, m, y)] for n, x, m, y in cells] * times
    return scored(stream)[-1]


LIMIT = sequential.limit(0.001)


def test_the_expected_evidence_of_equal_revisions_is_one() -> None:
    """A martingale: for one failure, over both sides on which it can fall."""
    for share in (0.05, 0.25, 0.5, 0.9):
        new, old = 100 * share, 100 * (1 - share)
        on_new = exp(sequential.log_evidence(evidence((new, 1, old, 0)), 1.0))
        on_old = exp(sequential.log_evidence(evidence((new, 0, old, 1)), 1.0))
        assert share * on_new + (1 - share) * on_old == pytest.approx(1.0)


@pytest.mark.parametrize(("new", "old", "bad"), [(10, 10, 5), (60, 60, 50), (20, 180, 90), (125, 125, 115)])
def test_the_expected_evidence_is_one_if_many_requests_fail(new: int, old: int, bad: int) -> None:
    """Exactly: over the hypergeometric distribution of the failures of the new side."""
    total = 0.0
    for on_new in range(max(0, bad - old), min(new, bad) + 1):
        probability = comb(new, on_new) * comb(old, bad - on_new) / comb(new + old, bad)
        total += probability * exp(sequential.log_evidence(evidence((new, on_new, old, bad - on_new)), 1.0))
    assert 0.97 < total < 1.01


def test_two_bursts_on_a_small_share_prove_nothing() -> None:
    """At a share of 5% two bursts have a probability of 1 in 400 each time, which happens within a day."""
    for burst in (3, 15, 50):
        stream = [[Cell("n", True, 12 + burst, burst), Cell("o", False, 230, 0)]] * 2
        assert not sequential.convicts(scored(stream)[-1], LIMIT)


def test_a_minimum_effect_moves_equality() -> None:
    share, effect = 0.25, 1.2
    moved = share * effect / (share * effect + 1 - share)
    on_new = scored([[Cell("n", True, 25, 1), Cell("o", False, 75, 0)]], effect)[-1]
    on_old = scored([[Cell("n", True, 25, 0), Cell("o", False, 75, 1)]], effect)[-1]
    found = moved * exp(sequential.log_evidence(on_new, 1.0)) + (1 - moved) * exp(sequential.log_evidence(on_old, 1.0))
    assert found == pytest.approx(1.0)


def test_five_percent_against_a_thousandth() -> None:
    found = scored(slots(random.Random(1), 12, rates=(0.05, 0.001)))
    assert sequential.convicts(found[-1], LIMIT)


@pytest.mark.parametrize("burst", [1, 2, 5, 15, 50, 1000])
def test_one_burst_proves_nothing(burst: int) -> None:
    for quiet in (0, 1, 30, 300):
        stream = [[Cell("n", True, 60, 0), Cell("o", False, 60, 0)]] * quiet
        stream.append([Cell("n", True, 60 + burst, burst), Cell("o", False, 60, 0)])
        assert not sequential.convicts(scored(stream)[-1], LIMIT), quiet


@pytest.mark.parametrize("burst", [5, 15, 50])
def test_three_bursts_on_one_of_two_pods_prove_nothing(burst: int) -> None:
    """By chance all are on the new pod in one of eight releases."""
    quiet = [[Cell("n", True, 60, 0), Cell("o", False, 60, 0)]] * 12
    stream = []
    for _ in range(3):
        stream += [[Cell("n", True, 60 + burst, burst), Cell("o", False, 60, 0)], *quiet]
    for score in scored(stream):
        assert not sequential.convicts(score, LIMIT)


def test_bursts_are_recognized_by_their_variance() -> None:
    rng = random.Random(2)
    bursts = []
    for _ in range(200):
        cells = [Cell(str(pod), pod == 0, 100, 15 if rng.random() < 0.1 else 0) for pod in range(4)]
        bursts.append(cells)
    assert sequential.dispersion(scored(bursts)[-1]) == pytest.approx(15, rel=0.35)
    independent = scored(slots(rng, 200, rates=(0.02, 0.02), requests=50))[-1]
    assert sequential.dispersion(independent) == pytest.approx(1, abs=0.3)


def overload(rng: random.Random, worse: float) -> list[list[Cell]]:
    """Two pods of each side. 30% of all requests fail in the middle third, and `worse` more of the new side always."""
    return [
        part
        for rate in (0.001, 0.3, 0.001)
        for part in slots(rng, 12, rates=(rate + worse, rate), requests=175, pods=(2, 2))
    ]


def test_a_change_of_both_sides_is_no_burst() -> None:
    """A bad revision is convicted soon after the overload that both had."""
    found = scored(overload(random.Random(5), 0.05))
    assert sequential.dispersion(found[-1]) < 3
    assert sequential.convicts(found[-1], LIMIT)


def test_equal_revisions_stay_equal_in_an_overload() -> None:
    for seed in range(40):
        assert not any(sequential.convicts(score, LIMIT) for score in scored(overload(random.Random(seed), 0.0)))


def test_a_burst_within_slots_stays_one_in_an_overload() -> None:
    rng = random.Random(6)
    stream = []
    for number in range(60):
        rate = 0.05 if number < 20 else 0.3
        pods = ("n1", "n2", "o1", "o2")
        stream.append([Cell(p, p[0] == "n", 150, 15 if rng.random() < rate else 0) for p in pods])
    assert sequential.dispersion(scored(stream)[-1]) > 6


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.95])
def test_all_failing_is_proven_at_any_share(share: float) -> None:
    found = evidence((100 * share, 100 * share, 100 * (1 - share), 0), times=30)
    assert sequential.convicts(found, LIMIT)


def test_no_requests_on_a_side_are_no_evidence() -> None:
    assert sequential.log_evidence(evidence((100, 50, 0, 0), times=50)) <= 0
    assert sequential.log_evidence(evidence((0, 0, 100, 50), times=50)) <= 0
    assert sequential.log_evidence(Score()) == 0


def test_better_is_never_worse() -> None:
    for before, after in pairwise(scored(slots(random.Random(3), 100, rates=(0.0, 0.05)))):
        assert sequential.log_evidence(after) <= max(0.0, sequential.log_evidence(before))
        assert not sequential.convicts(after, LIMIT)


def test_the_limit_is_shared_by_all_tests() -> None:
    assert exp(sequential.limit(0.001)) == pytest.approx(4000)
    assert exp(sequential.limit(0.001, 5)) == pytest.approx(20_000)
    assert exp(sequential.limit(0.01)) == pytest.approx(400)


def test_a_score_that_someone_edited_is_no_evidence() -> None:
    for forged in (
        Score(new=(1.0, 5.0, 0, 0, 0, 0, 0), likelihoods=(1e9, 1e9)),
        Score(new=(-1.0,) * 7, old=(0.0,) * 7, likelihoods=()),
        Score(new=(1.0, 2.0), likelihoods=(float(2**53),) * 3),
    ):
        assert not sequential.convicts(forged, LIMIT)
        assert sequential.add_slot(forged, [Cell("n", True, 9, 1), Cell("o", False, 9, 0)], 5.0).new_side.requests == 9


def test_clean_requests_since_exposure_are_remembered() -> None:
    score = Score()
    for number in range(1, 100):
        score = sequential.add_clean(score, 60, 0, 0.001, 0.01, 5.0 * number)
    assert score.served_clean == 30.0, "330 clean requests tell 0.1% from 1%"
    bad = Score()
    for number in range(1, 100):
        bad = sequential.add_clean(bad, 60, 3, 0.001, 0.01, 5.0 * number)
    assert bad.served_clean is None


def test_more_requests_are_foretold() -> None:
    early = evidence((60, 1, 180, 0), (60, 1, 180, 1), (60, 1, 180, 0), times=2)
    more = sequential.more_requests(early, LIMIT)
    assert more is not None and 0 < more < 5000
    assert sequential.more_requests(Score(), LIMIT) is None
