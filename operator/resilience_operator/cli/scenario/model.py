"""The scenario file: a policy, a service, and what happens to it when."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.fields import Duration, Name, ThresholdField
from resilience_operator.cli.scenario.events_model import Event, Writer
from resilience_operator.cli.scenario.expectations import Expectation
from resilience_operator.cli.scenario.series_model import SignalValues, TimeSeries
from resilience_operator.cli.scenario.workload_model import Service, ratio, single


class Scenario(SpecModel):
    """A whole scenario."""

    description: str = Field(default="", description="Description.")
    policy: str | dict[str, Any] = Field(description="Policy file, relative to this file; or the policy itself.")
    duration: Duration = Field(description="Duration, like 2h; at most 168h.")
    workload: Service = Field(description="The simulated service.")
    load: TimeSeries = Field(description="Requests/s over time: one value, or a list of points.")
    noise: ThresholdField = Field(default=ratio(0.0), description="Standard deviation of the load. Default 0%.")
    scrape: Duration = Field(default=15.0, description="Interval of the scrapes. Default 15s.")
    seed: int = Field(default=1, description="Seed of the random numbers. The same seed gives the same result.")
    signals: dict[Name, SignalValues] = Field(
        default_factory=dict,
        description=("Values over time, for signals with a custom query, or to override cpu and other presets."),
    )
    events: tuple[Event, ...] = Field(default=(), description="Releases, changes by others, faults and outages.")
    writers: Annotated[tuple[Writer, ...], BeforeValidator(single)] = Field(
        default=(), description="Controllers and pipelines that set fields again and again."
    )
    expect: tuple[Expectation, ...] = Field(default=(), description="Expected decisions and notices.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="duration is 0s: set a duration like 2h",
            holds=lambda scenario: scenario.duration > 0,
            field="duration",
        ),
        Check(
            message="is too short: write 1s or more",
            holds=lambda scenario: scenario.scrape >= 1,
            field="scrape",
        ),
        Check(
            message="an event or writer changes an HPA, but the workload has none: add workload.hpa",
            holds=lambda scenario: (
                scenario.workload.hpa is not None
                or not (
                    any(e.hpa is not None for e in scenario.events)
                    or any(w.hpa_min is not None or w.hpa_max is not None for w in scenario.writers)
                )
            ),
        ),
    )
