"""What a policy guards, and within which bounds."""

from typing import Annotated, ClassVar

from pydantic import Field, StrictInt

from .base import SpecModel
from .checks import Check, cel_list
from .fields import ApiVersion, Kind, ObjectName

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
"""The kinds of apps/v1 that are known by name; any other kind is known by its /scale alone."""

Count = Annotated[StrictInt, Field(ge=0, le=100_000)]
"""Of pods."""


class TargetRef(SpecModel):
    """One workload in the policy's own namespace."""

    api_version: ApiVersion = Field(
        description="Group and version of the target, like apps/v1, which Deployment, StatefulSet and DaemonSet are in."
    )
    kind: Kind = Field(description="Kind of the target, like Deployment.")
    name: ObjectName = Field(description="Name of the target, in the policy's own namespace.")

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="Deployment, StatefulSet and DaemonSet are in apps/v1: write apiVersion: apps/v1",
            holds=lambda ref: ref.kind not in WORKLOADS or ref.api_version == "apps/v1",
            cel=f"!(self.kind in {cel_list(WORKLOADS)}) || self.apiVersion == 'apps/v1'",
            field="apiVersion",
        ),
    )


class Replicas(SpecModel):
    """Bounds for the number of pods that the operator asks for."""

    min: Count | None = Field(
        default=None,
        description="Fewest pods to scale down to, from 0. Default: the replicas found when the policy first "
        "saw its target.",
    )
    max: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Most pods to scale up to, from 1. Required as soon as one rule scales.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="max is below min: raise replicas.max or lower replicas.min",
            holds=lambda replicas: replicas.min is None or replicas.max is None or replicas.min <= replicas.max,
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
        ),
    )
