"""Metrics of releases, from which the figures of DORA follow.

They are counted by this process from changes of the memory, without an effect on any decision.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES

BEGUN, GOOD, ROLLED_BACK = "begun", "good", "rolled_back"

RELEASES = Counter(
    "resilience_releases_total",
    "Releases of all targets, by result: begun; good (completed its bake); rolled_back (by the operator).",
    ["result"],
)
for _result in (BEGUN, GOOD, ROLLED_BACK):
    RELEASES.labels(_result)

RESTORE_SECONDS = Histogram(
    "resilience_release_restore_seconds",
    "Time from the breach of a failing release until all pods run the restored revision.",
    buckets=(5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400),
)


LEAD_TIME_SECONDS = Histogram(
    "resilience_release_lead_time_seconds",
    "Time from the commit of a release, stated in an annotation of its target, until it completed its bake.",
    buckets=(600, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800, 1209600, 2592000),
)

MAX_EXEMPLAR = 128
"""Maximum characters of an exemplar's names and values (OpenMetrics 1.0)."""


def observe_release(
    before: ReleaseMemory | None,
    after: ReleaseMemory | None,
    now: float,
    *,
    committed: float | None = None,
    exemplar: Mapping[str, str] | None = None,
) -> None:
    """Count what became of a release between two evaluations. Nothing is counted for the first one of a target.

    committed: when its commit was made, or None. exemplar: labels that identify this release.
    """
    if before is None or after is None:
        return
    labels = dict(exemplar) if exemplar else None
    rolling_back = after.phase is Phase.ROLLING_BACK and before.phase is not Phase.ROLLING_BACK
    if rolling_back:
        RELEASES.labels(ROLLED_BACK).inc(exemplar=labels)
    elif after.phase in ANALYSED_PHASES and not after.continues(before):
        RELEASES.labels(BEGUN).inc(exemplar=labels)
    if after.good is not None and (after.good, after.good_template) != (before.good, before.good_template):
        RELEASES.labels(GOOD).inc(exemplar=labels)
        if committed is not None and committed <= now:
            LEAD_TIME_SECONDS.observe(now - committed, labels)
    restored = after.phase is Phase.ROLLED_BACK and before.phase is Phase.ROLLING_BACK
    if restored and after.failing_from is not None:
        RESTORE_SECONDS.observe(max(0.0, now - after.failing_from), labels)


def release_exemplar(namespace: str, policy: str, trace: Mapping[str, str] | None) -> dict[str, str]:
    """Return the labels that lead from a count to the policy and the trace, as far as they fit."""
    found: dict[str, str] = {}
    for name, value in (*(trace or {}).items(), ("policy", f"{namespace}/{policy}")):
        longer = {**found, name: value}
        if sum(len(key) + len(text) for key, text in longer.items()) <= MAX_EXEMPLAR:
            found = longer
    return found
