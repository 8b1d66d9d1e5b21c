"""Which configuration belongs to a revision: `release.configuration`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool

from .base import SpecModel


class Configuration(SpecModel):
    """Configuration that is judged and restored together with the pod template."""

    include: Literal["Referenced"] = Field(
        default="Referenced",
        description="Referenced (default): the ConfigMaps that the pod template reads, by volume or environment.",
    )
    secrets: StrictBool = Field(
        default=False,
        description=(
            "true: the Secrets that the pod template reads as well. The operator needs the ClusterRole "
            "resilience-operator-secrets, which is not bound by default. Default false."
        ),
    )
