"""The `workload` part of a scenario file: the simulated service and how its pods behave."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictInt

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.fields import Duration, Name, ThresholdField
from resilience_operator.api.quantities import Threshold, Unit, parse_threshold
from resilience_operator.cli.scenario.noise import increasing
from resilience_operator.simulation.pods import Fault, FaultKind
from resilience_operator.simulation.rollout import DEFAULT, Strategy

Pods = Annotated[StrictInt, Field(ge=0, le=100_000)]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The default bounds of Prometheus' client libraries, seconds."""


def ratio(value: float) -> Threshold:
    """A share as a default."""
    return Threshold(value, Unit.RATIO)


def _surge(written: object) -> object:
    if isinstance(written, str):
        return parse_threshold(written).value
    return written


Surge = Annotated[StrictInt | float, BeforeValidator(_surge), Field(ge=0)]
"""Pods as an integer, or a share like `25%`."""


class SlowRequests(SpecModel):
    """Some requests take longer than the others."""

    share: ThresholdField = Field(description="Share of the requests, like 2%.")
    factor: Annotated[float, Field(gt=0)] = Field(description="Their latency, as a multiple of the others'.")


class BurstsModel(SpecModel):
    """Failures that come in bursts, each on one pod."""

    size: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(description="Failed requests in each burst.")
    every: Duration = Field(description="Mean time between bursts, like 1m.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="is 0s: set a duration like 1m", holds=lambda b: b.every > 0, field="every"),
    )


class WarmUpModel(SpecModel):
    """The behaviour of a container in its first time."""

    for_: Duration = Field(validation_alias="for", serialization_alias="for", description="Duration, like 30s.")
    latency: ThresholdField = Field(default=ratio(1.0), description="Latency, relative to later. Default 100%.")
    cpu: ThresholdField = Field(
        default=ratio(0.0), description="CPU use, at least, as a share of the CPU request. Default 0%."
    )


class FaultModel(SpecModel):
    """What is wrong with pods."""

    kind: FaultKind = Field(
        description=(
            "crash, oomKilled, imagePull, configError, notReady, flap, hang (ready, but requests fail) or pending."
        )
    )
    revision: Name | None = Field(default=None, description="Only pods of this revision. Default: any.")
    pods: Annotated[StrictInt, Field(ge=1)] | None = Field(
        default=None, description="At most this many pods at a time. Default: all."
    )
    after: Duration = Field(
        default=5.0, description="crash, oomKilled: time from a container's start. flap: time that it is ready."
    )
    down: Duration = Field(default=10.0, description="flap: time that it is not ready.")
    for_: Duration | None = Field(
        default=None,
        validation_alias="for",
        serialization_alias="for",
        description="Duration, like 10m. Default: until the end.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="flap needs after and down longer than 0s",
            holds=lambda f: f.kind is not FaultKind.FLAP or (f.after > 0 and f.down > 0),
        ),
    )

    def fault(self, revision: str = "") -> Fault:
        """The fault for the simulation. revision: unless one is written."""
        return Fault(self.kind, self.revision or revision, self.pods, self.after, self.down)


class StrategyModel(SpecModel):
    """The update strategy of the workload."""

    type: Literal["RollingUpdate", "Recreate"] = Field(default="RollingUpdate", description="Default RollingUpdate.")
    max_surge: Surge = Field(default=0.25, description="Pods, or a share like 25%. Default 25%.")
    max_unavailable: Surge = Field(default=0.25, description="Pods, or a share like 25%. Default 25%.")
    min_ready: Duration = Field(default=0.0, description="minReadySeconds, as a duration. Default 0s.")
    partition: Pods = Field(default=0, description="partition of a StatefulSet. Default 0.")

    def strategy(self) -> Strategy:
        """The strategy for the simulation."""
        return Strategy(self.type == "Recreate", self.max_surge, self.max_unavailable, self.min_ready, self.partition)


class AutoscalerModel(SpecModel):
    """A HorizontalPodAutoscaler on CPU, with its default behaviour."""

    min: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(default=1, description="minReplicas. Default 1.")
    max: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(description="maxReplicas.")
    target: ThresholdField = Field(default=ratio(0.8), description="Average CPU of the pods. Default 80%.")
    owner: str = Field(default="", description="Who manages the HPA: KEDA, or empty.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="min is larger than max", holds=lambda a: a.min <= a.max, field="min"),
        Check(message="is 0%: set a share like 80%", holds=lambda a: a.target.value > 0, field="target"),
    )


class ReadinessModel(SpecModel):
    """Readiness probes that fail under load."""

    fails_above: ThresholdField = Field(description="Share of the limit at which a pod's probe fails, like 120%.")
    recovers_after: Duration = Field(default=30.0, description="Time until it is ready again. Default 30s.")


class BehaviourFields(SpecModel):
    """How the pods of a revision behave."""

    slow: SlowRequests | None = Field(default=None, description="Some requests take longer.")
    bursts: BurstsModel | None = Field(default=None, description="Failures in bursts, in addition to errors.")
    warm_up: WarmUpModel | None = Field(default=None, description="Behaviour of a container in its first time.")


class Service(BehaviourFields):
    """The workload at the start, and how its pods behave."""

    replicas: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(description="Pods at the start.")
    revision: Name = Field(default="v1", description="Revision at the start, which is the last good one. Default v1.")
    startup: Duration = Field(default=30.0, description="Time until a pod is ready. Default 30s.")
    capacity: Annotated[float, Field(gt=0)] = Field(
        default=100.0, description="Requests/s at which a pod uses 100% of its CPU request. Default 100."
    )
    limit: ThresholdField = Field(
        default=ratio(1.0),
        description="CPU limit of a pod, as a share of its CPU request. Requests beyond it fail. Default 100%.",
    )
    latency: ThresholdField = Field(
        default=Threshold(0.1, Unit.SECONDS),
        description=("P99 latency without load; grows with the load. Default 100ms."),
    )
    errors: ThresholdField = Field(default=ratio(0.0), description=("Share of failing requests. Default 0%."))
    readiness: ReadinessModel | None = Field(default=None, description="Readiness under load.")
    buckets: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=BUCKETS, description="Bounds of the latency histogram, seconds. Default: those of client libraries."
    )
    strategy: StrategyModel | None = Field(default=None, description="Update strategy. Default: the Deployment's.")
    progress_deadline: Duration = Field(default=600.0, description="progressDeadlineSeconds. Default 10m.")
    nodes: Pods | None = Field(default=None, description="Pods for which the nodes have room. Default: any.")
    quota: Pods | None = Field(default=None, description="Pods that the ResourceQuota allows. Default: any.")
    hpa: AutoscalerModel | None = Field(default=None, description="A HorizontalPodAutoscaler.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="bounds must be ascending and longer than 0s",
            holds=lambda s: bool(s.buckets) and increasing(s.buckets),
            field="buckets",
        ),
        Check(message="is 0%: set a share like 100%", holds=lambda s: s.limit.value > 0, field="limit"),
    )

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bounds of the latency buckets; the last one is infinite."""
        return (*self.buckets, inf)

    def simulated_strategy(self) -> Strategy:
        """The update strategy."""
        return DEFAULT if self.strategy is None else self.strategy.strategy()


def single(written: object) -> object:
    """A single mapping is a list of one."""
    return (written,) if isinstance(written, Mapping) else written
