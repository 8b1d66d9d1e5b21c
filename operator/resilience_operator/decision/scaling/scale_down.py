"""Scale-down: to the highest need of the stabilization period, in one step."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.members import BAKING, OK, ROLLED_BACK, STABLE, UNKNOWN
from resilience_operator.decision.model.memory import ReleaseMemory, ScalingMemory
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.health import is_stalled
from resilience_operator.decision.scaling.bounds import floor, scale_down_size, via
from resilience_operator.decision.scaling.load import is_settling, needed, round_up
from resilience_operator.decision.scaling.recommendation import (
    Recommendation,
    ScalingContext,
    is_measured,
    is_quiet,
    load_in_pods,
    scales_ahead,
)
from resilience_operator.decision.scaling.scale_up import MAX_INEFFECTIVE

HEADROOM = 0.9
"""A scale-down must keep every proportional signal below this fraction of its threshold. Rules that scale ahead have a
learned margin instead."""

TOLERANCE_DOWN = 0.15
"""Scale down only by this share of the pods or more, or to the minimum. Noise would otherwise move the size up and
down: the HorizontalPodAutoscaler's tolerance of 10%, and half of it again, as a forecast is noisier than a mean."""

SCALE_DOWN_HYSTERESIS = 0.9
"""After a step up of a rule that does not scale ahead, load must first drop to this share of the load at that step.
Otherwise a slowly rising load causes alternating steps up and down (`tests/bench/scaling_stability.py`)."""

HYSTERESIS_PERIODS = 6
"""Stabilization periods after which that step no longer holds pods: half an hour by default."""

BLIND_STEP = 0.25
"""Share of the pods to remove in one step if no proportional signal tells how many are needed."""

REGRESSED_FOR = 3600.0
"""Seconds for which the size is not tried again at which a latency came back."""

HASTY_PERIODS = 2
"""Stabilization periods for which the next small step down must be possible after a step up undid the last one within
one. Load then varies over a longer time than the period shows."""

SMALL_STEP = 2 * TOLERANCE_DOWN
"""Share of the pods below which a step down is small: to keep them for one more period costs little."""

_SLOTS = 20
"""Entries of `ScalingMemory.needs` per stabilization period."""


def plan_scale_down(context: ScalingContext) -> tuple[ScalingMemory, Command | None, float | None]:
    """Return the scaling memory, a step down if fewer pods were sufficient for long enough, and when that will be."""
    policy, target, scaling, now = context.policy, context.target, context.scaling, context.now
    if is_settling(scaling.load, now):
        return scaling, None, None
    if not _may_scale_down(context):
        return reset_stabilization(scaling), None, None
    size = scale_down_size(target)
    lowest = max(floor(policy, scaling, target.hpa), _regressed_floor(context))
    if size <= lowest:
        return reset_stabilization(scaling), None, None
    period = max(policy.scale_down.after, policy.window)
    if _holds_last_step(context, period):
        return reset_stabilization(scaling), None, None
    need = _need(context, size)
    hasty = scaling.load.hasty
    needs = _with_need(scaling.needs, need, period, HASTY_PERIODS * period if hasty else period, now)
    bound = max(lowest, _tolerated(size))
    begin = len(needs)
    while begin and needs[begin - 1][1] <= bound:
        begin -= 1
    good = needs[begin:]
    first = good[0][0] if good else None
    if needs is not scaling.needs or first != scaling.stable_since:
        scaling = scaling.stable(first, needs)
    if first is None:
        return scaling, None, None
    small = hasty and _highest(good, need, now - period) > size * (1 - SMALL_STEP)
    due = first + (HASTY_PERIODS * period if small else period)
    if policy.scale_down.pods is not None or policy.scale_down.percent is not None:
        due = max(due, (scaling.scaled_down or 0.0) + policy.scale_down.after)
    if now < due:
        return scaling, None, due
    if context.ahead and scaling.load.limited == now:
        # Pods at their limit do not show how many are needed.
        return scaling, None, None
    to = max(lowest, _highest(good, need, now - period), size - _step(policy, size))
    if to >= size:
        return scaling, None, None
    message = f"stable for {format_duration(round(now - first))}: {size} → {to} pods (minimum {lowest})"
    return scaling, Command(Verb.SCALE_DOWN, "Calm", message, from_=size, to=to, via=via(target)), None


def _highest(needs: Sequence[tuple[float, int]], need: int, after: float) -> int:
    """Return the highest need since `after`, which is at least the present one if none is as new."""
    return max((n for at, n in needs if at > after), default=need)


def _holds_last_step(context: ScalingContext, period: float) -> bool:
    """Return whether the load is still about what it was at the last step up, which was not long ago."""
    before = context.scaling.required_at_scale_up
    if before is None or context.ahead:
        return False
    last = max((r.memory.scaled for r in context.recommendations if r.memory.scaled is not None), default=None)
    pods, _ = load_in_pods(context.recommendations, context)
    if last is None or pods is None or context.now - last >= HYSTERESIS_PERIODS * period:
        return False
    return pods > SCALE_DOWN_HYSTERESIS * before


def reset_stabilization(scaling: ScalingMemory) -> ScalingMemory:
    """Return the scaling memory with no stable period running."""
    if scaling.stable_since is None and not scaling.needs:
        return scaling
    return scaling.stable(None, ())


def note_undone(scaling: ScalingMemory, context: ScalingContext) -> ScalingMemory:
    """Return the memory before a step up, with whether it undoes the step down before it within the period."""
    scaled_by_hpa = context.target.hpa is not None
    before = scaling.min_changed_from if scaled_by_hpa else scaling.changed_from
    size = scaling.min_written if scaled_by_hpa else scaling.last_replicas
    if scaling.scaled_down is None or before is None or size is None or before <= size:
        return scaling
    hasty = context.now - scaling.scaled_down <= max(context.policy.scale_down.after, context.policy.window)
    return scaling if hasty == scaling.load.hasty else replace(scaling, load=replace(scaling.load, hasty=hasty))


def note_regression(scaling: ScalingMemory, context: ScalingContext, command: Command) -> ScalingMemory:
    """Remember the size at which a signal that is not proportional to load came back after a scale-down."""
    down = scaling.scaled_down
    if down is None or command.reason != "RuleBreached":
        return scaling
    within = max(context.policy.scale_down.after, context.policy.window)
    asking = [r for r in context.recommendations if r.rule.name in command.rules]
    if context.now - down > within or not asking or is_measured(asking):
        return scaling
    return replace(scaling, regressed=context.now, regressed_size=context.target.replicas)


def _regressed_floor(context: ScalingContext) -> int:
    """Return the size below which a latency came back. If more pods did not help, their number was not the cause."""
    scaling, now = context.scaling, context.now
    if scaling.regressed is None or scaling.regressed_size is None or now - scaling.regressed > REGRESSED_FOR:
        return 0
    if any(r.memory.ineffective >= MAX_INEFFECTIVE for r in context.recommendations):
        return 0
    return scaling.regressed_size + 1


def _may_scale_down(context: ScalingContext) -> bool:
    return (
        context.policy.scale_down.enabled
        and bool(context.recommendations)
        and all(map(_allows, context.recommendations))
        and not _releasing(context.release, context.target, context.now)
    )


def _allows(recommendation: Recommendation) -> bool:
    """Return whether the rule allows fewer pods: it is Ok, has no load to measure, or more pods did not help."""
    if recommendation.verdict is OK or is_quiet(recommendation):
        return True
    if scales_ahead(recommendation):
        return recommendation.verdict is not UNKNOWN
    return recommendation.memory.ineffective >= MAX_INEFFECTIVE


def _need(context: ScalingContext, size: int) -> int:
    """Return the pods that the load needs now, with those that fail: removing them would not remove the failure."""
    target, load = context.target, context.scaling.load
    forecast = needed(load) if context.ahead and is_measured(context.ahead) else None
    pods, _ = load_in_pods(context.others, context)
    known = [n for n in (forecast, pods / HEADROOM if pods is not None else None) if n is not None]
    if not known and all(map(is_quiet, context.recommendations)):
        known = [0.0]
    need = round_up(max(known)) if known else min(size - max(1, int(size * BLIND_STEP)), _tolerated(size))
    return need + _failing(target)


def _tolerated(size: int) -> int:
    """Return the largest number of pods that is few enough for a step down."""
    return int(size * (1 - TOLERANCE_DOWN))


def _failing(target: TargetState) -> int:
    missing = max(0, target.replicas - target.ready)
    if target.pods is None:
        return missing
    return min(missing, sum(not (p.ready or p.terminating or p.unschedulable) for p in target.pods))


def _with_need(
    needs: tuple[tuple[float, int], ...], need: int, period: float, span: float, now: float
) -> tuple[tuple[float, int], ...]:
    """Return the highest need by slot of the period, with one more. span: seconds that are kept."""
    slot = max(1.0, period / _SLOTS)
    if needs and now - needs[-1][0] < slot:
        last = needs[-1]
        return needs if need <= last[1] else (*needs[:-1], (last[0], need))
    # One entry that is older shows that the span is covered.
    while len(needs) > 1 and now - needs[1][0] >= span:
        needs = needs[1:]
    return (*needs, (now, need))


def _releasing(release: ReleaseMemory, target: TargetState, now: float) -> bool:
    """Return whether a release prevents scaling down: while pods of two revisions run, unless it is stalled."""
    if release.phase is STABLE or release.phase is ROLLED_BACK:
        return False
    if release.phase is BAKING and target.ready >= target.replicas:
        return False
    return not is_stalled(release, target, now)


def _step(policy: Policy, size: int) -> int:
    if policy.scale_down.percent is not None:
        return max(1, int(size * policy.scale_down.percent / 100))
    return policy.scale_down.pods or size
