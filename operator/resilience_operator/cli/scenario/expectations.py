"""The `expect` part of a scenario file: what the policy must do, and the state that must result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.conditions import ConditionType
from resilience_operator.api.fields import Duration, Name, ThresholdField, duration_field
from resilience_operator.api.quantities import Threshold, Unit
from resilience_operator.decision.model.memory import Phase, Verdict

END = "end"
"""The value of `at` that stands for the last evaluation."""

_DURATION = duration_field()


def _time(written: object) -> object:
    return END if written == END else _DURATION.parse(written)


Time = Annotated[float | Literal["end"], BeforeValidator(_time)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
Amount = Annotated[float, Field(ge=0)]


class CountRange(SpecModel):
    """A whole number within bounds."""

    min: Count | None = Field(default=None, description="Minimum.")
    max: Count | None = Field(default=None, description="Maximum.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="needs min, max or both", holds=lambda r: r.min is not None or r.max is not None),
        Check(message="min is larger than max", holds=lambda r: r.min is None or r.max is None or r.min <= r.max),
    )

    def holds(self, value: float) -> bool:
        """Whether `value` is within the bounds."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.min == self.max:
            return str(self.min)
        if self.max is None:
            return f"at least {self.min}"
        return f"at most {self.max}" if self.min is None else f"{self.min} to {self.max}"


def _count_range(written: object) -> object:
    """A single number is a range too."""
    return {"min": written, "max": written} if isinstance(written, int) and not isinstance(written, bool) else written


Counts = Annotated[CountRange, BeforeValidator(_count_range)]


class AmountRange(SpecModel):
    """A number, like pod-hours, within bounds."""

    min: Amount | None = Field(default=None, description="Minimum.")
    max: Amount | None = Field(default=None, description="Maximum.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="needs min, max or both", holds=lambda r: r.min is not None or r.max is not None),
    )


class ShareRange(SpecModel):
    """A share, like 1%, within bounds."""

    min: ThresholdField | None = Field(default=None, description="Minimum.")
    max: ThresholdField | None = Field(default=None, description="Maximum.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(message="needs min, max or both", holds=lambda r: r.min is not None or r.max is not None),
    )


class ExpectedCondition(SpecModel):
    """A condition of the policy's status."""

    type: ConditionType = Field(description="Ready, MetricsAvailable, ReleaseHealthy or Scaling.")
    status: Literal["True", "False", "Unknown"] | None = Field(default=None, description="Status, in quotes.")
    reason: str | None = Field(default=None, description="Reason.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs status, reason or both",
            holds=lambda c: c.status is not None or c.reason is not None,
        ),
    )


class ExpectedSignal(SpecModel):
    """A signal of the policy's status."""

    name: Name = Field(description="Name of the signal.")
    verdict: Verdict | None = Field(default=None, description="Ok, Pending, Breach or Unknown.")
    reason: str | None = Field(default=None, description="Why it has no value.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs verdict, reason or both",
            holds=lambda s: s.verdict is not None or s.reason is not None,
        ),
    )


def _single(written: object) -> object:
    return (written,) if isinstance(written, str | Mapping) else written


SUBJECTS = (
    "action", "order", "rolledBack", "phase", "condition", "signal", "revision", "paused", "replicas", "ready",
    "hpaMin", "podHours", "failedRequests",
)  # fmt: skip
"""Keys of which each expectation has exactly one."""

OCCURRENCES = ("action", "rolledBack")
STATES = ("phase", "condition", "signal", "revision", "paused", "replicas", "ready", "hpaMin")
TOTALS = ("podHours", "failedRequests")

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "at": STATES,
    "within": ("action", "order", *STATES),
    "after": ("action", "order", "rolledBack", *STATES),
    "notBefore": ("action",),
    "never": ("action", *STATES),
    "times": ("action",),
    "rule": ("action",),
    "to": ("action",),
    "message": ("action", "condition", "signal"),
}
"""The subjects that each modifier goes with. `from`, `until`, `seeds` and `name` go with all."""


class Expectation(SpecModel):
    """One expectation. Exactly one of `SUBJECTS`, and modifiers.

    Actions must happen within `from` and `until`; a state must hold throughout that time, at the time `at`, or once
    `within` a time.
    """

    name: str = Field(default="", description="Text for the report. Default: built from the fields.")

    action: str | None = Field(
        default=None, description="A verb like rollback, or the reason of a notice like AtMaximum."
    )
    order: Annotated[tuple[str, ...], BeforeValidator(_single)] | None = Field(
        default=None, description="Actions that must happen in this order; others may be between them."
    )
    rolled_back: StrictBool | None = Field(default=None, description="Whether the target is rolled back.")
    phase: Annotated[tuple[Phase, ...], BeforeValidator(_single)] | None = Field(
        default=None, description="Phase of the release, or a list of allowed ones."
    )
    condition: ExpectedCondition | None = Field(default=None, description="A condition of the policy's status.")
    signal: ExpectedSignal | None = Field(default=None, description="A signal of the policy's status.")
    revision: Name | None = Field(default=None, description="Revision of the target's template.")
    paused: StrictBool | None = Field(default=None, description="Whether the rollout is paused.")
    replicas: Counts | None = Field(default=None, description="Requested pods.")
    ready: Counts | None = Field(default=None, description="Ready pods.")
    hpa_min: Counts | None = Field(default=None, description="minReplicas of the HPA.")
    pod_hours: AmountRange | None = Field(default=None, description="Sum of existing pods over time, in hours.")
    failed_requests: ShareRange | None = Field(default=None, description="Share of failed requests.")

    at: Time | None = Field(default=None, description="The state at this time; end for the last evaluation.")
    from_: Duration = Field(
        default=0.0, validation_alias="from", serialization_alias="from", description="Earliest time. Default 0s."
    )
    until: Duration | None = Field(default=None, description="Latest time. Default: the end.")
    within: Duration | None = Field(default=None, description="At most this long after `from`, or after `after`.")
    after: str | None = Field(
        default=None, description="An action, notice or event: `from` is the time at which it first happens."
    )
    not_before: Duration | None = Field(default=None, description="Does not happen between `from` and this time.")
    never: StrictBool = Field(default=False, description="true: it must not happen.")
    times: Counts | None = Field(default=None, description="Number of times. Default: at least once.")
    rule: Name | None = Field(default=None, description="Rule that causes it.")
    to: str | int | None = Field(default=None, description="Result of the action: replicas, or a revision.")
    message: str | None = Field(default=None, description="Text that the message must contain.")
    seeds: ThresholdField = Field(
        default=Threshold(1.0, Unit.RATIO), description="Share of seeds in which it must be met. Default 100%."
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message=f"an expectation needs exactly one of {', '.join(SUBJECTS[:-1])} and {SUBJECTS[-1]}",
            holds=lambda e: len(e.subjects) == 1,
        ),
        *(
            Check(
                message=f"{modifier} goes with {', '.join(subjects)} only: remove it",
                holds=lambda e, m=modifier, s=subjects: (  # type: ignore[misc]
                    len(e.subjects) != 1 or not e.has(m) or e.subject in s
                ),
                field=modifier,
            )
            for modifier, subjects in _ALLOWED.items()
        ),
        Check(
            message="never excludes times, notBefore and at: remove one",
            holds=lambda e: not e.never or (e.times is None and e.not_before is None and e.at is None),
            field="never",
        ),
        Check(
            message="at excludes from, until and within: remove one",
            holds=lambda e: e.at is None or (not e.from_ and e.until is None and e.within is None and e.after is None),
            field="at",
        ),
        Check(
            message="within excludes until: remove one",
            holds=lambda e: e.within is None or e.until is None,
            field="within",
        ),
        Check(
            message="until is before from",
            holds=lambda e: e.until is None or e.until >= e.from_,
            field="until",
        ),
        Check(
            message="needs a share from 0% to 100%, like 95%",
            holds=lambda e: 0 < e.seeds.value <= 1,
            field="seeds",
        ),
    )

    @property
    def subjects(self) -> list[str]:
        """The subjects that are set."""
        return [key for key in SUBJECTS if self.has(key)]

    @property
    def subject(self) -> str:
        """The one subject."""
        return self.subjects[0]

    def has(self, key: str) -> bool:
        """Whether the field with this YAML name is set."""
        value = getattr(self, _FIELDS[key])
        return value is not None and value is not False if key == "never" else value is not None


def _field_name(key: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in key)


_FIELDS = {key: _field_name(key) for key in (*SUBJECTS, *_ALLOWED)}
