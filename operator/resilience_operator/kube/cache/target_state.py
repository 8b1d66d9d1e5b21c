"""Combines a workload and its revisions into the `TargetState` of decisions, alike for all kinds with revisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.revisions import RevisionRecord, as_revision, revision_name
from resilience_operator.kube.cache.workloads import Workload, replaces_all

PodCounts = Mapping[str, tuple[int, int]]
"""By the name of a revision's object: the numbers of existing and of ready pods."""


def combine(
    workload: Workload,
    owned: Sequence[RevisionRecord],
    current: RevisionRecord | None,
    pods: PodCounts,
    *,
    all_updated: bool,
    hpa: HorizontalPodAutoscaler | None = None,
) -> TargetState:
    """Return the workload as a `TargetState`.

    owned: its revisions, the latest last. current: the one of its template, if it exists yet. pods: those of a revision
    that is not in it are none. all_updated: no pods but those of the current revision exist.
    """
    rolled_out = (
        current is not None
        and all_updated
        and workload.observed >= workload.generation
        and workload.ready >= workload.replicas
    )
    by_replica_sets = workload.kind == "Deployment"  # the other kinds own their pods themselves
    return TargetState(
        kind=workload.kind,
        namespace=workload.namespace,
        name=workload.name,
        uid=workload.uid,
        resource_version=workload.resource_version,
        replicas=workload.replicas,
        ready=workload.ready,
        rolled_out=rolled_out,
        revision=revision_name(workload, current) if current is not None else None,
        revisions=tuple(
            as_revision(workload, r, owner=r.name if by_replica_sets else workload.name, pods=pods.get(r.name, (0, 0)))
            for r in owned
        ),
        paused=workload.paused,
        paused_by=workload.writers.paused if workload.paused else "",
        pause_marked=workload.pause_marked,
        resumed_by=workload.resumed_by,
        template_by=workload.writers.template,
        scaled_by=workload.writers.replicas,
        progress_deadline_exceeded=workload.progress_deadline_exceeded,
        hpa=hpa,
        template=workload.template,
        create_failure=workload.create_failure,
        progress_deadline=workload.progress_deadline,
        min_ready_seconds=workload.min_ready_seconds,
        replaces_all=replaces_all(workload),
        can_pause=workload.can_pause,
        delivered_by=workload.delivered_by,
        hold_marked=workload.hold_marked,
        reconcile_disabled=workload.reconcile_disabled,
        committed=workload.committed,
    )
