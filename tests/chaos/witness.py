"""Watches the cluster from the side, past the proxies, and writes down what the operator did and what it told.

What was done is read from the targets themselves, version by version; what was told from the policies' histories. The
two never meet on their way, so comparing them means something.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config

from tests.chaos.crowd import LABEL
from tests.cluster import Cluster
from tests.support.world import GROUP, PLURAL, VERSION

Key = tuple[str, str]
"""namespace, name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A target's spec at one version."""

    replicas: int
    paused: bool
    tag: str

    @classmethod
    def of(cls, deployment: dict[str, Any]) -> Seen:
        spec = deployment["spec"]
        image = spec["template"]["spec"]["containers"][0]["image"]
        return cls(spec["replicas"], bool(spec.get("paused")), image.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of a policy's history. from_, to: replicas or revisions."""

    at: str
    action: str
    from_: str
    to: str


@dataclass
class Account:
    """All that was witnessed. gaps: targets of which versions may have been missed while the API server was away.

    tags: the image tag of each revision, by the name the operator calls it.
    """

    now: dict[Key, Seen] = field(default_factory=dict)
    done: dict[Key, list[tuple[Seen, Seen]]] = field(default_factory=lambda: defaultdict(list))
    told: dict[Key, dict[Told, None]] = field(default_factory=lambda: defaultdict(dict))
    gaps: set[Key] = field(default_factory=set)
    tags: dict[Key, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    looks: Counter[str] = field(default_factory=Counter)


class Witness:
    """Threads that fill an `Account` between `start` and `stop`. on_look: called with each policy that was read."""

    def __init__(self, cluster: Cluster, namespaces: list[str], on_look: Callable[[Key, dict[str, Any]], None]) -> None:
        self.account = Account()
        self._api = new_client_from_config(str(cluster.kubeconfig))
        self._apps = client.AppsV1Api(self._api)
        self._custom = client.CustomObjectsApi(self._api)
        self._namespaces = set(namespaces)
        self._on_look = on_look
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_targets, daemon=True, name="witness of targets"),
            threading.Thread(target=self._read_policies, daemon=True, name="witness of policies"),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """One last look, and no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _watch_targets(self) -> None:
        version = ""
        while not self._stop.is_set():
            try:
                version = version or self._list_targets()
                stream = watch.Watch()
                for event in stream.stream(
                    self._apps.list_deployment_for_all_namespaces,
                    label_selector=LABEL,
                    resource_version=version,
                    timeout_seconds=3,
                ):
                    found = event["raw_object"]
                    version = found["metadata"]["resourceVersion"]
                    self._take(found)
            except ApiException as error:
                version = "" if error.status == 410 else version
                time.sleep(0.2)
            except Exception:  # the API server is away; the watch goes on where it was
                time.sleep(0.2)

    def _list_targets(self) -> str:
        listing = self._api.sanitize_for_serialization(
            self._apps.list_deployment_for_all_namespaces(label_selector=LABEL)
        )
        for found in listing["items"]:
            self._take(found, gap=True)
        return str(listing["metadata"]["resourceVersion"])

    def _take(self, found: dict[str, Any], *, gap: bool = False) -> None:
        key = (found["metadata"]["namespace"], found["metadata"]["name"])
        if key[0] not in self._namespaces:
            return
        before, after = self.account.now.get(key), Seen.of(found)
        self.account.looks["targets"] += 1
        self.account.now[key] = after
        if before is None or before == after:
            return
        if gap:
            self.account.gaps.add(key)
        self.account.done[key].append((before, after))

    def _read_policies(self) -> None:
        while True:
            last = self._stop.is_set()
            try:
                for namespace in sorted(self._namespaces):
                    self._read_revisions(namespace)
                    listing = self._custom.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)
                    for policy in listing["items"]:
                        self._read(policy)
            except Exception:
                time.sleep(0.2)
                if last:
                    continue
            if last:
                return
            self._stop.wait(1.0)

    def _read_revisions(self, namespace: str) -> None:
        for found in self._apps.list_namespaced_replica_set(namespace).items:
            owner = next(iter(found.metadata.owner_references or ()), None)
            if owner is not None:
                revision = found.metadata.labels["pod-template-hash"]
                tag = found.spec.template.spec.containers[0].image.rpartition(":")[2]
                self.account.tags[namespace, owner.name][revision] = tag

    def _read(self, policy: dict[str, Any]) -> None:
        key = (policy["metadata"]["namespace"], policy["metadata"]["name"])
        status = policy.get("status") or {}
        for entry in reversed(status.get("history", ())):
            told = Told(entry["at"], entry["action"], str(entry.get("from", "")), str(entry.get("to", "")))
            self.account.told[key][told] = None
        self.account.looks["policies"] += 1
        self._on_look(key, status)
