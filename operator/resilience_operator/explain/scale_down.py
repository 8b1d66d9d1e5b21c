"""When the target is scaled down, or why it is not."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.verdicts import combine
from resilience_operator.decision.model.memory import Verdict
from resilience_operator.decision.scaling.bounds import floor, scale_down_size
from resilience_operator.explain.context import ExplainContext
from resilience_operator.explain.formatting import pods


def scale_down(facts: ExplainContext) -> Iterator[str]:
    """Yield when the target is scaled down, or why it is not."""
    policy, memory = facts.policy, facts.memory
    scaling = [rule for rule in policy.rules if rule.scale_up is not None]
    size = facts.replicas
    if not scaling or size is None:
        return
    target = facts.target
    if target is not None:
        size = scale_down_size(target)
    lowest = floor(policy, memory.scaling, target.hpa if target is not None else None)
    if not policy.scale_down.enabled:
        yield "no scale-down: scaleDown.enabled is false"
    elif size <= lowest:
        yield f"nothing to scale down: {size} now, minimum {lowest}"
    elif memory.scaling.stable_since is not None:
        due = facts.until(memory.scaling.stable_since + max(policy.scale_down.after, policy.window))
        down = policy.scale_down
        step = f"at most {down.percent:g}% of the pods" if down.percent else ""
        step = f"at most {pods(down.pods)}" if down.pods else step
        what = f"removes {step}" if step else "removes the pods that the load has not needed since"
        yield f"stable for {facts.ago(memory.scaling.stable_since)}: {what} {due}, down to {lowest}"
    else:
        yield f"no scale-down yet from {size} to {lowest}: {_why_not_stable(facts)}"


def _why_not_stable(facts: ExplainContext) -> str:
    for rule in facts.policy.rules:
        memory = facts.rule(rule)
        if rule.scale_up is None:
            continue
        verdict = combine(rule, [t.verdict for t in memory.timers]) if memory is not None else Verdict.UNKNOWN
        if verdict is not Verdict.OK:
            return f"{rule.name} is {verdict.value}, and every rule that scales must be Ok for {_after(facts)}"
    if facts.watched:
        return "a release is in progress"
    return "the load needs these pods, or needed them a short time ago"


def _after(facts: ExplainContext) -> str:
    return format_duration(facts.policy.scale_down.after)
