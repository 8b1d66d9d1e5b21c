"""The targets, watched: Deployments, their ReplicaSets and HPAs, each trimmed to what deciding needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from resilience_operator.decision.target import MANAGER, TargetState
from resilience_operator.kube.autoscalers import Autoscaler, trim_autoscaler
from resilience_operator.kube.client import Kube
from resilience_operator.kube.deployments import deployment_state, trim_deployment, trim_replica_set
from resilience_operator.kube.nodes import ANYWHERE, Placement
from resilience_operator.kube.paths import AUTOSCALERS, DEPLOYMENTS, REPLICA_SETS
from resilience_operator.kube.reflector import Reflector
from resilience_operator.kube.workloads import RevisionRecord, Workload
from resilience_operator.runtime.entry import TargetKey

_OWNER = "owner"
_TARGET = "target"
_MARKED = "marked"


class Targets:
    """Answers what a target is now. on_change: called with a target's key when something of weight changed."""

    def __init__(self, kube: Kube, namespaces: Sequence[str], on_change: Callable[[TargetKey], None]) -> None:
        self._on_change = on_change
        self._deployments: Reflector[Workload] = Reflector(
            kube,
            DEPLOYMENTS,
            trim_deployment,
            namespaces=namespaces,
            indexes={"uid": lambda d: d.uid, _MARKED: lambda d: d.paused and d.writers.paused == MANAGER},
            on_change=self._deployment_changed,
        )
        self._replica_sets: Reflector[RevisionRecord] = Reflector(
            kube,
            REPLICA_SETS,
            trim_replica_set,
            namespaces=namespaces,
            indexes={_OWNER: lambda r: r.owner_uid},
            on_change=self._replica_set_changed,
        )
        self._autoscalers: Reflector[Autoscaler] = Reflector(
            kube,
            AUTOSCALERS,
            trim_autoscaler,
            namespaces=namespaces,
            indexes={_TARGET: lambda a: a.target, _MARKED: lambda a: a.hpa.original_min is not None},
            on_change=self._autoscaler_changed,
        )

    @cached_property
    def _all(self) -> tuple[Reflector[Any], ...]:
        return self._deployments, self._replica_sets, self._autoscalers

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch until the block ends."""
        tasks = [asyncio.create_task(r.run(), name=f"watch {r.resource.plural}") for r in self._all]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Return when everything was listed once."""
        for reflector in self._all:
            await reflector.synced.wait()

    def not_ready(self) -> str:
        """Empty when all was listed, else what was not."""
        missing = [r.resource.plural for r in self._all if not r.synced.is_set()]
        return f"not listed yet: {', '.join(missing)}" if missing else ""

    def get(self, key: TargetKey) -> TargetState | None:
        """The target as it was last seen, or None when there is no such object."""
        kind, namespace, name = key
        if kind != "Deployment":
            return None
        deployment = self._deployments.get(namespace, name)
        if deployment is None:
            return None
        hpa = next(iter(self._autoscalers.by(_TARGET, key)), None)
        return deployment_state(
            deployment, self._replica_sets.by(_OWNER, deployment.uid), hpa.hpa if hpa is not None else None
        )

    def placement(self, key: TargetKey) -> Placement:
        """On which nodes the target's pods may run."""
        _, namespace, name = key
        deployment = self._deployments.get(namespace, name)
        return deployment.placement if deployment is not None else ANYWHERE

    def shows(self, kind: str, namespace: str, name: str, version: int) -> bool:
        """Whether what is known of an object is at least as new as `version`, or the object is gone."""
        if kind == "Deployment":
            deployment = self._deployments.get(namespace, name)
            return deployment is None or int(deployment.resource_version) >= version
        autoscaler = self._autoscalers.get(namespace, name)
        return autoscaler is None or int(autoscaler.hpa.resource_version) >= version

    def marked(self) -> Iterator[TargetKey]:
        """Targets that bear a mark of the operator's: its own pause, or a raised minReplicas."""
        for deployment in self._deployments.by(_MARKED, True):
            yield "Deployment", deployment.namespace, deployment.name
        for autoscaler in self._autoscalers.by(_MARKED, True):
            yield autoscaler.target

    def _deployment_changed(self, old: Workload | None, new: Workload | None) -> None:
        one = new or old
        assert one is not None
        if old is None or new is None or _weighty(old) != _weighty(new):
            self._on_change(("Deployment", one.namespace, one.name))

    def _replica_set_changed(self, old: RevisionRecord | None, new: RevisionRecord | None) -> None:
        one = new or old
        assert one is not None
        if old is None or new is None:  # counts of pods can wait for the next turn; a new revision cannot
            for deployment in self._deployments.by("uid", one.owner_uid):
                self._on_change(("Deployment", deployment.namespace, deployment.name))

    def _autoscaler_changed(self, old: Autoscaler | None, new: Autoscaler | None) -> None:
        for one in {a.target for a in (old, new) if a is not None}:
            if old is None or new is None or old.target != new.target:
                self._on_change(one)


def _weighty(d: Workload) -> tuple[object, ...]:
    """What is worth an evaluation of its own: what people change, and whether a rollout is complete."""
    complete = d.observed >= d.generation and d.updated == d.total == d.replicas == d.ready
    return d.uid, d.generation, d.template, d.paused, d.replicas, complete, d.progress_deadline_exceeded
