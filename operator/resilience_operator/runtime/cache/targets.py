"""The targets, watched: workloads, their revisions and HPAs, each trimmed to what deciding needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from resilience_operator.decision.model.target import MANAGER, HorizontalPodAutoscaler, TargetState
from resilience_operator.kube.cache.controller_revisions import project_controller_revision
from resilience_operator.kube.cache.daemonsets import daemon_set_state, project_daemon_set
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import Autoscaler, project_autoscaler
from resilience_operator.kube.cache.nodes import ANYWHERE, Placement
from resilience_operator.kube.cache.reflector import Reflector, Transform
from resilience_operator.kube.cache.revisions import RevisionRecord
from resilience_operator.kube.cache.statefulsets import project_stateful_set, stateful_set_state
from resilience_operator.kube.cache.workloads import Workload
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import (
    AUTOSCALERS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.containment import start

_OWNER = "owner"
_TARGET = "target"
_LEFTOVER = "marked"
_UID = "uid"

State = Callable[[Workload, Iterable[RevisionRecord], HorizontalPodAutoscaler | None], TargetState]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of workload is read. revisions: the resource that keeps its revisions."""

    resource: Resource
    trim: Transform[Workload]
    state: State
    revisions: Resource


_KINDS: Mapping[str, _Kind] = {
    "Deployment": _Kind(DEPLOYMENTS, project_deployment, deployment_state, REPLICA_SETS),
    "StatefulSet": _Kind(STATEFUL_SETS, project_stateful_set, stateful_set_state, CONTROLLER_REVISIONS),
    "DaemonSet": _Kind(
        DAEMON_SETS, project_daemon_set, lambda workload, revisions, _: daemon_set_state(workload, revisions),
        CONTROLLER_REVISIONS,
    ),
}  # fmt: skip

WATCHED_KINDS = frozenset(_KINDS)
"""Kinds that are watched; of any other only the `/scale` is known (`runtime.cache.scale_targets`)."""

_REVISIONS: Mapping[Resource, Transform[RevisionRecord]] = {
    REPLICA_SETS: project_replica_set,
    CONTROLLER_REVISIONS: project_controller_revision,
}


class TargetCache:
    """Answers what a target is now. on_change: called with a target's key when something of weight changed."""

    def __init__(self, kube: KubeClient, namespaces: Sequence[str], on_change: Callable[[TargetKey], None]) -> None:
        self._on_change = on_change
        self._states: dict[TargetKey, TargetState] = {}
        self._workloads: dict[str, Reflector[Workload]] = {
            kind: Reflector(
                kube,
                how.resource,
                how.trim,
                namespaces=namespaces,
                indexes={
                    _UID: lambda w: (w.namespace, w.uid),
                    _LEFTOVER: lambda w: w.paused and w.writers.paused == MANAGER,
                },
                on_change=lambda old, new, kind=kind: self._workload_changed(kind, old, new),  # type: ignore[misc]
                on_unreadable=lambda key, kind=kind: self._on_change((kind, *key)),  # type: ignore[misc]
            )
            for kind, how in _KINDS.items()
        }
        self._revisions: dict[Resource, Reflector[RevisionRecord]] = {
            resource: Reflector(
                kube,
                resource,
                trim,
                namespaces=namespaces,
                indexes={_OWNER: lambda r: (r.namespace, r.owner_uid)},
                on_change=self._revision_changed,
            )
            for resource, trim in _REVISIONS.items()
        }
        self._autoscalers: Reflector[Autoscaler] = Reflector(
            kube,
            AUTOSCALERS,
            project_autoscaler,
            namespaces=namespaces,
            indexes={_TARGET: lambda a: a.target, _LEFTOVER: lambda a: a.hpa.original_min is not None},
            on_change=self._autoscaler_changed,
        )
        self._all: tuple[Reflector[Any], ...] = (
            *self._workloads.values(),
            *self._revisions.values(),
            self._autoscalers,
        )
        self.tasks: tuple[asyncio.Task[Any], ...] = ()

    @property
    def reflectors(self) -> Sequence[Reflector[Any]]:
        """Every watch there is."""
        return self._all

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch until the block ends."""
        self.tasks = tuple(start(r.run(), f"watch {r.resource.plural}") for r in self._all)
        try:
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Return when everything was listed once."""
        for reflector in self._all:
            await reflector.synced.wait()

    def not_ready(self) -> str:
        """Empty when all was listed, else what was not."""
        missing = [r.resource.plural for r in self._all if not r.synced.is_set()]
        return f"not listed yet: {', '.join(missing)}" if missing else ""

    def get(self, key: TargetKey) -> TargetState | None:
        """The target as it was last seen. The same object until it changes.

        None when there is no such object, or when it is `unreadable`.
        """
        if self._autoscalers.unreadable and self.unreadable(key):
            return None
        state = self._states.get(key)
        if state is None and (workload := self._workload(key)) is not None:
            state = self._states[key] = self._state(key, workload)
        return state

    def _state(self, key: TargetKey, workload: Workload) -> TargetState:
        how = _KINDS[key[0]]
        claimed = self._revisions[how.revisions].by(_OWNER, (workload.namespace, workload.uid))
        return how.state(workload, claimed, self.autoscaler(key))

    def autoscaler(self, key: TargetKey) -> HorizontalPodAutoscaler | None:
        """The HPA on a target."""
        found = next(iter(self._autoscalers.by(_TARGET, key)), None)
        return found.hpa if found is not None else None

    def unreadable(self, key: TargetKey) -> str:
        """Why the target, or whether an HPA scales it, cannot be read; empty when both can.

        An HPA that cannot be read may scale any workload of its namespace that has no other, so none of them is
        acted on: else two would write the same replicas.
        """
        kind, namespace, name = key
        reflector = self._workloads.get(kind)
        if reflector is None:
            return ""
        if reason := reflector.unreadable.get((namespace, name)):
            return f"{kind} {name} cannot be read: {reason}"
        if self._autoscalers.unreadable and self.autoscaler(key) is None:
            for (where, hpa), reason in self._autoscalers.unreadable.items():
                if where == namespace:
                    return f"HorizontalPodAutoscaler {hpa}, which may scale {kind} {name}, cannot be read: {reason}"
        return ""

    def placement(self, key: TargetKey) -> Placement:
        """On which nodes the target's pods may run."""
        workload = self._workload(key)
        return workload.placement if workload is not None else ANYWHERE

    def is_current(self, kind: str, namespace: str, name: str, version: int) -> bool:
        """Whether what is known of an object is at least as new as `version`, or the object is gone."""
        if kind in _KINDS:
            workload = self._workload((kind, namespace, name))
            return workload is None or int(workload.resource_version) >= version
        autoscaler = self._autoscalers.get(namespace, name)
        return autoscaler is None or int(autoscaler.hpa.resource_version) >= version

    def relist(self, kind: str) -> None:
        """List a kind again soon: its watch does not show what is known to be there."""
        (self._workloads[kind] if kind in _KINDS else self._autoscalers).relist()

    def with_leftovers(self) -> Iterator[TargetKey]:
        """Targets that bear a mark of the operator's: its own pause, or a raised minReplicas."""
        for kind, reflector in self._workloads.items():
            for workload in reflector.by(_LEFTOVER, True):
                yield kind, workload.namespace, workload.name
        for autoscaler in self._autoscalers.by(_LEFTOVER, True):
            yield autoscaler.target

    def _workload(self, key: TargetKey) -> Workload | None:
        kind, namespace, name = key
        reflector = self._workloads.get(kind)
        return reflector.get(namespace, name) if reflector is not None else None

    def _workload_changed(self, kind: str, old: Workload | None, new: Workload | None) -> None:
        one = new or old
        assert one is not None
        key = (kind, one.namespace, one.name)
        self._states.pop(key, None)
        if old is None or new is None or _change_key(old) != _change_key(new):
            self._on_change(key)

    def _revision_changed(self, old: RevisionRecord | None, new: RevisionRecord | None) -> None:
        changed = [
            (kind, workload.namespace, workload.name)
            for owner in {(one.namespace, one.owner_uid) for one in (old, new) if one is not None}
            for kind, reflector in self._workloads.items()
            for workload in reflector.by(_UID, owner)
        ]
        for key in changed:
            self._states.pop(key, None)
        if old is not None and new is not None:
            return  # counts of pods can wait for the next turn; a new revision cannot
        for key in changed:
            self._on_change(key)

    def _autoscaler_changed(self, old: Autoscaler | None, new: Autoscaler | None) -> None:
        for one in {a.target for a in (old, new) if a is not None}:
            self._states.pop(one, None)
            if old is None or new is None or old.target != new.target:
                self._on_change(one)


def _change_key(w: Workload) -> tuple[object, ...]:
    """What is worth an evaluation of its own: what people change, and whether a rollout is complete."""
    complete = w.observed >= w.generation and w.updated == w.total == w.replicas == w.ready
    return w.uid, w.generation, w.template, w.paused, w.replicas, complete, w.progress_deadline_exceeded
