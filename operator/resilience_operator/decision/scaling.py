"""How many pods the target should have.

Up: the largest of what the breached rules ask for, never above the maximum, and never twice for the same need: pods
that are not ready yet are capacity on its way. Down: a step at a time after a calm, and never to a size at which
some rule would at once ask the step back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.analysis.verdicts import ConditionResult
from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Command, Notice, Verb
from resilience_operator.decision.model.memory import Phase, ReleaseMemory, RuleMemory, ScalingMemory, Verdict
from resilience_operator.decision.model.policy import Policy, Rule, ScaleUp
from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.decision.report import describe

TOLERANCE = 0.1
"""`toTarget` leaves the target alone within ±10 % of it, as the HorizontalPodAutoscaler does by default
(kubernetes.io, Horizontal Pod Autoscaling, algorithm details)."""

AT_MAXIMUM = "at-maximum"
"""Key of the notice that a rule asks for more than may be."""

HEADROOM = 0.9
"""A step down must leave every signal below this share of its threshold, by proportion."""

SCALE_DOWN_HYSTERESIS = 0.9
"""Nothing is given back before the load has fallen to this share of what it was when pods were last added. Else a load
that rises slowly is followed by steps up and down in turn (`tests/bench/scaling_stability.py`)."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One rule that may scale: its verdict and its readings.

    suppressed: the release is to blame for the breach, so it is no reason to scale.
    base: replicas when the breach began, for a signal that tells how many times as many are needed.
    """

    rule: Rule
    scale_up: ScaleUp
    verdict: Verdict
    results: Sequence[ConditionResult]
    suppressed: bool = False
    base: int | None = None

    @property
    def description(self) -> str:
        """Its numbers."""
        return describe(self.rule, self.results)


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """Scaling memory after planning, what to do, why a breached rule did not scale, and when to look again."""

    scaling: ScalingMemory
    command: Command | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    wake: float | None = None


def detect_manual_scaling(scaling: ScalingMemory, target: TargetState, notices: list[Notice]) -> ScalingMemory:
    """Notice that somebody else scaled the target; their number is respected as a floor from then on."""
    if scaling.baseline is None:
        return replace(scaling, baseline=target.replicas, last_replicas=target.replicas)
    if target.replicas == scaling.last_replicas:
        return scaling
    if target.hpa is not None or target.scaled_by == MANAGER:
        # The HPA's doing; or the operator's own, of which it never heard that it had worked.
        return replace(scaling, last_replicas=target.replicas)
    notices.append(
        Notice(
            f"manual-scale/{target.replicas}",
            "ManualScale",
            f"{display_name(target.scaled_by)} scaled {target.kind} {target.name} from {scaling.last_replicas} to "
            f"{target.replicas}; the operator will not give back below that",
            transient=True,
        )
    )
    return replace(scaling, last_replicas=target.replicas, manual_floor=target.replicas, stable_since=None)


def plan(
    policy: Policy,
    scaling: ScalingMemory,
    target: TargetState,
    demands: Sequence[Recommendation],
    memories: Mapping[str, RuleMemory],
    release: ReleaseMemory,
    metrics_gone: float | None,
    now: float,
    notices: list[Notice],
) -> ScalingPlan:
    """Plan one step up, or one step down, or none."""
    notes: dict[str, str] = {}
    if target.replicas == 0:
        for demand in demands:
            if demand.verdict is Verdict.BREACH:
                notes[demand.rule.name] = "the target is scaled to zero"
        return ScalingPlan(_reset_stabilization(scaling), None, notes)
    command, wake = _up(policy, target, demands, memories, now, notices, notes)
    if command is not None:
        if any(d.base is None for d in demands if d.rule.name in command.rules):
            scaling = replace(scaling, required_at_scale_up=_need(demands, _serving(target)))
    else:
        fallback, fallback_wake = _fallback(policy, target, metrics_gone, now)
        command, wake = fallback, _earliest(wake, fallback_wake)
    if command is not None:
        return ScalingPlan(_reset_stabilization(scaling), command, notes, wake)
    return _down(policy, scaling, target, demands, release, now, notes, wake)


def base_of(
    before: RuleMemory, breach: float | None, readings: Sequence[ConditionResult], target: TargetState
) -> int | None:
    """Replicas when the breach began, where a signal tells how many times as many are needed; else None."""
    if breach is None:
        return None
    if before.base_replicas is not None:
        return before.base_replicas
    told = any(reading.judgement.replica_factor is not None for reading in readings)
    return current_size(target) if told else None


def current_size(target: TargetState) -> int:
    """The number that the operator moves: `spec.replicas`, or at least the HPA's `minReplicas`."""
    return target.replicas if target.hpa is None else max(target.replicas, target.hpa.min_replicas)


def can_scale_down(policy: Policy, scaling: ScalingMemory, target: TargetState) -> bool:
    """Whether there is anything that a calm could give back."""
    scales = any(rule.scale_up is not None for rule in policy.rules)
    return scales and policy.scale_down.enabled and _scale_down_size(target) > _floor(policy, scaling, target)


def ceiling(policy: Policy, target: TargetState) -> int:
    """The most pods that may be asked for."""
    return _bounded(policy.max_replicas if policy.max_replicas is not None else target.replicas, policy, target)


def _bounded(replicas: int, policy: Policy, target: TargetState) -> int:
    """`replicas`, or the nearest maximum below it: the policy's, the HPA's."""
    if policy.max_replicas is not None:
        replicas = min(replicas, policy.max_replicas)
    return replicas if target.hpa is None else min(replicas, target.hpa.max_replicas)


def _up(
    policy: Policy,
    target: TargetState,
    demands: Sequence[Recommendation],
    memories: Mapping[str, RuleMemory],
    now: float,
    notices: list[Notice],
    notes: dict[str, str],
) -> tuple[Command | None, float | None]:
    wake: float | None = None
    size, limit = current_size(target), ceiling(policy, target)
    asks: list[tuple[int, Recommendation]] = []
    for demand in demands:
        name = demand.rule.name
        memory = memories.get(name) or RuleMemory()
        if demand.verdict is not Verdict.BREACH and memory.breach is None:
            continue
        if demand.suppressed:
            notes[name] = "only the new revision is over: the release is to blame, so more pods would not help"
            continue
        wanted = _wanted(demand, target)
        if wanted > size >= limit:
            # Told through a passing Unknown and a cooldown too, so that it is not told anew after each.
            notes[name] = f"already at the maximum of {limit} pods"
            notices.append(_at_maximum(demand, target, limit))
        elif demand.verdict is not Verdict.BREACH:
            continue
        elif memory.scaled is not None and now < memory.scaled + demand.scale_up.cooldown:
            wake = _earliest(wake, memory.scaled + demand.scale_up.cooldown)
            notes[name] = f"cooling down for another {format_duration(memory.scaled + demand.scale_up.cooldown - now)}"
        elif wanted <= size:
            coming = size - target.ready
            notes[name] = f"{coming} pods are on their way" if coming > 0 else "within the tolerance of its target"
        else:
            asks.append((wanted, demand))
    if not asks:
        return None, wake
    asks.sort(key=lambda ask: -ask[0])
    to = min(asks[0][0], limit)
    capped = f" (its maximum; {asks[0][0]} were asked for)" if asks[0][0] > limit else ""
    command = Command(
        Verb.SCALE_UP,
        "RuleBreached",
        f"{'; '.join(d.description for _, d in asks)}: {size} → {to} pods{capped}",
        tuple(d.rule.name for _, d in asks),
        from_=size,
        to=to,
        via=_via(target),
    )
    return command, wake


def _at_maximum(demand: Recommendation, target: TargetState, limit: int) -> Notice:
    message = f"{demand.description}, but {target.name} has its maximum of {limit} pods already"
    return Notice(AT_MAXIMUM, "AtMaximum", message, warning=True)


def _wanted(demand: Recommendation, target: TargetState) -> int:
    """What one rule asks for. Steps count from the pods that carry load now, not from those still starting."""
    serving = _serving(target)
    scale_up = demand.scale_up
    if scale_up.pods is not None:
        return serving + scale_up.pods
    if scale_up.percent is not None:
        return max(ceil(round(serving * (1 + scale_up.percent / 100), 6)), serving + 1)
    reading = demand.results[0]
    value, multiple = reading.judgement.value, reading.judgement.replica_factor
    if multiple is not None and demand.base is not None:
        # Of the pods there were: of those there are now, it would ask for more after each step.
        return ceil(round(demand.base * multiple, 6))
    if value is None or reading.condition.threshold <= 0:
        return 0
    ratio = value / reading.condition.threshold
    if ratio <= 1 + TOLERANCE:
        return 0
    return ceil(round(serving * ratio, 6))


def _serving(target: TargetState) -> int:
    return max(min(target.ready, target.replicas), 0)


def _fallback(
    policy: Policy, target: TargetState, metrics_gone: float | None, now: float
) -> tuple[Command | None, float | None]:
    wanted = policy.fallback.replicas
    if wanted is None or metrics_gone is None:
        return None, None
    at = metrics_gone + policy.fallback.after
    if now < at:
        return None, at
    size = current_size(target)
    to = _bounded(wanted, policy, target)
    if to <= size:
        return None, None
    message = (
        f"no metrics for {format_duration(round(now - metrics_gone))}: fallback of {wanted} pods, {size} → {to} pods"
    )
    return Command(Verb.SCALE_UP, "Fallback", message, from_=size, to=to, via=_via(target)), None


def _down(
    policy: Policy,
    scaling: ScalingMemory,
    target: TargetState,
    demands: Sequence[Recommendation],
    release: ReleaseMemory,
    now: float,
    notes: dict[str, str],
    wake: float | None,
) -> ScalingPlan:
    """One step back, when calm for long enough. Calm: every scaling rule is Ok, and no release is under way."""
    calm = (
        policy.scale_down.enabled
        and bool(demands)
        and all(d.verdict is Verdict.OK for d in demands)
        and not _releasing(policy, release, now)
    )
    if not calm:
        return ScalingPlan(_reset_stabilization(scaling), None, notes, wake)
    floor = _floor(policy, scaling, target)
    size = _scale_down_size(target)
    need = _need(demands, target.replicas)
    least = ceil(round((need or 0.0) / HEADROOM, 6))
    relieved = (
        need is None
        or scaling.required_at_scale_up is None
        or need <= SCALE_DOWN_HYSTERESIS * scaling.required_at_scale_up
    )
    # All of the calm must have been so low, not just its last look.
    if size <= floor or least >= size or not relieved:
        return ScalingPlan(_reset_stabilization(scaling), None, notes, wake)
    if scaling.stable_since is None:
        scaling = replace(scaling, stable_since=now)
    assert scaling.stable_since is not None
    # After an outage, and after the last step, the look-back has to fill again before a low value means anything.
    due = scaling.stable_since + max(policy.scale_down.after, policy.window)
    if now < due:
        return ScalingPlan(scaling, None, notes, _earliest(wake, due))
    to = max(floor, size - _step(policy, size), least)
    message = f"calm for {format_duration(round(now - scaling.stable_since))}: {size} → {to} pods (floor {floor})"
    command = Command(Verb.SCALE_DOWN, "Calm", message, from_=size, to=to, via=_via(target))
    return ScalingPlan(scaling, command, notes, wake)


def _reset_stabilization(scaling: ScalingMemory) -> ScalingMemory:
    return replace(scaling, stable_since=None) if scaling.stable_since is not None else scaling


def _releasing(policy: Policy, release: ReleaseMemory, now: float) -> bool:
    """A bake that goes on past its time only because nothing could be measured no longer holds pods."""
    if release.phase is Phase.BAKING:
        return now < release.since + policy.release.bake
    return release.phase not in (Phase.STABLE, Phase.ROLLED_BACK)


def _floor(policy: Policy, scaling: ScalingMemory, target: TargetState) -> int:
    if target.hpa is not None:
        return target.hpa.original_min if target.hpa.original_min is not None else target.hpa.min_replicas
    lowest = policy.min_replicas if policy.min_replicas is not None else scaling.baseline
    return max(lowest or 0, scaling.manual_floor or 0, 1)


def _scale_down_size(target: TargetState) -> int:
    """The number that a step down moves."""
    return target.replicas if target.hpa is None else target.hpa.min_replicas


def _step(policy: Policy, size: int) -> int:
    if policy.scale_down.percent is not None:
        return max(1, int(size * policy.scale_down.percent / 100))
    return policy.scale_down.pods or 1


def _need(demands: Sequence[Recommendation], pods: int) -> float | None:
    """Pods at which the strongest signal would stand right at its threshold, the load of `pods` being shared.

    None where no signal tells: only what grows with the load does, so conditions with `below` do not.
    """
    need: float | None = None
    for demand in demands:
        for reading in demand.results:
            value, threshold = reading.judgement.value, reading.condition.threshold
            if value is None or threshold <= 0 or not reading.condition.above:
                continue
            need = max(need or 0.0, pods * value / threshold)
    return need


def _via(target: TargetState) -> str:
    return f"HorizontalPodAutoscaler/{target.hpa.name}" if target.hpa is not None else ""


def _earliest(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return a if b is None else b
    return min(a, b)
