"""Returns the need of a target: the load, the pods that it needs, and what limits the size. For people and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from resilience_operator.decision.model.memory import Memory, ReleaseMemory
from resilience_operator.decision.model.policy import Condition, Policy, Rule
from resilience_operator.decision.model.target import HorizontalPodAutoscaler
from resilience_operator.decision.release.lifecycle import ANALYSED_PHASES
from resilience_operator.decision.scaling.bounds import floor
from resilience_operator.decision.scaling.load import DEFAULT_START_UP, round_up
from resilience_operator.decision.scaling.recommendation import follows_load
from resilience_operator.decision.scaling.scale_down import HEADROOM, TOLERANCE_DOWN
from resilience_operator.decision.scaling.scale_up import MAX_INEFFECTIVE


class Need(NamedTuple):
    """What the load needs. Loads and capacities are in pods.

    load: the pods at which the leading signal would equal its threshold. pods: with the margin, before any bound.
    rule: the rule of the leading signal. condition: its condition. margin: share of the load that is added.
    requests: requests/s that a pod serves at the threshold, or None if that is not known.
    start_up: seconds from the request of a pod until it is ready. learned: it was measured, and not assumed.
    limit: what keeps the size from the need; empty if nothing does.
    """

    load: float
    pods: int
    rule: str
    condition: Condition
    margin: float
    requests: float | None
    start_up: float
    learned: bool
    limit: str


def need_of(
    policy: Policy,
    memory: Memory,
    values: Mapping[str, float],
    replicas: int,
    hpa: HorizontalPodAutoscaler | None = None,
) -> Need | None:
    """Return the need of a target. values: of the measured signals, per pod. None if no signal follows the load."""
    leading: tuple[float, Rule, Condition] | None = None
    for rule in policy.rules:
        if rule.scale_up is None:
            continue
        for condition in rule.conditions:
            value, signal = values.get(condition.signal), policy.signals.get(condition.signal)
            if value is None or signal is None or not follows_load(signal, condition):
                continue
            load = value * replicas / condition.threshold
            if leading is None or load > leading[0]:
                leading = load, rule, condition
    if leading is None:
        return None
    load, rule, condition = leading
    learned = memory.scaling.load
    margin = learned.margin if rule.follows_load else 1 / HEADROOM - 1
    pods = round_up(load * (1 + margin))
    requests = (
        condition.threshold / learned.cost
        if learned.cost and policy.signals[condition.signal].unit == "ratio"
        else None
    )
    return Need(
        load,
        pods,
        rule.name,
        condition,
        margin,
        requests,
        learned.start_up if learned.start_up is not None else DEFAULT_START_UP,
        learned.start_up is not None,
        _limit(policy, memory, pods, replicas, hpa),
    )


def _limit(policy: Policy, memory: Memory, need: int, size: int, hpa: HorizontalPodAutoscaler | None) -> str:
    highest = policy.max_replicas
    if need > size:
        if hpa is not None and need > hpa.max_replicas and (highest is None or hpa.max_replicas <= highest):
            return f"maxReplicas of HorizontalPodAutoscaler {hpa.name} ({hpa.max_replicas})"
        if highest is not None and need > highest:
            return f"replicas.max ({highest})"
        useless = [name for name, rule in memory.rules.items() if rule.ineffective >= MAX_INEFFECTIVE]
        return f"more pods did not help {useless[0]}" if useless else ""
    lowest = floor(policy, memory.scaling, hpa)
    if size <= lowest and need < lowest:
        return _lower_bound(policy, memory, lowest, hpa)
    if need < size * (1 - TOLERANCE_DOWN):
        return _not_down(policy, memory.release)
    return ""


def _lower_bound(policy: Policy, memory: Memory, lowest: int, hpa: HorizontalPodAutoscaler | None) -> str:
    if hpa is not None and lowest > (policy.min_replicas or 0):
        return f"minReplicas of HorizontalPodAutoscaler {hpa.name} ({lowest})"
    if memory.scaling.manual_floor == lowest:
        return f"a person scaled it to {lowest}"
    if policy.min_replicas == lowest:
        return f"replicas.min ({lowest})"
    return f"the pods before the policy ({lowest})"


def _not_down(policy: Policy, release: ReleaseMemory | None) -> str:
    if not policy.scale_down.enabled:
        return "scaleDown.enabled is false"
    if release is not None and release.phase in ANALYSED_PHASES:
        return "a release is in progress"
    return "a scale-down waits until the need has been lower for scaleDown.after"
