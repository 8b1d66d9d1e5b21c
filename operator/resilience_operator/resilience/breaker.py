"""A circuit breaker: stops calls to a dependency that fails or is slow, and tries it again later.

    closed ── too many failed or slow calls ──► open ── after `open_for` ──► half-open ── all trials good ──► closed
                                                 ▲                               │
                                                 └───── too many trials bad ─────┘

A pure state machine: the clock is injected, nothing is called or awaited. Not thread-safe. The pattern: Michael Nygard,
"Release It!"; sliding windows and slow-call rates as in Resilience4j
(https://resilience4j.readme.io/docs/circuitbreaker).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from resilience_operator.resilience.deadline import Clock
from resilience_operator.resilience.window import CallStats, CountWindow

log = logging.getLogger(__name__)


_TOLERANCE = 0.001
"""Seconds by which a caller may have started its timer before `acquire()`."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens and how it closes again.

    failure_rate: opens if more than this share of the window's calls failed (0.05: 5%).
    slow_call: seconds above which a call counts as slow (0.8: 800 ms).
    slow_rate: opens if more than this share of the window's calls was slow. A half means that the dependency's median
        is over `slow_call`.
    minimum_calls: with fewer calls in the window the breaker stays closed. At 20, one failure is 5% and does not open
        it; two do.
    window_calls: number of last calls in the sliding window.
    open_for: seconds without any call before trials begin.
    half_open_calls: calls allowed while half-open, judged by the same rates. One without an outcome after `open_for`
        seconds is discarded, so that a lost one cannot block the breaker.
    """

    failure_rate: float = 0.05
    slow_call: float = 0.8
    slow_rate: float = 0.5
    minimum_calls: int = 20
    window_calls: int = 100
    open_for: float = 15.0
    half_open_calls: int = 3

    def __post_init__(self) -> None:
        if not (0 <= self.failure_rate <= 1 and 0 <= self.slow_rate <= 1):
            raise ValueError("failure_rate and slow_rate must be between 0 and 1")
        if self.slow_call <= 0 or self.open_for <= 0 or self.half_open_calls < 1 or self.minimum_calls < 1:
            raise ValueError("slow_call, open_for, half_open_calls and minimum_calls must be greater than 0")
        if self.window_calls < self.minimum_calls:
            raise ValueError("a window of fewer than minimum_calls calls never opens")


OnChange = Callable[[State, State, str], None]
"""Called with (previous state, new state, reason) on each change of state. Exceptions are logged."""


class Breaker:
    """The circuit breaker of one dependency.

    Call `acquire()` before each call; if it returns False, do not call. Report the outcome of every allowed call with
    `record()`, or with `cancel()` if it has none.
    """

    def __init__(
        self,
        settings: BreakerSettings | None = None,
        *,
        clock: Clock = time.monotonic,
        on_change: OnChange | None = None,
    ) -> None:
        self.settings = settings or BreakerSettings()
        self._clock = clock
        self._on_change = on_change
        self._window = CountWindow(self.settings.window_calls)
        self._state = State.CLOSED
        self._since = clock()
        self._trials = 0
        self._half_open_stats = CallStats()
        self._failure = ""

    @property
    def state(self) -> State:
        """The current state. Open changes to half-open by the passage of time alone."""
        self._apply_timers()
        return self._state

    @property
    def since(self) -> float:
        """When (on the clock) the current state began."""
        self._apply_timers()
        return self._since

    @property
    def stats(self) -> CallStats:
        """The calls in the window."""
        return self._window.stats()

    def acquire(self) -> bool:
        """Whether a call may be made now. In half-open, True uses up one of the trials."""
        match self.state:
            case State.CLOSED:
                return True
            case State.OPEN:
                return False
            case State.HALF_OPEN:
                if self._trials >= self.settings.half_open_calls:
                    return False
                self._trials += 1
                return True

    def record(self, duration: float, ok: bool, why: str = "") -> None:
        """Record a call that took `duration` seconds. why: a short reason for a failure, for messages.

        A call that began in an earlier state is ignored.
        """
        now = self._clock()
        if self.state is State.OPEN or now - duration + _TOLERANCE < self._earliest_start():
            return
        if not ok:
            self._failure = why
        call = CallStats(1, int(not ok), int(duration > self.settings.slow_call))
        if self._state is State.HALF_OPEN:
            self._half_open_stats += call
            self._judge_trials()
            return
        self._window.add(call)
        stats = self._window.stats()
        if stats.calls >= self.settings.minimum_calls:
            why = self._trip_reason(stats)
            if why:
                self._transition(State.OPEN, why)

    def cancel(self) -> None:
        """Undo `acquire()`: the call was cancelled and has no outcome."""
        if self.state is State.HALF_OPEN and self._trials > self._half_open_stats.calls:
            self._trials -= 1

    def _earliest_start(self) -> float:
        """The earliest start of a call that belongs to this state. No call starts while the breaker is open."""
        return self._since - (self.settings.open_for if self._state is State.HALF_OPEN else 0.0)

    def _judge_trials(self) -> None:
        # Decide as soon as the outcome is certain: one bad call of three exceeds any rate below a third.
        trials, seen = self.settings.half_open_calls, self._half_open_stats
        if seen.failed > self.settings.failure_rate * trials or seen.slow > self.settings.slow_rate * trials:
            self._transition(State.OPEN, f"still {self._trip_reason(seen) or 'bad'}")
        elif seen.calls >= trials:
            self._transition(State.CLOSED, f"{seen.calls} trial calls succeeded")

    def _trip_reason(self, stats: CallStats) -> str:
        s = self.settings
        if stats.failure_rate > s.failure_rate:
            last = f", the last with {self._failure}" if self._failure else ""
            return f"{stats.failed} of {stats.calls} calls failed (more than {s.failure_rate:.0%}){last}"
        if stats.slow_rate > s.slow_rate:
            return (
                f"{stats.slow} of {stats.calls} calls took over {s.slow_call * 1000:.0f} ms "
                f"(more than {s.slow_rate:.0%})"
            )
        return ""

    def _apply_timers(self) -> None:
        if self._state is State.CLOSED or self._clock() - self._since < self.settings.open_for:
            return
        if self._state is State.OPEN:
            self._transition(State.HALF_OPEN, f"open for {self.settings.open_for:g} s")
        elif self._trials:
            # Trials without an outcome: discard them and allow new ones.
            self._since, self._trials, self._half_open_stats = self._clock(), 0, CallStats()

    def _transition(self, state: State, why: str) -> None:
        before, self._state = self._state, state
        self._since = self._clock()
        self._trials, self._half_open_stats = 0, CallStats()
        self._window.clear()
        self._failure = ""
        if self._on_change is None:
            return
        try:
            self._on_change(before, state, why)
        except Exception:
            log.exception("a circuit breaker callback failed")
