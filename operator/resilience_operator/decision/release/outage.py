"""The outage of a rollout that replaces all pods at once: it is the strategy's doing, not the release's.

With `strategy: Recreate`, or `maxUnavailable: 100%`, no pod serves for a while. Errors of that time stay in the
look-back window of the signals. So a rule counts against the release only after a pod of it has served for a whole
window.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from resilience_operator.decision.model.memory import HealthMemory, Phase, ReleaseMemory, Verdict
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.release.remediation import ReleaseFinding


def follow_outage(release: ReleaseMemory, target: TargetState, now: float) -> ReleaseMemory:
    """Remember since when no pod serves, or when the last such time ended."""
    if release.phase not in ANALYSED_PHASES or target.replicas == 0:
        return release
    none = target.ready == 0
    if target.replaces_all and release.phase is Phase.PROGRESSING:
        current = target.find(release.revision)
        none = none or current is None or current.ready == 0
    before = release.health or HealthMemory()
    if none is (before.outage_since is not None):
        return release
    after = replace(before, outage_since=now if none else None, outage_ended=None if none else now)
    return replace(release, health=after)


def outage_counts_until(release: ReleaseMemory, policy: Policy) -> float | None:
    """Return until when signals may show the outage: forever while it lasts; None if there was none."""
    if release.health is None:
        return None
    if release.health.outage_since is not None:
        return inf
    ended = release.health.outage_ended
    return None if ended is None else ended + policy.window


def shows_outage(release: ReleaseMemory, policy: Policy, now: float) -> bool:
    """Whether signals may show the outage now, so that they prove nothing."""
    until = outage_counts_until(release, policy)
    return until is not None and now < until


def without_outage(
    findings: Iterable[ReleaseFinding], release: ReleaseMemory, policy: Policy, now: float
) -> list[ReleaseFinding]:
    """Return the findings of rules, without breaches of the time of the outage."""
    until = outage_counts_until(release, policy)
    if until is None:
        return list(findings)
    found = []
    for finding in findings:
        if now < until:
            if finding.failing_since is not None or finding.suspect:
                finding.verdict, finding.failing_since, finding.suspect = Verdict.PENDING, None, False
        elif finding.failing_since is not None:
            finding.failing_since = max(finding.failing_since, until)
        found.append(finding)
    return found
