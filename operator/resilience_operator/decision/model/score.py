"""The evidence on a release: what each side counted, and the scores computed from it.

`Score` is stored with the release, so that a restarted operator continues from it. `LiveEvidence` stays in the
process: the exact scores, the open slot, and the latest slots. A restart loses at most what was counted since the last
checkpoint and never counts a request twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from resilience_operator.decision.model.record import record


class Cell(NamedTuple):
    """What one pod counted in one slot: `failures` of `requests`. new: it runs the new revision."""

    pod: str
    new: bool
    requests: float
    failures: float


class SideCounts(NamedTuple):
    """Sums over the cells of one side, from which counts and dispersion follow.

    squares: of failures. cross: of failures × requests. request_squares: of requests. largest: failures of a cell.
    """

    requests: float = 0.0
    failures: float = 0.0
    squares: float = 0.0
    cross: float = 0.0
    request_squares: float = 0.0
    cells: float = 0.0
    largest: float = 0.0


class WithinCounts(NamedTuple):
    """Sums over the sides of the slots that have several pods, from which the dispersion within slots follows.

    residual: squared differences of each pod's failures from the rate of its side in the slot. variance: what they are
    if failures are independent. squares: the squared variance of each, over its degrees of freedom.
    """

    residual: float = 0.0
    variance: float = 0.0
    squares: float = 0.0


@record(frozen=True, slots=True)
class Score:
    """The sequential test of one condition and one release.

    at: end of the last slot. new, old: `SideCounts` of each side. likelihoods: log-likelihood ratios of the tested odds
    ratios, before the correction for bursts. chance: the negative logarithm of the probability that all failing cells
    of the new side are there by chance. failing, old_failing: failing cells of each side.
    within: `WithinCounts`, for the dispersion within slots.
    clean: the log-likelihood ratio of "the new revision served like its baseline since it was exposed".
    served_clean: when that was certain, or None. effect: odds ratio of failing up to which the new revision counts as
    equal. pod: the new pod with the most failures.
    """

    at: float = 0.0
    new: tuple[float, ...] = ()
    old: tuple[float, ...] = ()
    likelihoods: tuple[float, ...] = ()
    chance: float = 0.0
    failing: float = 0.0
    old_failing: float = 0.0
    within: tuple[float, ...] = ()
    clean: float = 0.0
    served_clean: float | None = None
    effect: float = 1.0
    pod: str = ""

    @property
    def new_side(self) -> SideCounts:
        """The new revision's sums."""
        return _side_counts(self.new)

    @property
    def old_side(self) -> SideCounts:
        """The sums of the other revisions."""
        return _side_counts(self.old)


def _side_counts(stored: tuple[float, ...]) -> SideCounts:
    """Return stored sums; nothing if they are not sums of counts, because someone edited the status."""
    if len(stored) != len(SideCounts._fields) or min(stored) < 0 or stored[1] > stored[0] or stored[0] <= 0:
        return SideCounts()
    return SideCounts(*stored)


class AgeCounts(NamedTuple):
    """What pods of one age counted: `failures` of `requests`."""

    requests: float
    failures: float


class Slot(NamedTuple):
    """The counts of both sides in one closed slot, from `start` to `end`."""

    start: float
    end: float
    new_requests: float
    new_failures: float
    old_requests: float
    old_failures: float


@record(frozen=True, slots=True)
class LiveScore:
    """A score in the process. cells: of the open slot, which began at `since`. slots: the latest ones, oldest first.

    pods: failures of each new pod. crossed_since: since when the new revision crosses the condition, or None.
    windowed: there are no increments, so that each slot is one look-back window. ages: of a latency, the requests
    of the new pods by age class (`analysis.warm_up`).
    """

    score: Score = Score()
    since: float | None = None
    cells: tuple[Cell, ...] = ()
    slots: tuple[Slot, ...] = ()
    pods: Mapping[str, float] = field(default_factory=dict)
    crossed_since: float | None = None
    windowed: bool = False
    ages: Mapping[int, AgeCounts] = field(default_factory=dict)


class MeanSide(NamedTuple):
    """Sums over the logarithms of a value in the windows of one side."""

    windows: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, value: float) -> MeanSide:
        """Return the sums with one more window."""
        return MeanSide(self.windows + 1, self.total + value, self.squares + value * value)


class MeanScore(NamedTuple):
    """The test of a value without failures (`analysis.means`). since: start of the open window, or None."""

    since: float | None = None
    new: MeanSide = MeanSide()
    old: MeanSide = MeanSide()


@record(frozen=True, slots=True)
class LiveEvidence:
    """The evidence of one release in the process. scores: by `test_key`. at: the end of the last increments.

    first_seen: when each pod was first seen, for its warm-up. checkpoint: when the scores were last stored.
    means: tests of values without failures, by `test_key`.
    """

    scores: Mapping[str, LiveScore] = field(default_factory=dict)
    at: Mapping[str, float] = field(default_factory=dict)
    first_seen: Mapping[str, float] = field(default_factory=dict)
    checkpoint: float = 0.0
    means: Mapping[str, MeanScore] = field(default_factory=dict)
