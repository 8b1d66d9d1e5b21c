"""The environment of a scenario: its load, its events and its measurements."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from resilience_operator.api.quantities import format_duration
from resilience_operator.cli.report.model import Kind, TimelineEvent
from resilience_operator.cli.scenario.interpolation import value_at
from resilience_operator.cli.scenario.model import Event, MetricsOutage, ReleaseEvent, Scenario
from resilience_operator.cli.scenario.service import Behaviour, SimulatedService
from resilience_operator.cli.scenario.trace import Requests
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.signals import reasons
from resilience_operator.signals.model import Signal
from resilience_operator.simulation.workload import Workload

START = 1_767_225_600.0
"""The start time of each scenario (2026-01-01, UTC); arbitrary and fixed."""

DAY = 86400.0


class SimulatedEnvironment:
    """The environment of each evaluation: applies events, then the load since the last evaluation, then measures."""

    def __init__(self, scenario: Scenario, signals: tuple[Signal, ...]) -> None:
        self._scenario = scenario
        self._signals = signals
        self._rng = random.Random(scenario.seed)  # noqa: S311 - a scenario must be reproducible, not secret
        service = scenario.workload
        self._first = Behaviour(service.errors.value, service.latency.value)
        self._fleet = SimulatedService(
            service.capacity,
            service.limit.value,
            self._rng,
            {service.revision: self._first},
            max((s.window_seconds for s in signals), default=0.0),
        )
        self._ahead = sorted(scenario.events, key=lambda event: event.at)
        self._outages: list[tuple[float, MetricsOutage]] = []
        self._looked = START
        self._before = Requests()
        self.events: list[TimelineEvent] = []

    @property
    def requests(self) -> Requests:
        """The requests since the start."""
        return Requests(self._fleet.total - self._before.total, self._fleet.failed - self._before.failed)

    def warm_up(self, workload: Workload, window: float, interval: float) -> None:
        """Fill the look-back window with the load at the start."""
        for number in range(round(window / interval), -1, -1):
            self._serve(workload, START - number * interval, interval)
        self._before = Requests(self._fleet.total, self._fleet.failed)

    def __call__(self, now: float, workload: Workload) -> tuple[Workload, Mapping[str, Observation]]:
        """The workload and its observations at `now`."""
        while self._ahead and self._ahead[0].at <= now - START:
            event = self._ahead.pop(0)
            workload, message = self._apply(event, workload, now)
            self.events.append(TimelineEvent(now, Kind.EVENT, _kind(event), message))
        if now > self._looked:
            self._serve(workload, now, now - self._looked)
            self._looked = now
        return workload, {signal.name: self._observe(signal, workload, now) for signal in self._signals}

    def _serve(self, workload: Workload, now: float, seconds: float) -> None:
        rate = value_at(self._scenario.load, max(0.0, now - START)) or 0.0
        noise = self._scenario.noise.value
        self._fleet.serve(workload, max(0.0, rate * self._rng.gauss(1.0, noise)) if noise else rate, now, seconds)

    def _observe(self, signal: Signal, workload: Workload, now: float) -> Observation:
        for until, outage in self._outages:
            if now < until and (not outage.signals or signal.name in outage.signals):
                return Observation.unknown(now, reasons.SOURCE_UNREACHABLE, f"{signal.name}: metrics unavailable")
        course = self._scenario.signals.get(signal.name)
        if course is None:
            return self._fleet.measure(signal.preset or signal.name, workload, signal.window_seconds, now)
        value = value_at(course, now - START)
        if value is None:
            return Observation.unknown(now, reasons.NO_DATA, f"{signal.name}: no value yet")
        if signal.preset not in ("error-rate", "latency-p99"):
            return Observation(now, Measured(value))
        samples = self._fleet.requests(signal.window_seconds, now)
        return Observation(now, Measured(value, samples, value * samples if signal.unit == "ratio" else None))

    def _apply(self, event: Event, workload: Workload, now: float) -> tuple[Workload, str]:
        """Apply an event. Returns the new workload and a description."""
        if (release := event.release) is not None:
            self._fleet.behaviours[release.revision] = self._behaviour(release)
            broken = workload.broken - {release.revision} if release.ready else workload.broken | {release.revision}
            workload = replace(workload, broken=broken).release(release.revision, release.by, now)
            return workload, f"{display_name(release.by)} applies revision {release.revision}"
        if (scale := event.scale) is not None:
            before = workload.replicas
            return (
                workload.scale(scale.to, scale.by, now),
                f"{display_name(scale.by)} scales from {before} to {scale.to} pods",
            )
        if (pause := event.pause) is not None:
            return workload.pause(pause.by), f"{display_name(pause.by)} pauses the rollout"
        if event.resume is not None:
            return workload.resume(now), "someone resumes the rollout"
        assert event.metrics_outage is not None, "an event is one of these"
        outage = event.metrics_outage
        self._outages.append((now + outage.for_, outage))
        what = ", ".join(outage.signals) if outage.signals else "all metrics"
        return workload, f"{what} unavailable for {format_duration(outage.for_)}"

    def _behaviour(self, release: ReleaseEvent) -> Behaviour:
        known = self._fleet.behaviours.get(release.revision, self._first)
        return Behaviour(
            known.errors if release.errors is None else release.errors.value,
            known.latency if release.latency is None else release.latency.value,
            release.cpu.value,
        )


def _kind(event: Event) -> str:
    fields = (("release", event.release), ("scale", event.scale), ("pause", event.pause), ("resume", event.resume))
    return next((name for name, value in fields if value is not None), "metricsGone")
