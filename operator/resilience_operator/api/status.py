"""What the operator writes into `status`, and reads back after a restart.

Status is read leniently, since an older or newer operator may have written it.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .base import ReadModel, Timestamp

HISTORY_LENGTH = 20
"""Decisions kept in `status.history`, newest first."""


class Phase(StrEnum):
    """Where the target is in the life of a release."""

    STABLE = "Stable"
    PROGRESSING = "Progressing"
    BAKING = "Baking"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class VerdictName(StrEnum):
    """What is known of a condition or a signal."""

    OK = "Ok"
    PENDING = "Pending"
    BREACH = "Breach"
    UNKNOWN = "Unknown"


class Condition(ReadModel):
    """One of the resource's conditions, in the shape all Kubernetes resources use."""

    type: str = Field(max_length=316, description="Ready, MetricsAvailable, ReleaseHealthy or Scaling.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="A stable CamelCase word for why, made for scripts.")
    message: str = Field(
        default="", max_length=32768, description="The same for people: what is so, and what to change."
    )
    last_transition_time: Timestamp = Field(description="When status last changed.")
    observed_generation: int | None = Field(default=None, description="metadata.generation of the policy it speaks of.")


class TargetStatus(ReadModel):
    """The workload as it was last seen."""

    replicas: int | None = Field(default=None, description="Replicas the target asks for.")
    baseline: int | None = Field(
        default=None,
        description="Replicas found when the policy first saw its target; stands in for replicas.min.",
    )
    revision: str | None = Field(default=None, description="The pod template in force or on its way.")
    last_good_revision: str | None = Field(
        default=None, description="The last pod template that got through its bake: what a rollback restores."
    )
    phase: Phase | None = Field(
        default=None, description="Stable, Progressing, Baking, Paused, RollingBack or RolledBack."
    )


class SignalStatus(ReadModel):
    """A signal as it was last measured."""

    name: str = Field(max_length=63, description="The signal's name.")
    value: str | None = Field(
        default=None, description="Its value for people, like 83.4% or 1.4s; absent when unknown."
    )
    verdict: VerdictName = Field(description="Ok, Pending, Breach or Unknown: the worst of all conditions on it.")
    since: Timestamp | None = Field(default=None, description="When the verdict became what it is.")
    reason: str | None = Field(default=None, description="Why there is no value, like NoData or SourceUnreachable.")


class DecisionStatus(ReadModel):
    """One decision: what was done, and why."""

    at: Timestamp = Field(description="When it was decided.")
    rule: str | None = Field(default=None, description="The rule that asked for it; absent for scaleDown and fallback.")
    action: str = Field(description="The verb: scaleUp, scaleDown, alert, pauseRollout, rollback, resume, …")
    from_: str | None = Field(
        default=None,
        validation_alias="from",
        serialization_alias="from",
        description="Replicas or revision before.",
    )
    to: str | None = Field(default=None, description="Replicas or revision asked for.")
    reason: str = Field(description="A stable CamelCase word for why.")
    message: str = Field(default="", description="The same for people, with the numbers it rests on.")
    dry_run: bool = Field(default=False, description="True: told only, nothing was changed.")
    trace_id: str | None = Field(
        default=None,
        validation_alias="traceID",
        serialization_alias="traceID",
        description="OpenTelemetry trace of the evaluation.",
    )


class QuarantinedRevision(ReadModel):
    """A pod template that was rolled back."""

    revision: str = Field(description="Name of the revision.")
    template_hash: str | None = Field(
        default=None, description="Hash of its pod template, to know it when it comes back."
    )
    at: Timestamp | None = Field(default=None, description="When it was rolled back last.")
    rule: str | None = Field(default=None, description="The rule that found it bad.")
    rollbacks: int = Field(default=1, description="How often it was rolled back.")
    applied_by: str | None = Field(default=None, description="The field manager that applied it last.")


class PolicyStatus(ReadModel):
    """What the operator last saw and did."""

    observed_generation: int | None = Field(default=None, description="metadata.generation the operator last acted on.")
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16,
            description="Ready, MetricsAvailable, ReleaseHealthy, Scaling.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    target: TargetStatus | None = Field(
        default=None,
        description="The workload as it was last seen.",
        json_schema_extra={"x-kubernetes-map-type": "atomic"},
    )
    signals: tuple[SignalStatus, ...] = Field(default=(), description="Each signal that a rule uses, as last measured.")
    last_decision: DecisionStatus | None = Field(
        default=None, description="The newest decision that was not to do nothing."
    )
    history: tuple[DecisionStatus, ...] = Field(
        default=(), description=f"The last {HISTORY_LENGTH} decisions, newest first."
    )
    quarantined: tuple[QuarantinedRevision, ...] = Field(
        default=(), description="Revisions that were rolled back and are not rolled forward to again."
    )
    memory: dict[str, JsonValue] | None = Field(
        default=None,
        description="What the operator remembers from one evaluation to the next: timers, cooldowns, the release's "
        "past, an action about to be carried out. Moments are seconds since the epoch. Its shape may change from "
        "version to version; scripts should not read it.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
    )
