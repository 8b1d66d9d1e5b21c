"""The circuit breaker, as tables: a line of calls in, the states that it passes through out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from resilience_operator.resilience import Breaker, BreakerSettings, State
from resilience_operator.resilience.window import CallStats, CountWindow

SMALL = BreakerSettings(minimum_calls=4, window_calls=10, failure_rate=0.25, open_for=15, half_open_calls=3)
FAST, SLOW = 0.1, 0.9


class Bench:
    """A breaker, its clock, and what its listener heard."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.now = 1000.0
        self.heard: list[tuple[State, State, str]] = []
        self.breaker = Breaker(settings, clock=lambda: self.now, on_change=lambda *c: self.heard.append(c))

    def play(self, line: str) -> None:
        """`.` a good call, `x` a failed one, `s` a slow one, digits: seconds that pass, `!` must be refused."""
        for word in line.split():
            if word.isdigit():
                self.now += int(word)
                continue
            for sign in word:
                granted = self.breaker.acquire()
                assert granted == (sign != "!"), (line, sign, self.breaker.state)
                if granted:
                    duration = SLOW if sign == "s" else FAST
                    self.now += duration
                    self.breaker.record(duration, sign != "x")


@pytest.mark.parametrize(
    ("line", "state"),
    [
        pytest.param("", State.CLOSED, id="nothing happened"),
        pytest.param("....", State.CLOSED, id="all good"),
        pytest.param("xxx", State.CLOSED, id="three calls prove nothing"),
        pytest.param("xxxx", State.OPEN, id="all failed"),
        pytest.param("...x", State.CLOSED, id="a quarter is not more than a quarter"),
        pytest.param("..xx", State.OPEN, id="a half is"),
        pytest.param("..ss", State.CLOSED, id="half of them slow is not more than half"),
        pytest.param(".sss", State.OPEN, id="three of four slow"),
        pytest.param("xx.. !", State.OPEN, id="too bad at the fourth call already"),
        pytest.param(".x.x !", State.OPEN, id="failures between"),
        pytest.param("........xx ........ .x", State.CLOSED, id="the old ones have slid out"),
        pytest.param("xxxx ! 14 !", State.OPEN, id="refused while open"),
        pytest.param("xxxx 15 .", State.HALF_OPEN, id="one trial of three"),
        pytest.param("xxxx 15 ...", State.CLOSED, id="three good trials"),
        pytest.param("xxxx 15 ..x", State.OPEN, id="the third trial fails"),
        pytest.param("xxxx 15 x !", State.OPEN, id="the first trial fails: one of three is over a quarter"),
        pytest.param("xxxx 15 s.", State.HALF_OPEN, id="one slow trial of three is under a half"),
        pytest.param("xxxx 15 ss !", State.OPEN, id="two are over"),
        pytest.param("xxxx 15 x 14 !", State.OPEN, id="the time open begins anew"),
        pytest.param("xxxx 15 x 16 ...", State.CLOSED, id="the second round of trials"),
        pytest.param("xxxx 15 ... xxx", State.CLOSED, id="closing forgets the window"),
        pytest.param("xxxx 15 ... xxxx", State.OPEN, id="and it opens again on new evidence"),
    ],
)
def test_a_line_of_calls(line: str, state: State) -> None:
    bench = Bench(SMALL)
    bench.play(line)
    assert bench.breaker.state is state


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("." * 19 + "x", State.CLOSED),
        ("." * 18 + "xx", State.OPEN),
        ("." * 95 + "x" * 5, State.CLOSED),
        ("." * 95 + "x" * 6, State.OPEN),
        ("s" * 10 + "." * 10, State.CLOSED),
        ("s" * 11 + "." * 9, State.OPEN),
    ],
)
def test_the_defaults_are_the_requirements_5_percent_and_800_ms(line: str, state: State) -> None:
    bench = Bench(BreakerSettings())
    bench.play(line)
    assert bench.breaker.state is state


def test_exactly_800_ms_is_not_slower_than_800_ms() -> None:
    bench = Bench(BreakerSettings())
    for _ in range(40):
        assert bench.breaker.acquire()
        bench.now += 1
        bench.breaker.record(0.8, True)
    assert bench.breaker.stats == CallStats(40, 0, 0)


def test_half_open_lets_through_only_its_trials_at_once() -> None:
    bench = Bench(SMALL)
    bench.play("xxxx 15")
    assert [bench.breaker.acquire() for _ in range(5)] == [True, True, True, False, False]


def test_a_trial_called_off_is_granted_again() -> None:
    bench = Bench(SMALL)
    bench.play("xxxx 15")
    assert all(bench.breaker.acquire() for _ in range(3))
    bench.breaker.cancel()
    assert [bench.breaker.acquire() for _ in range(2)] == [True, False]


def test_trials_that_never_report_do_not_block_for_ever() -> None:
    bench = Bench(SMALL)
    bench.play("xxxx 15")
    assert all(bench.breaker.acquire() for _ in range(3))
    bench.now += 15
    bench.play("...")
    assert bench.breaker.state is State.CLOSED


def test_a_call_from_before_says_nothing_about_now() -> None:
    bench = Bench(SMALL)
    late = [bench.breaker.acquire() for _ in range(3)]
    bench.play("xxxx 15")
    assert all(late)
    assert bench.breaker.state is State.HALF_OPEN
    bench.breaker.record(15.5, False)  # began while it was closed
    assert bench.breaker.state is State.HALF_OPEN
    bench.play("...")
    assert bench.breaker.state is State.CLOSED
    bench.breaker.record(20.0, False)
    assert bench.breaker.stats == CallStats()


def test_a_late_outcome_while_open_changes_nothing() -> None:
    bench = Bench(SMALL)
    bench.play("xxxx")
    bench.breaker.record(0.1, True)
    assert bench.breaker.state is State.OPEN
    assert bench.breaker.stats == CallStats()


def test_the_listener_is_told_each_change_and_why() -> None:
    bench = Bench(SMALL)
    bench.play("..xx 15 s..")
    assert [(a, b) for a, b, _ in bench.heard] == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]
    assert all(a[1] is b[0] for a, b in pairwise(bench.heard))
    assert bench.heard[0][2] == "2 of 4 calls failed (more than 25%)"


def test_a_listener_that_fails_harms_nothing() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    breaker = Breaker(SMALL, clock=lambda: 0.0, on_change=fail)
    for _ in range(4):
        breaker.record(0.0, False)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_rate": 1.5},
        {"slow_rate": -0.1},
        {"slow_call": 0},
        {"open_for": 0},
        {"half_open_calls": 0},
        {"minimum_calls": 0},
        {"minimum_calls": 200},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be between 0 and 1|must be greater than 0|never opens"):
        BreakerSettings(**wrong)  # type: ignore[arg-type]


def test_a_window_of_calls() -> None:
    window = CountWindow(3)
    for failed in (1, 0, 0, 1):
        window.add(CallStats(1, failed, 0))
    assert window.stats() == CallStats(3, 1, 0)
