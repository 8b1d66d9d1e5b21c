"""Targets with only a `/scale` subresource: any kind that offers it, custom resources included.

Such a target can only be scaled: its pod template is unknown, so it has no releases. A `/scale` cannot be watched, so
it is read only when its policy is evaluated.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

from resilience_operator.decision.model.target import HorizontalPodAutoscaler, Revision, TargetState
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import Resource
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import Clock, Conflict, Deadline, GiveUp, NotFound

ONE_REVISION = "unversioned"
"""The only revision of such a target: always the same, and always good."""

DISCOVERY_SECONDS = 60.0
"""Seconds for which discovery's answer that a kind does not exist is cached: it may be defined later."""

MOST_UNKNOWN = 256
"""Maximum number of cached unknown kinds; authors may name any number of them."""


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class _Found:
    resource: Resource | None
    at: float


class Scale(NamedTuple):
    """A target, and the selector of its pods; empty if its kind has none."""

    target: TargetState
    selector: str


class Scales:
    """Resolves and reads `/scale` subresources. Caches the resource of each kind."""

    def __init__(self, kube: KubeClient, clock: Clock = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Found] = {}

    async def read(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        *,
        deadline: Deadline,
        hpa: HorizontalPodAutoscaler | None = None,
    ) -> Scale:
        """Read the target. Raises NotFound (no such object) and GiveUp (no such kind, no /scale, no permission)."""
        resource = await self._resource(api_version, kind, deadline)
        path = resource.item(namespace, name, "scale")
        found = await self._kube.get(path, deadline=deadline)
        try:
            selector = (found.get("status") or {}).get("selector") or ""
            return Scale(_state(api_version, kind, path, found, hpa), selector if isinstance(selector, str) else "")
        except _MALFORMED as error:
            raise _unreadable(f"the scale of {kind} {name}", error) from error

    async def _resource(self, api_version: str, kind: str, deadline: Deadline) -> Resource:
        known = self._kinds.get((api_version, kind))
        if known is None or (known.resource is None and self._clock() - known.at > DISCOVERY_SECONDS):
            known = _Found(await self._discover(api_version, kind, deadline), self._clock())
            self._keep(api_version, kind, known)
        if known.resource is None:
            raise GiveUp(
                f"the cluster has no kind {kind} in {api_version} with a scale subresource",
                dependency=DEPENDENCY,
                reason="no_scale",
            )
        return known.resource

    def _keep(self, api_version: str, kind: str, found: _Found) -> None:
        """Cache a result; of the unknown kinds, only the newest."""
        self._kinds.pop((api_version, kind), None)
        self._kinds[api_version, kind] = found
        unknown = [key for key, known in self._kinds.items() if known.resource is None]
        for key in unknown[:-MOST_UNKNOWN]:
            del self._kinds[key]

    async def _discover(self, api_version: str, kind: str, deadline: Deadline) -> Resource | None:
        group, _, version = api_version.rpartition("/")
        try:
            root = f"/apis/{api_version}" if group else f"/api/{api_version}"
            found = await self._kube.get(root, deadline=deadline)
        except NotFound:
            return None
        try:
            listed = found.get("resources") or ()
            names = {r["name"] for r in listed}
            plural = next((r["name"] for r in listed if r["kind"] == kind and "/" not in r["name"]), None)
        except _MALFORMED as error:
            raise _unreadable(f"the list of kinds of {api_version}", error) from error
        if plural is None or f"{plural}/scale" not in names:
            return None
        return Resource(group, version, plural, kind)


def _state(
    api_version: str, kind: str, path: str, scale: KubeObject, hpa: HorizontalPodAutoscaler | None
) -> TargetState:
    """A Scale as a `TargetState`. Its status counts existing pods, not ready ones."""
    meta = scale["metadata"]
    desired, existing = _replicas(scale, "spec"), _replicas(scale, "status")
    return TargetState(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=desired,
        ready=existing,
        rolled_out=True,
        revision=ONE_REVISION,
        revisions=(Revision(ONE_REVISION, meta["name"], 1, 0.0, existing, existing),),
        hpa=hpa,
        api_version=api_version,
        scale_path=path,
    )


def _replicas(scale: KubeObject, part: str) -> int:
    value = (scale.get(part) or {}).get("replicas", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{part}.replicas is no whole number")
    return value


def _unreadable(what: str, error: Exception) -> GiveUp:
    """The error for an invalid response, such as from an aggregated API server."""
    reason = f"{type(error).__name__}: {error}"[:200]
    return GiveUp(f"{what} cannot be read: {reason}", dependency=DEPENDENCY, reason="undecodable")


async def scale(kube: KubeClient, target: TargetState, to: int, *, deadline: Deadline) -> Change | None:
    """Set a Scale's replicas, if they still match the decision's input."""
    live = await kube.get(target.scale_path, deadline=deadline)
    try:
        now, uid = _replicas(live, "spec"), live["metadata"]["uid"]
    except _MALFORMED as error:
        raise _unreadable(f"the scale of {target.kind} {target.name}", error) from error
    if now == to:
        return None
    if now != target.replicas or uid != target.uid:
        raise Conflict(
            f"{target.kind} {target.namespace}/{target.name} has {now} replicas, not {target.replicas}",
            dependency=DEPENDENCY,
            reason="moved",
        )
    body = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "spec": {"replicas": to}}
    written = await kube.patch(target.scale_path, body, kind=PatchKind.MERGE, deadline=deadline)
    return Change(
        "scale", target.kind, target.namespace, target.name, now, to, str(written["metadata"]["resourceVersion"])
    )
