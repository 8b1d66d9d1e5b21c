"""Targets that are known by their `/scale` subresource alone: any kind, custom ones too, that offers it.

Such a target can be scaled, and no more: it has no pod template that would be known here, so no release. A `/scale`
cannot be watched, so it is read when its policy is evaluated, and only then.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from resilience_operator.decision.model.target import HorizontalPodAutoscaler, Revision, TargetState
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import Resource
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import Clock, Conflict, Deadline, GiveUp, NotFound

ONE_REVISION = "unversioned"
"""Stands for whatever template there is: always the same, and always good."""

DISCOVERY_SECONDS = 60.0
"""How long an answer of discovery that knows no such kind is believed: its definition may come later."""

MOST_UNKNOWN = 256
"""Kinds that the cluster does not have and that are remembered; authors may name as many as they like."""


_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class _Found:
    resource: Resource | None
    at: float


class Scales:
    """Reads and resolves `/scale`s. Remembers where each kind is."""

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
    ) -> TargetState:
        """The target as it is now. Raises NotFound (no such object), GiveUp (no such kind, no /scale, no right)."""
        resource = await self._resource(api_version, kind, deadline)
        path = resource.item(namespace, name, "scale")
        found = await self._kube.get(path, deadline=deadline)
        try:
            return _state(api_version, kind, path, found, hpa)
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
        """Remember it; of the kinds that are not there, only the newest."""
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
    """A Scale as decisions see it. Its status counts pods that exist; how many are ready it does not say."""
    meta = scale["metadata"]
    wanted, there = _replicas(scale, "spec"), _replicas(scale, "status")
    return TargetState(
        kind=kind,
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=wanted,
        ready=there,
        rolled_out=True,
        revision=ONE_REVISION,
        revisions=(Revision(ONE_REVISION, meta["name"], 1, 0.0, there, there),),
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
    """Another server than Kubernetes' own may answer for a kind, in a form of its own."""
    reason = f"{type(error).__name__}: {error}"[:200]
    return GiveUp(f"{what} cannot be read: {reason}", dependency=DEPENDENCY, reason="undecodable")


async def scale(kube: KubeClient, target: TargetState, to: int, *, deadline: Deadline) -> Change | None:
    """Sets a Scale's replicas, if they still are what the decision saw."""
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
