"""StatefulSets and their ControllerRevisions: projected to records, combined into the `TargetState` of decisions."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.controller_revisions import current_of
from resilience_operator.kube.cache.revisions import RevisionRecord, owned_by
from resilience_operator.kube.cache.target_state import combine
from resilience_operator.kube.cache.workloads import (
    Obj,
    Workload,
    count,
    max_unavailable_in,
    project_workload,
)
from resilience_operator.kube.writes.rollout_pause import can_pause, is_marked, is_paused

KIND = "StatefulSet"


def project_stateful_set(obj: Obj, old: Workload | None = None) -> Workload:
    """Project a StatefulSet to a record. old: the record before this event."""
    spec, status = obj["spec"], obj.get("status") or {}
    return project_workload(
        KIND,
        obj,
        old,
        replicas=count(spec.get("replicas"), 1),
        total=count(status.get("replicas")),
        updated=count(status.get("updatedReplicas")),
        ready=count(status.get("readyReplicas")),
        paused=is_paused(KIND, obj),
        pause_marked=is_marked(KIND, obj),
        current=str(status.get("currentRevision") or ""),
        newest=str(status.get("updateRevision") or ""),
        max_unavailable=max_unavailable_in(spec.get("updateStrategy") or {}),
        can_pause=can_pause(KIND, obj),
    )


def stateful_set_state(
    workload: Workload,
    revisions: Iterable[RevisionRecord],
    hpa: HorizontalPodAutoscaler | None = None,
) -> TargetState:
    """The StatefulSet as a `TargetState`. revisions: any; those of other workloads are ignored (`owned_by`).

    The API does not split readiness by revision. Ready pods are attributed to the old revision first, so the readiness
    of the new one is never overstated. With `updateStrategy` OnDelete or a `partition` above 0, a release is not
    rolled out until a person completes it.
    """
    owned = owned_by(workload, revisions)
    current = current_of(workload, owned)
    old_pods = max(0, workload.total - workload.updated)
    pods = {workload.current: (old_pods, min(workload.ready, old_pods))}
    pods[workload.newest] = (workload.updated, max(0, workload.ready - old_pods))
    all_updated = workload.updated == workload.total == workload.replicas
    return combine(workload, owned, current, pods, all_updated=all_updated, hpa=hpa)
