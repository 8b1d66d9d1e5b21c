"""Pods of a target that is known by its `/scale` alone: those that the selector of its Scale matches.

A HorizontalPodAutoscaler finds the pods of any kind in the same way. Whether the target owns them directly or through
ReplicaSets or StatefulSets does not matter.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from dataclasses import replace

from resilience_operator.decision.model.target import Pod, TargetState
from resilience_operator.kube.cache.pods import MOST_PODS, project_all
from resilience_operator.kube.cache.workloads import Obj
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import PODS
from resilience_operator.resilience import Deadline

MOST_OWNERS = 20
"""Owners of pods that metrics are read of. A rollout has two; each group of a LeaderWorkerSet has one."""


async def list_selected(kube: KubeClient, target: TargetState, selector: str, *, deadline: Deadline) -> list[Obj]:
    """List the pods that `selector` matches; of more than MOST_PODS, only the first ones."""
    path = PODS.collection(target.namespace)
    if max(target.replicas, target.ready) <= MOST_PODS:
        params: dict[str, str | int | bool] = {"labelSelector": selector, "resourceVersion": "0"}
        return (await kube.list(path, deadline=deadline, params=params)).items
    async for page in kube.pages(path, deadline=deadline, params={"labelSelector": selector}, page=MOST_PODS):
        return page.items
    return []


def project_selected(items: Iterable[Obj], revision: str) -> dict[str, Pod]:
    """Return the pods among these objects, by uid. Pods that ended and malformed objects are skipped."""
    return project_all(items, lambda _: revision)


def with_selected(target: TargetState, pods: Collection[Pod]) -> TargetState:
    """Return the target with the pods that serve, and the pods themselves if some do not.

    A Scale counts the pods that exist. Without any pod, the selector says nothing, and the target is unchanged.
    """
    live = [pod for pod in pods if not pod.terminating]
    if not live:
        return target
    ready = sum(pod.ready for pod in live)
    if len(pods) >= MOST_PODS:
        # Only some pods are listed: the others are taken to be ready.
        ready += max(0, min(target.ready, target.replicas) - len(pods))
    owners = dict.fromkeys(sys.intern(pod.name.rpartition("-")[0]) for pod in live)
    revision = target.revisions[0]
    return replace(
        target,
        ready=ready,
        revisions=(replace(revision, ready=ready),),
        pods=tuple(pods) if ready < target.replicas else None,
        pod_owners=tuple(owners)[:MOST_OWNERS],
    )
