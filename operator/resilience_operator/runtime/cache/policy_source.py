"""Feeds the policy cache: kopf's watch, and a list beside it.

The list finds the policies whose deletion the watch missed, and shows whether policies can still be listed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Protocol

import kopf

from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.decoding import Unreadable
from resilience_operator.kube.client.paths import POLICIES
from resilience_operator.kube.writes.policies import policy_pages, probe_policies
from resilience_operator.resilience import CallError, Deadline
from resilience_operator.runtime.cache.contact import PROBE_EVERY, PolicyContact
from resilience_operator.runtime.cache.kopf_watch import registry, settings
from resilience_operator.runtime.cache.policies import PolicyCache
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.config import Config
from resilience_operator.runtime.containment import Stage, contain

log = logging.getLogger(__name__)

IDENTITY: Any = "resilience-operator"
"""kopf's peer identity. By default kopf derives it from the user name, which a container may not have."""

PROBE_TIME = 15.0
"""Timeout in seconds for a list of one policy."""

LIST_TIME = 60.0
"""Timeout in seconds for a full list of policies."""


class PolicyEvents(Protocol):
    """Receives the changes of the policy cache."""

    def policy_changed(self, entry: PolicyEntry, target_before: TargetKey | None) -> None:
        """A policy is new, or its spec or pause changed. target_before: its previous target, if known."""
        ...

    def policy_deleted(self, entry: PolicyEntry) -> None:
        """A policy was deleted."""
        ...

    async def policies_listed(self) -> None:
        """All policies were listed."""
        ...


class PolicySource:
    """Watches and lists policies. listed: set after the first full list. contact: with the API server."""

    def __init__(self, kube: KubeClient, config: Config, store: PolicyCache, events: PolicyEvents) -> None:
        self._kube = kube
        self._config = config
        self._store = store
        self._events = events
        self._missing = asyncio.Event()
        self.listed = asyncio.Event()
        self.contact = PolicyContact()

    def list_soon(self) -> None:
        """List again soon: a policy is missing. A deletion between our list and kopf's is reported by neither."""
        self._missing.set()

    async def watch(self, stop: asyncio.Event, install_signal_handlers: Callable[[], None]) -> None:
        """Watch until `stop` is set. kopf replaces the process's signal handlers; the callback installs ours again."""
        # kopf lists the policies again. Start it only after our own list, which feeds the first evaluations.
        if not await first(stop, self.listed.wait()):
            return
        await kopf.operator(
            registry=registry(self._on_event, self._on_unreadable, self._config.kubeconfig, install_signal_handlers),
            settings=settings(),
            standalone=True,
            identity=IDENTITY,
            clusterwide=not self._config.namespaces,
            namespaces=self._config.namespaces,
            stop_flag=stop,
        )

    def _on_event(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Handle an event of kopf's watch. Never raises."""
        try:
            meta = body["metadata"]
            self.contact.delivered(meta["uid"])
            if kind == "DELETED":
                if (deleted := self._store.remove(meta["uid"])) is not None:
                    self._events.policy_deleted(deleted)
                return
            before = self._store.get(meta["uid"])
            target = before.target if before is not None else None
            entry, needs_evaluation = self._store.upsert(body)
            if needs_evaluation:
                self._events.policy_changed(entry, target)
        except Exception as error:
            contain(Stage.WATCH, *_name_of(body), error)

    def _on_unreadable(self, found: Unreadable) -> None:
        """Report a policy that cannot be decoded, and stop acting on its earlier spec. Never raises."""
        try:
            self.contact.delivered(found.uid)
            self._kube.unreadable.report(POLICIES.plural, found)
            entry, needs_evaluation = self._store.put_unreadable(found)
            if entry is not None and needs_evaluation:
                self._events.policy_changed(entry, None)
        except Exception as error:
            contain(Stage.WATCH, found.namespace, found.name, error)

    async def relist(self, stop: asyncio.Event) -> None:
        """List all policies periodically until `stop` is set.

        Between full lists, a list of one object checks that policies can still be listed.
        """
        loop = asyncio.get_running_loop()
        due, failures = 0.0, 0
        while not stop.is_set():
            try:
                if self._missing.is_set() or loop.time() >= due:
                    self._missing.clear()
                    await self._list()
                    due = loop.time() + self._config.relist_seconds
                else:
                    await self._probe()
                failures = 0
            except CallError as error:
                log.warning("cannot list policies: %s", error)
                failures += 1
            except Exception as error:
                contain(Stage.LIST, "", "all policies", error)
                failures += 1
            pause = min(PROBE_EVERY, max(1.0, due - loop.time())) if not failures else min(30.0, 2.0**failures)
            await first(stop, self._relist_due(pause))

    async def _probe(self) -> None:
        for namespace in self._config.namespaces or (None,):
            await probe_policies(self._kube, namespace, deadline=Deadline.after(PROBE_TIME))
        self.contact.listed()

    async def _relist_due(self, pause: float) -> None:
        """Wait for `pause` seconds, but only about one second once a policy was found to be missing."""
        await asyncio.sleep(1.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause - 1.0)):
                await self._missing.wait()

    async def _list(self) -> None:
        changed: list[PolicyEntry] = []
        seen: set[str] = set()
        versions: list[str] = []
        try:
            for namespace in self._config.namespaces or (None,):
                async for page in policy_pages(self._kube, namespace, deadline=Deadline.after(LIST_TIME)):
                    for body in page.items:
                        try:
                            self._take_in(body, seen, changed)
                        except Exception as error:
                            contain(Stage.LIST, *_name_of(body), error)
                    for found in page.unreadable:
                        try:
                            self._take_in_unreadable(found, seen, changed)
                        except Exception as error:
                            contain(Stage.LIST, found.namespace, found.name, error)
                versions.append(page.resource_version)
        finally:
            for entry in changed:
                try:
                    self._events.policy_changed(entry, None)
                except Exception as error:
                    contain(Stage.LIST, *entry.key, error)
        for entry in self._store.prune(seen, min(versions, key=_as_number)):
            self._events.policy_deleted(entry)
        self.contact.listed()
        self.listed.set()
        await self._events.policies_listed()

    def _take_in(self, body: Mapping[str, Any], seen: set[str], changed: list[PolicyEntry]) -> None:
        """Store one object of a list."""
        uid = body["metadata"]["uid"]
        seen.add(uid)
        known = self._store.get(uid)
        before = known.resource_version if known is not None else ""
        entry, needs_evaluation = self._store.upsert(body)
        if not entry.deleted and entry.resource_version != before:
            self.contact.expect(uid)
        if needs_evaluation:
            changed.append(entry)

    def _take_in_unreadable(self, found: Unreadable, seen: set[str], changed: list[PolicyEntry]) -> None:
        """Store one object of a list that cannot be decoded."""
        seen.add(found.uid)
        self._kube.unreadable.report(POLICIES.plural, found)
        entry, needs_evaluation = self._store.put_unreadable(found)
        if entry is not None and needs_evaluation:
            changed.append(entry)


def _name_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return namespace and name of an object; empty strings if they cannot be read."""
    try:
        return str(body["metadata"].get("namespace", "")), str(body["metadata"].get("name", ""))
    except Exception:
        return "", "an object without metadata"


def _as_number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


async def first(stop: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `work` or `stop`. Returns True if `work` finished."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        return doing in done
    finally:
        doing.cancel()
        stopping.cancel()
