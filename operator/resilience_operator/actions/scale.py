"""scaleUp and scaleDown: `spec.replicas`, or the `minReplicas` of an HPA that scales the same target.

There is only one writer of `replicas`: with an HPA, only its lower bound is changed.
"""

from __future__ import annotations

from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.writes import hpa, mutations
from resilience_operator.kube.writes import scale_subresource as scales
from resilience_operator.resilience import Deadline


async def adopt_minimum(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Forget the original minimum of an HPA."""
    del command
    return await hpa.forget_original(kube, target, deadline=deadline)


async def scale(
    kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline
) -> mutations.Change | None:
    """Scale to `command.to`."""
    assert isinstance(command.to, int)
    if not command.via and target.scale_path:
        return await scales.scale(kube, target, command.to, deadline=deadline)
    if not command.via:
        return await mutations.scale(kube, target, command.to, deadline=deadline)
    assert target.hpa is not None
    original = target.hpa.raised_from
    if original is not None and command.to <= original:
        return await hpa.restore_hpa_min(kube, target, deadline=deadline)
    return await hpa.raise_hpa_min(kube, target, command.to, deadline=deadline)
