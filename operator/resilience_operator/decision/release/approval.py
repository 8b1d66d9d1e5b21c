"""Approval of rollbacks: a person is asked before a revision is rolled back, if the rules say so.

A request is identified by the revision and the time of the request, and an answer names the request. So an answer never
applies to another release, and clocks need not agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import ReleaseMemory, RollbackRequest, Verdict
from resilience_operator.decision.model.policy import Approval, Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.release.remediation import ReleaseFinding

FAILING = "ReleaseFailing"
"""Reason of the rollbacks that need approval. A quarantined revision that is applied again was decided on before."""


@dataclass(slots=True)
class ApprovalPlan:
    """What becomes of a rollback. command: to execute now, or None. request: to remember."""

    command: Command | None
    request: RollbackRequest | None
    notices: tuple[Notice, ...] = ()
    wake: float | None = None


def approval_of(policy: Policy, command: Command) -> Approval | None:
    """Return the approval that a rollback needs: None if one of its rules rolls back without asking.

    A cause that is not a rule (failing pods, the progress deadline) needs it if every rule that rolls back does.
    """
    if command.verb is not Verb.ROLLBACK or command.reason != FAILING:
        return None
    all_rules = {r.name: r.rollback.approval for r in policy.rules if r.rollback is not None}
    known = [all_rules[name] for name in command.rules if name in all_rules]
    if len(known) < len(command.rules):
        known += all_rules.values()
    needed = [a for a in known if a is not None]
    if not needed or len(needed) < len(known):
        return None
    return Approval(min(a.within for a in needed), any(a.act for a in needed))


def ask(
    policy: Policy, command: Command, approval: Approval, before: RollbackRequest | None, target: str, now: float
) -> ApprovalPlan:
    """Decide on a rollback that needs approval. target: kind and name, for messages."""
    revision, to = str(command.from_), str(command.to)
    request = before if before is not None and before.revision == revision else RollbackRequest(revision, to, now)
    if request.to != to:
        request = RollbackRequest(revision, to, now)  # an approval was for another revision
    request, denial = _answered(policy, request, command.rules)
    if denial is not None or request.denied:
        return ApprovalPlan(denial, request)
    if request.approved:
        return ApprovalPlan(replace(command, message=f"{command.message}; approved by {request.by}"), request)
    due = request.asked_at + approval.within
    if now >= due and approval.act:
        why = f"nobody answered within {format_duration(approval.within)}"
        return ApprovalPlan(replace(command, message=f"{command.message}; {why}"), request)
    notice = _asked(policy, command, approval, request, target)
    if now < due:
        return ApprovalPlan(None, request, (notice,), due)
    held = replace(
        notice,
        key=f"approval-missing/{request.asked_at:.0f}/{revision}",
        reason="ApprovalMissing",
        message=f"nobody has answered for {format_duration(approval.within)}. {notice.message}",
    )
    return ApprovalPlan(None, request, (notice, held))


def keep_asking(
    policy: Policy, before: RollbackRequest, release: ReleaseMemory, findings: Sequence[ReleaseFinding]
) -> ApprovalPlan:
    """Decide on a request while no rollback is due. It ends with the release, or when every rule is Ok.

    An answer counts all the same: a denial is recorded, an approval holds for when the rollback is due.
    """
    if before.revision != release.revision or release.phase not in ANALYSED_PHASES:
        return ApprovalPlan(None, None)
    if not before.denied and all(f.verdict is Verdict.OK for f in findings):
        return ApprovalPlan(None, None)
    request, denial = _answered(policy, before, ())
    return ApprovalPlan(denial, request)


def without_rollback(findings: Sequence[ReleaseFinding]) -> Iterator[ReleaseFinding]:
    """Yield the findings as if no rule rolled back: a release that waits for approval is paused if a rule pauses."""
    for finding in findings:
        rule = finding.rule
        yield finding if rule.rollback is None else replace(finding, rule=replace(rule, rollback=None))


def _answered(
    policy: Policy, request: RollbackRequest, rules: tuple[str, ...]
) -> tuple[RollbackRequest, Command | None]:
    """Return the request with its answer, and the command that records a denial. rules: those that roll back."""
    answer = policy.orders.answer
    if answer is None or answer.request != request.id:
        return (replace(request, approved=False, by="") if request.approved else request), None
    who = answer.by or "someone"
    if answer.verdict == "approve":
        return replace(request, denied=False, approved=True, by=who), None
    if request.denied and request.by == answer.by:
        return request, None
    denial = Command(
        Verb.DENY_ROLLBACK,
        "RollbackDenied",
        f"{who} denied the rollback of revision {request.revision} to {request.to}: the operator does not roll it back",
        rules,
        from_=request.revision,
        to=request.to,
        arguments={"by": answer.by},
    )
    return request, denial


def _asked(policy: Policy, command: Command, approval: Approval, request: RollbackRequest, target: str) -> Notice:
    cause = command.message.partition(": revision ")[0]
    after = format_duration(approval.within)
    otherwise = f"Without an answer it is rolled back after {after}" if approval.act else "Without an answer it stays"
    arguments = f"{policy.name} -n {policy.namespace}"
    return Notice(
        f"approval/{request.asked_at:.0f}/{request.revision}",
        "ApprovalNeeded",
        f"{cause}: revision {request.revision} of {target} is to be rolled back to {request.to}. Approve with `kubectl "
        f"resilience approve {arguments}`, or deny with `kubectl resilience deny {arguments}`. {otherwise}",
        warning=True,
    )
