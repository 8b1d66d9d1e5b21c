"""The `events` and `writers` of a scenario file: what people, controllers, nodes and dependencies do."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.fields import Duration, Name, ThresholdField
from resilience_operator.api.quantities import Threshold, Unit
from resilience_operator.cli.scenario.workload_model import BehaviourFields, FaultModel, Pods, ratio
from resilience_operator.signals import reasons

_NO_LATENCY = Threshold(0.0, Unit.SECONDS)


class ReleaseEvent(BehaviourFields):
    """A new pod template is applied."""

    revision: Name = Field(description="Name of the revision. A known one is applied again.")
    errors: ThresholdField | None = Field(default=None, description="As in workload, for this revision.")
    latency: ThresholdField | None = Field(default=None, description="As in workload, for this revision.")
    cpu: ThresholdField | None = Field(
        default=None, description="CPU per request, relative to the first revision. Default 100%."
    )
    startup: Duration | None = Field(default=None, description="As in workload, for this revision.")
    ready: StrictBool = Field(default=True, description="false: its pods never become ready. Default true.")
    fault: FaultModel | None = Field(default=None, description="What is wrong with its pods.")
    exports: StrictBool = Field(default=True, description="false: its pods export no metrics. Default true.")
    by: str = Field(default="kubectl-client-side-apply", description="Field manager that applies it.")


class ScaleEvent(SpecModel):
    """Somebody else changes the replicas."""

    to: Pods = Field(description="Replicas.")
    by: str = Field(default="kubectl", description="Field manager that makes the change.")


class PartitionEvent(SpecModel):
    """Somebody changes the partition of a StatefulSet."""

    to: Pods = Field(description="The lowest ordinal that gets the newest revision.")
    by: str = Field(default="kubectl-patch", description="Field manager that makes the change.")


class PauseEvent(SpecModel):
    """Somebody pauses the rollout."""

    by: str = Field(default="kubectl-rollout", description="Field manager that makes the change.")


class ResumeEvent(SpecModel):
    """Somebody resumes the rollout."""

    by: str = Field(default="kubectl-rollout", description="Field manager that makes the change.")


class AutoscalerEvent(SpecModel):
    """Somebody else changes the HPA."""

    min: Annotated[StrictInt, Field(ge=1)] | None = Field(default=None, description="minReplicas.")
    max: Annotated[StrictInt, Field(ge=1)] | None = Field(default=None, description="maxReplicas.")
    by: str = Field(default="kubectl-edit", description="Field manager that makes the change.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="needs min, max or both", holds=lambda h: h.min is not None or h.max is not None),
    )


class MetricsOutage(SpecModel):
    """Nothing can be measured for a while."""

    for_: Duration = Field(validation_alias="for", serialization_alias="for", description="Duration, like 10m.")
    signals: tuple[Name, ...] = Field(default=(), description="Signals without metrics. Default: all.")
    how: Literal["source", "scrapes"] = Field(
        default="source",
        description="source: the metric source does not answer. scrapes: it answers, but the pods are not scraped.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="goes with how: source only: remove it",
            holds=lambda m: m.how == "source" or not m.signals,
            field="signals",
        ),
    )

    @property
    def reason(self) -> str:
        """The reason of Unknown."""
        return reasons.SOURCE_UNREACHABLE


class DependencyEvent(SpecModel):
    """Something that all pods depend on fails or is slow: a database, a cache, another service."""

    errors: ThresholdField = Field(default=ratio(0.0), description="Share of all requests that fail. Default 0%.")
    latency: ThresholdField = Field(default=_NO_LATENCY, description="Added to the P99 latency. Default 0s.")
    revision: Name | None = Field(default=None, description="Only this revision depends on it. Default: all.")
    for_: Duration | None = Field(
        default=None,
        validation_alias="for",
        serialization_alias="for",
        description="Duration, like 3m. Default: until the end.",
    )


class ConfigEvent(SpecModel):
    """A ConfigMap or Secret changes: pods created from now on behave differently, whatever their revision."""

    errors: ThresholdField = Field(default=ratio(0.0), description="Share of their requests that fail. Default 0%.")
    latency: ThresholdField = Field(default=_NO_LATENCY, description="Added to their P99 latency. Default 0s.")
    fault: FaultModel | None = Field(default=None, description="What is wrong with these pods.")
    all_pods: StrictBool = Field(default=False, description="true: pods that run already read it too. Default false.")


class LimitEvent(SpecModel):
    """The number of pods that may exist, or that find a node, changes."""

    pods: Pods | None = Field(default=None, description="Pods; without it there is no limit any more.")


class OperatorOutage(SpecModel):
    """The operator does not run for a while."""

    for_: Duration = Field(validation_alias="for", serialization_alias="for", description="Duration, like 10m.")


class ClockJump(SpecModel):
    """The clock of the operator jumps."""

    forward: Duration = Field(default=0.0, description="By so much into the future.")
    back: Duration = Field(default=0.0, description="By so much into the past.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs exactly one of forward and back",
            holds=lambda j: (j.forward > 0) != (j.back > 0),
        ),
    )


KINDS = (
    "release", "scale", "partition", "pause", "resume", "hpa", "fault", "dependency", "config", "quota", "nodes",
    "metricsGone", "operatorDown", "clockJump", "policy",
)  # fmt: skip
"""Keys of which each event has exactly one, besides `at`."""


class Event(SpecModel):
    """Something that happens at a time; exactly one key besides `at`."""

    at: Duration = Field(description="Time from the start, like 20m.")
    release: ReleaseEvent | None = None
    scale: ScaleEvent | None = None
    partition: PartitionEvent | None = None
    pause: PauseEvent | None = None
    resume: ResumeEvent | None = None
    hpa: AutoscalerEvent | None = None
    fault: FaultModel | None = None
    dependency: DependencyEvent | None = None
    config: ConfigEvent | None = None
    quota: LimitEvent | None = None
    nodes: LimitEvent | None = None
    metrics_outage: MetricsOutage | None = Field(default=None, alias="metricsGone")
    operator_outage: OperatorOutage | None = Field(default=None, alias="operatorDown")
    clock_jump: ClockJump | None = None
    policy: str | dict[str, Any] | None = Field(default=None, description="Somebody changes the policy: as `policy`.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message=f"an event needs exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]}, in addition to at",
            holds=lambda event: len(event.kinds) == 1,
        ),
    )

    @property
    def kinds(self) -> list[str]:
        """The kinds that are set."""
        by_alias = {field.alias or name: name for name, field in type(self).model_fields.items()}
        return [kind for kind in KINDS if getattr(self, by_alias[kind]) is not None]

    @property
    def kind(self) -> str:
        """The one kind."""
        return self.kinds[0]


class Writer(SpecModel):
    """Another controller or pipeline that sets fields again and again, if they differ."""

    by: str = Field(min_length=1, description="Its field manager, like argocd-controller.")
    every: Duration | None = Field(default=None, description="Interval, like 3m.")
    delay: Duration | None = Field(default=None, description="Instead: so long after each difference (self-heal).")
    from_: Duration = Field(
        default=0.0, validation_alias="from", serialization_alias="from", description="Starts at. Default 0s."
    )
    until: Duration | None = Field(default=None, description="Ends at. Default: the end.")
    replicas: Pods | None = Field(default=None, description="spec.replicas.")
    revision: Name | None = Field(default=None, description="Revision of the pod template.")
    paused: StrictBool | None = Field(default=None, description="spec.paused.")
    hpa_min: Annotated[StrictInt, Field(ge=1)] | None = Field(default=None, description="minReplicas of the HPA.")
    hpa_max: Annotated[StrictInt, Field(ge=1)] | None = Field(default=None, description="maxReplicas of the HPA.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs exactly one of every and delay, longer than 0s for every",
            holds=lambda w: (w.every is None) != (w.delay is None) and w.every != 0,
        ),
        Check(
            message="needs a field to write: replicas, revision, paused, hpaMin or hpaMax",
            holds=lambda w: any(v is not None for v in (w.replicas, w.revision, w.paused, w.hpa_min, w.hpa_max)),
        ),
    )
