"""The result of judging a signal, and what a release is compared with."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from resilience_operator.decision.analysis.sequential import limit
from resilience_operator.decision.model.memory import ReleaseMemory, RequestCounts


@dataclass(slots=True)
class Judgement:
    """Whether a threshold is crossed: True, False, or None (Unknown) with the reason.

    value: the judged value in base units, or None. message: a sentence with the values.
    replica_factor: factor of replicas needed, if the signal provides one.
    suspect: the threshold is crossed since the release began, but it is not proven that the release is the cause.
    """

    crossed: bool | None
    reason: str
    message: str
    value: float | None = None
    replica_factor: float | None = None
    suspect: bool = False


SHARED_BEFORE = "SharedBefore"
"""Reason of a breach of the new revision that the old pods had too before they ended."""

SHARED = "SharedByRevisions"
"""Reason of a judgement: the old revision crosses the threshold too."""

LATE_ONSET = "LateOnset"
"""Reason of a breach that began after the revision had served well."""

SHARED_INCIDENT = "SharedIncident"
"""Reason of a breach that began together with those of other workloads."""

LOAD_GREW = "LoadGrew"
"""Reason of a breach that began with more load."""

OTHER_CAUSES = (LATE_ONSET, SHARED_INCIDENT, LOAD_GREW)
"""Reasons of a judgement that name a likelier cause than the release."""


@dataclass(frozen=True, slots=True)
class CanaryContext:
    """What a release is compared with.

    revision: the new one, or None if there is none yet. quarantined: revisions excluded from the comparison.
    baseline: request counts of the whole target at the start of the release. measured_since: since when (seconds since
    the epoch) the new revision is measured, or None if unknown.
    release: the release with its scores. limit: the score that convicts, as a logarithm. now: of the evaluation.
    warm_up: seconds for which latencies of new pods do not count.
    shared_incident: other workloads came into breach at the same time.
    """

    revision: str | None
    quarantined: Container[str] = ()
    baseline: Mapping[str, RequestCounts] = field(default_factory=dict)
    measured_since: float | None = None
    release: ReleaseMemory | None = None
    limit: float = limit(0.001)
    now: float = 0.0
    warm_up: float = 0.0
    shared_incident: bool = False


NO_CANARY = CanaryContext(None)
"""The context while no release is analysed and none was rolled back."""
