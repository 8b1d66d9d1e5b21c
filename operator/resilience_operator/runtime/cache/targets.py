"""Watch cache of the targets: workloads, revisions and HPAs, reduced to the fields that decisions need."""

from __future__ import annotations

import asyncio
import time
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
from resilience_operator.kube.cache.selectors import NOTHING, Selector
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
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.runtime.cache.deliveries import DeliveryReader
from resilience_operator.runtime.cache.expectations import Expectations
from resilience_operator.runtime.cache.pods import PodReader
from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.containment import start

_OWNER = "owner"
_TARGET = "target"
_LEFTOVER = "marked"
_OWNED = "owned"
_UID = "uid"

State = Callable[[Workload, Iterable[RevisionRecord], HorizontalPodAutoscaler | None], TargetState]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How to read one kind of workload. revisions: the resource that stores its revisions."""

    resource: Resource
    transform: Transform[Workload]
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
"""Kinds that are watched. Other kinds are read through `/scale` (`runtime.cache.scale_targets`)."""

_REVISIONS: Mapping[Resource, Transform[RevisionRecord]] = {
    REPLICA_SETS: project_replica_set,
    CONTROLLER_REVISIONS: project_controller_revision,
}


class TargetCache:
    """Returns the current state of targets. on_change: called with the target's key on each significant change.

    expectations: the operator's own writes that the cache does not show yet.
    """

    def __init__(self, kube: KubeClient, namespaces: Sequence[str], on_change: Callable[[TargetKey], None]) -> None:
        self._on_change = on_change
        self.expectations = Expectations(self._shows, self._relist, on_change)
        self._states: dict[TargetKey, TargetState] = {}
        self._workloads: dict[str, Reflector[Workload]] = {
            kind: Reflector(
                kube,
                how.resource,
                how.transform,
                namespaces=namespaces,
                indexes={
                    _UID: lambda w: (w.namespace, w.uid),
                    _LEFTOVER: lambda w: w.hold_marked or (w.paused and w.writers.paused == MANAGER) or None,
                    _OWNED: lambda w: w.writers.owns_fields or None,
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
                transform,
                namespaces=namespaces,
                indexes={_OWNER: lambda r: (r.namespace, r.owner_uid)},
                on_change=self._revision_changed,
            )
            for resource, transform in _REVISIONS.items()
        }
        self._autoscalers: Reflector[Autoscaler] = Reflector(
            kube,
            AUTOSCALERS,
            project_autoscaler,
            namespaces=namespaces,
            indexes={
                _TARGET: lambda a: a.target,
                _LEFTOVER: lambda a: a.hpa.original_min is not None or None,
                _OWNED: lambda a: a.owns_minimum or None,
            },
            on_change=self._autoscaler_changed,
        )
        self._all: tuple[Reflector[Any], ...] = (
            *self._workloads.values(),
            *self._revisions.values(),
            self._autoscalers,
        )
        self.tasks: tuple[asyncio.Task[Any], ...] = ()
        self.pods = PodReader(kube, self.selector, time.time)
        """Lists the pods of targets that need a look."""
        self.deliveries = DeliveryReader(kube)
        """Reads what applies held targets from git."""

    @property
    def reflectors(self) -> Sequence[Reflector[Any]]:
        """All reflectors."""
        return self._all

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Run the watches until the block ends."""
        self.tasks = tuple(start(r.run(), f"watch {r.resource.plural}") for r in self._all)
        try:
            yield
        finally:
            self.expectations.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def synced(self) -> None:
        """Wait until every resource has been listed once."""
        for reflector in self._all:
            await reflector.synced.wait()

    def not_ready(self) -> str:
        """Name the resources that are not listed yet; empty when all are."""
        missing = [r.resource.plural for r in self._all if not r.synced.is_set()]
        return f"not listed yet: {', '.join(missing)}" if missing else ""

    def get(self, key: TargetKey) -> TargetState | None:
        """Return the cached target state: the same object until it changes.

        None if the object does not exist or is `unreadable`.
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

    def autoscaled(self, key: TargetKey) -> TargetState | None:
        """Return a target of a kind that is not watched if it has an HPA: only its name and the HPA are known."""
        hpa = None if key[0] in _KINDS else self.autoscaler(key)
        if hpa is None:
            return None
        return TargetState(key[0], key[1], key[2], "", "", 0, 0, True, None, hpa=hpa)

    def autoscaler(self, key: TargetKey) -> HorizontalPodAutoscaler | None:
        """Return the HPA of a target, or None."""
        found = next(iter(self._autoscalers.by(_TARGET, key)), None)
        return found.hpa if found is not None else None

    def unreadable(self, key: TargetKey) -> str:
        """Return why the target or its HPA cannot be decoded; empty if both can.

        An HPA that cannot be decoded may scale any workload in its namespace that has no other HPA. The operator acts
        on none of these workloads: otherwise two controllers would write the same replicas.
        """
        kind, namespace, name = key
        reflector = self._workloads.get(kind)
        if reflector is not None and (reason := reflector.unreadable.get((namespace, name))):
            return f"{kind} {name} cannot be read: {reason}"
        if self._autoscalers.unreadable and self.autoscaler(key) is None:
            for (where, hpa), reason in self._autoscalers.unreadable.items():
                if where == namespace:
                    return f"HorizontalPodAutoscaler {hpa}, which may scale {kind} {name}, cannot be read: {reason}"
        return ""

    def placement(self, key: TargetKey) -> Placement:
        """Return the node placement of the target's pods."""
        workload = self._workload(key)
        return workload.placement if workload is not None else ANYWHERE

    def selector(self, key: TargetKey) -> Selector:
        """Return the selector of the target's pods."""
        workload = self._workload(key)
        return workload.selector if workload is not None else NOTHING

    def _shows(self, change: Change) -> bool:
        """Return True if the cached object is at least as new as a write to it, or does not exist."""
        if change.kind in _KINDS:
            workload = self._workload((change.kind, change.namespace, change.name))
            return workload is None or int(workload.resource_version) >= int(change.resource_version)
        if change.kind != AUTOSCALERS.kind:
            return True
        autoscaler = self._autoscalers.get(change.namespace, change.name)
        return autoscaler is None or int(autoscaler.hpa.resource_version) >= int(change.resource_version)

    def _relist(self, kind: str) -> None:
        """List a kind whose watch does not show a version that is known to exist."""
        (self._workloads[kind] if kind in _KINDS else self._autoscalers).relist()

    def with_leftovers(self) -> Iterator[TargetKey]:
        """Yield targets with changes made by the operator: a pause, a hold, or a raised minReplicas."""
        return self._indexed(_LEFTOVER)

    def with_owned_fields(self) -> Iterator[TargetKey]:
        """Yield targets with fields that the operator gives up after a write, of their HPA too: it was interrupted."""
        return self._indexed(_OWNED)

    def _indexed(self, index: str) -> Iterator[TargetKey]:
        for kind, reflector in self._workloads.items():
            for workload in reflector.by(index, True):
                yield kind, workload.namespace, workload.name
        for autoscaler in self._autoscalers.by(index, True):
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
        if old is None or new is None or new.ready < old.ready or _change_key(old) != _change_key(new):
            self._on_change(key)
        self.expectations.observe(key)

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
            return  # pod counts can wait for the next evaluation; a new revision cannot
        for key in changed:
            self._on_change(key)

    def _autoscaler_changed(self, old: Autoscaler | None, new: Autoscaler | None) -> None:
        for one in {a.target for a in (old, new) if a is not None}:
            self._states.pop(one, None)
            if old is None or new is None or old.target != new.target:
                self._on_change(one)
            self.expectations.observe(one)


def _change_key(w: Workload) -> tuple[object, ...]:
    """Return the fields whose change triggers an evaluation, like a drop of `ready` does.

    They are: user changes, whether the rollout is complete, and why it fails.
    """
    complete = w.observed >= w.generation and w.updated == w.total == w.replicas == w.ready
    failing = w.progress_deadline_exceeded, w.create_failure
    return w.uid, w.generation, w.template, w.paused, w.replicas, complete, failing
