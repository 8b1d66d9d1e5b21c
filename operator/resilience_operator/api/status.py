"""The status that the operator writes, and reads after a restart.

Reading is lenient, since an older or newer operator may have written it.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from .base import ReadModel, Timestamp

HISTORY_LENGTH = 20
"""Maximum decisions in `status.history`, newest first."""


class Phase(StrEnum):
    """Phase of the release."""

    STABLE = "Stable"
    PROGRESSING = "Progressing"
    BAKING = "Baking"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"


class VerdictName(StrEnum):
    """Verdict on a condition or a signal."""

    OK = "Ok"
    PENDING = "Pending"
    BREACH = "Breach"
    UNKNOWN = "Unknown"


class Condition(ReadModel):
    """A standard Kubernetes condition."""

    type: str = Field(max_length=316, description="Ready, MetricsAvailable, ReleaseHealthy or Scaling.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="Reason in CamelCase, stable for scripts.")
    message: str = Field(default="", max_length=32768, description="Message: the state, and what to change.")
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        default=None, description=("metadata.generation of the policy that this condition describes.")
    )


class TargetStatus(ReadModel):
    """State of the target at the last evaluation."""

    replicas: int | None = Field(default=None, description="Desired replicas of the target.")
    baseline: int | None = Field(
        default=None,
        description="Replicas at the first evaluation; the default of replicas.min.",
    )
    revision: str | None = Field(default=None, description="Current revision, possibly still being rolled out.")
    last_good_revision: str | None = Field(
        default=None, description="Last revision that completed its bake: what a rollback restores."
    )
    phase: Phase | None = Field(
        default=None, description="Stable, Progressing, Baking, Paused, RollingBack or RolledBack."
    )


class SignalStatus(ReadModel):
    """Last measurement of a signal."""

    name: str = Field(max_length=63, description="Name of the signal.")
    value: str | None = Field(default=None, description="Formatted value, like 83.4% or 1.4s; absent if unknown.")
    verdict: VerdictName = Field(
        description=("Ok, Pending, Breach or Unknown: the worst of all conditions on this signal.")
    )
    since: Timestamp | None = Field(default=None, description="When the verdict last changed.")
    reason: str | None = Field(default=None, description="Why there is no value, like NoData or SourceUnreachable.")


class DecisionStatus(ReadModel):
    """A decision: the action and its reason."""

    at: Timestamp = Field(description="Time of the decision.")
    rule: str | None = Field(default=None, description="Rule that caused it; absent for scaleDown and fallback.")
    action: str = Field(description="The verb: scaleUp, scaleDown, alert, pauseRollout, rollback, resumeRollout, …")
    from_: str | None = Field(
        default=None,
        validation_alias="from",
        serialization_alias="from",
        description="Replicas or revision before.",
    )
    to: str | None = Field(default=None, description="Requested replicas or revision.")
    reason: str = Field(description="Reason in CamelCase, stable for scripts.")
    message: str = Field(default="", description="Message with the values that the decision is based on.")
    dry_run: bool = Field(default=False, description="true: dry run, nothing was changed.")
    trace_id: str | None = Field(
        default=None,
        validation_alias="traceID",
        serialization_alias="traceID",
        description="OpenTelemetry trace ID of the evaluation.",
    )


class QuarantinedRevision(ReadModel):
    """A revision that was rolled back."""

    revision: str = Field(description="Name of the revision.")
    template_hash: str | None = Field(
        default=None, description="Hash of its pod template, to recognise it when it is applied again."
    )
    at: Timestamp | None = Field(default=None, description="When it was last rolled back.")
    rule: str | None = Field(default=None, description="Rule that caused the rollback.")
    rollbacks: int = Field(default=1, description="How often it was rolled back.")
    applied_by: str | None = Field(default=None, description="Field manager that last applied it.")


class PolicyStatus(ReadModel):
    """State at the last evaluation."""

    observed_generation: int | None = Field(default=None, description="metadata.generation at the last evaluation.")
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
        description="State of the target at the last evaluation.",
        json_schema_extra={"x-kubernetes-map-type": "atomic"},
    )
    signals: tuple[SignalStatus, ...] = Field(
        default=(), description=("Last measurement of each signal that a rule uses.")
    )
    last_decision: DecisionStatus | None = Field(default=None, description="Most recent decision that was not a no-op.")
    history: tuple[DecisionStatus, ...] = Field(
        default=(), description=f"The last {HISTORY_LENGTH} decisions, newest first."
    )
    quarantined: tuple[QuarantinedRevision, ...] = Field(
        default=(), description="Revisions that were rolled back and are not allowed to roll out again."
    )
    memory: dict[str, JsonValue] | None = Field(
        default=None,
        description=(
            "State that the operator keeps between evaluations: timers, cooldowns, release state, a pending "
            "action. Times are seconds since the epoch. The format may change between versions; do not read it "
            "in scripts."
        ),
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
    )
