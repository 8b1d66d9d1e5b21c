"""A replay: look back, measure, decide, in that order, and tell the report.

The past does not react to what is only rehearsed. For a signal that pods share (CPU) it is known how it would have:
the same work, by as many pods as the policy would have had. Without that, one busy hour would be answered with pods
up to the maximum. What else would have been different (latency, errors) nobody knows, so it stays as it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.common.console import CommandError
from resilience_operator.cli.replay.archive import Archive
from resilience_operator.cli.replay.change_attribution import RecordedDecisions
from resilience_operator.cli.replay.counterfactual import Counterfactual, without_operator
from resilience_operator.cli.replay.signal_series import Measure, Owners, plan
from resilience_operator.cli.replay.target_history import Subject, TargetHistory, load
from resilience_operator.cli.replay.time_grid import Grid
from resilience_operator.cli.report.model import Kind, ReportBuilder, RunReport, TimelineEvent
from resilience_operator.decision.dry_run import apply_overlay, prune
from resilience_operator.decision.model.memory import DryRunOverlay
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.runtime.cache.policy_entry import PolicyEntry
from resilience_operator.signals.presets.models import load_families
from resilience_operator.simulation.engine import Sample, replay

DAY = 86400.0


async def replay_policy(entry: PolicyEntry, policy: Policy, archive: Archive, *, react: bool = True) -> RunReport:
    """What the policy would have done over the recorded time. Raises CallError, Failed.

    react: whether signals that pods share are converted to the pods that the policy would have had.
    """
    grid = archive.recording.grid
    stride = max(1, round(policy.interval / grid.step))
    notes: list[str] = []
    if abs(stride * grid.step - policy.interval) > 1e-6:
        notes.append(
            f"the recording has a step of {format_duration(grid.step)}, which does not divide the interval of "
            f"{format_duration(policy.interval)}: evaluated every {format_duration(stride * grid.step)}"
        )
        policy = replace(policy, interval=stride * grid.step)
    subject = Subject(
        policy.namespace,
        entry.target[2],
        fallback=policy.min_replicas or 1,
        before=max(DAY, 2 * policy.release.bake),
        journal=RecordedDecisions.of(policy, entry.history.entries),
    )
    past = await load(archive, subject)
    if not past.states:
        raise CommandError(
            f"no data recorded for {entry.target[0]} {policy.namespace}/{entry.target[2]} in this time range"
        )
    notes += past.notes
    if subject.journal.reaches > grid.at(past.first):
        notes.append("the history does not reach back to the start: earlier changes are attributed to the operator")
    measures = plan(entry.signals, load_families(), entry.preset_family, past.states[-1], past.all_owners)
    for measure in measures:
        await measure.query(archive, past.multi_revision_spans())
    teller = ReportBuilder(policy)
    seen = without_operator(past, grid.step, policy.interval)
    numbers = _evaluation_times(past, seen, stride)
    rehearsed = ReplayedState()
    steps = _steps(grid, numbers, past, seen, measures, rehearsed if react else None)
    for number, turn in zip(numbers, replay(policy, steps), strict=True):
        rehearsed.shadow = turn.memory.overlay
        teller.add(turn, past.states[number].replicas)
    if not teller.samples:
        raise CommandError("the time range is shorter than one interval: there are no evaluations")
    if rehearsed.converted:
        notes.append(
            f"{', '.join(sorted(rehearsed.converted))}: adjusted to the number of pods that the policy would have had"
        )
    title = f"{policy.namespace}/{policy.name}"
    return teller.report(title, events=_events(past, grid), notes=notes)


def _evaluation_times(past: TargetHistory, seen: Counterfactual, stride: int) -> list[int]:
    """When the policy looks: on its beat, and at once when something of weight changed about its target."""
    beat = range(past.first + (-past.first) % stride, past.end, stride)
    changed = (
        n for n in range(past.first + 1, past.end) if _change_key(seen.states[n]) != _change_key(seen.states[n - 1])
    )
    return sorted({*beat, *changed}) if stride > 1 else list(beat)


def _change_key(state: TargetState) -> tuple[object, ...]:
    return state.revision, state.replicas, state.paused, state.rolled_out


@dataclass(slots=True)
class ReplayedState:
    """What was rehearsed up to the last look, and the signals that were converted on its account."""

    shadow: DryRunOverlay | None = None
    converted: set[str] = field(default_factory=set)

    def share(self, really: TargetState, seen: TargetState) -> float:
        """The pods that there were, over those that there would have been."""
        wanted = seen if self.shadow is None else apply_overlay(seen, prune(self.shadow, seen))
        return really.replicas / wanted.replicas if wanted.replicas and really.replicas else 1.0


def _steps(
    grid: Grid,
    numbers: Sequence[int],
    past: TargetHistory,
    seen: Counterfactual,
    measures: list[Measure],
    rehearsed: ReplayedState | None,
) -> Iterator[Sample]:
    owners: Owners = ()
    of: TargetState | None = None
    for number in numbers:
        at, source, state = grid.at(number), seen.sources[number], seen.states[number]
        really = past.states[source]
        if really is not of:
            owners, of = past.owners(source), really
        observations = {m.request.signal.name: m.observe(source, at, owners) for m in measures}
        if rehearsed is not None and (share := rehearsed.share(really, state)) != 1.0:
            for measure in measures:
                if measure.shared_by_pods:
                    name = measure.request.signal.name
                    observations[name] = _shared(observations[name], share)
                    rehearsed.converted.add(name)
        yield Sample(at, observations, state)


def _shared(observation: Observation, share: float) -> Observation:
    """The same work by other pods."""
    if observation.measured is None:
        return observation
    return observation._replace(
        measured=observation.measured._replace(value=observation.measured.value * share),
        by_revision={name: m._replace(value=m.value * share) for name, m in observation.by_revision.items()},
    )


def _events(past: TargetHistory, grid: Grid) -> Iterator[TimelineEvent]:
    """What really happened to the target: other replicas, another revision, a pause."""
    for number, before, now in past.changes():
        at, by = grid.at(number), " (by the operator)"
        if now.replicas != before.replicas:
            message = f"scaled from {before.replicas} to {now.replicas} pods{by if now.scaled_by else ''}"
            yield TimelineEvent(at, Kind.EVENT, "scaled", message)
        if now.revision != before.revision and before.revision is not None:
            message = f"revision {now.revision} replaced {before.revision}{by if now.template_by else ''}"
            yield TimelineEvent(at, Kind.EVENT, "release", message)
        if now.paused and not before.paused:
            yield TimelineEvent(at, Kind.EVENT, "paused", f"the rollout was paused{by if now.paused_by else ''}")
        if before.paused and not now.paused:
            yield TimelineEvent(at, Kind.EVENT, "resumed", "the rollout was resumed")
