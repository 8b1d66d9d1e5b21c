"""StatefulSets and their ControllerRevisions: projected to records, combined into the `TargetState` of decisions."""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.controller_revisions import current_of
from resilience_operator.kube.cache.revisions import RevisionRecord, as_revision, owned_by, revision_name
from resilience_operator.kube.cache.workloads import (
    Obj,
    Workload,
    count,
    max_unavailable_in,
    project_workload,
    replaces_all,
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
    return TargetState(
        kind=KIND,
        namespace=workload.namespace,
        name=workload.name,
        uid=workload.uid,
        resource_version=workload.resource_version,
        replicas=workload.replicas,
        ready=workload.ready,
        rolled_out=(
            current is not None
            and workload.observed >= workload.generation
            and workload.updated == workload.total == workload.replicas
            and workload.ready >= workload.replicas
        ),
        revision=revision_name(workload, current) if current is not None else None,
        revisions=tuple(as_revision(workload, r, owner=workload.name, pods=pods.get(r.name, (0, 0))) for r in owned),
        paused=workload.paused,
        paused_by=workload.writers.paused if workload.paused else "",
        pause_marked=workload.pause_marked,
        resumed_by=workload.resumed_by,
        template_by=workload.writers.template,
        template=workload.template,
        min_ready_seconds=workload.min_ready_seconds,
        replaces_all=replaces_all(workload),
        scaled_by=workload.writers.replicas,
        hpa=hpa,
        can_pause=workload.can_pause,
        delivered_by=workload.delivered_by,
        hold_marked=workload.hold_marked,
        reconcile_disabled=workload.reconcile_disabled,
        committed=workload.committed,
    )
