"""What keeps the policy from acting freely: its mode, other controllers, people, missing metrics."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.policy import Mode
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.formatting import pods


def blockers(facts: ExplainContext, unread: str = "") -> Iterator[str]:
    """Whatever keeps the policy from acting freely. unread: why the target could not be read."""
    ready = find_condition(facts.status.conditions, ConditionType.READY)
    if ready is None:
        yield "no operator has looked at the policy yet: is one running, and does it watch this namespace?"
    elif ready.status != "True":
        yield f"{ready.message} ({ready.reason})"
    elif ready.reason == IN_FORCE:
        yield ready.message
    if facts.policy.mode is Mode.SUSPENDED:
        yield "mode is Suspended: nothing is looked at and nothing is done"
    elif facts.policy.mode is Mode.DRY_RUN:
        yield "mode is DryRun: decisions are recorded and told, and nothing is changed"
    if (facts.status.observed_generation or 0) < facts.policy.generation:
        yield "the policy was changed, and what follows is about what it was before"
    if facts.memory.metrics_missing_since is not None:
        yield f"none of what the rules need has been measured for {facts.ago(facts.memory.metrics_missing_since)}"
    yield from _other_controllers(facts)
    if facts.memory.intent is not None:
        yield "an action was begun whose end is not known yet; it is settled at the next look"
    if unread:
        yield f"the target could not be read, so what is said of it is what the operator last saw: {unread}"


def _other_controllers(facts: ExplainContext) -> Iterator[str]:
    target, release, memory = facts.live, facts.release, facts.memory
    if target is not None and target.hpa is not None:
        hpa = target.hpa
        owner = f", which {hpa.owner} manages," if hpa.owner else ""
        raised = f"; it was {hpa.original_min} before the operator raised it" if hpa.original_min is not None else ""
        yield (
            f"HorizontalPodAutoscaler {hpa.name}{owner} scales the target between {hpa.min_replicas} and "
            f"{hpa.max_replicas}: the operator moves its minReplicas and nothing else{raised}"
        )
    if memory.scaling.manual_floor is not None:
        yield f"somebody scaled the target to {pods(memory.scaling.manual_floor)}: nothing below that is given back"
    paused = target.paused if target is not None else release is not None and release.phase is Phase.PAUSED
    if paused and (release is None or release.paused is None):
        who = display_name(target.paused_by) if target is not None else "somebody"
        yield f"{who} paused the rollout: the operator neither resumes it nor rolls it back"
    if release is not None and release.rollback_limit_reached:
        yield f"revision {release.revision} was rolled back as often as allowed and came again: a person decides"
    if release is not None and release.manual_override:
        yield f"the operator was overruled by hand on revision {release.revision}: it is watched, and no more"
    for q in memory.quarantined:
        dry_run = " in a rehearsal" if q.dry_run else ""
        times = "once" if q.rollbacks == 1 else f"{q.rollbacks} times"
        yield (
            f"revision {q.revision} is quarantined: rolled back {times}{dry_run}, {facts.ago(q.at)} ago, by "
            f"{', '.join(q.rules)} ({q.message})"
        )
    if memory.overlay is not None:
        yield f"rehearsed so far: {_dry_run_changes(memory)}"


def _dry_run_changes(memory: Memory) -> str:
    overlay = memory.overlay
    assert overlay is not None, "asked only where there is one"
    parts = []
    if overlay.replicas is not None:
        parts.append(f"{pods(overlay.replicas)} in place of {overlay.real_replicas}")
    if overlay.minimum is not None:
        parts.append(f"a minimum of {overlay.minimum} in place of {overlay.real_minimum}")
    if overlay.paused is not None:
        parts.append("the rollout paused" if overlay.paused else "the rollout resumed")
    if overlay.revision is not None:
        parts.append(f"revision {overlay.revision} in place of {overlay.real_revision}")
    return ", ".join(parts)
