"""Dependencies of the target: what to look at if more pods do not help."""

from typing import ClassVar

from pydantic import Field

from .base import SpecModel
from .checks import Check, sentence
from .fields import Name, ThresholdField

DEPENDENCIES_LIMIT = 16
"""Maximum dependencies of one policy."""


_ONE_BOUND = "not allowed here: keep exactly one of above and below"


class Dependency(SpecModel):
    """Something that the target calls, and the signal that shows whether it is in trouble."""

    name: Name = Field(description="Name in messages, like orders-db.")
    signal: Name = Field(
        description=(
            "Name of the signal that shows its state: one of spec.signals, usually with a query on the dependency's "
            "own metrics."
        )
    )
    above: ThresholdField | None = Field(
        default=None,
        description=(
            "In trouble while the signal is above this, like 500ms, 5% or 0.9. Set exactly one of above and below."
        ),
    )
    below: ThresholdField | None = Field(
        default=None,
        description="In trouble while the signal is below this, like 99%. Set exactly one of above and below.",
    )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            message="a dependency needs exactly one of above and below: keep one of them",
            holds=lambda dependency: (dependency.above is None) != (dependency.below is None),
            # CEL cannot read thresholds.
            schema={
                "anyOf": [
                    {"required": ["above"], "properties": {"below": sentence(_ONE_BOUND)}},
                    {"required": ["below"], "properties": {"above": sentence(_ONE_BOUND)}},
                ]
            },
        ),
    )
