"""Scale-down: one step after each stable period."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from resilience_operator.api.quantities import format_duration
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.memory import Phase, ReleaseMemory, ScalingMemory, Verdict
from resilience_operator.decision.model.policy import Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.release.health import is_stalled
from resilience_operator.decision.scaling.bounds import floor, scale_down_size, via
from resilience_operator.decision.scaling.recommendation import ScalingContext, required_replicas

HEADROOM = 0.9
"""A scale-down must keep every signal below this fraction of its threshold, by proportion."""

SCALE_DOWN_HYSTERESIS = 0.9
"""Scale down only after load has dropped to this fraction of the load at the last scale-up. Otherwise a slowly rising
load causes alternating steps up and down (`tests/bench/scaling_stability.py`)."""


def plan_scale_down(context: ScalingContext) -> tuple[ScalingMemory, Command | None, float | None]:
    """Return the scaling memory, a step down if the target was stable long enough, and when that will be.

    Stable: every rule that scales is Ok, no release is in progress, and fewer pods were always sufficient.
    """
    policy, target, scaling, now = context.policy, context.target, context.scaling, context.now
    if not _all_ok(context):
        return reset_stabilization(scaling), None, None
    lowest = floor(policy, scaling, target.hpa)
    size = scale_down_size(target)
    required = required_replicas(context.recommendations, target.replicas)
    least = ceil(round((required or 0.0) / HEADROOM, 6))
    before = scaling.required_at_scale_up
    load_fell = required is None or before is None or required <= SCALE_DOWN_HYSTERESIS * before
    # The load must have been low for the whole period, not only at its end.
    if size <= lowest or least >= size or not load_fell:
        return reset_stabilization(scaling), None, None
    if scaling.stable_since is None:
        scaling = replace(scaling, stable_since=now)
    assert scaling.stable_since is not None
    # After an outage or a step, a low value is only valid once the look-back window has filled again.
    due = scaling.stable_since + max(policy.scale_down.after, policy.window)
    if now < due:
        return scaling, None, due
    to = max(lowest, size - _step(policy, size), least)
    message = f"stable for {format_duration(round(now - scaling.stable_since))}: {size} → {to} pods (minimum {lowest})"
    return scaling, Command(Verb.SCALE_DOWN, "Calm", message, from_=size, to=to, via=via(target)), None


def reset_stabilization(scaling: ScalingMemory) -> ScalingMemory:
    """Return the scaling memory with no stable period running."""
    return replace(scaling, stable_since=None) if scaling.stable_since is not None else scaling


def _all_ok(context: ScalingContext) -> bool:
    return (
        context.policy.scale_down.enabled
        and bool(context.recommendations)
        and all(r.verdict is Verdict.OK for r in context.recommendations)
        and not _releasing(context.policy, context.release, context.target, context.now)
    )


def _releasing(policy: Policy, release: ReleaseMemory, target: TargetState, now: float) -> bool:
    """Return whether a release prevents scaling down.

    A bake extended by missing metrics does not, and neither does a release that is stalled for its progress deadline.
    """
    if release.phase in (Phase.STABLE, Phase.ROLLED_BACK):
        return False
    if release.phase is Phase.BAKING and now >= release.since + policy.release.bake:
        return target.ready < target.replicas and not is_stalled(release, target, now)
    return not is_stalled(release, target, now)


def _step(policy: Policy, size: int) -> int:
    if policy.scale_down.percent is not None:
        return max(1, int(size * policy.scale_down.percent / 100))
    return policy.scale_down.pods or 1
