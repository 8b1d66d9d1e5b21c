"""Events on the object that applies a workload: an Argo CD Application, a Flux Kustomization or HelmRelease."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from resilience_operator.decision.model.target import DeliveredBy
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.events import ObjectRef
from resilience_operator.kube.client.paths import Resource
from resilience_operator.resilience import Deadline, GiveUp

log = logging.getLogger(__name__)

RESOURCES: Mapping[str, Resource] = {
    "Application": Resource("argoproj.io", "v1alpha1", "applications", "Application"),
    "Kustomization": Resource("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", "Kustomization"),
    "HelmRelease": Resource("helm.toolkit.fluxcd.io", "v2", "helmreleases", "HelmRelease"),
}
"""A plain Helm release is no object of the API."""


async def find(kube: KubeClient, owner: DeliveredBy, *, deadline: Deadline) -> ObjectRef | None:
    """Return the object with its uid; None if it does not exist or may not be read, which is logged.

    Raises the errors that may pass.
    """
    resource = RESOURCES.get(owner.kind)
    if resource is None:
        return None
    try:
        found = await kube.get(resource.item(owner.namespace, owner.name), deadline=deadline)
    except (GiveUp, ValueError) as error:
        log.info("no Event on %s: %s", owner, error)
        return None
    return ObjectRef(resource.api_version, owner.kind, owner.namespace, owner.name, str(found["metadata"]["uid"]))
