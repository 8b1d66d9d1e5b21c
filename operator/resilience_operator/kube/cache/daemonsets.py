"""DaemonSets and their ControllerRevisions: projected to records and combined into the `TargetState` of decisions.

A DaemonSet has no `spec.replicas`: its desired number of pods is the number of eligible nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from resilience_operator.decision.model.target import TargetState
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

KIND = "DaemonSet"


def project_daemon_set(obj: Obj, old: Workload | None = None) -> Workload:
    """Project a DaemonSet to a record. old: the record before this event."""
    status = obj.get("status") or {}
    return project_workload(
        KIND,
        obj,
        old,
        replicas=count(status.get("desiredNumberScheduled")),
        total=count(status.get("currentNumberScheduled")),
        updated=count(status.get("updatedNumberScheduled")),
        ready=count(status.get("numberReady")),
        max_unavailable=max_unavailable_in(obj["spec"].get("updateStrategy") or {}),
    )


def daemon_set_state(workload: Workload, revisions: Iterable[RevisionRecord]) -> TargetState:
    """The DaemonSet as a `TargetState`. revisions: any; those of other workloads are ignored (`owned_by`).

    The API counts only the pods of the newest revision. The other pods are attributed to the revision before it, and
    ready pods are attributed to that revision first.
    """
    owned = owned_by(workload, revisions)
    current = current_of(workload, owned)
    before = next((r for r in reversed(owned) if r is not current), None)
    old_pods = max(0, workload.total - workload.updated)
    pods = {}
    if before is not None:
        pods[before.name] = (old_pods, min(workload.ready, old_pods))
    if current is not None:
        pods[current.name] = (workload.updated, max(0, workload.ready - old_pods))
    return combine(workload, owned, current, pods, all_updated=workload.updated >= workload.replicas)
