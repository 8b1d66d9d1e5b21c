"""How fast what can wait is written: what a sign that it is in the way does, and how long."""

from __future__ import annotations

import pytest

from resilience_operator.runtime.scheduling.rate_limit import (
    COOLDOWN,
    INCREASE,
    MIN_RATE,
    UNLIMITED_FROM,
    AdaptiveRateLimiter,
)


class Hand:
    """A clock that is set by hand, and a pace that goes by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.rate_limiter = AdaptiveRateLimiter(lambda: self.now)

    def write(self, seconds: float, most: float) -> float:
        """Write as many a second as the pace allows, at most `most`; returns how many a second they were."""
        end, written = self.now + seconds, 0
        while self.now < end:
            self.rate_limiter.record()
            written += 1
            self.now += max(self.rate_limiter.delay, 1 / most)
        return written / seconds


def test_there_is_no_bound_before_the_first_sign() -> None:
    hand = Hand()
    assert hand.write(5, 1000) == pytest.approx(1000, rel=0.01)


def test_after_a_sign_there_are_half_as_many_as_before() -> None:
    hand = Hand()
    hand.write(60, 40)
    hand.rate_limiter.back_off()
    assert hand.write(1, 1000) == pytest.approx(20, abs=3)


def test_a_sign_counts_by_what_there_was_of_late() -> None:
    hand = Hand()
    hand.now += 3600
    hand.write(COOLDOWN, 40)
    hand.rate_limiter.back_off()
    assert hand.write(1, 1000) == pytest.approx(20, abs=3)


def test_signs_of_the_same_trouble_count_once() -> None:
    hand = Hand()
    hand.write(10, 80)
    for _ in range(1000):
        hand.rate_limiter.back_off()
    assert hand.write(1, 1000) == pytest.approx(40, abs=3)


def test_signs_that_go_on_slow_it_down_to_the_least() -> None:
    hand = Hand()
    for _ in range(20):
        hand.write(COOLDOWN, 1000)
        hand.rate_limiter.back_off()
    assert hand.write(1, 1000) == pytest.approx(MIN_RATE, abs=2)


def test_without_signs_it_grows_until_there_is_no_bound() -> None:
    hand = Hand()
    hand.rate_limiter.back_off()
    hand.now += 10
    assert hand.write(1, 1000) == pytest.approx(MIN_RATE + 10.5 * INCREASE, abs=3)
    hand.now += UNLIMITED_FROM / INCREASE
    assert hand.write(1, 1000) == pytest.approx(1000, rel=0.01)


def test_who_need_not_ask_makes_the_others_wait_a_second_at_most() -> None:
    hand = Hand()
    hand.rate_limiter.back_off()
    for _ in range(1000):
        hand.rate_limiter.record()
    assert 0 < hand.rate_limiter.delay <= 1
