"""Withholds a scaling step that another writer would revert."""

from __future__ import annotations

from collections.abc import Sequence

from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import Revert
from resilience_operator.decision.model.record import replace
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.reverts import MIN_REPLICAS, REPLICAS, blocked
from resilience_operator.decision.scaling.plan import ScalingPlan

KEDA_OWNS_HPA = "keda-owns-hpa"
"""Key of the notice that the policy cannot scale, because KEDA manages the HPA."""


def withhold(plan: ScalingPlan, target: TargetState, reverts: Sequence[Revert], now: float) -> ScalingPlan:
    """Return the plan without its step if that step would be reverted, with the reason as notes."""
    command = plan.command
    if command is None:
        return plan
    hpa = target.hpa
    if hpa is not None and hpa.owner:
        message = keda_advice(target, command.to)
        notice = Notice(KEDA_OWNS_HPA, "ManagedByKEDA", message, warning=True)
        return replace(plan, command=None, notes=_notes(plan, message), notices=(*plan.notices, notice))
    revert = blocked(reverts, MIN_REPLICAS if command.via else REPLICAS, now) if reverts else None
    if revert is None:
        return plan
    why = f"{display_name(revert.by)} keeps reverting {revert.field}, so the operator does not change it for now"
    return replace(plan, command=None, notes=_notes(plan, why))


def keda_advice(target: TargetState, to: object) -> str:
    """Describe what to do on the ScaledObject instead of the operator's step."""
    assert target.hpa is not None
    hpa = target.hpa
    return (
        f"KEDA manages HorizontalPodAutoscaler {hpa.name} and overwrites changes to it, so the operator does not set "
        f"its minReplicas to {to}: set minReplicaCount of ScaledObject {hpa.scaled_object or hpa.name}"
    )


def _notes(plan: ScalingPlan, why: str) -> dict[str, str]:
    assert plan.command is not None
    return {**plan.notes, **dict.fromkeys(plan.command.rules, why)}
