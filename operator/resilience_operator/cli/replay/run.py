"""Runs a replay: loads the target history and the signals, evaluates the policy, and builds the report.

Recorded metrics do not react to simulated actions. A signal that pods share (CPU) can be converted: the same work, by
the number of pods that the policy would have had. Otherwise one busy hour would scale up to the maximum. The effect on
other signals (latency, errors) is unknown, so they stay as recorded.
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
    """Replay the policy over the recorded time. Raises CallError, CommandError.

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
        decisions=RecordedDecisions.of(policy, entry.history.entries),
    )
    history = await load(archive, subject)
    if not history.states:
        raise CommandError(
            f"no data recorded for {entry.target[0]} {policy.namespace}/{entry.target[2]} in this time range"
        )
    notes += history.notes
    if subject.decisions.reaches > grid.at(history.first):
        notes.append("the history does not reach back to the start: earlier changes are attributed to the operator")
    measures = plan(
        entry.compiled.signals, load_families(), entry.compiled.preset_family, history.states[-1], history.all_owners
    )
    for measure in measures:
        await measure.query(archive, history.multi_revision_spans())
    builder = ReportBuilder(policy)
    seen = without_operator(history, grid.step, policy.interval)
    numbers = _evaluation_times(history, seen, stride)
    replayed = ReplayedState()
    steps = _steps(grid, numbers, history, seen, measures, replayed if react else None)
    for number, step in zip(numbers, replay(policy, steps), strict=True):
        replayed.overlay = step.memory.overlay
        builder.add(step, history.states[number].replicas)
    if not builder.samples:
        raise CommandError("the time range is shorter than one interval: there are no evaluations")
    if replayed.converted:
        notes.append(
            f"{', '.join(sorted(replayed.converted))}: adjusted to the number of pods that the policy would have had"
        )
    title = f"{policy.namespace}/{policy.name}"
    return builder.report(title, events=_events(history, grid), notes=notes)


def _evaluation_times(history: TargetHistory, seen: Counterfactual, stride: int) -> list[int]:
    """The numbers at which the policy is evaluated: each interval, and immediately after a change of its target."""
    regular = range(history.first + (-history.first) % stride, history.end, stride)
    changed = (
        n
        for n in range(history.first + 1, history.end)
        if _change_key(seen.states[n]) != _change_key(seen.states[n - 1])
    )
    return sorted({*regular, *changed}) if stride > 1 else list(regular)


def _change_key(state: TargetState) -> tuple[object, ...]:
    return state.revision, state.replicas, state.paused, state.rolled_out


@dataclass(slots=True)
class ReplayedState:
    """The overlay after the last evaluation, and the signals that were converted because of it."""

    overlay: DryRunOverlay | None = None
    converted: set[str] = field(default_factory=set)

    def share(self, really: TargetState, seen: TargetState) -> float:
        """The recorded number of pods, divided by the number that the policy would have had."""
        desired = seen if self.overlay is None else apply_overlay(seen, prune(self.overlay, seen))
        return really.replicas / desired.replicas if desired.replicas and really.replicas else 1.0


def _steps(
    grid: Grid,
    numbers: Sequence[int],
    history: TargetHistory,
    seen: Counterfactual,
    measures: list[Measure],
    replayed: ReplayedState | None,
) -> Iterator[Sample]:
    owners: Owners = ()
    of: TargetState | None = None
    for number in numbers:
        at, source, state = grid.at(number), seen.sources[number], seen.states[number]
        really = history.states[source]
        if really is not of:
            owners, of = history.owners(source), really
        observations = {m.request.signal.name: m.observe(source, at, owners) for m in measures}
        if replayed is not None and (share := replayed.share(really, state)) != 1.0:
            for measure in measures:
                if measure.shared_by_pods:
                    name = measure.request.signal.name
                    observations[name] = _shared(observations[name], share)
                    replayed.converted.add(name)
        yield Sample(at, observations, state)


def _shared(observation: Observation, share: float) -> Observation:
    """Convert the value to the same work by another number of pods."""
    if observation.measured is None:
        return observation
    return observation._replace(
        measured=observation.measured._replace(value=observation.measured.value * share),
        by_revision={name: m._replace(value=m.value * share) for name, m in observation.by_revision.items()},
    )


def _events(history: TargetHistory, grid: Grid) -> Iterator[TimelineEvent]:
    """The recorded changes of the target: replicas, revision, pause."""
    for number, before, now in history.changes():
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
