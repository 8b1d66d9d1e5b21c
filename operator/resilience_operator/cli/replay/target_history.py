"""The recorded state of a target over time, from kube-state-metrics.

It approximates the state on the API server: counts lag by one scrape, and the author of a change is known only for the
operator's own changes, from the policy's history. Gaps are bridged, since the target exists while its metrics are
missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.change_attribution import NO_DECISIONS, RecordedDecisions
from resilience_operator.cli.replay.recording import Tracks, Values
from resilience_operator.cli.replay.signal_series import Owners
from resilience_operator.cli.replay.target_queries import target_queries
from resilience_operator.cli.replay.time_grid import Grid, Span
from resilience_operator.decision.model.commands import Verb
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, Revision, TargetState

_HASH = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{6,10}")
"""A `pod-template-hash`: k8s.io/apimachinery/pkg/util/rand.SafeEncodeString uses only these characters."""

LOOKBACK = 300.0
"""Seconds for which Prometheus repeats the last sample (`--query.lookback-delta`)."""


@dataclass(slots=True)
class TargetHistory:
    """The target at each time, from `first` to before `end`; `states` is empty if it never existed.

    notes: the assumptions that were made.
    """

    first: int
    end: int
    states: list[TargetState]
    notes: list[str] = field(default_factory=list)

    def owners(self, number: int) -> Owners:
        """Owners and revisions that had pods at a time."""
        return tuple((r.owner, r.name) for r in self.states[number].revisions if r.replicas > 0)

    @property
    def all_owners(self) -> dict[str, str]:
        """All owners in the recording."""
        return {r.owner: r.name for state in {id(s): s for s in self.states}.values() for r in state.revisions}

    def changes(self) -> Iterator[tuple[int, TargetState, TargetState]]:
        """The changes: the number, the state before, and the state after."""
        for number in range(self.first + 1, self.end):
            if (now := self.states[number]) is not (before := self.states[number - 1]):
                yield number, before, now

    def multi_revision_spans(self) -> list[Span]:
        """Spans with pods of several revisions."""
        spans: list[Span] = []
        for number in range(self.first, self.end):
            if len(self.owners(number)) < 2:
                continue
            if spans and spans[-1][1] == number:
                spans[-1] = spans[-1][0], number + 1
            else:
                spans.append((number, number + 1))
        return spans


@dataclass(frozen=True, slots=True)
class Subject:
    """The target. fallback: replicas if none are recorded. before: the assumed age, seconds, of the first objects."""

    namespace: str
    name: str
    fallback: int
    before: float
    decisions: RecordedDecisions = NO_DECISIONS


async def load(archive: Archive, subject: Subject) -> TargetHistory:
    """Query the target and build its history."""
    texts = target_queries(subject.namespace, subject.name)
    answers = await archive.query(texts.values())
    return reconstruct({what: answers[text] for what, text in texts.items()}, archive.recording.grid, subject)


def reconstruct(recorded: Mapping[str, Tracks], grid: Grid, subject: Subject) -> TargetHistory:
    """Build the history from the results of `target_queries`."""
    notes: list[str] = []
    replicas = _only(recorded["replicas"])
    if not any(v is not None for v in replicas or ()):
        notes.append(f"kube_deployment_spec_replicas was not recorded: {subject.fallback} replicas are assumed")
        replicas = None
    sets = _by_label(recorded["sets"], "replicaset")
    pods = {o: v for o, v in _by_label(recorded["pods"], "owner").items() if _is_owned(o, sets, subject.name)}
    if not pods:
        notes.append("no pods were recorded: signals cannot be split by revision, and releases are not detected")
    first, end = _lifetime([replicas] if replicas is not None else list(pods.values()), grid)
    track = _Track(grid, subject, sets, pods, recorded)
    return TargetHistory(first, end, track.states(replicas, first, end), notes)


class _Track:
    """Builds the states, from the start to the end of the recording."""

    def __init__(
        self,
        grid: Grid,
        subject: Subject,
        sets: Mapping[str, Values],
        pods: Mapping[str, Values],
        recorded: Mapping[str, Tracks],
    ) -> None:
        self._grid, self._subject = grid, subject
        self._sets, self._pods = sets, pods
        self._ready_pods = _by_label(recorded["ready pods"], "owner")
        self._ready, self._paused = _only(recorded["ready"]), _only(recorded["paused"])
        self._hpa_min = _by_label(recorded["hpa min"], "horizontalpodautoscaler")
        self._hpa_max = _by_label(recorded["hpa max"], "horizontalpodautoscaler")
        created = _by_label(recorded["created"], "replicaset")
        self._created = {owner: self._birth(owner, created.get(owner)) for owner in {*sets, *pods}}
        by_age = sorted(self._created, key=lambda owner: (self._created[owner], owner))
        self._number = {owner: number for number, owner in enumerate(by_age, 1)}

    def _birth(self, owner: str, created: Values | None) -> float:
        """When a revision was created; for one that exists at the start, long ago."""
        if created is not None and (value := next((v for v in created if v), None)) is not None:
            return value
        seen = [n for values in (self._sets.get(owner), self._pods.get(owner)) if values for n in [_start_of(values)]]
        first = min((n for n in seen if n is not None), default=0)
        began = min(
            (n for values in (*self._sets.values(), *self._pods.values()) if (n := _start_of(values)) is not None),
            default=0,
        )
        # Objects at the start of the recording may have any age; later ones were created when they appear.
        return self._grid.start - self._subject.before if first == began == 0 else self._grid.at(first)

    def states(self, replicas: Values | None, first: int, end: int) -> list[TargetState]:
        """The state at each time; before `first`, the state at `first`."""
        found: list[TargetState] = []
        raw: tuple[object, ...] | None = None
        counts: dict[str, int] = {}
        ready_pods: dict[str, int] = {}
        ready: float | None = None
        current: str | None = None
        state: TargetState | None = None
        by = {"scaled": "", "paused": "", "template": ""}
        decisions = self._subject.decisions
        seen: set[str] = set()
        size = self._subject.fallback
        for number in range(first, end):
            at = self._grid.at(number)
            if any(v[number] is not None for v in self._pods.values()):
                now = {o: int(n) for o, v in self._pods.items() if (n := v[number])}
                before, current = current, self._current(current, counts, now)
                if current != before and before is not None:
                    by["template"] = decisions.field_manager(at, (Verb.ROLLBACK,), self._hash(current))
                counts = now
            seen.update(counts)
            seen.update(o for o, v in self._sets.items() if v[number] is not None)
            if replicas is not None and (recorded := replicas[number]) is not None:
                if state is not None and int(recorded) != size:
                    by["scaled"] = decisions.field_manager(at, (Verb.SCALE_UP, Verb.SCALE_DOWN), str(int(recorded)))
                size = int(recorded)
            paused = self._hold(self._paused, number, state.paused if state is not None else False)
            if paused and not (state is not None and state.paused):
                by["paused"] = decisions.field_manager(at, (Verb.PAUSE,))
            if any(v[number] is not None for v in self._ready_pods.values()):
                ready_pods = {o: int(v[number] or 0) for o in counts if (v := self._ready_pods.get(o)) is not None}
            if self._ready is not None and self._ready[number] is not None:
                ready = self._ready[number]
            hpa = self._hpa(number, state.hpa if state is not None else None)
            key = (size, paused, tuple(counts.items()), tuple(ready_pods.items()), ready, current, len(seen), hpa)
            if key != raw or state is None:
                raw = key
                state = self._state(
                    number,
                    size,
                    paused=paused,
                    counts=counts,
                    ready_pods=ready_pods,
                    ready=ready,
                    current=current,
                    seen=seen,
                    hpa=hpa,
                    by=by,
                )
            found.append(state)
        return [found[0]] * first + found if found else []

    def _state(
        self,
        number: int,
        size: int,
        *,
        paused: bool,
        counts: Mapping[str, int],
        ready_pods: Mapping[str, int],
        ready: float | None,
        current: str | None,
        seen: set[str],
        hpa: HorizontalPodAutoscaler | None,
        by: Mapping[str, str],
    ) -> TargetState:
        subject = self._subject
        all_ready = int(ready) if ready is not None else sum(ready_pods.values()) if ready_pods else size
        revisions = tuple(
            Revision(
                name=self._hash(owner),
                owner=owner,
                number=self._number[owner],
                created=self._created[owner],
                replicas=counts.get(owner, 0),
                ready=ready_pods.get(owner, counts.get(owner, 0)),
            )
            for owner in sorted(seen, key=self._number.__getitem__)
        )
        if not self._pods:
            current = f"{subject.name}-unrecorded"
            born = self._grid.start - subject.before
            revisions = (Revision("unrecorded", current, 1, born, size, all_ready),)
        alone = not self._pods or (set(counts) == {current} and counts[current or ""] == size)
        return TargetState(
            kind="Deployment",
            namespace=subject.namespace,
            name=subject.name,
            uid=f"{subject.namespace}/{subject.name}",
            resource_version=str(number),
            replicas=size,
            ready=all_ready,
            rolled_out=alone and all_ready >= size,
            revision=None if current is None else self._hash(current),
            revisions=revisions,
            paused=paused,
            paused_by=by["paused"] if paused else "",
            scaled_by=by["scaled"],
            template_by=by["template"],
            hpa=hpa,
        )

    def _current(self, before: str | None, earlier: Mapping[str, int], now: Mapping[str, int]) -> str | None:
        """The owner of the current template: the newest one, or the one that grows while the other shrinks."""
        if len(now) <= 1:
            return next(iter(now), before)
        new = [owner for owner in now if not earlier.get(owner)]
        if new and (earlier or before is None):
            return max(new, key=self._number.__getitem__)
        if before is None or before not in now:
            return max(now, key=self._number.__getitem__)
        if now[before] < earlier.get(before, 0):
            grown = [owner for owner in now if now[owner] > earlier.get(owner, 0)]
            return max(grown, key=self._number.__getitem__, default=before)
        return before

    def _hold(self, values: Values | None, number: int, before: bool) -> bool:
        value = values[number] if values is not None else None
        return before if value is None else bool(value)

    def _hpa(self, number: int, before: HorizontalPodAutoscaler | None) -> HorizontalPodAutoscaler | None:
        for name, least in self._hpa_min.items():
            low, high = least[number], self._hpa_max.get(name, least)[number]
            if low is not None and high is not None:
                return HorizontalPodAutoscaler(name, "", int(low), int(high))
        return before

    def _hash(self, owner: str | None) -> str:
        return (owner or "").removeprefix(f"{self._subject.name}-")


def _is_owned(owner: str, sets: Mapping[str, Values], name: str) -> bool:
    if sets:
        return owner in sets
    return owner.startswith(f"{name}-") and _HASH.fullmatch(owner.removeprefix(f"{name}-")) is not None


def _lifetime(recorded: Sequence[Values], grid: Grid) -> Span:
    """The span in which the target existed; the whole time if that was not recorded.

    If it is missing at the end for longer than the lookback, it was deleted, or is unknown.
    """
    if not recorded:
        return grid.whole
    starts = [n for values in recorded if (n := _start_of(values)) is not None]
    if not starts:
        return grid.count, grid.count
    last = max(n for n in range(grid.count) if any(values[n] is not None for values in recorded))
    ended = (grid.count - 1 - last) * grid.step > LOOKBACK
    return min(starts), last + 1 if ended else grid.count


def _start_of(values: Values) -> int | None:
    return next((number for number, value in enumerate(values) if value is not None), None)


def _only(tracks: Tracks) -> Values | None:
    return tracks[0].values if tracks else None


def _by_label(tracks: Tracks, label: str) -> dict[str, Values]:
    return {track.labels.get(label, ""): track.values for track in tracks}
