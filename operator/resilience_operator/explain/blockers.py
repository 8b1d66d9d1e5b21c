"""What stands around the rules: the target, the release, what is given back when, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.api.conditions import ConditionType, find_condition
from resilience_operator.api.pause import IN_FORCE
from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.verdicts import combine
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.memory import Memory, Phase, Verdict
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
        rehearsed = " in a rehearsal" if q.dry_run else ""
        times = "once" if q.rollbacks == 1 else f"{q.rollbacks} times"
        yield (
            f"revision {q.revision} is quarantined: rolled back {times}{rehearsed}, {facts.ago(q.at)} ago, by "
            f"{', '.join(q.rules)} ({q.message})"
        )
    if memory.overlay is not None:
        yield f"rehearsed so far: {_dry_run_changes(memory)}"


def _dry_run_changes(memory: Memory) -> str:
    shadow = memory.overlay
    assert shadow is not None, "asked only where there is one"
    parts = []
    if shadow.replicas is not None:
        parts.append(f"{pods(shadow.replicas)} in place of {shadow.real_replicas}")
    if shadow.minimum is not None:
        parts.append(f"a minimum of {shadow.minimum} in place of {shadow.real_minimum}")
    if shadow.paused is not None:
        parts.append("the rollout paused" if shadow.paused else "the rollout resumed")
    if shadow.revision is not None:
        parts.append(f"revision {shadow.revision} in place of {shadow.real_revision}")
    return ", ".join(parts)


def describe_target(facts: ExplainContext) -> Iterator[str]:
    """The target, and the release."""
    name = f"{facts.target_kind} {facts.target_name}"
    live, release = facts.live, facts.release
    if live is not None:
        ready = "all ready" if live.ready >= live.replicas else f"{live.ready} ready"
        yield f"{name} has {pods(live.replicas)}, {ready}"
    elif facts.replicas is not None:
        yield f"{name} had {pods(facts.replicas)} when the operator last looked"
    if release is None:
        return
    good = f", revision {release.good} is the last good one" if release.good not in (None, release.revision) else ""
    since = f"for {facts.ago(release.since)}"
    match release.phase:
        case Phase.STABLE if release.good == release.revision:
            yield f"revision {release.revision} is the last good one; no release is under way"
        case Phase.BAKING if release.bake_started is not None:
            due = facts.until(release.bake_started + facts.policy.release.bake)
            yield f"revision {release.revision} runs everywhere and is watched; it counts as good {due}{good}"
        case Phase.ROLLING_BACK:
            yield f"revision {release.rolled_from} is being rolled back to {release.revision}, {since}"
        case Phase.ROLLED_BACK:
            yield f"revision {release.rolled_from} was rolled back to {release.revision}, which runs everywhere {since}"
        case _:
            yield f"revision {release.revision} is {release.phase.value} {since}{good}"
    if release.unmeasured is not None:
        yield f"the bake stands still: its signals have not been measured for {facts.ago(release.unmeasured)}"
    if release.good is None:
        yield "no revision was found good yet, so there is none to roll back to"


def scale_down(facts: ExplainContext) -> Iterator[str]:
    """When pods are given back, or why not."""
    policy, memory = facts.policy, facts.memory
    scaling = [rule for rule in policy.rules if rule.scale_up is not None]
    size = facts.replicas
    if not scaling or size is None:
        return
    lowest = policy.min_replicas if policy.min_replicas is not None else memory.scaling.baseline
    floor = max(lowest or 0, memory.scaling.manual_floor or 0, 1)
    if facts.live is not None and facts.live.hpa is not None:
        hpa = facts.live.hpa
        size, floor = hpa.min_replicas, hpa.min_replicas if hpa.original_min is None else hpa.original_min
    if not policy.scale_down.enabled:
        yield "nothing is given back: scaleDown.enabled is false"
    elif size <= floor:
        yield f"there is nothing to give back: {size} is the least (floor {floor})"
    elif memory.scaling.stable_since is not None:
        due = facts.until(memory.scaling.stable_since + max(policy.scale_down.after, policy.window))
        step = f"{policy.scale_down.percent:g} %" if policy.scale_down.percent else pods(policy.scale_down.pods or 1)
        yield f"calm for {facts.ago(memory.scaling.stable_since)}: {step} given back {due}, down to {floor}"
    else:
        yield f"nothing is given back of the {pods(size - floor)} above {floor}: {_why_not_stable(facts)}"


def _why_not_stable(facts: ExplainContext) -> str:
    for rule in facts.policy.rules:
        memory = facts.rule(rule)
        if rule.scale_up is None:
            continue
        verdict = combine(rule, [t.verdict for t in memory.timers]) if memory is not None else Verdict.UNKNOWN
        if verdict is not Verdict.OK:
            return f"{rule.name} is {verdict.value}, and every rule that scales must be Ok for {_after(facts)}"
    if facts.watched:
        return "a release is under way"
    return "with fewer pods some rule would be near its threshold again, or the load has not fallen enough yet"


def _after(facts: ExplainContext) -> str:
    return format_duration(facts.policy.scale_down.after)
