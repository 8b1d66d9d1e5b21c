"""The target of a policy and its replica bounds."""

from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from .base import SpecModel
from .checks import Check, cel_list
from .fields import ApiVersion, Kind, ObjectName

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
"""The supported kinds of apps/v1; any other kind is used only through its /scale."""

Count = Annotated[StrictInt, Field(ge=0, le=100_000)]
"""A number of pods."""


class TargetRef(SpecModel):
    """A workload in the policy's namespace."""

    api_version: ApiVersion = Field(
        description="API group and version of the target, like apps/v1 for Deployment, StatefulSet and DaemonSet."
    )
    kind: Kind = Field(description="Kind of the target, like Deployment.")
    name: ObjectName = Field(description="Name of the target, in the policy's namespace.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="Deployment, StatefulSet and DaemonSet are in apps/v1: set apiVersion: apps/v1",
            holds=lambda ref: ref.kind not in WORKLOADS or ref.api_version == "apps/v1",
            cel=f"!(self.kind in {cel_list(WORKLOADS)}) || self.apiVersion == 'apps/v1'",
            field="apiVersion",
        ),
    )


class Replicas(SpecModel):
    """Bounds of the number of pods that the operator requests."""

    min: Count | None = Field(
        default=None,
        description="Minimum number of pods, 0 or more. Default: the replicas at the first evaluation.",
    )
    max: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Maximum number of pods, 1 or more. Required if a rule scales.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="max is below min: raise replicas.max or lower replicas.min",
            holds=lambda replicas: replicas.min is None or replicas.max is None or replicas.min <= replicas.max,
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
        ),
    )
