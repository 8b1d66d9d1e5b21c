"""StatefulSets and DaemonSets on a real control plane: released, read, rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.kube.cache.controller_revisions import project_controller_revision
from resilience_operator.kube.cache.daemonsets import daemon_set_state, project_daemon_set
from resilience_operator.kube.cache.statefulsets import project_stateful_set, stateful_set_state
from resilience_operator.kube.client.client import KubeClient, PatchKind
from resilience_operator.kube.client.paths import CONTROLLER_REVISIONS, DAEMON_SETS, STATEFUL_SETS, Resource
from resilience_operator.kube.writes import mutations
from resilience_operator.resilience import Deadline, GiveUp
from tests.cluster import Cluster


def soon() -> Deadline:
    return Deadline.after(10)


async def read(kube: KubeClient, resource: Resource, namespace: str) -> TargetState:
    obj = await kube.get(resource.item(namespace, "db"), deadline=soon())
    found = (await kube.list(CONTROLLER_REVISIONS.collection(namespace), deadline=soon())).items
    records = [r for r in (project_controller_revision(one) for one in found) if r is not None]
    if resource is STATEFUL_SETS:
        return stateful_set_state(project_stateful_set(obj), records)
    return daemon_set_state(project_daemon_set(obj), records)


async def until(
    kube: KubeClient, resource: Resource, namespace: str, condition: Callable[[TargetState], object]
) -> TargetState:
    async with asyncio.timeout(60):
        while True:
            state = await read(kube, resource, namespace)
            if condition(state):
                return state
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DAEMON_SETS], ids=lambda r: r.kind)
async def test_a_release_is_rolled_back(cluster: Cluster, namespace: str, resource: Resource) -> None:
    container = {"name": "db", "image": "db:v1", "resources": {"requests": {"cpu": "10m"}}}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "db"}},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
        },
    }
    if resource is STATEFUL_SETS:
        spec |= {"serviceName": "db", "replicas": 3}
    async with KubeClient.connect(cluster.kubeconfig) as kube:
        body = {"metadata": {"name": "db"}, "spec": spec}
        await kube.create(resource.collection(namespace), body, deadline=soon())
        good = await until(kube, resource, namespace, lambda s: s.replicas > 0 and s.rolled_out)
        assert good.revision is not None
        assert [r.replicas for r in good.revisions] == [good.replicas]

        patch = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:bad"}]}}}}
        path = resource.item(namespace, "db")
        await kube.patch(path, patch, kind=PatchKind.STRATEGIC, deadline=soon(), field_manager="kubectl-set")
        bad = await until(kube, resource, namespace, lambda s: s.revision not in (None, good.revision))
        assert bad.template_by == "kubectl-set"
        if resource is DAEMON_SETS:
            with pytest.raises(GiveUp, match="cannot be paused"):
                await mutations.pause(kube, bad, deadline=soon())
        else:
            await mutations.pause(kube, bad, deadline=soon())
            bad = await until(kube, resource, namespace, lambda s: s.paused)
            assert bad.paused_by == MANAGER

        change = await mutations.rollback(kube, bad, good.revision, deadline=soon())
        assert change is not None
        assert (change.kind, change.after) == (resource.kind, good.revision)
        healed = await until(kube, resource, namespace, lambda s: s.rolled_out)
        # The operator keeps no field of the template. In this test nobody else wrote the others.
        assert (healed.revision, healed.template_by) == (good.revision, "")
        assert [r.name for r in healed.revisions] == [bad.revision, good.revision]
        assert await mutations.rollback(kube, healed, good.revision, deadline=soon()) is None
