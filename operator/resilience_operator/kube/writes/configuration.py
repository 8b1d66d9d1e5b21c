"""Keeps what a revision reads as an immutable copy, and restores it.

A copy is one ConfigMap with all objects of a revision. Its name ends in the digest of its content, so the same content
is kept once, and a copy that was replaced is recognised. It is owned by the policy. All functions raise Conflict
(decide again), NotFound and the other `CallError`s. Each is safe to repeat after a crash at any call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.decision.configuration.content import content_digest, object_digest
from resilience_operator.decision.configuration.references import CONFIG_MAP, SECRET, references_of
from resilience_operator.decision.configuration.revisions import objects_in
from resilience_operator.decision.configuration.rollback import UNKNOWN
from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.kube.cache.configuration import CONTENT_KEY, OBJECTS, POLICY_LABEL
from resilience_operator.kube.cache.workloads import epoch, number, template_digest
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    SECRETS,
    STATEFUL_SETS,
    Resource,
)
from resilience_operator.kube.writes.json_patch import Ops, set_op
from resilience_operator.kube.writes.mutations import TRIES, Change
from resilience_operator.resilience import AlreadyExists, CallError, Conflict, Deadline, GiveUp, NotFound

RESOURCES: Mapping[str, Resource] = {CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}
WORKLOADS: Mapping[str, Resource] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}

DEFAULT_HISTORY = 10
"""Copies kept of a workload that has no `revisionHistoryLimit`."""

MOST_NAME = 180
"""Characters of the policy's name in the name of a copy."""

RESTORED_BY = "resilience-operator.io/restored-by"
"""The annotation of an object that a rollback created again: the policy's name."""

Contents = Mapping[str, KubeObject | None]
"""Objects by `Reference.key`; None for one that does not exist."""


async def read_all(kube: KubeClient, namespace: str, keys: Iterable[str], *, deadline: Deadline) -> Contents:
    """Read objects by key."""
    names = list(keys)
    found = await asyncio.gather(*(_read(kube, namespace, key, deadline) for key in names))
    return dict(zip(names, found, strict=True))


def encode(contents: Contents) -> bytes:
    """Return the data of a copy: what the objects contain, without their metadata."""
    return orjson.dumps({key: _data_of(obj) for key, obj in contents.items()}, option=orjson.OPT_SORT_KEYS)


async def keep(kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline) -> Change | None:
    """Make the copy of what the target reads now, and delete the oldest ones over `revisionHistoryLimit`.

    Raises Conflict if the target or the content is not that of the decision any more.
    """
    live = await _workload(kube, target, deadline)
    _check_template(live, target)
    references = references_of(live["spec"]["template"])
    contents = await read_all(kube, target.namespace, (r.key for r in references), deadline=deadline)
    digests = {key: object_digest(obj) for key, obj in contents.items()}
    content = str(command.arguments["content"])
    if content_digest(digests) != content:
        raise _conflict(target, "reads another configuration than the decision saw")
    name = copy_name(command)
    change: Change | None = None
    try:
        made = await kube.create(
            CONFIG_MAPS.collection(target.namespace), _copy(name, command, digests, contents), deadline=deadline
        )
        change = Change(
            "keep", CONFIG_MAPS.kind, target.namespace, name, None, content, made["metadata"]["resourceVersion"]
        )
    except AlreadyExists:
        pass  # of an attempt before
    most = number(live["spec"].get("revisionHistoryLimit", DEFAULT_HISTORY))
    await _prune(kube, target.namespace, command, most=max(1, most), deadline=deadline)
    return change


async def restore(kube: KubeClient, target: TargetState, command: Command, *, deadline: Deadline) -> None:
    """Make every object what it was when the goal of the rollback `command` was judged.

    Raises Conflict if somebody has changed the template or an object since the decision, and GiveUp with the reason
    `configuration_unknown` if the copy is gone or is not what its name says.
    """
    before, after = objects_in(command, "from"), objects_in(command, "to")
    if all(before.get(key) == digest for key, digest in after.items()):
        await _check_unchanged(kube, target, after, deadline)
        return
    kept = await _kept(kube, target, command, deadline)
    policy, checked = str(command.arguments["policy"]), False
    for key, digest in sorted(after.items()):
        for attempt in range(TRIES):
            live = await _read(kube, target.namespace, key, deadline)
            found = object_digest(live)
            if found == digest:
                break
            if live is not None and key in before and found != before[key]:
                raise _conflict(target, f"reads {key}, which somebody changed")
            if not checked:
                _check_template(await _workload(kube, target, deadline), target)
                checked = True
            try:
                await _write(kube, target.namespace, key, live, kept[key], policy=policy, deadline=deadline)
            except (Conflict, AlreadyExists):
                await kube.retry.pause(attempt, deadline)
        else:
            raise _conflict(target, f"reads {key}, which changed {TRIES} times while it was being restored")


def copy_name(command: Command) -> str:
    """Return the name of the copy of a command's content."""
    policy, uid = str(command.arguments["policy"]), str(command.arguments["uid"])
    return f"{policy[:MOST_NAME].rstrip('.-')}-{uid[:8]}-{command.arguments['content']}"


async def _check_unchanged(kube: KubeClient, target: TargetState, after: Mapping[str, str], deadline: Deadline) -> None:
    """Raise Conflict unless the objects still are what the decision saw: nothing has to be restored."""
    contents = await read_all(kube, target.namespace, after, deadline=deadline)
    for key, obj in contents.items():
        if object_digest(obj) != after[key]:
            raise _conflict(target, f"reads {key}, which somebody changed")


async def _kept(kube: KubeClient, target: TargetState, command: Command, deadline: Deadline) -> Contents:
    """Read a copy, and verify that it has the content in its name."""
    name = copy_name(command)
    try:
        copy = await kube.get(CONFIG_MAPS.item(target.namespace, name), deadline=deadline)
        found = orjson.loads((copy.get("data") or {}).get(CONTENT_KEY) or "null")
    except (NotFound, orjson.JSONDecodeError):
        found = None
    if isinstance(found, dict) and all(obj is None or isinstance(obj, dict) for obj in found.values()):
        digests = {key: object_digest(obj) for key, obj in found.items()}
        if content_digest(digests) == command.arguments["content"] and digests == objects_in(command, "to"):
            return found
    raise GiveUp(
        f"{UNKNOWN}: ConfigMap {name}, the copy of what revision {command.to} read, is gone or was changed, so nothing "
        "is restored",
        dependency=DEPENDENCY,
        reason="configuration_unknown",
    )


async def _write(
    kube: KubeClient,
    namespace: str,
    key: str,
    live: KubeObject | None,
    wanted: KubeObject | None,
    *,
    policy: str,
    deadline: Deadline,
) -> None:
    """Make one object what it was. An immutable one is deleted and created again."""
    kind, _, name = key.partition("/")
    resource = RESOURCES[kind]
    if live is not None and (wanted is None or live.get("immutable")):
        meta = live["metadata"]
        preconditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        with suppress(NotFound):
            await kube.delete(resource.item(namespace, name), deadline=deadline, body=options)
        live = None
    if wanted is None:
        return
    if live is None:
        body = {
            "apiVersion": resource.api_version,
            "kind": kind,
            "metadata": {"name": name, "annotations": {RESTORED_BY: policy}},
            **wanted,
        }
        await kube.create(resource.collection(namespace), body, deadline=deadline)
        return
    # With the version, since the data is replaced as a whole.
    ops: Ops = [set_op("/metadata/resourceVersion", live["metadata"]["resourceVersion"])]
    ops += [set_op(f"/{field}", wanted.get(field) or {}) for field in ("data", "binaryData") if field in wanted]
    ops += [{"op": "remove", "path": f"/{f}"} for f in ("data", "binaryData") if f in live and f not in wanted]
    await kube.patch(resource.item(namespace, name), ops, kind=PatchKind.JSON, deadline=deadline)


async def _prune(kube: KubeClient, namespace: str, command: Command, *, most: int, deadline: Deadline) -> None:
    """Delete the copies over the limit: first those that no rollback can restore, then the oldest."""
    needed: Any = command.arguments.get("needed")
    selector = {"labelSelector": f"{POLICY_LABEL}={command.arguments['uid']}"}
    listing = await kube.metadata_only().list(CONFIG_MAPS.collection(namespace), deadline=deadline, params=selector)
    order = {content: place for place, content in enumerate(needed if isinstance(needed, list | tuple) else ())}

    def value(copy: KubeObject) -> tuple[int, float]:
        meta = copy["metadata"]
        return order.get(meta["name"].rpartition("-")[2], -1), epoch(meta.get("creationTimestamp"))

    for copy in sorted(listing.items, key=value, reverse=True)[most:]:
        meta = copy["metadata"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
        with suppress(NotFound, Conflict):
            await kube.delete(CONFIG_MAPS.item(namespace, meta["name"]), deadline=deadline, body=options)


def _copy(name: str, command: Command, digests: Mapping[str, str], contents: Contents) -> KubeObject:
    arguments = command.arguments
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": arguments["policy"], "uid": arguments["uid"]}
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": MANAGER, POLICY_LABEL: arguments["uid"]},
            "annotations": {OBJECTS: orjson.dumps(digests, option=orjson.OPT_SORT_KEYS).decode()},
            "ownerReferences": [owner],
        },
        "immutable": True,
        "data": {CONTENT_KEY: encode(contents).decode()},
    }


def _data_of(obj: KubeObject | None) -> KubeObject | None:
    """What an object contains, and whether it is immutable."""
    if obj is None:
        return None
    return {field: obj[field] for field in ("data", "binaryData", "immutable", "type") if obj.get(field)}


async def _read(kube: KubeClient, namespace: str, key: str, deadline: Deadline) -> KubeObject | None:
    kind, _, name = key.partition("/")
    try:
        return await kube.get(RESOURCES[kind].item(namespace, name), deadline=deadline)
    except NotFound:
        return None


async def _workload(kube: KubeClient, target: TargetState, deadline: Deadline) -> KubeObject:
    return await kube.get(WORKLOADS[target.kind].item(target.namespace, target.name), deadline=deadline)


def _check_template(live: KubeObject, target: TargetState) -> None:
    if live["metadata"]["uid"] != target.uid or template_digest(live["spec"]["template"]) != target.template:
        raise _conflict(target, "was changed")


def _conflict(target: TargetState, what: str) -> CallError:
    return Conflict(f"{target.kind} {target.namespace}/{target.name} {what}", dependency=DEPENDENCY, reason="moved")
