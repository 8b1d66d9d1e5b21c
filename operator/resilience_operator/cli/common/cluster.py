"""Cluster access of the commands: connection, namespace, and single reads with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.errors import CommandError
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import project_autoscaler
from resilience_operator.kube.client.client import Impersonation, KubeClient
from resilience_operator.kube.client.credentials import KubeconfigParts
from resilience_operator.kube.client.paths import AUTOSCALERS, DEPLOYMENTS, REPLICA_SETS
from resilience_operator.kube.writes.policies import get_policy
from resilience_operator.resilience import CallError, Deadline, NotFound, RetryPolicy

__all__ = ["Access", "default_namespace"]

T = TypeVar("T")

FIELD_MANAGER = "kubectl-resilience"
"""The field manager of this program's changes."""

NO_CRD = "the cluster has no ResiliencePolicy CRD: install it (crds/)"

TIMEOUT = 15.0
"""Seconds for one read: a person is waiting for it."""


def deadline() -> Deadline:
    """The deadline of one read that starts now."""
    return Deadline.after(TIMEOUT)


def with_kube(access: Access, work: Callable[[KubeClient], Awaitable[T]]) -> T:
    """Connect, do `work`, close. Raises NoCluster, CallError and what `work` raises."""

    async def run() -> T:
        async with KubeClient.connect(
            access.kubeconfig,
            parts=KubeconfigParts(access.context, access.cluster, access.user, access.server),
            impersonate=Impersonation(access.as_user, access.as_groups) if access.as_user else None,
            field_manager=FIELD_MANAGER,
            retry=RetryPolicy(attempts=3),
            call_timeout=access.timeout or 5.0,
        ) as kube:
            return await work(kube)

    return asyncio.run(run())


async def read_policy(kube: KubeClient, namespace: str, name: str) -> dict[str, Any]:
    """Read one policy. Raises CommandError if it does not exist."""
    try:
        return await get_policy(kube, namespace, name, deadline=deadline())
    except NotFound as error:
        if "could not find the requested resource" in error.message:
            raise CommandError(NO_CRD) from None
        raise CommandError(f"policy {name} not found in namespace {namespace}") from None


async def read_target(kube: KubeClient, namespace: str, name: str) -> TargetState | str:
    """Read the target as a `TargetState`; or why it cannot be read."""
    until = deadline()
    try:
        found, sets, scalers = await asyncio.gather(
            kube.get(DEPLOYMENTS.item(namespace, name), deadline=until),
            kube.list(REPLICA_SETS.collection(namespace), deadline=until),
            kube.list(AUTOSCALERS.collection(namespace), deadline=until),
        )
    except CallError as error:
        return error.message
    hpas = [a for item in scalers.items if (a := project_autoscaler(item)) is not None]
    return deployment_state(
        project_deployment(found),
        [record for item in sets.items if (record := project_replica_set(item)) is not None],
        next((a.hpa for a in hpas if a.target == ("Deployment", namespace, name)), None),
    )
