"""All targets, watched: Deployments, their ReplicaSets and HPAs, as `TargetState`s at any moment.

What is asked for costs no call. A state is put together when it is first asked for and kept until one of its parts
changes, because most evaluations meet a target that has not changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from resilience_operator.decision.target import TargetState
from resilience_operator.kube.autoscalers import Autoscaler, TargetKey, trim_autoscaler
from resilience_operator.kube.client import Kube
from resilience_operator.kube.deployments import KIND, deployment_state, trim_deployment, trim_replica_set
from resilience_operator.kube.paths import AUTOSCALERS, DEPLOYMENTS, REPLICA_SETS
from resilience_operator.kube.reflector import RELIST_EVERY, Reflector
from resilience_operator.kube.workloads import RevisionRecord, Workload

Listener = Callable[[TargetKey], None]
"""Is told the (kind, namespace, name) of a target of which something changed. Must not block."""


class Targets:
    """Keeps the targets of some namespaces, or (none named) of the cluster, in memory while `run` runs."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespaces: Sequence[str] = (),
        on_change: Listener | None = None,
        relist_every: float = RELIST_EVERY,
    ) -> None:
        self._on_change = on_change
        self._states: dict[TargetKey, TargetState] = {}
        self._by_uid: dict[str, TargetKey] = {}
        self.deployments: Reflector[Workload] = Reflector(
            kube,
            DEPLOYMENTS,
            trim_deployment,
            namespaces=namespaces,
            on_change=self._workload_changed,
            relist_every=relist_every,
        )
        self.replica_sets: Reflector[RevisionRecord] = Reflector(
            kube,
            REPLICA_SETS,
            trim_replica_set,
            namespaces=namespaces,
            indexes={"owner": lambda rs: rs.owner_uid},
            on_change=self._revision_changed,
            relist_every=relist_every,
        )
        self.autoscalers: Reflector[Autoscaler] = Reflector(
            kube,
            AUTOSCALERS,
            trim_autoscaler,
            namespaces=namespaces,
            indexes={"target": lambda one: one.target},
            on_change=self._autoscaler_changed,
            relist_every=relist_every,
        )

    async def run(self) -> None:
        """Watches until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in (self.deployments, self.replica_sets, self.autoscalers):
                group.create_task(reflector.run())

    async def synced(self) -> None:
        """Waits until everything has been listed once."""
        for reflector in (self.deployments, self.replica_sets, self.autoscalers):
            await reflector.synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether everything has been listed once."""
        return all(r.synced.is_set() for r in (self.deployments, self.replica_sets, self.autoscalers))

    @property
    def last_contact(self) -> float | None:
        """When (monotonic) the API server last proved that all of this is up to date; None before the start."""
        times = [r.last_contact for r in (self.deployments, self.replica_sets, self.autoscalers)]
        return None if None in times else min(t for t in times if t is not None)

    def get(self, kind: str, namespace: str, name: str) -> TargetState | None:
        """The target's state; None when there is no such target, or none of its kind is watched."""
        key = (kind, namespace, name)
        state = self._states.get(key)
        if state is None:
            state = self._make(key)
            if state is not None:
                self._states[key] = state
        return state

    def _make(self, key: TargetKey) -> TargetState | None:
        kind, namespace, name = key
        if kind != KIND:
            return None
        deployment = self.deployments.get(namespace, name)
        if deployment is None:
            return None
        scalers = self.autoscalers.by("target", key)
        # Two HPAs on one target fight each other; the first by name stands for both.
        hpa = min((one.hpa for one in scalers), key=lambda one: one.name, default=None)
        return deployment_state(deployment, self.replica_sets.by("owner", deployment.uid), hpa)

    def _workload_changed(self, old: Workload | None, new: Workload | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._by_uid.pop(old.uid, None)
        one = new or old
        assert one is not None
        key = (KIND, one.namespace, one.name)
        if new is not None:
            self._by_uid[new.uid] = key
        self._forget(key)

    def _revision_changed(self, old: RevisionRecord | None, new: RevisionRecord | None) -> None:
        for uid in {one.owner_uid for one in (old, new) if one is not None}:
            # A ReplicaSet may be heard of before its Deployment, which then brings the state about.
            if uid in self._by_uid:
                self._forget(self._by_uid[uid])

    def _autoscaler_changed(self, old: Autoscaler | None, new: Autoscaler | None) -> None:
        for key in {one.target for one in (old, new) if one is not None}:
            self._forget(key)

    def _forget(self, key: TargetKey) -> None:
        self._states.pop(key, None)
        if self._on_change is not None:
            self._on_change(key)
