"""Cluster access of the commands: connection, namespace, and single reads with a deadline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from resilience_operator.cli.common.console import CommandError
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import project_autoscaler
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import AUTOSCALERS, DEPLOYMENTS, REPLICA_SETS
from resilience_operator.kube.writes.policies import get_policy
from resilience_operator.resilience import CallError, Deadline, NotFound, RetryPolicy

T = TypeVar("T")

FIELD_MANAGER = "kubectl-resilience"
"""The field manager of this program's changes."""

NO_CRD = "the cluster has no ResiliencePolicy CRD: install it (crds/)"

TIMEOUT = 15.0
"""Seconds for one read: a person is waiting for it."""


def deadline() -> Deadline:
    """The deadline of one read that starts now."""
    return Deadline.after(TIMEOUT)


@dataclass(frozen=True, slots=True)
class Access:
    """The cluster: a kubeconfig and its context. None: the defaults, as in kubectl."""

    kubeconfig: Path | None = None
    context: str | None = None


def with_kube(access: Access, work: Callable[[KubeClient], Awaitable[T]]) -> T:
    """Connect, do `work`, close. Raises NoCluster, CallError and what `work` raises."""

    async def run() -> T:
        async with KubeClient.connect(
            access.kubeconfig,
            context=access.context,
            field_manager=FIELD_MANAGER,
            retry=RetryPolicy(attempts=3),
            call_timeout=5.0,
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


def default_namespace(access: Access) -> str:
    """The namespace of the context; `default` if it names none."""
    paths = str(access.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    documents = [d for path in paths.split(os.pathsep) if path and isinstance(d := _read(Path(path)), dict)]
    current = access.context or next((d["current-context"] for d in documents if d.get("current-context")), None)
    for document in documents:
        for context in document.get("contexts") or ():
            if isinstance(context, dict) and context.get("name") == current:
                return str((context.get("context") or {}).get("namespace") or "default")
    return "default"


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # The connection reports the problem.
        return None
