"""The ResiliencePolicy resource, version v1alpha1."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from .base import ReadModel, Timestamp
from .invalid import InvalidPolicy, Problem, invalid_policy
from .spec import PolicySpec
from .status import PolicyStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "SHORT_NAME",
    "VERSION",
    "InvalidPolicy",
    "Metadata",
    "Problem",
    "ResiliencePolicy",
    "parse_policy",
]

GROUP = "resilience-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ResiliencePolicy"
PLURAL = "resiliencepolicies"
SHORT_NAME = "rsp"


class Metadata(ReadModel):
    """As much of the object's metadata as the operator reads."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class ResiliencePolicy(ReadModel):
    """Keeps a workload inside its objectives: scales it, and pauses and rolls back releases that hurt it."""

    api_version: Literal["resilience-operator.io/v1alpha1"]
    kind: Literal["ResiliencePolicy"]
    metadata: Metadata
    spec: PolicySpec = Field(description="Target, signals and rules of the policy.")
    status: PolicyStatus = Field(
        default=PolicyStatus(), description="State at the last evaluation. Written by the operator."
    )


def parse_policy(document: Mapping[str, Any]) -> ResiliencePolicy:
    """Parse a policy from a YAML or API document. Raises InvalidPolicy."""
    try:
        return ResiliencePolicy.model_validate(dict(document))
    except ValidationError as error:
        raise invalid_policy(error) from None
