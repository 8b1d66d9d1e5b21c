"""The scenario file: a policy, a service, and what happens to it when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.fields import Duration, Name, ThresholdField
from resilience_operator.api.quantities import Threshold, Unit
from resilience_operator.cli.scenario.expectations import Expectation

Pods = Annotated[StrictInt, Field(ge=0, le=100_000)]


class Wave(SpecModel):
    """A sine between two values, from the lower one on."""

    low: ThresholdField = Field(description="Minimum, at the start.")
    high: ThresholdField = Field(description="Maximum, half a period later.")
    period: Duration = Field(description="Time from one minimum to the next, like 2h.")


class Point(SpecModel):
    """Where a course goes from a time on: to a value, at once or `over` some time; or up and down in a wave."""

    at: Duration = Field(default=0.0, description="Time from the start, like 20m. Default 0s.")
    to: ThresholdField | None = Field(default=None, description="The value, like 300, 85% or 1.2s.")
    over: Duration = Field(default=0.0, description="Duration of the ramp to the value. Default 0s: at once.")
    wave: Wave | None = Field(default=None, description="A sine wave instead of a value.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs exactly one of to and wave",
            holds=lambda point: (point.to is None) != (point.wave is None),
        ),
        Check(
            message="a wave needs a period longer than 0s",
            holds=lambda point: point.wave is None or point.wave.period > 0,
            field="wave.period",
        ),
    )


def _points(written: object) -> object:
    """A single value, or a single point, is a course too."""
    if isinstance(written, Mapping):
        return (written,)
    return written if isinstance(written, list | tuple) else ({"to": written},)


TimeSeries = Annotated[tuple[Point, ...], BeforeValidator(_points)]
"""A value over time: points in order, or one value for all the time."""


class Service(SpecModel):
    """The workload at the start, and how its pods behave."""

    replicas: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(description="Pods at the start.")
    revision: Name = Field(default="v1", description="Revision at the start, which is the last good one. Default v1.")
    startup: Duration = Field(default=30.0, description="Time until a pod is ready. Default 30s.")
    capacity: Annotated[float, Field(gt=0)] = Field(
        default=100.0, description="Requests/s at which a pod uses 100% of its CPU request. Default 100."
    )
    limit: ThresholdField = Field(
        default=Threshold(1.0, Unit.RATIO),
        description="CPU limit of a pod, as a share of its CPU request. Requests beyond it fail. Default 100%.",
    )
    latency: ThresholdField = Field(
        default=Threshold(0.1, Unit.SECONDS),
        description=("P99 latency without load; grows with the load. Default 100ms."),
    )
    errors: ThresholdField = Field(
        default=Threshold(0.0, Unit.RATIO), description=("Share of failing requests. Default 0%.")
    )


class ReleaseEvent(SpecModel):
    """A new pod template is applied."""

    revision: Name = Field(description="Name of the revision. A known one is applied again.")
    errors: ThresholdField | None = Field(default=None, description="As in workload, for this revision.")
    latency: ThresholdField | None = Field(default=None, description="As in workload, for this revision.")
    cpu: ThresholdField = Field(
        default=Threshold(1.0, Unit.RATIO), description="CPU per request, relative to the first revision. Default 100%."
    )
    ready: StrictBool = Field(default=True, description="false: its pods never become ready. Default true.")
    by: str = Field(default="kubectl-client-side-apply", description="Field manager that applies it.")


class ScaleEvent(SpecModel):
    """Somebody else changes the replicas."""

    to: Pods = Field(description="Replicas.")
    by: str = Field(default="kubectl", description="Field manager that makes the change.")


class PauseEvent(SpecModel):
    """Somebody pauses the rollout."""

    by: str = Field(default="kubectl-rollout", description="Field manager that makes the change.")


class ResumeEvent(SpecModel):
    """Somebody resumes the rollout."""


class MetricsOutage(SpecModel):
    """Nothing can be measured for a while."""

    for_: Duration = Field(validation_alias="for", serialization_alias="for", description="Duration, like 10m.")
    signals: tuple[Name, ...] = Field(default=(), description="Signals without metrics. Default: all.")


class Event(SpecModel):
    """Something that happens at a time; exactly one key besides `at`."""

    at: Duration = Field(description="Time from the start, like 20m.")
    release: ReleaseEvent | None = None
    scale: ScaleEvent | None = None
    pause: PauseEvent | None = None
    resume: ResumeEvent | None = None
    metrics_outage: MetricsOutage | None = Field(default=None, alias="metricsGone")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="an event needs exactly one of release, scale, pause, resume and metricsGone, in addition to at",
            holds=lambda event: (
                [event.release, event.scale, event.pause, event.resume, event.metrics_outage].count(None) == 4
            ),
        ),
    )


class Scenario(SpecModel):
    """A whole scenario."""

    description: str = Field(default="", description="Description.")
    policy: str | dict[str, Any] = Field(description="Policy file, relative to this file; or the policy itself.")
    duration: Duration = Field(description="Duration, like 2h; at most 168h.")
    workload: Service = Field(description="The simulated service.")
    load: TimeSeries = Field(description="Requests/s over time: one value, or a list of points.")
    noise: ThresholdField = Field(
        default=Threshold(0.0, Unit.RATIO), description="Standard deviation of the load. Default 0%."
    )
    seed: int = Field(default=1, description="Seed of the random numbers. The same seed gives the same result.")
    signals: dict[Name, TimeSeries] = Field(
        default_factory=dict,
        description=("Values over time, for signals with a custom query, or to override cpu and other presets."),
    )
    events: tuple[Event, ...] = Field(default=(), description="Releases, changes by others and outages.")
    expect: tuple[Expectation, ...] = Field(default=(), description="Expected decisions and notices.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="duration is 0s: set a duration like 2h",
            holds=lambda scenario: scenario.duration > 0,
            field="duration",
        ),
    )
