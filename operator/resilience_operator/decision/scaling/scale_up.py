"""Scale-up: for rules in breach, or to the fallback when metrics are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Verdict
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.scaling.bounds import at_most_maximum, ceiling, current_size, via
from resilience_operator.decision.scaling.recommendation import Recommendation, ScalingContext, wanted_replicas

AT_MAXIMUM = "at-maximum"
"""Key of the notice that a rule requests more pods than the maximum."""


@dataclass(slots=True)
class ScaleUpPlan:
    """The step up, if any. notes: by rule, why it does not scale. wake: when a cooldown ends."""

    command: Command | None
    notes: Mapping[str, str]
    notices: tuple[Notice, ...] = ()
    wake: float | None = None


def plan_scale_up(context: ScalingContext) -> ScaleUpPlan:
    """Plan one step up, to the largest number that a rule in breach requests."""
    target, now = context.target, context.now
    size, limit = current_size(target), ceiling(context.policy, target)
    notes: dict[str, str] = {}
    notices: list[Notice] = []
    due: list[float] = []
    asking: list[tuple[int, Recommendation]] = []
    for recommendation in context.recommendations:
        memory, name = recommendation.memory, recommendation.rule.name
        in_breach = recommendation.verdict is Verdict.BREACH
        if not in_breach and memory.breach is None:
            continue
        if recommendation.suppressed:
            notes[name] = "only the new revision is in breach: the release is the cause, so no pods are added"
            continue
        wanted = wanted_replicas(recommendation, target)
        if wanted > size >= limit:
            # Also while briefly Unknown or in cooldown, so that it is not announced again after each.
            notes[name] = f"already at the maximum of {limit} pods"
            notices.append(_at_maximum(recommendation, target, limit))
        elif not in_breach:
            continue
        elif memory.scaled is not None and now < (end := memory.scaled + recommendation.scale_up.cooldown):
            due.append(end)
            notes[name] = f"in cooldown for another {format_duration(end - now)}"
        elif wanted <= size:
            coming = size - target.ready
            notes[name] = (
                f"waiting for pods that are not ready yet: {coming}"
                if coming > 0
                else "the value is within the tolerance of its threshold"
            )
        else:
            asking.append((wanted, recommendation))
    command = _command(asking, target, size, limit) if asking else None
    return ScaleUpPlan(command, notes, tuple(notices), min(due, default=None))


def plan_fallback(context: ScalingContext) -> tuple[Command | None, float | None]:
    """Return the step to the fallback if metrics have been missing for long enough, and when that will be."""
    policy, target, missing_since = context.policy, context.target, context.metrics_missing_since
    wanted = policy.fallback.replicas
    if wanted is None or missing_since is None:
        return None, None
    due = missing_since + policy.fallback.after
    if context.now < due:
        return None, due
    size = current_size(target)
    to = at_most_maximum(wanted, policy, target)
    if to <= size:
        return None, None
    missing = format_duration(round(context.now - missing_since))
    message = f"no metrics for {missing}: fallback of {wanted} pods, {size} → {to} pods"
    return Command(Verb.SCALE_UP, "Fallback", message, from_=size, to=to, via=via(target)), None


def _command(asking: list[tuple[int, Recommendation]], target: TargetState, size: int, limit: int) -> Command:
    asking.sort(key=lambda ask: -ask[0])
    wanted = asking[0][0]
    to = min(wanted, limit)
    capped = f" (the maximum; {wanted} were requested)" if wanted > limit else ""
    return Command(
        Verb.SCALE_UP,
        "RuleBreached",
        f"{'; '.join(r.description for _, r in asking)}: {size} → {to} pods{capped}",
        tuple(r.rule.name for _, r in asking),
        from_=size,
        to=to,
        via=via(target),
    )


def _at_maximum(recommendation: Recommendation, target: TargetState, limit: int) -> Notice:
    message = f"{recommendation.description}, but {target.name} is already at its maximum of {limit} pods"
    return Notice(AT_MAXIMUM, "AtMaximum", message, warning=True)
