"""Reads and writes of ResiliencePolicy objects and their status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from resilience_operator.kube.client.client import KubeClient, KubeObject, Listing, PatchKind
from resilience_operator.kube.client.paths import POLICIES
from resilience_operator.resilience import Deadline


async def get_policy(kube: KubeClient, namespace: str, name: str, *, deadline: Deadline) -> KubeObject:
    """Get one policy. Raises NotFound."""
    return await kube.get(POLICIES.item(namespace, name), deadline=deadline)


async def list_policies(kube: KubeClient, namespace: str | None = None, *, deadline: Deadline) -> Listing:
    """List all policies of a namespace, or of the cluster (None)."""
    return await kube.list(POLICIES.collection(namespace), deadline=deadline)


def policy_pages(
    kube: KubeClient, namespace: str | None = None, *, deadline: Deadline, selector: str | None = None
) -> AsyncIterator[Listing]:
    """List policies page by page: ten thousand at once take hundreds of megabytes. selector: by labels."""
    params = {"labelSelector": selector} if selector else None
    return kube.pages(POLICIES.collection(namespace), deadline=deadline, params=params)


async def probe_policies(kube: KubeClient, namespace: str | None = None, *, deadline: Deadline) -> None:
    """List one policy, to check whether policies can be listed. Raises the errors of a list."""
    async for _ in kube.pages(POLICIES.collection(namespace), deadline=deadline, page=1):
        return


async def patch_status(
    kube: KubeClient,
    namespace: str,
    name: str,
    status: Mapping[str, Any],
    *,
    deadline: Deadline,
    uid: str = "",
    resource_version: str = "",
) -> KubeObject:
    """Merge `status` into the policy's status. Returns the updated policy.

    A merge patch: missing keys are kept, None removes a key, and a list replaces the list.
    uid: raises Conflict if the policy was deleted and created again. resource_version: raises Conflict if the policy
    has changed since. Raises NotFound if it does not exist, and Unprocessable if `status` violates the schema.
    """
    metadata = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    body: KubeObject = {"status": dict(status)}
    if metadata:
        body["metadata"] = metadata
    path = POLICIES.item(namespace, name, "status")
    return await kube.patch(path, body, kind=PatchKind.MERGE, deadline=deadline)


async def replace_status(
    kube: KubeClient,
    namespace: str,
    name: str,
    status: Mapping[str, Any],
    *,
    deadline: Deadline,
    uid: str,
    resource_version: str,
) -> KubeObject:
    """Replace the whole status by `status`. Returns the updated policy. Raises the errors of `patch_status`.

    A merge would keep fields that the operator cannot read.
    """
    body = [
        {"op": "replace", "path": "/metadata/uid", "value": uid},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]
    return await kube.patch(POLICIES.item(namespace, name, "status"), body, kind=PatchKind.JSON, deadline=deadline)


async def annotate_policy(
    kube: KubeClient,
    namespace: str,
    name: str,
    annotations: Mapping[str, str | None],
    *,
    deadline: Deadline,
    resource_version: str = "",
) -> KubeObject:
    """Set annotations of a policy; None removes one. Returns the updated policy. Raises NotFound.

    resource_version: raises Conflict if the policy has changed since.
    """
    metadata: KubeObject = {"annotations": dict(annotations)}
    if resource_version:
        metadata["resourceVersion"] = resource_version
    path = POLICIES.item(namespace, name)
    return await kube.patch(path, {"metadata": metadata}, kind=PatchKind.MERGE, deadline=deadline)
