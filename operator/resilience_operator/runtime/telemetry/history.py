"""Packed history of one policy's evaluations in the last hour: the points of the dashboard's charts.

A process keeps only its own evaluations, and starts empty.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.fast_path_bounds import ScalarSample
from resilience_operator.decision.model.memory import Phase, Verdict
from resilience_operator.decision.model.observation import Measured
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.model.target import TargetState

SPAN = 3600.0
"""Seconds to keep."""

SPACING = 40.0
"""A point is dropped if its neighbours are equal and less than this many seconds apart. Every change is kept."""

MAX_POINTS = 300
"""Maximum points of one policy."""

MAX_MARKERS = 40

Values = Mapping[str, Measured | ScalarSample]
"""Signal name → measured value."""

_FIRST_VALUE = 4
"""Index of the first signal value in a packed point, after its time."""

_NONE = 0xFFFF
_LARGEST = 3e38
_PHASES, _VERDICTS = tuple(Phase), tuple(Verdict)


class Marker(NamedTuple):
    """A change to mark in the chart. what: `revision` (a new pod template) or `spec` (a new policy generation)."""

    at: float
    what: str
    name: str


class Point(NamedTuple):
    """One evaluation. at: seconds since the epoch. replicas, ready: of the real target.

    dry_run_replicas: replicas if the dry-run decisions had been executed; None outside dry run.
    values: in the signals' base units; None if unknown. verdicts: the verdicts on them.
    """

    at: float
    replicas: int
    ready: int
    dry_run_replicas: int | None
    phase: Phase
    values: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...]


class EvaluationHistory:
    """Points of the signals `names`, oldest first, in 15 bytes plus 5 per signal each."""

    __slots__ = (
        "_equal_points",
        "_form",
        "_generation",
        "_packed",
        "_revision",
        "_state",
        "began",
        "marks",
        "names",
        "newest",
    )

    def __init__(self, names: Sequence[str], began: float) -> None:
        self.names = tuple(names)
        self.began = began
        self.newest = began
        self.marks: list[Marker] = []
        self._form = _form(len(self.names))
        self._packed = bytearray()
        self._state: object = None
        self._equal_points = 0
        self._revision: str | None = None
        self._generation = 0

    def add(self, decision: Decision, target: TargetState) -> None:
        """Add an evaluation. target: the real one. The signals of `decision` must match `names`."""
        at, phase = decision.at, decision.phase
        dry_run_replicas = decision.memory.scaling.last_replicas if decision.policy.mode is Mode.DRY_RUN else None
        signals = decision.signals
        verdicts = tuple(s.verdict for s in signals)
        state = (target.replicas, target.ready, dry_run_replicas, phase, verdicts)
        values: list[float | int] = []
        for signal in signals:
            values += (_packable(signal.value), _VERDICTS.index(signal.verdict))
        packed = self._form.pack(
            at,
            _bounded(target.replicas),
            _bounded(target.ready),
            _bounded(dry_run_replicas),
            _PHASES.index(phase),
            *values,
        )
        if state != self._state:
            self._state, self._equal_points = state, 0
        self._push(at, packed)
        self._mark(at, target.revision, decision.policy.generation)

    def add_unchanged(self, at: float, values: Values) -> None:
        """Add an evaluation in which only values changed: target and verdicts equal those of the last point.

        values: of the signals that were measured.
        """
        if not self._packed:
            return
        _, *same = self._form.unpack_from(self._packed, len(self._packed) - self._form.size)
        for number, name in enumerate(self.names):
            index = _FIRST_VALUE + 2 * number
            found = values.get(name)
            if found is not None and not math.isnan(same[index]):
                same[index] = _packable(found.value)
        self._push(at, self._form.pack(at, *same))

    def _push(self, at: float, packed: bytes) -> None:
        size = self._form.size
        # The newest point is the current state. The next one replaces it if both of its neighbours are equal.
        if self._equal_points >= 2 and at - self._at(-2) < SPACING:
            del self._packed[-size:]
        else:
            self._equal_points += 1
        self._packed += packed
        self.newest = at
        self._drop_old(at)

    def points(self) -> list[Point]:
        """Return every point, oldest first."""
        return [_point(*packed) for packed in self._form.iter_unpack(self._packed)]

    @property
    def oldest(self) -> float | None:
        """Return the time of the oldest point, in seconds since the epoch; None if there is none."""
        return self._at(0) if self._packed else None

    def last(self) -> Point | None:
        """Return the newest point, or None if there is none."""
        if not self._packed:
            return None
        return _point(*self._form.unpack_from(self._packed, len(self._packed) - self._form.size))

    def _mark(self, at: float, revision: str | None, generation: int) -> None:
        if revision is not None and revision != self._revision:
            if self._revision is not None:
                self.marks.append(Marker(at, "revision", revision))
            self._revision = revision
        if generation != self._generation:
            if self._generation:
                self.marks.append(Marker(at, "spec", str(generation)))
            self._generation = generation
        del self.marks[:-MAX_MARKERS]

    def _drop_old(self, now: float) -> None:
        size = self._form.size
        count = max(0, len(self._packed) // size - MAX_POINTS)
        while (count + 1) * size < len(self._packed) and self._at(count) < now - SPAN:
            count += 1
        if count:
            self._packed = self._packed[count * size :]  # a copy, because deleting from the front does not free memory

    def _at(self, index: int) -> float:
        """Return the time of the point at `index`; a negative index counts from the end."""
        offset = index * self._form.size + (len(self._packed) if index < 0 else 0)
        found: float = struct.unpack_from("<d", self._packed, offset)[0]
        return found


def append_to(history: EvaluationHistory | None, decision: Decision, target: TargetState) -> EvaluationHistory:
    """Return the history with this evaluation added; a new history if the policy's signals have changed."""
    names = tuple(s.name for s in decision.signals)
    if history is None or history.names != names:
        history = EvaluationHistory(names, decision.at)
    history.add(decision, target)
    return history


def _point(at: float, replicas: int, ready: int, dry_run_replicas: int, phase: int, *signals: Any) -> Point:
    return Point(
        at,
        replicas,
        ready,
        None if dry_run_replicas == _NONE else dry_run_replicas,
        _PHASES[phase],
        tuple(None if math.isnan(v) else v for v in signals[::2]),
        tuple(_VERDICTS[v] for v in signals[1::2]),
    )


@lru_cache
def _form(signals: int) -> struct.Struct:
    """Format: time, replicas, ready, dry-run replicas, phase; then value and verdict of each signal."""
    return struct.Struct("<dHHHB" + "fB" * signals)


def _packable(value: float | None) -> float:
    """Clamp a value to four bytes. Non-finite values become unknown, so that packing never fails."""
    if value is None or not math.isfinite(value):
        return math.nan
    return min(max(value, -_LARGEST), _LARGEST)


def _bounded(count: int | None) -> int:
    return _NONE if count is None else min(max(count, 0), _NONE - 1)
