"""Reads what the pod templates of targets refer to, for policies with `release.configuration`.

Without such a policy it makes no call. One watch of the metadata of all ConfigMaps begins with the first one, and one
of the Secrets with the first policy that includes them. An object is read again only when its version has changed, so
there are as many calls as changes. During a rollback objects are read at each evaluation, because the watch may be
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from resilience_operator.decision.configuration.content import NOTHING, content_digest, is_secret, object_digests
from resilience_operator.decision.configuration.keep import MIB
from resilience_operator.decision.configuration.references import CONFIG_MAP, SECRET, Reference, references_of
from resilience_operator.decision.configuration.revisions import pending_rollback, with_configuration
from resilience_operator.decision.model.configuration import Configuration
from resilience_operator.decision.model.memory import Memory, Phase
from resilience_operator.decision.model.policy import Mode, Policy
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.configuration import ConfigurationObject, kept_content, project_configuration
from resilience_operator.kube.cache.delivery import delivered_by
from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.cache.workloads import template_digest
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import WORKLOADS
from resilience_operator.kube.writes import configuration as copies
from resilience_operator.kube.writes.configuration_delivery import RESOURCES
from resilience_operator.resilience import CallError, Deadline, NotFound
from resilience_operator.runtime.cache.policy_entry import PolicyEntry, TargetKey
from resilience_operator.runtime.cache.source_catalog import ReadyProblem
from resilience_operator.runtime.containment import start

log = logging.getLogger(__name__)

FORBIDDEN = "ConfigurationForbidden"

FORBIDDEN_FOR = 60.0
"""Seconds without calls after the API server refused one."""

SYNC_TIME = 3.0
"""Maximum seconds of an evaluation to wait for the first list."""

_POLICY = "policy"

_CONCURRENT_READS = 16


_NO_KEYS: frozenset[str] = frozenset()
_NOT_DELIVERED: Mapping[str, str] = {}
"""Shared by all policies: each empty set or dict of its own takes up to 200 bytes."""


@dataclass(slots=True)
class _Known:
    """What was last read for a policy.

    template: the digest of the template of `references`. versions: of their objects as read; None: not there.
    current: what the template reads, with the contents that are kept. copies: what those were made from.
    raw, memory, projected: the last result and what it was made from.
    secrets: Secrets are included; their digests have this key.
    """

    target: TargetKey
    template: str = ""
    references: tuple[Reference, ...] = ()
    versions: tuple[str | None, ...] | None = None
    current: Configuration | None = None
    copies: tuple[ConfigurationObject, ...] = ()
    raw: TargetState | None = None
    memory: Memory | None = None
    projected: TargetState | None = None
    forbidden: float | None = None
    secrets: bool = False
    key: bytes = field(default=b"", repr=False)


class ConfigurationReader:
    """Adds what their templates read to targets. on_change: called with a target whose configuration may have changed.

    clock: seconds since the epoch.
    """

    def __init__(
        self,
        kube: KubeClient,
        namespaces: Sequence[str],
        on_change: Callable[[TargetKey], None],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._on_change, self._clock = kube, on_change, clock
        self._namespaces = namespaces
        self._known: dict[str, _Known] = {}
        self._readers: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._reflectors: dict[str, Reflector[ConfigurationObject]] = {}
        self._slots = asyncio.Semaphore(_CONCURRENT_READS)
        self.tasks: tuple[asyncio.Task[Any], ...] = ()

    @property
    def in_use(self) -> bool:
        """Whether a policy includes configuration."""
        return bool(self._known)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """End the watch with the block. It begins with the first policy that needs it."""
        try:
            yield
        finally:
            await self._stop()

    def forget(self, uid: str) -> None:
        """Drop the state of a policy. The watch ends with the last one."""
        known = self._known.pop(uid, None)
        if known is None:
            return
        self._refer(uid, known, ())
        if not self._known:
            for task in self.tasks:
                task.cancel()
            self.tasks, self._reflectors = (), {}

    async def include(self, entry: PolicyEntry, target: TargetState, deadline: Deadline) -> TargetState | None:
        """Return the target with its configuration; None if it is too early to evaluate.

        Without the right to read it, the target is returned unchanged, and the entry says why.
        """
        policy = entry.compiled.policy
        assert policy is not None
        known = self._known.get(entry.uid)
        if known is None or known.target != entry.target:
            self.forget(entry.uid)
            known = self._known[entry.uid] = _Known(entry.target)
        now = self._clock()
        if known.forbidden is not None and 0 <= now - known.forbidden < FORBIDDEN_FOR:
            return target
        try:
            kinds = (CONFIG_MAP, SECRET) if _with_secrets(policy) else (CONFIG_MAP,)
            if not all([await self._watches(kind) for kind in kinds]):
                return None
            if not await self._read(entry, known, target, deadline):
                return None
        except CallError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                log.warning("%s/%s: configuration cannot be read now: %s", *entry.key, error)
                if known.current is None or known.template != target.template:
                    return None
            else:
                known.forbidden = now
                entry.configuration_problem = ReadyProblem(FORBIDDEN, _forbidden(error))
                return target
        else:
            known.forbidden = entry.configuration_problem = None
        return self._project(known, target, policy, entry.memory)

    async def _watches(self, kind: str) -> bool:
        """Begin the watch of a kind. Returns False while its first list is not there. Raises CallError."""
        if kind not in self._reflectors:
            # A reflector never gives up: find out first whether it may list.
            for namespace in self._namespaces or (None,):
                path = RESOURCES[kind].collection(namespace)
                await self._kube.metadata_only().get(path, deadline=Deadline.after(SYNC_TIME), params={"limit": 1})
        if kind not in self._reflectors:  # another evaluation may have begun it meanwhile
            self._reflectors[kind] = reflector = Reflector(
                self._kube.metadata_only(),
                RESOURCES[kind],
                project_configuration,
                namespaces=self._namespaces,
                indexes={_POLICY: lambda one: one.policy or None},
                on_change=partial(self._changed, kind),
            )
            self.tasks += (start(reflector.run(), f"watch {reflector.resource.plural}"),)
        synced = self._reflectors[kind].synced
        if not synced.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(synced.wait(), SYNC_TIME)
        return synced.is_set()

    async def _read(
        self,
        entry: PolicyEntry,
        known: _Known,
        target: TargetState,
        deadline: Deadline,
    ) -> bool:
        """Bring `known` up to date. Returns False if the target's template is not the one that was read."""
        policy = entry.compiled.policy
        assert policy is not None
        another = known.template != target.template or known.secrets != _with_secrets(policy)
        if another:
            known.secrets = _with_secrets(policy)
            if not await self._read_template(entry.uid, known, target, deadline):
                return False
        if known.secrets and not known.key and any(r.kind == SECRET for r in known.references):
            known.key = await copies.digest_key(
                self._kube, target.namespace, policy.name, policy.uid, deadline=deadline
            )
        release = entry.memory.release
        fresh = (release is not None and release.phase is Phase.ROLLING_BACK) or pending_rollback(entry.memory)
        seen = tuple([self._version(target.namespace, r) for r in known.references])
        if another or fresh or known.versions is None or seen != known.versions:
            await self._read_objects(known, target, deadline)
        found = tuple(one for reflector in self._reflectors.values() for one in reflector.by(_POLICY, entry.uid))
        if found != known.copies:
            known.copies, kept = found, self._kept(target.namespace, found)
            assert known.current is not None
            known.current = replace(known.current, kept=kept)
        return True

    async def _read_template(self, uid: str, known: _Known, target: TargetState, deadline: Deadline) -> bool:
        """Read the references of the target's template. Returns False if the cached target is outdated."""
        path = WORKLOADS[target.kind].item(target.namespace, target.name)
        async with self._slots:
            try:
                live = await self._kube.get(path, deadline=deadline)
            except NotFound:
                return False
        template = live["spec"]["template"]
        if live["metadata"]["uid"] != target.uid or template_digest(template) != target.template:
            return False
        known.template = target.template
        self._refer(uid, known, references_of(template, secrets=known.secrets))
        return True

    async def _read_objects(self, known: _Known, target: TargetState, deadline: Deadline) -> None:
        """Read all objects. A change is used at once: a breach that it causes must not look older than the change."""
        async with self._slots:
            keys = [r.key for r in known.references]
            contents = await copies.read_all(self._kube, target.namespace, keys, deadline=deadline)
        digests = object_digests(contents, known.key)
        digest = content_digest(digests)
        known.versions = tuple([obj["metadata"]["resourceVersion"] if obj else None for obj in contents.values()])
        size = len(copies.encode(contents))
        owners = {key: delivered_by(obj["metadata"]) for key, obj in contents.items() if obj}
        found = Configuration(
            digest,
            digests,
            complete=all(r.optional or digests[r.key] for r in known.references),
            at_start=frozenset(r.key for r in known.references if r.at_start) or _NO_KEYS,
            too_large=size if size > MIB else 0,
            delivered={key: str(owner) for key, owner in owners.items() if owner is not None} or _NOT_DELIVERED,
            kept=known.current.kept if known.current is not None else {},
        )
        if found != known.current:
            known.current = found

    def _project(self, known: _Known, target: TargetState, policy: Policy, memory: Memory) -> TargetState:
        """Return the target by pairs of template and content: the same object while nothing has changed."""
        configuration = known.current
        assert configuration is not None
        if policy.mode is Mode.DRY_RUN:
            configuration = replace(configuration, kept=_presumed(memory))
        before, projected = known.memory, known.projected
        if (
            projected is None
            or before is None
            or known.raw is not target
            or projected.configuration != configuration
            or (memory is not before and _names_in(memory) != _names_in(before))
        ):
            known.raw, known.projected = target, with_configuration(target, configuration, memory)
        known.memory = memory
        assert known.projected is not None
        return known.projected

    def _refer(self, uid: str, known: _Known, references: tuple[Reference, ...]) -> None:
        namespace = known.target[1]
        for before in known.references:
            place = (before.kind, namespace, before.name)
            if others := tuple(one for one in self._readers.get(place, ()) if one != uid):
                self._readers[place] = others
            else:
                self._readers.pop(place, None)
        for reference in references:
            place = (reference.kind, namespace, reference.name)
            self._readers[place] = (*self._readers.get(place, ()), uid)
        known.references = references

    def _changed(self, kind: str, old: ConfigurationObject | None, new: ConfigurationObject | None) -> None:
        one = new or old
        assert one is not None
        readers = self._readers.get((kind, one.namespace, one.name), ())
        for uid in (*readers, *((one.policy,) if one.policy else ())):
            if (known := self._known.get(uid)) is not None:
                self._on_change(known.target)

    def _version(self, namespace: str, reference: Reference) -> str | None:
        found = self._reflectors[reference.kind].get(namespace, reference.name)
        return found.version if found is not None else None

    def _kept(self, namespace: str, found: Sequence[ConfigurationObject]) -> dict[str, str]:
        """Return the contents with a complete copy: a ConfigMap, and a Secret if Secrets are among the objects."""
        kept: dict[str, str] = {}
        secret = self._reflectors.get(SECRET)
        for copy in found:
            content = kept_content(copy)
            if content is None or self._reflectors[CONFIG_MAP].get(namespace, copy.name) is not copy:
                continue
            has_secrets = any(is_secret(key) for key in json.loads(copy.objects))
            if not has_secrets or (secret is not None and secret.get(namespace, copy.name) is not None):
                kept[content] = copy.objects
        return kept

    async def _stop(self) -> None:
        tasks, self.tasks, self._reflectors = self.tasks, (), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _names_in(memory: Memory) -> tuple[object, ...]:
    """Return what the names of revisions depend on in the memory."""
    release = memory.release
    names: tuple[object, ...] = ()
    if release is not None:
        names = release.revision, release.good, release.rolled_from, release.served, release.unproven, release.charged
    return names, memory.quarantined, memory.unfinished, memory.intent


def _with_secrets(policy: Policy) -> bool:
    """Return whether Secrets are included. Not in a dry run, since their digests need a key that is stored."""
    included = policy.release.configuration
    return included is not None and included.secrets and policy.mode is not Mode.DRY_RUN


def _presumed(memory: Memory) -> Mapping[str, str]:
    """Return the contents that would be kept if the policy were not in dry run."""
    release = memory.release
    names = [*(s.revision for s in release.served), release.good or ""] if release is not None else []
    return {content: "{}" for name in names if (content := name.partition("+")[2]) and content != NOTHING}


def _forbidden(error: CallError) -> str:
    return (
        f"configuration is not included, and a rollback restores the template only: {error.message}. Grant the "
        "operator the ClusterRole resilience-operator-configuration (manifests/components/configuration, or "
        "rbac.configuration in the chart). With secrets: true, grant resilience-operator-secrets as well "
        "(manifests/components/secrets, or rbac.secrets)"
    )
