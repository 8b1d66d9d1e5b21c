"""ResiliencePolicy objects: read, list, and their status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from resilience_operator.kube.client.client import KubeClient, KubeObject, Listing, PatchKind
from resilience_operator.kube.client.paths import POLICIES
from resilience_operator.resilience import Deadline


async def get_policy(kube: KubeClient, namespace: str, name: str, *, deadline: Deadline) -> KubeObject:
    """One policy. Raises NotFound."""
    return await kube.get(POLICIES.item(namespace, name), deadline=deadline)


async def list_policies(kube: KubeClient, namespace: str | None = None, *, deadline: Deadline) -> Listing:
    """All policies of a namespace, or (None) of the cluster."""
    return await kube.list(POLICIES.collection(namespace), deadline=deadline)


def policy_pages(kube: KubeClient, namespace: str | None = None, *, deadline: Deadline) -> AsyncIterator[Listing]:
    """As `list_policies`, page by page: ten thousand at once take hundreds of megabytes."""
    return kube.pages(POLICIES.collection(namespace), deadline=deadline)


async def probe_policies(kube: KubeClient, namespace: str | None = None, *, deadline: Deadline) -> None:
    """List one policy, to find out whether policies can be listed. Raises what listing raises."""
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
    """Merges `status` into the policy's, and returns the policy as it is then.

    A merge patch: a key that is not given stays, one that is None is removed, a list replaces the list.
    uid: raises ReadAgain when the policy was deleted and made anew. resource_version: raises ReadAgain when
    the policy has changed at all since. Raises NotFound when it is gone, Unprocessable against the schema.
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
    """Puts `status` in the place of the whole status, and returns the policy as it is then. Raises as `patch_status`.

    A merge would keep what the operator cannot read.
    """
    body = [
        {"op": "replace", "path": "/metadata/uid", "value": uid},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]
    return await kube.patch(POLICIES.item(namespace, name, "status"), body, kind=PatchKind.JSON, deadline=deadline)


async def annotate_policy(
    kube: KubeClient, namespace: str, name: str, annotations: Mapping[str, str | None], *, deadline: Deadline
) -> KubeObject:
    """Sets annotations of a policy, or removes those that are None, and returns it as it is then. Raises NotFound."""
    body: KubeObject = {"metadata": {"annotations": dict(annotations)}}
    return await kube.patch(POLICIES.item(namespace, name), body, kind=PatchKind.MERGE, deadline=deadline)
