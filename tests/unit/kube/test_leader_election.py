"""Leader election: the rules, on clocks that the test moves. Each candidate has a clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from resilience_operator.kube.coordination.leader_election import Election, ElectionTiming
from resilience_operator.runtime.config import Config

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Candidate:
    """An election with its own clock, which starts anywhere."""

    def __init__(self, identity: str, start: float) -> None:
        self.now = start
        self.rules = Election(identity, ElectionTiming(), clock=lambda: self.now)


class World:
    """One Lease, and two candidates that share nothing but it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.one, self.two = Candidate("one", 5.0), Candidate("two", 9e6)

    def wait(self, seconds: float) -> None:
        """Time passes, for a frozen candidate too: its monotonic clock goes on, it only cannot look at it."""
        for candidate in (self.one, self.two):
            candidate.now += seconds

    def look(self, candidate: Candidate) -> None:
        candidate.rules.observe(self.lease)

    def write(self, candidate: Candidate, *, release: bool = False, takes: float = 0.0) -> bool:
        """Writes as the API server would allow: only onto the version that was seen."""
        seen = candidate.rules.seen
        if (seen.version if seen else None) != (str(self.version) if self.lease else None):
            return False
        sent_at = candidate.now
        spec = candidate.rules.spec(NOW, release=release)
        self.version += 1
        old = self.lease["spec"] if self.lease else {}
        self.lease = {"metadata": {"resourceVersion": str(self.version)}, "spec": {**old, **spec}}
        self.wait(takes)
        if not release:
            candidate.rules.won(self.lease, sent_at)
        return True

    def leaders(self) -> list[str]:
        return [c.rules.identity for c in (self.one, self.two) if c.rules.is_leader()]


@pytest.fixture
def led() -> World:
    """A world in which `one` has just become the leader, and `two` has seen it."""
    world = World()
    world.look(world.one)
    assert world.one.rules.can_acquire()
    assert world.write(world.one)
    world.look(world.two)
    return world


def test_the_first_takes_a_lease_that_never_was(led: World) -> None:
    assert led.leaders() == ["one"]
    assert led.lease is not None
    assert led.lease["spec"]["leaseTransitions"] == 0


def test_of_two_that_write_one_comes_through() -> None:
    world = World()
    world.look(world.one)
    world.look(world.two)
    assert [world.write(world.one), world.write(world.two)] == [True, False]
    assert world.leaders() == ["one"]


@pytest.mark.parametrize(
    ("silence", "acts", "takeable"),
    [(0, True, False), (5.9, True, False), (6, False, False), (10, False, False), (10.1, False, True)],
)
def test_the_margin(led: World, silence: float, acts: bool, takeable: bool) -> None:
    led.wait(silence)
    led.look(led.two)
    assert led.one.rules.is_leader() is acts
    assert led.two.rules.can_acquire() is takeable


def test_there_is_no_moment_with_two_leaders(led: World) -> None:
    for _ in range(400):
        led.wait(0.1)
        led.look(led.two)
        if led.two.rules.can_acquire():
            led.write(led.two)
        assert len(led.leaders()) <= 1
    assert led.leaders() == ["two"]


def test_a_renewal_counts_from_before_it_was_sent(led: World) -> None:
    led.wait(4)
    led.look(led.one)
    assert led.write(led.one, takes=3)
    led.wait(2.9)
    assert led.one.rules.is_leader()
    led.wait(0.2)
    assert not led.one.rules.is_leader()


def test_a_renewal_restarts_the_observer_s_count(led: World) -> None:
    for _ in range(10):
        led.wait(4)
        led.look(led.one)
        assert led.write(led.one)
        led.look(led.two)
        assert not led.two.rules.can_acquire()
    assert led.leaders() == ["one"]


def test_a_frozen_leader_wakes_up_as_none(led: World) -> None:
    led.wait(11)
    led.look(led.two)
    assert led.two.rules.can_acquire()
    assert led.write(led.two)
    assert led.leaders() == ["two"]  # asked before `one` has run a single line
    assert not led.write(led.one)


def test_a_leader_whose_time_ran_out_still_knows_that_it_led(led: World) -> None:
    led.wait(7)
    assert led.one.rules.leads
    assert not led.one.rules.is_leader()
    led.one.rules.lost()
    assert not led.one.rules.leads


def test_a_released_lease_is_taken_at_once(led: World) -> None:
    led.look(led.one)
    assert led.write(led.one, release=True)
    led.one.rules.lost()
    led.look(led.two)
    assert led.two.rules.can_acquire()
    assert led.write(led.two)
    assert led.leaders() == ["two"]
    assert led.lease is not None
    assert led.lease["spec"]["leaseTransitions"] == 1


def test_a_deleted_lease_is_not_taken_from_under_its_holder(led: World) -> None:
    led.lease = None
    led.look(led.two)
    assert not led.two.rules.can_acquire()
    led.look(led.one)
    assert led.one.rules.can_acquire()
    led.wait(10.1)
    led.look(led.two)
    assert led.two.rules.can_acquire()


def test_a_longer_lease_of_another_version_is_respected(led: World) -> None:
    assert led.lease is not None
    led.version += 1
    led.lease = {
        "metadata": {"resourceVersion": str(led.version)},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 60},
    }
    led.look(led.two)
    led.wait(59)
    led.look(led.two)
    assert not led.two.rules.can_acquire()
    led.wait(1.1)
    assert led.two.rules.can_acquire()


def test_a_wall_clock_that_is_wrong_changes_nothing(led: World) -> None:
    assert led.lease is not None
    led.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    led.look(led.two)
    assert not led.two.rules.can_acquire()


@pytest.mark.parametrize("wrong", [(10, 10, 2), (10, 6, 6), (6, 8, 2), (10, 6, 0)])
def test_a_timing_without_a_margin_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="renew_deadline"):
        ElectionTiming(*wrong)


@pytest.mark.parametrize("seconds", [10.0, 15.0, 120.0])
def test_a_longer_lease_has_the_same_proportions(seconds: float) -> None:
    timing = ElectionTiming.of(seconds)
    assert timing.lease_duration == seconds
    assert timing.lease_duration - timing.renew_deadline >= 4.0
    assert 2 * timing.retry < timing.renew_deadline, "one renewal may fail"


def test_the_default_lease_is_that_of_the_class() -> None:
    default = ElectionTiming()
    found = ElectionTiming.of(Config().lease_seconds)
    assert (found.lease_duration, found.renew_deadline, found.retry) == pytest.approx(
        (default.lease_duration, default.renew_deadline, default.retry)
    )
