"""Deployments and their ReplicaSets: projected to records and combined into the `TargetState` of decisions.

The current revision is the ReplicaSet whose template equals the Deployment's. The deployment controller finds it in the
same way (`FindNewReplicaSet` in pkg/controller/deployment/util): the hash label is ignored, and the oldest of several
wins. Revision numbers are not reliable here. A template that is changed during a pause has no ReplicaSet until the
Deployment is resumed, and the previous one keeps the highest number. A rollback reuses an old ReplicaSet, which gets
its new number only later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from resilience_operator.api.text import cut, one_line
from resilience_operator.decision.model.target import (
    DEFAULT_PROGRESS_DEADLINE,
    HorizontalPodAutoscaler,
    TargetState,
)
from resilience_operator.kube.cache.revisions import (
    RevisionRecord,
    labels_of,
    owned_by,
    owner_of,
)
from resilience_operator.kube.cache.target_state import combine
from resilience_operator.kube.cache.workloads import (
    Obj,
    Workload,
    count,
    epoch,
    max_unavailable_in,
    number,
    project_workload,
    restored_from,
    template_digest,
)
from resilience_operator.kube.writes.rollout_pause import is_marked

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
KIND = "Deployment"

MAX_CREATE_FAILURE = 300
"""Bytes kept of the reason why no pods can be created."""


def project_deployment(obj: Obj, old: Workload | None = None) -> Workload:
    """Project a Deployment to a record. old: the record before this event."""
    spec, status = obj["spec"], obj.get("status") or {}
    return project_workload(
        KIND,
        obj,
        old,
        replicas=count(spec.get("replicas"), 1),
        total=count(status.get("replicas")),
        updated=count(status.get("updatedReplicas")),
        ready=count(status.get("readyReplicas")),
        paused=bool(spec.get("paused")),
        pause_marked=is_marked(KIND, obj),
        progress_deadline_exceeded=any(
            c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded"
            for c in status.get("conditions") or ()
        ),
        progress_deadline=float(number(spec.get("progressDeadlineSeconds"))) or DEFAULT_PROGRESS_DEADLINE,
        create_failure=_create_failure(status),
        max_unavailable=_max_unavailable(spec),
    )


def _max_unavailable(spec: Obj) -> int | str:
    """How many pods a rollout may take away: all with `Recreate`."""
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return "100%"
    return max_unavailable_in(strategy)


def _create_failure(status: Obj) -> str:
    """Why the controller cannot create pods: its condition ReplicaFailure, in the API server's words."""
    for found in status.get("conditions") or ():
        if found.get("type") == "ReplicaFailure" and found.get("status") == "True":
            return cut(one_line(str(found.get("message") or found.get("reason") or "")), MAX_CREATE_FAILURE)
    return ""


def project_replica_set(obj: Obj, old: RevisionRecord | None = None) -> RevisionRecord | None:
    """Project a ReplicaSet to a record; None if no Deployment controls it or it is being deleted."""
    meta, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    owner = owner_of(meta, (KIND,))
    if owner is None:
        return None
    generation = number(meta.get("generation"))
    if old is not None and old.uid == meta["uid"] and old.generation == generation:
        template, restored = old.template, old.restored
    else:
        template, restored = template_digest(spec["template"]), restored_from(spec["template"])
    return RevisionRecord(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        generation=generation,
        owner_kind=KIND,
        owner_uid=sys.intern(owner.uid),
        labels=labels_of(meta),
        number=number((meta.get("annotations") or {}).get(REVISION_ANNOTATION)),
        created=epoch(meta.get("creationTimestamp")),
        template=template,
        replicas=count(status.get("replicas")),
        ready=count(status.get("readyReplicas")),
        restored=restored,
    )


def deployment_state(
    deployment: Workload,
    replica_sets: Iterable[RevisionRecord],
    hpa: HorizontalPodAutoscaler | None = None,
) -> TargetState:
    """The Deployment as a `TargetState`. replica_sets: any; those of other workloads are ignored (`owned_by`).

    Its revisions are sorted by number, the latest last.
    """
    owned = owned_by(deployment, replica_sets)
    same = [rs for rs in owned if rs.template == deployment.template]
    current = min(same, key=lambda rs: (rs.created, rs.name), default=None)
    pods = {rs.name: (rs.replicas, rs.ready) for rs in owned}
    all_updated = deployment.updated == deployment.total == deployment.replicas
    return combine(deployment, owned, current, pods, all_updated=all_updated, hpa=hpa)
