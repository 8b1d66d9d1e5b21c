"""What is asked of the collector: one signal of one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Signal:
    """A named measurement: a preset of the request's family, or a query of the policy's own.

    preset: `cpu`, `latency-p99` or `error-rate`; empty where `query` is given. Exactly one of the two is
    set.
    query: PromQL with the placeholders `{{namespace}}`, `{{name}}`, `{{pods}}`, `{{window}}`.
    window_seconds: the look-back of the query.
    samples_query: PromQL, same placeholders: how many requests stand behind the value of `query`. Presets
        bring their own.
    min_samples: carried along for the decision; the collector delivers fewer samples all the same.
    unit: `ratio`, `seconds` or `number`. Of a `ratio` with known samples the number of events is worked out.
    """

    name: str
    preset: str = ""
    query: str = ""
    window_seconds: float = 120.0
    samples_query: str = ""
    min_samples: float = 0.0
    unit: str = "number"


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """One signal of one workload.

    kind: the workload's kind (`Deployment`, …), for messages.
    owners: owner → revision, for the revisions *that have pods*. An owner is what a pod's name is without
        its last `-suffix`: the ReplicaSet of a Deployment's pod, the workload itself for a StatefulSet or
        DaemonSet. A
        revision without pods is left out on purpose: what its dead pods did within the window is not held
        against the living. Empty means that nothing is running, so that nothing can be measured by owner.
    source: the name of a metric source in the operator's configuration, never an address.
    family: the preset family.
    asked: what a collector worked out about it, so that a request that comes again costs nothing.
    """

    namespace: str
    name: str
    kind: str
    owners: Mapping[str, str] = field(hash=False)
    signal: Signal
    source: str = "default"
    family: str = "http-generic"
    asked: Any = field(default=None, init=False, compare=False, repr=False)

    def keep(self, asked: object) -> None:
        """Keep `asked`."""
        object.__setattr__(self, "asked", asked)
