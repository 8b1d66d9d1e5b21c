"""The input of the collector: one signal of one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Signal:
    """A named measurement: a preset of the request's family, or a custom query.

    preset: `cpu`, `latency-p99` or `error-rate`; empty if `query` is set. Exactly one of the two is set.
    query: PromQL with the placeholders `{{namespace}}`, `{{name}}`, `{{pods}}`, `{{window}}`.
    window_seconds: the look-back of the query.
    samples_query: PromQL with the same placeholders: the number of requests behind the value of `query`. Presets have
        their own.
    min_samples: passed on to the decision. The collector also reports values with fewer samples.
    container: the only container that counts, for the preset `cpu`; empty for all.
    paced: a custom query is sent less often than it is asked for, if it is expensive.
    unit: `ratio`, `seconds` or `number`. For a `ratio` with known samples the number of events is computed.
    """

    name: str
    preset: str = ""
    query: str = ""
    window_seconds: float = 120.0
    samples_query: str = ""
    min_samples: float = 0.0
    unit: str = "number"
    container: str = ""
    paced: bool = False


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """One signal of one workload.

    kind: the workload's kind (`Deployment`, …), for messages.
    owners: owner → revision, for the revisions *that have pods*. An owner is a pod's name without its last `-suffix`:
        the ReplicaSet of a Deployment's pod, the workload itself for a StatefulSet or DaemonSet. The revision is empty
        if it is unknown. Revisions without pods
        are omitted on purpose: what their former pods did within the window must not count against the running ones.
        Empty: nothing is running, so nothing can be measured by owner.
    source: the name of a metric source in the operator's configuration, never an address.
    family: the preset family.
    watched: a release of the workload is under way: its pods' counters and its histogram are queried too.
    resolved: the planner's cached result, so that a repeated request costs nothing.
    """

    namespace: str
    name: str
    kind: str
    owners: Mapping[str, str] = field(hash=False)
    signal: Signal
    source: str = "default"
    family: str = "http-generic"
    watched: bool = False
    resolved: Any = field(default=None, init=False, compare=False, repr=False)

    def keep_resolved(self, resolved: object) -> None:
        """Store the planner's result."""
        object.__setattr__(self, "resolved", resolved)
