"""Values over time in a scenario file: a value, points with ramps, a wave, or a recorded trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, StrictBool

from resilience_operator.api.base import SpecModel
from resilience_operator.api.checks import Check
from resilience_operator.api.fields import Duration, ThresholdField
from resilience_operator.api.quantities import Threshold, Unit


class Wave(SpecModel):
    """A sine between two values, from the lower one on."""

    low: ThresholdField = Field(description="Minimum, at the start.")
    high: ThresholdField = Field(description="Maximum, half a period later.")
    period: Duration = Field(description="Time from one minimum to the next, like 2h.")


class Point(SpecModel):
    """Where a series goes from a time on: to a value, at once or `over` some time; in a wave; or as recorded."""

    at: Duration = Field(default=0.0, description="Time from the start, like 20m. Default 0s.")
    to: ThresholdField | None = Field(default=None, description="The value, like 300, 85% or 1.2s.")
    over: Duration = Field(default=0.0, description="Duration of the ramp to the value. Default 0s: at once.")
    wave: Wave | None = Field(default=None, description="A sine wave instead of a value.")
    csv: str | None = Field(
        default=None, description="A file with rows of seconds,value, relative to this file, instead of a value."
    )
    factor: Annotated[float, Field(gt=0)] = Field(default=1.0, description="Factor of the values in csv. Default 1.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="needs exactly one of to, wave and csv",
            holds=lambda point: (point.to is None) + (point.wave is None) + (point.csv is None) == 2,
        ),
        Check(
            message="a wave needs a period longer than 0s",
            holds=lambda point: point.wave is None or point.wave.period > 0,
            field="wave.period",
        ),
    )


def _points(written: object) -> object:
    """A single value, or a single point, is a series too."""
    if isinstance(written, Mapping):
        return (written,)
    return written if isinstance(written, list | tuple) else ({"to": written},)


TimeSeries = Annotated[tuple[Point, ...], BeforeValidator(_points)]
"""A value over time: points in order, or one value for all the time."""


class SignalSeries(SpecModel):
    """The values of a signal over time."""

    series: TimeSeries = Field(description="The values.")
    per_pod: StrictBool = Field(default=False, description="true: the value is divided by the number of ready pods.")
    noise: ThresholdField = Field(
        default=Threshold(0.0, Unit.RATIO), description="Standard deviation, as a share of the value. Default 0%."
    )


def _signal(written: object) -> object:
    return written if isinstance(written, Mapping) and "series" in written else {"series": written}


SignalValues = Annotated[SignalSeries, BeforeValidator(_signal)]
"""A series, or a mapping with `series`."""
