"""What a rollback changed: the restored revision is watched, and a rollback that did not help acquits the other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience_operator.decision.analysis.rules import RuleEvaluation
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import Phase, Quarantine, ReleaseMemory, RollbackResult, Verdict
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.lifecycle import rollback_is_late
from resilience_operator.decision.report import describe

DID_NOT_HELP = "RollbackDidNotHelp"
"""Reason of the notice and of the condition."""

WATCHED_PHASES = (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.STABLE)


def watch_rollback(
    release: ReleaseMemory,
    policy: Policy,
    target: TargetState,
    evaluations: Sequence[RuleEvaluation],
    quarantined: Mapping[str, Quarantine],
    now: float,
) -> tuple[ReleaseMemory, tuple[Notice, ...]]:
    """Return the release with the result of its rollback, and a notice while the rollback did not help.

    Signals show the failed revision for a whole look-back window after its last pod is gone. After that, a breach is of
    the restored revision.
    """
    if release.rolled_from is None or release.phase not in WATCHED_PHASES:
        return release, ()
    causes = _causes(release, evaluations, quarantined)
    if release.rollback_result is RollbackResult.DID_NOT_HELP:
        recovered = causes and all(e.verdict is Verdict.OK for e in causes)
        late = release.phase is Phase.ROLLING_BACK and rollback_is_late(release, policy, target, now)
        if (recovered or not causes) and release.phase is not Phase.ROLLING_BACK:
            return replace(release, rollback_result=RollbackResult.HELPED), ()
        return release, (_did_not_help(release, causes, late=late),)
    if release.rollback_result is not RollbackResult.OPEN:
        return release, ()
    if release.phase is Phase.ROLLING_BACK:
        if not rollback_is_late(release, policy, target, now):
            return release, ()
        found = replace(release, rollback_result=RollbackResult.DID_NOT_HELP)
        return found, (_did_not_help(found, causes, late=True),)
    before = policy.release.bake if release.phase is Phase.STABLE else 0.0
    if before + now - release.since < policy.window:
        return release, ()
    breached = [e for e in causes if e.verdict is Verdict.BREACH]
    if breached and _may_fail_as_well(release):
        return _judged_anew(release, breached, now), (_tried(release, breached),)
    if breached:
        found = replace(release, rollback_result=RollbackResult.DID_NOT_HELP)
        return found, (_did_not_help(found, causes, late=False),)
    if release.phase is Phase.STABLE or all(e.verdict is Verdict.OK for e in causes):
        return replace(release, rollback_result=RollbackResult.HELPED), ()
    return release, ()


def _may_fail_as_well(release: ReleaseMemory) -> bool:
    """Return whether the restored revision was never measured to be good, and an older one was.

    It served a whole bake with all pods ready, but without measurements. So its own breach is no acquittal of the
    revision that was rolled back.
    """
    if release.good is None or release.good in release.charged or release.good == release.rolled_from:
        return False
    return (release.good, release.good_template) != (release.revision, release.template)


def _judged_anew(release: ReleaseMemory, breached: Sequence[RuleEvaluation], now: float) -> ReleaseMemory:
    """Return the release with the restored revision judged like a new one, against the last good state."""
    return replace(
        release,
        phase=Phase.BAKING,
        since=now,
        bake_started=now,
        observed_at=now,
        ok_before=tuple(sorted({*release.ok_before, *(e.rule.name for e in breached)})),
        shared_breaches=(),
        canary_measured_since=None,
        health=None,
        resumes=0,
    )


def _tried(release: ReleaseMemory, breached: Sequence[RuleEvaluation]) -> Notice:
    what = "; ".join(describe(e.rule, e.results) for e in breached)
    return Notice(
        f"tried/{release.revision}",
        "RestoredRevisionFails",
        f"revision {release.revision} was restored instead of {release.rolled_from} and is in breach as well: {what}. "
        "It served its bake without measurements, so it is judged like a new release, against the last good state of "
        f"revision {release.good}",
        warning=True,
        transient=True,
    )


def _causes(
    release: ReleaseMemory, evaluations: Sequence[RuleEvaluation], quarantined: Mapping[str, Quarantine]
) -> list[RuleEvaluation]:
    """Return the rules that caused the rollback; if they are gone, those that were Ok before the release."""
    entry = quarantined.get(release.rolled_from or "")
    named = [e for e in evaluations if entry is not None and e.rule.name in entry.rules]
    return named or [e for e in evaluations if e.rule.guards_release and e.rule.name in release.ok_before]


def _did_not_help(release: ReleaseMemory, causes: Sequence[RuleEvaluation], *, late: bool) -> Notice:
    breached = [e for e in causes if e.verdict is Verdict.BREACH]
    what = "; ".join(describe(e.rule, e.results) for e in breached)
    if late:
        what = "its pods do not become ready"
    return Notice(
        f"did-not-help/{release.rolled_from}",
        DID_NOT_HELP,
        f"the rollback from revision {release.rolled_from} to {release.revision} did not help: "
        f"{what or 'its signals have not recovered'}. Revision {release.rolled_from} is no longer quarantined. Look "
        "for a cause outside the release: a dependency, a ConfigMap or Secret, a database schema, or an image tag that "
        "moved",
        warning=True,
    )
