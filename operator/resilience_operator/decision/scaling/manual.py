"""Detects manual scaling of the target."""

from __future__ import annotations

from dataclasses import replace

from resilience_operator.decision.field_managers import display_name
from resilience_operator.decision.model.commands import Notice
from resilience_operator.decision.model.memory import ScalingMemory
from resilience_operator.decision.model.target import MANAGER, TargetState


def detect_manual_scaling(scaling: ScalingMemory, target: TargetState) -> tuple[ScalingMemory, tuple[Notice, ...]]:
    """Return the scaling memory after comparing the replicas. A manually set number becomes the floor."""
    if scaling.baseline is None:
        return replace(scaling, baseline=target.replicas, last_replicas=target.replicas), ()
    if target.replicas == scaling.last_replicas:
        return scaling, ()
    if target.hpa is not None or target.scaled_by == MANAGER:
        # The HPA scaled, or the operator did and the response was lost.
        return replace(scaling, last_replicas=target.replicas), ()
    notice = Notice(
        f"manual-scale/{target.replicas}",
        "ManualScale",
        f"{display_name(target.scaled_by)} scaled {target.kind} {target.name} from {scaling.last_replicas} to "
        f"{target.replicas}; the operator will not scale down below that",
        transient=True,
    )
    manual = replace(scaling, last_replicas=target.replicas, manual_floor=target.replicas, stable_since=None)
    return manual, (notice,)
