"""Cluster access of the commands: connection, namespace, and single reads with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from resilience_operator.cli.common.access import Access, default_namespace
from resilience_operator.cli.common.errors import CommandError
from resilience_operator.kube.client.client import Impersonation, KubeClient
from resilience_operator.kube.client.credentials import KubeconfigParts
from resilience_operator.kube.writes.policies import get_policy
from resilience_operator.resilience import Deadline, NotFound, RetryPolicy

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
