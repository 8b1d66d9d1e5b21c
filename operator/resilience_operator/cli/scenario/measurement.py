"""Measures a simulated service: the operator's preset code on the scraped counters of its pods."""

from __future__ import annotations

from dataclasses import dataclass, field

from resilience_operator.cli.scenario.counters import BUCKETS, CPU, ERRORS, REQUESTS, Scrapes
from resilience_operator.cli.scenario.service import SimulatedService
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState
from resilience_operator.signals import reasons
from resilience_operator.signals.increments import IncrementTracker
from resilience_operator.signals.model import Signal, SignalRequest
from resilience_operator.signals.presets import aggregate
from resilience_operator.signals.presets.histogram import quantile
from resilience_operator.signals.presets.models import Families, Join, Quantile, Quotient, Ratio
from resilience_operator.signals.query.extract import Key, PodCounters
from resilience_operator.signals.query.template import owner_label, owner_of_pod
from resilience_operator.simulation.pods import Pod
from resilience_operator.simulation.workload import Workload

INITIALIZATION = 300.0
"""Age in seconds below which the preset `cpu` counts a pod as just started (`signals/presets/pods.yaml`)."""

_ENTRY = "ingress"
"""The name of the series that an ingress counts."""


@dataclass(slots=True)
class Measurement:
    """Scrapes the service and answers the policy's presets. family: the preset family of the policy.

    per_pod: the family's series have a pod label; otherwise they are counted at the ingress.
    """

    service: SimulatedService
    families: Families
    family: str
    interval: float
    memory: float
    _pods: Scrapes = field(init=False)
    _entry: Scrapes = field(init=False)
    _tracker: IncrementTracker = field(init=False)
    _now: float = 0.0
    _revision: str | None = None
    _before: str | None = None

    def __post_init__(self) -> None:
        self._tracker = IncrementTracker(lambda: self._now)
        self._pods = Scrapes(self.interval, self.memory + 2 * self.interval)
        self._entry = Scrapes(self.interval, self.memory + 2 * self.interval)

    def scrape(self, workload: Workload, now: float) -> None:
        """Scrape the pods that run and are due."""
        counters = self.service.pods
        hidden = self.service.hidden
        running = (
            pod for pod in workload.pods if pod.started <= now and pod.name in counters and pod.revision not in hidden
        )
        self._pods.scrape(now, ((pod.name, counters[pod.name], pod.restarts) for pod in running))
        self._pods.forget(now, counters)
        self._entry.scrape(now, [(_ENTRY, self.service.entry, 0)])

    def observe(
        self, signal: Signal, workload: Workload, target: TargetState, now: float, watched: bool
    ) -> Observation:
        """One preset signal. watched: a release is analysed, so that what each pod counted is needed too."""
        if now != self._now:
            self._before, self._revision = self._revision, target.revision or self._revision
        self._now = now
        name = signal.preset or signal.name
        found = self.families.find(self.family, name)
        if found is None:
            message = f"the scenario has no values for {name}: add it to signals"
            return Observation.unknown(now, reasons.NO_DATA, message)
        family, preset = found
        owners = {r.owner: r.name for r in target.revisions if r.replicas}
        before = target.find(self._before) if self._before != self._revision else None
        if before is not None:
            # As the operator does at its first look at a release: a fast rollout has ended the old pods by then.
            owners[before.owner] = before.name
        request = SignalRequest(target.namespace, target.name, target.kind, owners, signal, family=self.family)
        keys = aggregate.series_keys(request, family.join)
        if not keys.parts:
            return keys.unknown(now, reasons.NO_DATA, f"{keys} has no pods")
        match preset:
            case Ratio():
                observation = self._ratio(keys, family.join, signal, target, now)
            case Quotient():
                observation = self._quotient(keys, preset, signal, workload, now)
            case Quantile():
                observation = self._quantile(keys, family.join, preset, signal, target, now)
        if not watched or not family.splittable or isinstance(preset, Quotient):
            self._tracker.forget(keys)
            return observation
        scale = preset.scale if isinstance(preset, Quantile) else 1.0
        return self._tracker.advance(observation, keys, self._counters(workload, preset), now, scale)

    def _counters(self, workload: Workload, preset: Ratio | Quantile) -> dict[Key, dict[str, PodCounters]]:
        """The newest scraped counters of the pods that exist, by owner."""
        found: dict[Key, dict[str, PodCounters]] = {}
        for pod in workload.pods:
            series = self._pods.series.get(pod.name)
            if series is None:
                continue
            sample = series.newest()
            if isinstance(preset, Ratio):
                counters = PodCounters(sample[REQUESTS], sample[ERRORS])
            else:
                bounds = (bound / preset.scale for bound in self.service.bounds)
                counters = PodCounters(sample[REQUESTS], None, dict(zip(bounds, sample[BUCKETS:], strict=True)))
            found.setdefault((workload.namespace, owner_label(owner_of_pod(pod.name))), {})[pod.name] = counters
        return found

    def requests(self, window: float, now: float) -> float:
        """The requests of all pods within the window."""
        return sum(values[0] for _, _, values in self._pods.increases(now - window, now, (REQUESTS,)))

    def _totals(
        self, join: Join, signal: Signal, target: TargetState, now: float, positions: tuple[int, ...]
    ) -> dict[Key, list[float]]:
        """The increases over the signal's window by owner, or of the Service."""
        scrapes = self._pods if join.by == "owner" else self._entry
        found: dict[Key, list[float]] = {}
        for name, _, values in scrapes.increases(now - signal.window_seconds, now, positions):
            if join.by == "owner":
                key = (target.namespace, owner_label(owner_of_pod(name)))
            elif join.combined_label:
                key = ("", f"{target.namespace}-{target.name}")
            else:
                key = (target.namespace, target.name)
            total = found.get(key)
            found[key] = values if total is None else [a + b for a, b in zip(total, values, strict=True)]
        return found

    def _ratio(
        self, keys: aggregate.SeriesKeys, join: Join, signal: Signal, target: TargetState, now: float
    ) -> Observation:
        totals = self._totals(join, signal, target, now, (ERRORS, REQUESTS))
        events = {key: values[0] for key, values in totals.items()}
        return aggregate.ratio(keys, now, events, {key: values[1] for key, values in totals.items()})

    def _quotient(
        self,
        keys: aggregate.SeriesKeys,
        preset: Quotient,
        signal: Signal,
        workload: Workload,
        now: float,
    ) -> Observation:
        window = signal.window_seconds
        current = {pod.name: pod for pod in workload.pods}
        used: dict[Key, float] = {}
        requests: dict[Key, float] = {}
        for pod, _, (cpu, count) in self._pods.increases(now - window, now, (CPU, REQUESTS)):
            if pod in current:
                key = self._key(workload, current[pod], owner_of_pod(pod), now)
                used[key] = used.get(key, 0.0) + (cpu if preset.counted else cpu / window)
                requests[key] = requests.get(key, 0.0) + count
        if preset.counted:
            return aggregate.quotient(keys, now, preset, used, requests)
        counted: dict[Key, float] = {}
        for found in workload.pods:
            if found.started > now and not found.restarts:
                continue  # a pending pod is no capacity
            key = self._key(workload, found, workload.owner(found.revision), now)
            counted[key] = counted.get(key, 0.0) + 1.0
        return aggregate.quotient(keys, now, preset, used, counted)

    def _key(self, workload: Workload, pod: Pod, owner: str, now: float) -> Key:
        """The key of a pod's series, by its age."""
        young = aggregate.YOUNG if now - pod.created < INITIALIZATION else ""
        return workload.namespace, young + owner_label(owner)

    def _quantile(
        self, keys: aggregate.SeriesKeys, join: Join, preset: Quantile, signal: Signal, target: TargetState, now: float
    ) -> Observation:
        bounds = self.service.bounds
        positions = (REQUESTS, *range(BUCKETS, BUCKETS + len(bounds)))
        totals = self._totals(join, signal, target, now, positions)
        samples = {key: values[0] for key, values in totals.items()}
        buckets = {
            key: {bound / preset.scale: value for bound, value in zip(bounds, values[1:], strict=True)}
            for key, values in totals.items()
        }
        values = {key: quantile(preset.quantile, found) for key, found in buckets.items()}
        return aggregate.quantiles(keys, now, preset, values, samples, buckets)
