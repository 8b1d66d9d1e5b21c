"""Metrics of releases, from which deployment frequency, change failure rate and time to restore follow (DORA).

They are counted by this process from changes of the memory, without an effect on any decision.
"""

from __future__ import annotations

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


def observe_release(before: ReleaseMemory | None, after: ReleaseMemory | None, now: float) -> None:
    """Count what became of a release between two evaluations. Nothing is counted for the first one of a target."""
    if before is None or after is None:
        return
    rolling_back = after.phase is Phase.ROLLING_BACK and before.phase is not Phase.ROLLING_BACK
    if rolling_back:
        RELEASES.labels(ROLLED_BACK).inc()
    elif after.phase in ANALYSED_PHASES and not after.continues(before):
        RELEASES.labels(BEGUN).inc()
    if after.good is not None and (after.good, after.good_template) != (before.good, before.good_template):
        RELEASES.labels(GOOD).inc()
    restored = after.phase is Phase.ROLLED_BACK and before.phase is Phase.ROLLING_BACK
    if restored and after.failing_from is not None:
        RESTORE_SECONDS.observe(max(0.0, now - after.failing_from))
