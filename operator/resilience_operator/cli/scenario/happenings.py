"""Applies the events of a scenario to the simulated workload and its service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from resilience_operator.api.quantities import format_duration, format_value
from resilience_operator.cli.report.model import Kind, TimelineEvent
from resilience_operator.cli.scenario.events_model import (
    AutoscalerEvent,
    ConfigEvent,
    DependencyEvent,
    Event,
    MetricsOutage,
    ReleaseEvent,
)
from resilience_operator.cli.scenario.service import Behaviour, Bursts, Disturbance, SimulatedService, WarmUp
from resilience_operator.cli.scenario.timeline import Timeline
from resilience_operator.cli.scenario.workload_model import BehaviourFields, FaultModel
from resilience_operator.decision.field_managers import display_name
from resilience_operator.simulation.workload import Workload


@dataclass(slots=True)
class Happenings:
    """Applies events, and schedules their ends.

    first: the behaviour of the revision at the start. outages: those of the metric source, with their ends.
    no_scrapes_until: until when pods are not scraped. down: until when the operator does not run. clock: seconds by
    which its clock is ahead. policy: the new policy, until it is taken up.
    """

    service: SimulatedService
    timeline: Timeline
    first: Behaviour
    events: list[TimelineEvent] = field(default_factory=list)
    outages: list[tuple[float, MetricsOutage]] = field(default_factory=list)
    no_scrapes_until: float = 0.0
    down: float = 0.0
    clock: float = 0.0
    policy: str | Mapping[str, Any] | None = None

    def schedule(self, event: Event, start: float) -> None:
        """Schedule an event of the scenario."""
        apply = self._applied(event)

        def change(workload: Workload, now: float) -> Workload:
            changed, message = apply(workload, now)
            self.note(now, event.kind, message)
            return changed

        self.timeline.add(start + event.at, change)

    def note(self, now: float, kind: str, message: str) -> None:
        """Add an external event to the report."""
        self.events.append(TimelineEvent(now, Kind.EVENT, kind, message))

    def _applied(self, event: Event) -> Callable[[Workload, float], tuple[Workload, str]]:
        """What an event does: the workload after it, and a description."""
        if (release := event.release) is not None:
            return lambda w, now: self._release(release, w, now)
        if (scale := event.scale) is not None:
            return lambda w, now: (
                w.scale(scale.to, scale.by, now),
                f"{display_name(scale.by)} scales from {w.replicas} to {scale.to} pods",
            )
        if (partition := event.partition) is not None:
            return lambda w, now: (
                w.partitioned(partition.to, now),
                f"{display_name(partition.by)} sets the partition to {partition.to}",
            )
        if (pause := event.pause) is not None:
            return lambda w, now: (w.pause(pause.by), f"{display_name(pause.by)} pauses the rollout")
        if (resume := event.resume) is not None:
            return lambda w, now: (
                w.resume(now, "" if resume.by == "kubectl-rollout" else resume.by),
                f"{display_name(resume.by)} resumes the rollout",
            )
        if (hpa := event.hpa) is not None:
            return lambda w, now: (changed_hpa(w, hpa), f"{display_name(hpa.by)} changes the HPA")
        if (fault := event.fault) is not None:
            return lambda w, now: self._fault(fault, w, now)
        return self._outside(event)

    def _outside(self, event: Event) -> Callable[[Workload, float], tuple[Workload, str]]:
        """What an event does that is not a change of the workload's spec."""
        if (dependency := event.dependency) is not None:
            return lambda w, now: (w, self._dependency(dependency, now))
        if (config := event.config) is not None:
            return lambda w, now: self._config(config, w, now)
        if (quota := event.quota) is not None:
            return lambda w, now: (w.with_limits(w.nodes, quota.pods, now), f"the quota allows {_pods(quota.pods)}")
        if (nodes := event.nodes) is not None:
            return lambda w, now: (w.with_limits(nodes.pods, w.quota, now), f"nodes have room for {_pods(nodes.pods)}")
        if (outage := event.metrics_outage) is not None:
            return lambda w, now: (w, self._outage(outage, now))
        if (operator := event.operator_outage) is not None:
            return lambda w, now: (w, self._operator_down(now, operator.for_))
        if (policy := event.policy) is not None:
            return lambda w, now: (w, self._new_policy(policy))
        jump = event.clock_jump
        assert jump is not None, "an event is one of these"
        return lambda w, now: (w, self._jump(jump.forward - jump.back))

    def _release(self, release: ReleaseEvent, workload: Workload, now: float) -> tuple[Workload, str]:
        revision = release.revision
        self.service.behaviours[revision] = self._behaviour(release)
        hidden = self.service.hidden
        self.service.hidden = hidden - {revision} if release.exports else hidden | {revision}
        broken = workload.broken - {revision} if release.ready else workload.broken | {revision}
        startups = dict(workload.startups)
        if release.startup is not None:
            startups[revision] = release.startup
        faults = tuple(f for f in workload.faults if f.revision != revision)
        workload = replace(workload, broken=broken, startups=startups, faults=faults)
        if release.fault is not None:
            workload, _ = self._fault(release.fault, workload, now, revision)
        workload = workload.release(revision, release.by, now)
        return workload, f"{display_name(release.by)} applies revision {revision}"

    def _behaviour(self, release: ReleaseEvent) -> Behaviour:
        known = self.service.behaviours.get(release.revision, self.first)
        found = with_fields(known, release)
        if release.errors is not None:
            found = replace(found, errors=release.errors.value)
        if release.latency is not None:
            found = replace(found, latency=release.latency.value)
        return replace(found, cpu=1.0 if release.cpu is None else release.cpu.value)

    def _fault(self, model: FaultModel, workload: Workload, now: float, revision: str = "") -> tuple[Workload, str]:
        fault = model.fault(revision)
        if model.for_ is not None:
            self.timeline.add(now + model.for_, lambda w, at: w.without_fault(fault, at))
        pods = "pods" if fault.pods is None else _pods(fault.pods)
        of = f" of revision {fault.revision}" if fault.revision else ""
        return workload.with_fault(fault, now), f"{fault.kind.value}: {pods}{of}{_for(model.for_)}"

    def _dependency(self, event: DependencyEvent, now: float) -> str:
        disturbance = Disturbance(event.errors.value, event.latency.value, revision=event.revision or "")
        self._disturb(disturbance, now, event.for_)
        return f"a dependency fails {_effect(disturbance)}{_for(event.for_)}"

    def _config(self, event: ConfigEvent, workload: Workload, now: float) -> tuple[Workload, str]:
        since = 0.0 if event.all_pods else now
        disturbance = Disturbance(event.errors.value, event.latency.value, since)
        self._disturb(disturbance, now, None)
        if event.fault is not None:
            fault = event.fault.fault()
            if event.all_pods:
                workload = workload.with_fault(fault, now)
            else:
                workload = replace(workload, faults=(*workload.faults, fault))
        return workload, f"the configuration changes {_effect(disturbance)}".rstrip()

    def _disturb(self, disturbance: Disturbance, now: float, seconds: float | None) -> None:
        self.service.disturbances.append(disturbance)
        if seconds is not None:

            def end(workload: Workload, _: float) -> Workload:
                self.service.disturbances.remove(disturbance)
                return workload

            self.timeline.add(now + seconds, end)

    def _outage(self, outage: MetricsOutage, now: float) -> str:
        what = ", ".join(outage.signals) if outage.signals else "all metrics"
        if outage.how == "scrapes":
            self.no_scrapes_until = now + outage.for_
            return f"pods are not scraped for {format_duration(outage.for_)}"
        self.outages.append((now + outage.for_, outage))
        return f"{what} unavailable for {format_duration(outage.for_)}"

    def _operator_down(self, now: float, seconds: float) -> str:
        self.down = now + seconds
        return f"the operator does not run for {format_duration(seconds)}"

    def _new_policy(self, policy: str | Mapping[str, Any]) -> str:
        self.policy = policy
        return "the policy changes"

    def _jump(self, seconds: float) -> str:
        self.clock += seconds
        direction = "forward" if seconds > 0 else "back"
        return f"the operator's clock jumps {direction} by {format_duration(abs(seconds))}"


def changed_hpa(workload: Workload, event: AutoscalerEvent) -> Workload:
    """The workload after its HPA was changed."""
    hpa = workload.hpa
    assert hpa is not None, "checked when the scenario was read"
    changed = replace(
        hpa,
        min_replicas=hpa.min_replicas if event.min is None else event.min,
        max_replicas=hpa.max_replicas if event.max is None else event.max,
        min_by=hpa.min_by if event.min is None else event.by,
        resource_version=str(int(hpa.resource_version) + 1),
    )
    return replace(workload, hpa=changed, version=workload.version + 1)


def with_fields(behaviour: Behaviour, written: BehaviourFields) -> Behaviour:
    """A behaviour with the fields that are written."""
    if written.slow is not None:
        behaviour = replace(behaviour, slow_share=written.slow.share.value, slow_factor=written.slow.factor)
    if written.bursts is not None:
        behaviour = replace(behaviour, bursts=Bursts(written.bursts.size, written.bursts.every))
    if written.warm_up is not None:
        warm = written.warm_up
        behaviour = replace(behaviour, warm_up=WarmUp(warm.for_, warm.latency.value, warm.cpu.value))
    return behaviour


def _effect(disturbance: Disturbance) -> str:
    parts = []
    if disturbance.errors:
        parts.append(f"{format_value(disturbance.errors, 'ratio')} of the requests")
    if disturbance.latency:
        parts.append(f"and adds {format_duration(disturbance.latency)}")
    return " ".join(parts)


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" for {format_duration(seconds)}"


def _pods(count: int | None) -> str:
    if count is None:
        return "any number of pods"
    return f"{count} pod" if count == 1 else f"{count} pods"
