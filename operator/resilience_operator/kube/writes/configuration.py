"""Keeps what a revision reads as an immutable copy, and restores it.

A copy is one ConfigMap with all objects of a revision, and a Secret of the same name if there are Secrets among them.
Its name ends in the digest of its content. So the same content is kept once, and a copy that was replaced is
recognised. It is owned by the policy. All functions raise Conflict (decide again), NotFound and the other `CallError`s.
Each is safe to repeat after a crash at any call.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from resilience_operator.api.v1alpha1 import API_VERSION, KIND
from resilience_operator.decision.configuration.content import content_digest, is_secret, object_digests
from resilience_operator.decision.configuration.references import references_of
from resilience_operator.decision.configuration.revisions import objects_in
from resilience_operator.decision.configuration.rollback import UNKNOWN
from resilience_operator.decision.model.commands import Command
from resilience_operator.decision.model.target import MANAGER, DeliveredBy, TargetState
from resilience_operator.kube.cache.configuration import CONTENT_KEY, OBJECTS, POLICY_LABEL
from resilience_operator.kube.cache.workloads import epoch, number, template_digest
from resilience_operator.kube.client.client import KubeClient, KubeObject, PatchKind
from resilience_operator.kube.client.errors import DEPENDENCY
from resilience_operator.kube.client.paths import (
    CONFIG_MAPS,
    SECRETS,
    WORKLOADS,
    Resource,
)
from resilience_operator.kube.writes import gitops_hold, last_applied
from resilience_operator.kube.writes.configuration_delivery import (
    RESOURCES,
    RESTORED_BY,
    hand_back_data,
    held_by,
)
from resilience_operator.kube.writes.field_ownership import is_applied
from resilience_operator.kube.writes.json_patch import TRIES, Ops, annotation_path, set_op
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.resilience import AlreadyExists, CallError, Conflict, Deadline, GiveUp, NotFound

DEFAULT_HISTORY = 10
"""Copies kept of a workload that has no `revisionHistoryLimit`."""

MOST_NAME = 180
"""Characters of the policy's name in the name of a copy."""

DIGEST_KEY, KEY_BYTES = "key", 32
"""The field of the Secret that keys the digests of Secrets, and the length of its value."""

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
    references = references_of(live["spec"]["template"], secrets=command.arguments.get("secrets") is True)
    contents = await read_all(kube, target.namespace, (r.key for r in references), deadline=deadline)
    digests = object_digests(contents, await _key(kube, target.namespace, command, contents, deadline))
    content = str(command.arguments["content"])
    if content_digest(digests) != content:
        raise _conflict(target, "reads another configuration than the decision saw")
    name = copy_name(command)
    change: Change | None = None
    secret, plain = _parts(contents)
    if secret:
        await _make(kube, SECRETS, target.namespace, _copy(SECRETS, name, command, digests, secret), deadline)
    # Last, since it is what makes the content known.
    made = await _make(kube, CONFIG_MAPS, target.namespace, _copy(CONFIG_MAPS, name, command, digests, plain), deadline)
    if made is not None:
        change = Change(
            "keep", CONFIG_MAPS.kind, target.namespace, name, None, content, made["metadata"]["resourceVersion"]
        )
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
        contents = await read_all(kube, target.namespace, after, deadline=deadline)
        digests = object_digests(contents, await _key(kube, target.namespace, command, after, deadline))
        for key, digest in after.items():
            if digests[key] != digest:
                raise _conflict(target, f"reads {key}, which somebody changed")
        return
    secret_key = await _key(kube, target.namespace, command, after, deadline)
    kept = await _kept(kube, target, command, secret_key, deadline)
    policy, held, checked = str(command.arguments["policy"]), held_by(command), False
    for key, digest in sorted(after.items()):
        for attempt in range(TRIES):
            live = await _read(kube, target.namespace, key, deadline)
            found = object_digests({key: live}, secret_key)[key]
            if found == digest:
                await hand_back_data(kube, target.namespace, key, live, deadline)  # after an attempt before
                break
            if live is not None and key in before and found != before[key]:
                raise _conflict(target, f"reads {key}, which somebody changed")
            if not checked:
                _check_template(await _workload(kube, target, deadline), target)
                checked = True
            try:
                hold = target.delivered_by if key in held else None
                await _write(kube, target.namespace, key, live, kept[key], policy=policy, hold=hold, deadline=deadline)
            except (Conflict, AlreadyExists):
                await kube.retry.pause(attempt, deadline)
        else:
            raise _conflict(target, f"reads {key}, which changed {TRIES} times while it was being restored")


def copy_name(command: Command) -> str:
    """Return the name of the copy of a command's content."""
    policy, uid = str(command.arguments["policy"]), str(command.arguments["uid"])
    return f"{_prefix(policy, uid)}-{command.arguments['content']}"


async def digest_key(kube: KubeClient, namespace: str, policy: str, uid: str, *, deadline: Deadline) -> bytes:
    """Return the key of a policy's digests of Secrets, from a Secret that the policy owns. Creates it if necessary.

    A plain digest of a short password could be guessed by whoever reads the policy's status.
    """
    name = f"{_prefix(policy, uid)}-key"
    path = SECRETS.item(namespace, name)
    try:
        found = await kube.get(path, deadline=deadline)
    except NotFound:
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        body = {
            "apiVersion": "v1",
            "kind": SECRETS.kind,
            "metadata": {"name": name, **_owned_by(policy, uid)},
            "immutable": True,
            "data": {DIGEST_KEY: key},
        }
        try:
            found = await kube.create(SECRETS.collection(namespace), body, deadline=deadline)
        except AlreadyExists:  # by another replica
            found = await kube.get(path, deadline=deadline)
    value = base64.b64decode((found.get("data") or {}).get(DIGEST_KEY) or "")
    if len(value) < KEY_BYTES:
        raise GiveUp(
            f"Secret {name} has no key of {KEY_BYTES} bytes: delete it", dependency=DEPENDENCY, reason="no_digest_key"
        )
    return value[:KEY_BYTES]


async def _key(kube: KubeClient, namespace: str, command: Command, keys: Iterable[str], deadline: Deadline) -> bytes:
    """Return the key of the digests, if there are Secrets among the objects."""
    if not any(is_secret(key) for key in keys):
        return b""
    policy, uid = str(command.arguments["policy"]), str(command.arguments["uid"])
    return await digest_key(kube, namespace, policy, uid, deadline=deadline)


async def _kept(
    kube: KubeClient, target: TargetState, command: Command, secret_key: bytes, deadline: Deadline
) -> Contents:
    """Read a copy, and verify that it has the content in its name."""
    name, after = copy_name(command), objects_in(command, "to")
    found = await _objects_of(kube, CONFIG_MAPS, target.namespace, name, deadline)
    if any(is_secret(key) for key in after):
        found |= await _objects_of(kube, SECRETS, target.namespace, name, deadline)
    digests = object_digests(found, secret_key)
    if content_digest(digests) == command.arguments["content"] and digests == after:
        return found
    raise GiveUp(
        f"{UNKNOWN}: {name}, the copy of what revision {command.to} read, is gone or was changed. Nothing is restored",
        dependency=DEPENDENCY,
        reason="configuration_unknown",
    )


async def _objects_of(
    kube: KubeClient, resource: Resource, namespace: str, name: str, deadline: Deadline
) -> dict[str, KubeObject | None]:
    """Read the objects in a copy; empty if it is gone or malformed."""
    try:
        copy = await kube.get(resource.item(namespace, name), deadline=deadline)
        text: str | bytes = (copy.get("data") or {}).get(CONTENT_KEY) or ""
        found = orjson.loads(base64.b64decode(text) if resource is SECRETS else text)
    except (NotFound, ValueError):
        return {}
    if not isinstance(found, dict) or not all(obj is None or isinstance(obj, dict) for obj in found.values()):
        return {}
    return found


async def _write(
    kube: KubeClient,
    namespace: str,
    key: str,
    live: KubeObject | None,
    wanted: KubeObject | None,
    *,
    policy: str,
    hold: DeliveredBy | None,
    deadline: Deadline,
) -> None:
    """Make one object what it was. An immutable one is deleted and created again.

    hold: what applies the object from git, and is to leave it as it is.
    """
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
            "metadata": {"name": name, "annotations": {RESTORED_BY: policy, **gitops_hold.hold_annotations(hold)}},
            **wanted,
        }
        written = await kube.create(resource.collection(namespace), body, deadline=deadline)
        await hand_back_data(kube, namespace, key, written, deadline)
        return
    # With the version, since the data is replaced as a whole.
    ops: Ops = [set_op("/metadata/resourceVersion", live["metadata"]["resourceVersion"])]
    ops += [set_op(f"/{field}", wanted.get(field) or {}) for field in ("data", "binaryData") if field in wanted]
    ops += [{"op": "remove", "path": f"/{f}"} for f in ("data", "binaryData") if f in live and f not in wanted]
    if hold is not None:
        ops += gitops_hold.hold_ops(live["metadata"], hold)
    annotations = live["metadata"].get("annotations") or {}
    if (manifest := last_applied.with_data(annotations, wanted)) is not None:
        ops.append(set_op(annotation_path(last_applied.LAST_APPLIED), manifest))
    written = await kube.patch(resource.item(namespace, name), ops, kind=PatchKind.JSON, deadline=deadline)
    before = live["metadata"].get("managedFields")
    if is_applied(before):
        await hand_back_data(kube, namespace, key, written, deadline, before=before)


async def _make(
    kube: KubeClient, resource: Resource, namespace: str, body: KubeObject, deadline: Deadline
) -> KubeObject | None:
    """Create a copy. One that somebody has edited is replaced. Returns None if it was made by an attempt before."""
    path, collection = resource.item(namespace, body["metadata"]["name"]), resource.collection(namespace)
    try:
        return await kube.create(collection, body, deadline=deadline)
    except AlreadyExists:
        found = await kube.get(path, deadline=deadline)
    meta, wanted = found["metadata"], body["metadata"]
    intact = found.get("data") == body["data"] and all(
        wanted[field].items() <= (meta.get(field) or {}).items() for field in ("labels", "annotations")
    )
    if intact:
        return None
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
    with suppress(NotFound):
        await kube.delete(path, deadline=deadline, body=options)
    return await kube.create(collection, body, deadline=deadline)


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
        if any(is_secret(key) for key in (meta.get("annotations") or {}).get(OBJECTS, "").split('"')):
            with suppress(NotFound):
                await kube.delete(SECRETS.item(namespace, meta["name"]), deadline=deadline)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
        with suppress(NotFound, Conflict):
            await kube.delete(CONFIG_MAPS.item(namespace, meta["name"]), deadline=deadline, body=options)


def _copy(
    resource: Resource, name: str, command: Command, digests: Mapping[str, str], contents: Contents
) -> KubeObject:
    text = encode(contents)
    owned = _owned_by(str(command.arguments["policy"]), str(command.arguments["uid"]))
    objects = orjson.dumps(digests, option=orjson.OPT_SORT_KEYS).decode()
    return {
        "apiVersion": "v1",
        "kind": resource.kind,
        "metadata": {"name": name, "annotations": {OBJECTS: objects}, **owned},
        "immutable": True,
        "data": {CONTENT_KEY: base64.b64encode(text).decode() if resource is SECRETS else text.decode()},
    }


def _owned_by(policy: str, uid: str) -> KubeObject:
    """Metadata of an object that is deleted with its policy."""
    return {
        "labels": {"app.kubernetes.io/managed-by": MANAGER, POLICY_LABEL: uid},
        "ownerReferences": [{"apiVersion": API_VERSION, "kind": KIND, "name": policy, "uid": uid}],
    }


def _parts(contents: Contents) -> tuple[Contents, Contents]:
    """Return the Secrets, and the other objects."""
    secret = {key: obj for key, obj in contents.items() if is_secret(key)}
    return secret, {key: obj for key, obj in contents.items() if key not in secret}


def _prefix(policy: str, uid: str) -> str:
    return f"{policy[:MOST_NAME].rstrip('.-')}-{uid[:8]}"


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
