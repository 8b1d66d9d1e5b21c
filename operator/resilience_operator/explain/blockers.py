"""Blockers of a policy: its mode, other controllers, manual changes and missing metrics."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.release.freeze import active_freeze
from resilience_operator.decision.release.manual_steps import release_command
from resilience_operator.decision.reverts import blocked, describe_stop
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.formatting import pods


def blockers(facts: ExplainContext, unread: str = "") -> Iterator[str]:
    """Yield what prevents or limits actions of the policy. unread: why the target could not be read."""
    ready = find_condition(facts.status.conditions, ConditionType.READY)
    if ready is None:
        yield "no operator has evaluated the policy yet: check that one is running and watches this namespace"
    elif ready.status != "True":
        yield f"{ready.message} ({ready.reason})"
    elif ready.reason == IN_FORCE:
        yield ready.message
    if facts.policy.mode is Mode.SUSPENDED:
        yield "mode is Suspended: the policy is not evaluated and no action is taken"
    elif facts.policy.mode is Mode.DRY_RUN:
        yield "mode is DryRun: decisions are recorded and reported, but nothing is changed"
    if (facts.status.observed_generation or 0) < facts.policy.generation:
        yield "the policy was changed and has not been evaluated since: what follows describes its previous version"
    if facts.memory.metrics_missing_since is not None:
        yield f"no signal that the rules need has been measured for {facts.ago(facts.memory.metrics_missing_since)}"
    yield from _other_controllers(facts)
    if facts.memory.intent is not None:
        yield "an action was started and its result is not known yet; the next evaluation resolves it"
    if unread:
        yield f"the target could not be read, so its state is that of the last evaluation: {unread}"


def _other_controllers(facts: ExplainContext) -> Iterator[str]:
    target, release, memory = facts.live, facts.release, facts.memory
    if target is not None and target.hpa is not None:
        hpa = target.hpa
        owner = f", managed by {hpa.owner}," if hpa.owner else ""
        raised = f" (it was {hpa.original_min} before the operator raised it)" if hpa.original_min is not None else ""
        yield (
            f"HorizontalPodAutoscaler {hpa.name}{owner} scales the target between {hpa.min_replicas} and "
            f"{hpa.max_replicas}: the operator changes only its minReplicas{raised}"
        )
    if memory.scaling.manual_floor is not None:
        yield (
            f"someone scaled the target to {pods(memory.scaling.manual_floor)}: the operator does not scale below that"
        )
    yield from _freezes(facts)
    seen = facts.target
    paused = seen.paused if seen is not None else release is not None and release.phase is Phase.PAUSED
    if paused and (release is None or release.paused is None):
        who = display_name(target.paused_by) if target is not None else "someone"
        yield f"{who} paused the rollout: the operator neither resumes it nor rolls it back"
    if release is not None and release.rollback_limit_reached:
        yield (
            f"revision {release.revision} was rolled back the maximum number of times and was applied again: a "
            "person must decide"
        )
    if release is not None and release.manual_override:
        yield f"someone overrode the operator on revision {release.revision}: the operator only observes it"
    for q in memory.quarantined:
        dry_run = " in dry run" if q.dry_run else ""
        times = "once" if q.rollbacks == 1 else f"{q.rollbacks} times"
        yield (
            f"revision {q.revision} is quarantined: rolled back {times}{dry_run}, {facts.ago(q.at)} ago, by "
            f"{', '.join(q.rules)} ({q.message}). It ends {facts.until(q.at + facts.policy.release.quarantine)}; to "
            f"end it earlier: {release_command(facts.policy, q.revision)}"
        )
    if target is not None:
        for revert in memory.reverts:
            if blocked(memory.reverts, revert.field, facts.now) is not None:
                yield describe_stop(revert, target)
    if memory.overlay is not None:
        yield f"simulated by the dry run so far: {_dry_run_changes(memory)}"


def _freezes(facts: ExplainContext) -> Iterator[str]:
    """Yield the freeze in effect, and the rollback that waits for approval or was denied."""
    active, _ = active_freeze(facts.policy, facts.now)
    if active is not None and facts.memory.freeze is not None:
        lifted = facts.memory.freeze.lifted_at is not None
        what = "someone resumed the rollout, so it does not apply" if lifted else "a new template waits until then"
        yield f"a freeze ({active.cause}) is in effect until {active.end}: {what}"
    request = facts.memory.request
    if request is None:
        return
    if request.denied:
        yield f"{request.by or 'someone'} denied the rollback of revision {request.revision}"
    elif request.approved:
        yield f"{request.by} approved the rollback of revision {request.revision}: it follows once it is due again"
    else:
        yield (
            f"the rollback of revision {request.revision} to {request.to} has waited for approval for "
            f"{facts.ago(request.asked_at)}: `kubectl resilience approve` or `deny`"
        )


def _dry_run_changes(memory: Memory) -> str:
    overlay = memory.overlay
    assert overlay is not None, "asked only where there is one"
    parts = []
    if overlay.replicas is not None:
        parts.append(f"{pods(overlay.replicas)} instead of {overlay.real_replicas}")
    if overlay.minimum is not None:
        parts.append(f"a minimum of {overlay.minimum} instead of {overlay.real_minimum}")
    if overlay.paused is not None:
        parts.append("the rollout paused" if overlay.paused else "the rollout resumed")
    if overlay.revision is not None:
        parts.append(f"revision {overlay.revision} instead of {overlay.real_revision}")
    return ", ".join(parts)
