"""What a test can set, for a workload and for an image, and how the two combine.

A field that is not given (or null) is left to the next in line: image, then workload, then `Defaults`. So
an image that is set to be slow is slow wherever it runs, which is what tells a bad release from a busy
workload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Fault = Literal["nan", "absent", "stale"]
"""`nan` exports NaN, `absent` exports nothing, `stale` repeats the last value: the counters stop, and go
on from there."""

Group = Literal["cpu", "latency", "errors"]
"""cpu: container_cpu_*; latency: histogram buckets and sums; errors: request counters, with or without
errors."""

FamilyName = Literal["http-generic", "nginx-ingress", "istio", "linkerd", "opentelemetry"]

GROUPS: tuple[Group, ...] = get_args(Group)
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)


def _spread_faults(value: Any) -> Any:
    """`"nan"` means every group; `{"all": "nan", "cpu": "stale"}` means cpu stale and the others NaN."""
    if isinstance(value, str):
        value = {"all": value}
    if isinstance(value, dict) and "all" in value:
        rest = {k: v for k, v in value.items() if k != "all"}
        value = dict.fromkeys(GROUPS, value["all"]) | rest
    return value


Faults = Annotated[dict[Group, Fault], BeforeValidator(_spread_faults)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Common(BaseModel):
    """What may be set for a workload and for an image alike. Everything is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_seconds_per_request: NotNegative | None = None
    service_time_seconds: Positive | None = None
    """Mean time that a lone request takes."""
    servers: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Requests that a pod works on at the same time."""
    base_error_ratio: Ratio | None = None
    """Share of requests that fail whatever the load is. Time-outs of a saturated pod come on top."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] | None = None
    """Callers give up after this long."""
    cpu_burst_factor: Positive | None = None
    """A pod without a CPU limit gets at most its request times this."""

    cpu_utilisation: NotNegative | None = None
    """Override: CPU usage as a fraction of the request (1.0 = all of it), whatever the load and the
    replicas."""
    latency_p99_seconds: Annotated[float, Field(ge=0.005, le=10)] | None = None
    """Override: what `histogram_quantile(0.99, ...)` will answer, within the range that every family can
    show."""
    error_ratio: Ratio | None = None
    """Override: share of requests answered with a 5xx code, time-outs included."""
    metrics: Faults | None = None
    """Faults of the metrics themselves: one word for all groups, or `{group: fault}`."""


class WorkloadSettings(Common):
    """Settings of one workload: a Deployment, another controller, or a bare pod, by namespace and name."""

    rps: NotNegative | None = None
    """Offered load, requests/s, shared among the pods that are ready and not terminating."""
    pod_weights: dict[str, NotNegative] | None = None
    """Uneven sharing: weight by pod name, 1 where not named."""
    families: Annotated[frozenset[FamilyName], Field(min_length=1)] | None = None
    """Which HTTP metrics families the workload exports."""
    cpu_total_cores: NotNegative | None = None
    """Override: CPU work shared among the ready pods, so that it falls as replicas rise."""
    cpu_by_container: dict[str, NotNegative] | None = None
    """Shares of a pod's CPU by container, 0 where not named. Default: in proportion to the requests."""

    @model_validator(mode="after")
    def _one_cpu_override(self) -> WorkloadSettings:
        if self.cpu_utilisation is not None and self.cpu_total_cores is not None:
            raise ValueError("give cpu_utilisation (it stays) or cpu_total_cores (it is shared), not both")
        return self


class ImageSettings(Common):
    """Settings of every pod whose first container runs this image, in whatever workload."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings that hold for one pod, complete. Field meanings as in `Common` and `WorkloadSettings`."""

    rps: float = 30.0
    pod_weights: dict[str, float] = field(default_factory=dict)
    families: frozenset[FamilyName] = frozenset({"http-generic"})
    cpu_seconds_per_request: float = 0.005
    service_time_seconds: float = 0.02
    servers: int = 8
    base_error_ratio: float = 0.0
    timeout_seconds: float = 5.0
    cpu_burst_factor: float = 2.0
    cpu_utilisation: float | None = None
    cpu_total_cores: float | None = None
    cpu_by_container: dict[str, float] = field(default_factory=dict)
    latency_p99_seconds: float | None = None
    error_ratio: float | None = None
    metrics: dict[Group, Fault] = field(default_factory=dict)


_NO_WORKLOAD = WorkloadSettings()
_NO_IMAGE = ImageSettings()


def combine(
    defaults: Effective, workload: WorkloadSettings = _NO_WORKLOAD, image: ImageSettings = _NO_IMAGE
) -> Effective:
    """Image over workload over defaults. An image's fixed CPU also beats a workload's shared CPU. Pure."""
    values = {name: getattr(defaults, name) for name in Effective.__slots__}
    for layer in (workload, image):
        given = {name: getattr(layer, name) for name in type(layer).model_fields}
        given = {name: value for name, value in given.items() if value is not None}
        if "cpu_utilisation" in given:
            values["cpu_total_cores"] = None
        if "metrics" in given:
            given["metrics"] = {**values["metrics"], **given["metrics"]}
        values |= given
    return Effective(**values)
