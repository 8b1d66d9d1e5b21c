"""The environment of a scenario: its load, its events, its controllers, and its measurements."""

from __future__ import annotations

import random
from dataclasses import replace

from resilience_operator.cli.scenario.happenings import Happenings, with_fields
from resilience_operator.cli.scenario.interpolation import value_at
from resilience_operator.cli.scenario.measurement import Measurement
from resilience_operator.cli.scenario.model import Scenario
from resilience_operator.cli.scenario.service import Behaviour, Readiness, SimulatedService
from resilience_operator.cli.scenario.timeline import Timeline
from resilience_operator.cli.scenario.trace import Requests
from resilience_operator.cli.scenario.writers import RunningWriter
from resilience_operator.decision.field_managers import HPA_CONTROLLER
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.signals import reasons
from resilience_operator.signals.model import Signal
from resilience_operator.signals.presets.models import Families
from resilience_operator.simulation.autoscaler import SYNC, Autoscaler, PodUsage
from resilience_operator.simulation.workload import Workload

START = 1_767_225_600.0
"""The start time of each scenario (2026-01-01, UTC); arbitrary and fixed."""

DAY = 86400.0

TICK = 5.0
"""Maximum seconds that are simulated at once."""


class SimulatedEnvironment:
    """Everything around the policy. folder: of the scenario file, for its traces."""

    def __init__(
        self, scenario: Scenario, signals: tuple[Signal, ...], families: Families, family: str, folder: str
    ) -> None:
        self._scenario, self._signals, self._folder = scenario, signals, folder
        self._rng = random.Random(scenario.seed)  # noqa: S311 - a scenario must be reproducible, not secret
        service = scenario.workload
        first = with_fields(Behaviour(service.errors.value, service.latency.value), service)
        readiness = service.readiness
        self._service = SimulatedService(
            service.capacity,
            service.limit.value,
            self._rng,
            {service.revision: first},
            service.bounds,
            None if readiness is None else Readiness(readiness.fails_above.value, readiness.recovers_after),
        )
        window = max((s.window_seconds for s in signals), default=0.0)
        self._measurement = Measurement(self._service, families, family, scenario.scrape, window)
        self._timeline = Timeline()
        self._at = START
        self._before = Requests()
        self.happenings = Happenings(self._service, self._timeline, first)
        for event in sorted(scenario.events, key=lambda e: e.at):
            self.happenings.schedule(event, START)
        for writer in scenario.writers:
            RunningWriter(writer, self._timeline, self.happenings, START).schedule()
        if service.hpa is not None:
            self._autoscaler = Autoscaler(service.hpa.target.value)
            self._cpu: dict[str, float] = {}
            self._timeline.add(START + SYNC, self._autoscale)

    @property
    def requests(self) -> Requests:
        """The requests since the start."""
        return Requests(self._service.total - self._before.total, self._service.failed - self._before.failed)

    def use(self, signals: tuple[Signal, ...], family: str) -> None:
        """Measure these signals from now on."""
        self._signals, self._measurement.family = signals, family

    def warm_up(self, workload: Workload, window: float) -> None:
        """Fill the look-back window with the load at the start."""
        self._at = START - window - 2 * self._scenario.scrape
        self._work(workload, START)
        self._before = Requests(self._service.total, self._service.failed)

    def advance(self, workload: Workload, now: float) -> Workload:
        """The workload at `now`, after all that happened until then."""
        workload = self._timeline.run(workload, self._at)
        while self._at < now:
            due = self._timeline.next
            until = now if due is None else min(now, max(due, self._at + 1e-3))
            workload = self._timeline.run(self._work(workload, until), until)
        return workload.advance(now)

    def observe(self, workload: Workload, target: TargetState, clock: float, watched: bool) -> dict[str, Observation]:
        """The observations at `now`. clock: the operator's time. watched: a release is analysed."""
        now = self._at
        found = {s.name: self._observe(s, workload, target, now, watched) for s in self._signals}
        if clock == now:
            return found
        shift = clock - now
        return {
            name: o._replace(at=o.at + shift, since=None if o.since is None else o.since + shift)
            for name, o in found.items()
        }

    def _work(self, workload: Workload, until: float) -> Workload:
        """Serve the load until then, in ticks."""
        while self._at < until:
            now = min(until, self._at + TICK)
            unready = self._service.serve(workload, self._rate(self._at), self._at, now - self._at)
            workload = workload.advance(now)
            self._service.forget(workload.pods)
            if unready and self._service.readiness is not None:
                workload = workload.fail_readiness(unready, now, self._service.readiness.down)
            if now >= self.happenings.no_scrapes_until:
                self._measurement.scrape(workload, now)
            self._at = now
        return workload

    def _rate(self, now: float) -> float:
        rate = value_at(self._scenario.load, max(0.0, now - START), self._folder) or 0.0
        noise = self._scenario.noise.value
        return max(0.0, rate * self._rng.gauss(1.0, noise)) if noise else rate

    def _observe(
        self, signal: Signal, workload: Workload, target: TargetState, now: float, watched: bool
    ) -> Observation:
        for until, outage in self.happenings.outages:
            if now < until and (not outage.signals or signal.name in outage.signals):
                return Observation.unknown(now, outage.reason, f"{signal.name}: metrics unavailable")
        values = self._scenario.signals.get(signal.name)
        if values is None:
            return self._measurement.observe(signal, workload, target, now, watched)
        value = value_at(values.series, now - START, self._folder)
        if value is None:
            return Observation.unknown(now, reasons.NO_DATA, f"{signal.name}: no value yet")
        if values.per_pod:
            value /= max(1, target.ready)
        if values.noise.value:
            value = max(0.0, value * self._rng.gauss(1.0, values.noise.value))
        if signal.preset not in ("error-rate", "latency-p99"):
            return Observation(now, Measured(value))
        samples = self._measurement.requests(signal.window_seconds, now)
        return Observation(now, Measured(value, samples, value * samples if signal.unit == "ratio" else None))

    def _autoscale(self, workload: Workload, now: float) -> Workload:
        self._timeline.add(now + SYNC, self._autoscale)
        hpa = workload.hpa
        assert hpa is not None
        used: dict[str, float] = {name: counters.cpu for name, counters in self._service.pods.items()}
        usage = [
            PodUsage(pod.ready(now), max(0.0, used[pod.name] - self._cpu[pod.name]) / SYNC)
            if pod.name in self._cpu and pod.name in used
            else PodUsage(pod.ready(now), None)
            for pod in workload.pods
        ]
        self._cpu = used
        wanted = self._autoscaler.replicas(now, workload.replicas, hpa.min_replicas, hpa.max_replicas, usage)
        if wanted == workload.replicas:
            return workload
        self.happenings.note(now, "autoscaler", f"the HPA scales from {workload.replicas} to {wanted} pods")
        return workload.scale(wanted, HPA_CONTROLLER, now)


def with_listed_pods(workload: Workload, watched: bool) -> Workload:
    """The workload, whose pods are listed while a release is watched."""
    return workload if workload.list_pods is watched else replace(workload, list_pods=watched)
