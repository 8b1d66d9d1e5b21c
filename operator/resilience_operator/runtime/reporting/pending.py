"""What is still to be written to a policy's status (`PolicyEntry.reported.pending`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.observation import Observation
from resilience_operator.decision.model.target import TargetState


class Evaluated(NamedTuple):
    """A decision without commands or notices. target: the real one, without the dry-run overlay.

    fingerprint: of the decision (`report_fingerprint`).
    """

    target: TargetState
    decision: Decision
    fingerprint: tuple[object, ...]


class Unchanged(NamedTuple):
    """The inputs of an evaluation that would have repeated the last decision. It is decided when it is written."""

    target: TargetState
    observations: Mapping[str, Observation]
