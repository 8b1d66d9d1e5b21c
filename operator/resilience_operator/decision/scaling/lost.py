"""Counts pods that are not ready and are not expected to become ready soon."""

from __future__ import annotations

from resilience_operator.decision.model.memory import LoadMemory
from resilience_operator.decision.model.target import TargetState

LOST_AFTER = 3.0
"""Start-up times after which a pod that is not ready counts as lost capacity."""

UNKNOWN_START_UP = 60.0
"""Seconds assumed for this until the start-up time is learned."""


def lost_pods(target: TargetState, load: LoadMemory, now: float) -> int:
    """Return the pods that fell out of service or did not become ready in time. Others are on their way."""
    missing = target.replicas - target.ready
    if missing <= 0:
        return 0
    patience = min(target.progress_deadline, LOST_AFTER * (load.start_up or UNKNOWN_START_UP))
    if target.pods is not None:
        return min(
            missing,
            sum(
                (pod.started_serving is not None or now - pod.created > patience)
                for pod in target.pods
                # A pod without a node waits for one; so would any other that replaces it.
                if not pod.ready and not pod.terminating and not pod.unschedulable
            ),
        )
    if not target.rolled_out and len([r for r in target.revisions if r.replicas]) > 1:
        return 0
    if load.starting is None:
        return missing
    return missing if now - load.starting > patience else 0
