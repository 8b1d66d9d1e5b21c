"""What a measurement proves, against published figures."""

import math

import pytest

from resilience_operator.decision.analysis.evidence import _fisher_tail, judge, judge_all, significantly_worse
from resilience_operator.decision.analysis.intervals import wilson
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Condition, Signal
from tests.unit.decision.builders import ratio, unknown

ERRORS = Signal("error-rate", window=60.0, min_samples=20.0, unit="ratio")
ABOVE_1 = Condition("error-rate", 0.01)


@pytest.mark.parametrize(
    ("events", "samples", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_newcombe(events: float, samples: float, low: float, high: float) -> None:
    assert wilson(events, samples) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("events", "samples"), [(0, 1), (1, 1), (-1, 5), (9, 5), (1e-9, 1e9), (1e9, 1e9)])
def test_wilson_stays_a_proportion(events: float, samples: float) -> None:
    low, high = wilson(events, samples)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(
    ("bad_new", "all_new", "bad", "total", "p"),
    [
        # R. A. Fisher, The Design of Experiments (1935): four cups of eight, all or three of them guessed
        (4, 4, 4, 8, 1 / 70),
        (3, 4, 4, 8, 17 / 70),
        # R. A. Fisher, Statistical Methods for Research Workers, §21.02: convictions of twins, 10 of 13 and 2 of 17
        (10, 13, 12, 30, 0.0004652),
        (0, 10, 3, 20, 1.0),
        (3, 10, 3, 20, 120 / 1140),
    ],
)
def test_fisher(bad_new: int, all_new: int, bad: int, total: int, p: float) -> None:
    assert _fisher_tail(bad_new, all_new, bad, total) == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize("bad_old", [0, 3, 40])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_fisher_against_plain_summation(bad_old: int, share: float) -> None:
    total = 2000
    all_new = int(total * share)
    bad_new = int(bad_old * share) + 6
    bad = bad_new + bad_old
    ways = sum(math.comb(bad, k) * math.comb(total - bad, all_new - k) for k in range(bad_new, min(bad, all_new) + 1))
    assert _fisher_tail(bad_new, all_new, bad, total) == pytest.approx(ways / math.comb(total, all_new), rel=1e-6)


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        pytest.param(ratio(10, 200), ratio(1, 1000), True, id="5% against 0.1%"),
        pytest.param(ratio(1, 20), ratio(1, 1000), False, id="one failure proves nothing"),
        pytest.param(ratio(0, 100), ratio(5, 100), False, id="better"),
        pytest.param(ratio(5, 100), ratio(5, 100), False, id="the same"),
        pytest.param(ratio(60, 1000), ratio(50, 1000), False, id="a little more"),
        pytest.param(ratio(150, 1000), ratio(50, 1000), True, id="three times as many under load"),
        pytest.param(ratio(52_000, 1e6), ratio(50_000, 1e6), True, id="large counts tell small differences"),
        pytest.param(ratio(50_100, 1e6), ratio(50_000, 1e6), False, id="but not the smallest"),
        pytest.param(ratio(12, 600), ratio(4e5, 4e7), False, id="a small canary is summed exactly"),
        pytest.param(Measured(0.5, 0.0, 0.0), ratio(1, 100), False, id="no requests on the new"),
        pytest.param(ratio(50, 100), Measured(0.0, 0.0, 0.0), False, id="no requests on the old"),
        pytest.param(ratio(99.6, 99.4), ratio(0.4, 100.3), True, id="extrapolated counts"),
    ],
)
def test_worse_than(new: Measured, old: Measured, worse: bool) -> None:
    assert significantly_worse(new, old) is worse


@pytest.mark.parametrize(
    ("measured", "crossed", "reason"),
    [
        pytest.param(ratio(0, 19), None, "TooFewSamples", id="too few to be Ok"),
        pytest.param(ratio(10, 19), None, "TooFewSamples", id="too few to be in Breach"),
        pytest.param(ratio(0, 20), False, "WithinBounds", id="just enough"),
        pytest.param(ratio(1, 20), None, "Inconclusive", id="5% of 20: 0.9% to 24%"),
        pytest.param(ratio(2, 20), True, "Crossed", id="10% of 20: 2.8% to 30%"),
        pytest.param(ratio(11, 1000), None, "Inconclusive", id="1.1% of 1000: 0.6% to 2%"),
        pytest.param(ratio(1100, 100_000), True, "Crossed", id="1.1% of 100000"),
        pytest.param(Measured(0.02, 1000.0), True, "Crossed", id="uncounted values are taken as they are"),
        pytest.param(Measured(0.02), True, "Crossed", id="samples not known"),
        pytest.param(Measured(0.01), False, "WithinBounds", id="at the threshold is not above it"),
        pytest.param(Measured(float("nan"), 1000.0, 3.0), None, "NotANumber", id="NaN"),
        pytest.param(Measured(0.5, float("nan"), 3.0), None, "TooFewSamples", id="NaN samples"),
        pytest.param(Measured(0.5, 1e-200, 0.0), None, "TooFewSamples", id="hardly any sample"),
    ],
)
def test_judge(measured: Measured, crossed: bool | None, reason: str) -> None:
    found = judge(ABOVE_1, ERRORS, measured)
    assert (found.crossed, found.reason) == (crossed, reason)


@pytest.mark.parametrize(
    ("measured", "crossed"),
    [(ratio(999, 1000), False), (ratio(985, 1000), None), (ratio(900, 1000), True)],
)
def test_judge_below(measured: Measured, crossed: bool | None) -> None:
    availability = Condition("error-rate", 0.99, above=False)
    assert judge(availability, ERRORS, measured).crossed is crossed


def test_the_message_has_the_numbers() -> None:
    assert judge(ABOVE_1, ERRORS, ratio(1, 20)).message == (
        "error-rate is 5% of 20 requests: between 0.888% and 23.6% at 95% confidence, which is inconclusive for 1%"
    )
    assert judge(ABOVE_1, ERRORS, ratio(1, 3)).message == "error-rate: 3 requests in 60 s; at least 20 are needed"


def test_no_measurement_keeps_its_reason() -> None:
    found = judge_all(ABOVE_1, ERRORS, unknown(reason="SourceUnreachable"))
    assert (found.crossed, found.reason, found.value) == (None, "SourceUnreachable", None)
