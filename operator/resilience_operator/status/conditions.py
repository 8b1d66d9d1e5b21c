"""Computes the conditions of a policy from a decision."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.api.conditions import ConditionType, condition
from resilience_operator.api.status import Condition
from resilience_operator.decision.capacity import missing_capacity
from resilience_operator.decision.decide import Decision
from resilience_operator.decision.model.commands import Outcome
from resilience_operator.decision.model.memory import Memory, Verdict
from resilience_operator.decision.model.policy import Mode
from resilience_operator.decision.reverts import MIN_REPLICAS, REPLICAS, blocked, describe_stop
from resilience_operator.decision.scaling.bounds import floor, scale_down_size
from resilience_operator.decision.scaling.scale_up import AT_MAXIMUM
from resilience_operator.decision.scaling.withhold import KEDA_OWNS_HPA
from resilience_operator.status.history import to_datetime
from resilience_operator.status.release_condition import State, release_state

_MEASURED_ENOUGH = "Inconclusive"
"""Reason of Unknown that means too little evidence, not a missing measurement."""


def conditions_of(
    decision: Decision, memory: Memory, failures: Sequence[Outcome], problem: tuple[str, str] | None = None
) -> tuple[Condition, ...]:
    """Return Ready, MetricsAvailable, ReleaseHealthy and Scaling after `decision`.

    failures: actions that were refused. problem: reason and message if the policy names something that does not exist.
    """
    now, generation = to_datetime(decision.at), decision.policy.generation
    verdicts = {
        ConditionType.READY: _ready(decision, failures, problem),
        ConditionType.METRICS_AVAILABLE: _metrics(decision),
        ConditionType.RELEASE_HEALTHY: release_state(decision, memory),
        ConditionType.SCALING: _scaling(decision, memory),
    }
    return tuple(
        condition(type_, status, reason, message, now=now, generation=generation)
        for type_, (status, reason, message) in verdicts.items()
    )


def _ready(decision: Decision, failures: Sequence[Outcome], problem: tuple[str, str] | None) -> State:
    if problem is not None:
        return "False", *problem
    if failures:
        reason = "Forbidden" if all(failure.forbidden for failure in failures) else "ActionFailed"
        return "False", reason, "; ".join(failure.message for failure in failures)
    target = decision.target
    if decision.policy.mode is Mode.DRY_RUN:
        return "True", "DryRun", f"evaluates {target.kind} {target.name} in DryRun mode; nothing is changed"
    return "True", "Accepted", f"guards {target.kind} {target.name}"


def _metrics(decision: Decision) -> State:
    signals = decision.signals
    missing = [s for s in signals if s.verdict is Verdict.UNKNOWN and s.reason != _MEASURED_ENOUGH]
    if not missing:
        notes = "".join(f"; {s.name} is {s.note}" for s in signals if s.note)
        return "True", "AllSignalsMeasured", f"measured: {', '.join(s.name for s in signals)}{notes}"
    why = "; ".join(s.message or f"{s.name}: {s.reason}" for s in missing)
    return "False", missing[0].reason, f"{why}. No action is taken on these signals"


def _scaling(decision: Decision, memory: Memory) -> State:
    policy, target, scaling = decision.policy, decision.target, memory.scaling
    if (missing := missing_capacity(target, decision.at)) is not None:
        return "False", missing.reason, missing.message
    if all(rule.rule.scale_up is None for rule in decision.rules):
        return "True", "NothingScales", "no rule of the policy scales"
    replicas = scaling.last_replicas if scaling.last_replicas is not None else target.replicas
    pods = f"{replicas} pod" if replicas == 1 else f"{replicas} pods"
    reverted = next((r for f in (REPLICAS, MIN_REPLICAS) if (r := blocked(memory.reverts, f, decision.at))), None)
    if reverted is not None:
        return "False", "ChangeReverted", describe_stop(reverted, target)
    if KEDA_OWNS_HPA in decision.active:
        return "False", "ManagedByKEDA", decision.active[KEDA_OWNS_HPA].message
    if AT_MAXIMUM in memory.announced:
        return "False", "AtMaximum", f"{pods}, the maximum allowed"
    lowest = floor(policy, scaling, target.hpa)
    moved = replicas if target.hpa is None else scale_down_size(target)
    if moved <= lowest:
        return "True", "WithinBounds", pods
    if not policy.scale_down.enabled:
        return "True", "ScaledUp", f"{pods}; not scaled down because scaleDown.enabled is false"
    if target.hpa is not None:
        return (
            "True",
            "ScaledUp",
            f"{pods}; minReplicas of {target.hpa.name} returns to {lowest} when signals are stable",
        )
    return "True", "ScaledUp", f"{pods}; scales down to {lowest} when signals are stable"
