"""Recordings and policies as the tests of the command line need them; the bench uses them too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from resilience_operator.cli.common.policy_loader import load_policy
from resilience_operator.cli.replay.recording import Recording, Track, Tracks
from resilience_operator.cli.replay.signal_series import plan
from resilience_operator.cli.replay.target_history import Subject, reconstruct, target_queries
from resilience_operator.cli.replay.time_grid import Grid
from resilience_operator.signals.presets.models import load_families

START = 1_767_225_600.0
POLICY = """
apiVersion: resilience-operator.io/v1alpha1
kind: ResiliencePolicy
metadata: {name: checkout, namespace: shop, generation: 1}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  replicas: {min: 3, max: 20}
  rules:
    - name: cpu-saturation
      when: {signal: cpu, above: 70%, for: 2m}
      then: [{scaleUp: {pods: 2}}]
    - name: slow-requests
      when: {signal: latency-p99, above: 1s}
      then: [{alert: {}}, {scaleUp: {percent: 50}}]
    - name: failing-release
      when: {signal: error-rate, above: 1%}
      then: [{pauseRollout: {}}, {rollback: {after: 30s}}]
  interval: 15s
"""

Over = Callable[[float], float | None]
"""A value at a time in seconds from the start."""


def policy(**spec: Any) -> dict[str, Any]:
    """The founding policy, with fields of its spec replaced."""
    document: dict[str, Any] = yaml.safe_load(POLICY)
    document["spec"].update(copy.deepcopy(spec))
    return document


def constant(value: float | None) -> Over:
    return lambda _: value


_BUSY, _RPS, _FAST = constant(0.6), constant(50.0), constant(0.2)


def recording(
    document: Mapping[str, Any],
    grid: Grid,
    *,
    pods: Mapping[str, Over],
    replicas: Over | None = None,
    ready: Over | None = None,
    paused: Over | None = None,
    created: Mapping[str, float] | None = None,
    cpu: Over = _BUSY,
    rps: Over = _RPS,
    errors: Mapping[str, float] | None = None,
    latency: Over = _FAST,
    measured: Callable[[float], bool] = lambda _: True,
) -> Recording:
    """What Prometheus would have recorded. pods, errors: by revision. cpu: of the request. measured: the signals."""
    entry, _ = load_policy(document)
    found = Recording(grid, dict(document))
    owners = {f"checkout-{revision}": count for revision, count in pods.items()}

    def track(over: Over, **labels: str) -> Track:
        return Track(labels, [over(n * grid.step) for n in range(grid.count)])

    def total(at: float) -> float | None:
        counts = [c for over in pods.values() if (c := over(at)) is not None]
        return sum(counts) if counts else None

    tracks: dict[str, Tracks] = {
        "replicas": (track(replicas or total),),
        "ready": (track(ready or replicas or total),),
        "paused": (track(paused or constant(0.0)),),
        "sets": tuple(track(_there(over), replicaset=owner) for owner, over in owners.items()),
        "created": tuple(track(constant(at), replicaset=f"checkout-{r}") for r, at in (created or {}).items()),
        "pods": tuple(track(_some(over), owner=owner) for owner, over in owners.items()),
        "ready pods": tuple(track(_some(over), owner=owner) for owner, over in owners.items()),
        "hpa min": (),
        "hpa max": (),
    }
    texts = target_queries("shop", "checkout")
    found.answers.update({texts[what]: answer for what, answer in tracks.items()})
    past = reconstruct(tracks, grid, Subject("shop", "checkout", 3, 86400.0))

    def by_owner(value: Callable[[str, float], float | None]) -> Tracks:
        def over(owner: str) -> Over:
            def at(time: float) -> float | None:
                return value(owner, time) if owners[owner](time) and measured(time) else None

            return at

        return tuple(track(over(owner), namespace="shop", owner=owner) for owner in owners)

    def share(owner: str, time: float) -> float:
        return (owners[owner](time) or 0.0) / (total(time) or 1.0)

    def requests(owner: str, time: float) -> float:
        return (rps(time) or 0.0) * 120 * share(owner, time)

    def failed(owner: str, time: float) -> float:
        return requests(owner, time) * (errors or {}).get(owner.removeprefix("checkout-"), 0.001)

    parts: dict[tuple[str, str], Callable[[str, float], float | None]] = {
        ("cpu", "numerator"): lambda owner, t: (cpu(t) or 0.0) * (owners[owner](t) or 0.0),
        ("cpu", "denominator"): lambda owner, t: owners[owner](t),
        ("error-rate", "events"): failed,
        ("error-rate", "samples"): requests,
        ("latency-p99", "value"): lambda _, t: latency(t),
        ("latency-p99", "samples"): requests,
    }
    for measure in plan(
        entry.compiled.signals, load_families(), entry.compiled.preset_family, past.states[-1], past.all_owners
    ):
        for part, text in measure.texts.items():
            if part == "buckets":
                found.answers[text] = ()
            else:
                found.answers[text] = by_owner(parts[measure.request.signal.name, part])
    return found


def _some(over: Over) -> Over:
    return lambda at: over(at) or None


def _there(over: Over) -> Over:
    return lambda at: None if over(at) is None else 1.0
