"""Reads the target of a policy, of any kind, as the operator sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from resilience_operator.cli.common.cluster import deadline
from resilience_operator.decision.model.target import HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.controller_revisions import project_controller_revision
from resilience_operator.kube.cache.daemonsets import daemon_set_state, project_daemon_set
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import kind_key, project_autoscaler
from resilience_operator.kube.cache.revisions import RevisionRecord
from resilience_operator.kube.cache.selected_pods import list_selected, project_selected, with_selected
from resilience_operator.kube.cache.statefulsets import project_stateful_set, stateful_set_state
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import (
    AUTOSCALERS,
    CONTROLLER_REVISIONS,
    REPLICA_SETS,
    WORKLOADS,
)
from resilience_operator.kube.writes.scale_subresource import Scales
from resilience_operator.resilience import CallError


async def read_target_of(kube: KubeClient, body: Mapping[str, Any]) -> TargetState | str:
    """Read the target of a policy; or say why it cannot be read."""
    spec = body.get("spec")
    reference = spec.get("targetRef") if isinstance(spec, dict) else None
    if not isinstance(reference, dict):
        return "the policy has no targetRef"
    version, kind, name = (str(reference.get(key) or "") for key in ("apiVersion", "kind", "name"))
    try:
        return await read_target(kube, body["metadata"]["namespace"], version, kind, name)
    except CallError as error:
        return error.message
    except (AttributeError, KeyError, TypeError, ValueError):
        return f"the API server's answer for {kind} {name} is not a {kind}"


async def read_target(kube: KubeClient, namespace: str, api_version: str, kind: str, name: str) -> TargetState:
    """Read a workload, its revisions and its HorizontalPodAutoscaler. Raises CallError."""
    until = deadline()
    resource = WORKLOADS.get(kind)
    if resource is None:
        hpa = await _autoscaler(kube, namespace, kind_key(api_version, kind), name)
        target, selector = await Scales(kube).read(api_version, kind, namespace, name, deadline=until, hpa=hpa)
        if not selector:
            return target
        items = await list_selected(kube, target, selector, deadline=until)
        return with_selected(target, project_selected(items, target.revision or "").values())
    revisions = REPLICA_SETS if kind == "Deployment" else CONTROLLER_REVISIONS
    found, listed, hpa = await asyncio.gather(
        kube.get(resource.item(namespace, name), deadline=until),
        kube.list(revisions.collection(namespace), deadline=until),
        _autoscaler(kube, namespace, kind, name),
    )
    project = project_replica_set if kind == "Deployment" else project_controller_revision
    records: list[RevisionRecord] = [one for item in listed.items if (one := project(item)) is not None]
    match kind:
        case "Deployment":
            return deployment_state(project_deployment(found), records, hpa)
        case "StatefulSet":
            return stateful_set_state(project_stateful_set(found), records, hpa)
        case _:
            return daemon_set_state(project_daemon_set(found), records)


async def _autoscaler(kube: KubeClient, namespace: str, kind: str, name: str) -> HorizontalPodAutoscaler | None:
    if kind == "DaemonSet":
        return None
    listed = await kube.list(AUTOSCALERS.collection(namespace), deadline=deadline())
    found = (project_autoscaler(item) for item in listed.items)
    return next((a.hpa for a in found if a.target == (kind, namespace, name)), None)
