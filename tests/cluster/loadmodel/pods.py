"""Lists and watches pods, ReplicaSets and Deployments, and tells the engine.

The watch outlives everything the API server does: an expired resourceVersion (410) leads to a new list, a
lost connection or a restarted server to a new try after a short, growing pause. Meanwhile the last known
state stands. Protocol:
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from kubernetes.aio import client, config

from resilience_operator.kube.client.decoding import Unreadable, decode_event, decode_list

from . import objects
from .engine import Engine
from .objects import Json, Key

log = logging.getLogger(__name__)

WATCH_SECONDS = 240
"""The API server is asked to end each watch after this long; the next goes on from the same
resourceVersion."""

_LIST_TIMEOUT = 30
_PAUSES = (0.2, 0.5, 1.0, 2.0)

Call = Callable[..., Awaitable[aiohttp.ClientResponse]]


class ExpiredError(Exception):
    """The resourceVersion is too old to watch from: list again."""


class UnavailableError(Exception):
    """The API server answered with an error that may pass: try again."""


@dataclass
class Kind:
    """One kind of object: how to get it, and what to do with it."""

    name: str
    call: Call
    replace: Callable[[list[Json]], None]
    put: Callable[[Json], None]
    delete: Callable[[Json], None]
    listed: asyncio.Event = field(default_factory=asyncio.Event)


class Watcher:
    """Keeps an engine's objects as they are in the cluster."""

    def __init__(self, engine: Engine, kubeconfig: str | None, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._kubeconfig = kubeconfig
        self._clock = clock
        self._kinds: list[Kind] = []

    @property
    def ready(self) -> bool:
        """Whether the first list of every kind is in."""
        return bool(self._kinds) and all(kind.listed.is_set() for kind in self._kinds)

    async def run(self) -> None:
        """Watch until cancelled."""
        settings = client.Configuration()
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the client leaves it untyped
            config_file=self._kubeconfig, client_configuration=settings, persist_config=False
        )
        async with client.ApiClient(settings) as api:
            core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
            self._kinds = [
                self._replica_sets(apps.list_replica_set_for_all_namespaces_without_preload_content),
                self._deployments(apps.list_deployment_for_all_namespaces_without_preload_content),
                self._pods(core.list_pod_for_all_namespaces_without_preload_content),
            ]
            async with asyncio.TaskGroup() as group:
                for kind in self._kinds:
                    group.create_task(_follow(kind))

    def _pods(self, call: Call) -> Kind:
        engine, clock = self._engine, self._clock
        return Kind(
            "pods",
            call,
            lambda items: engine.replace_pods(map(objects.pod, items), clock()),
            lambda item: engine.put_pod(objects.pod(item), clock()),
            lambda item: engine.remove_pod(item["metadata"]["uid"], clock()),
        )

    def _replica_sets(self, call: Call) -> Kind:
        def put(item: Json) -> None:
            self._engine.replica_sets[_key(item)] = objects.replica_set(item)

        def replace(items: list[Json]) -> None:
            self._engine.replica_sets = {_key(item): objects.replica_set(item) for item in items}

        return Kind("replicasets", call, replace, put, lambda i: _drop(self._engine.replica_sets, i))

    def _deployments(self, call: Call) -> Kind:
        def put(item: Json) -> None:
            self._engine.deployments[_key(item)] = objects.deployment(item)

        def replace(items: list[Json]) -> None:
            self._engine.deployments = {_key(item): objects.deployment(item) for item in items}

        return Kind("deployments", call, replace, put, lambda i: _drop(self._engine.deployments, i))


def _key(item: Json) -> Key:
    return Key(item["metadata"]["namespace"], item["metadata"]["name"])


def _drop(of: dict[Key, Any], item: Json) -> None:
    of.pop(_key(item), None)


async def _follow(kind: Kind) -> None:
    failures = 0
    version = ""
    while True:
        try:
            if not version:
                version = await _list(kind)
                kind.listed.set()
            async for seen in _watch(kind, version):
                version, failures = seen, 0
        except ExpiredError:
            log.info("%s: the watch expired, listing again", kind.name)
            version = ""
        except (UnavailableError, aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures += 1
            log.warning("%s: %s: %s; again in %s s", kind.name, type(error).__name__, error, pause)
            await asyncio.sleep(pause)


async def _list(kind: Kind) -> str:
    """Replace everything; the resourceVersion to watch from."""
    response = await kind.call(_request_timeout=_LIST_TIMEOUT)
    async with response:
        body = await response.read()
        if response.status != 200:
            raise UnavailableError(f"list answered {response.status}: {body[:200]!r}")
    listed = _decoded(body)
    kind.replace(listed["items"])
    return str(listed["metadata"]["resourceVersion"])


async def _watch(kind: Kind, version: str) -> AsyncIterator[str]:
    """Apply events; yields the resourceVersion after each."""
    response = await kind.call(
        watch=True,
        resource_version=version,
        allow_watch_bookmarks=True,
        timeout_seconds=WATCH_SECONDS,
        _request_timeout=WATCH_SECONDS + 30,
    )
    async with response:
        if response.status == 410:
            raise ExpiredError
        if response.status != 200:
            raise UnavailableError(f"watch answered {response.status}")
        async for line in _lines(response):
            event = _decoded(line)
            item = event["object"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    kind.put(item)
                case "DELETED":
                    kind.delete(item)
                case "ERROR":
                    if item.get("code") == 410:
                        raise ExpiredError
                    raise UnavailableError(f"watch: {item.get('message')}")
            yield item["metadata"]["resourceVersion"]


def _decoded(data: bytes) -> Json:
    """A list or an event. A test may create objects that are nested deeper than JSON libraries read."""
    try:
        found: Json = orjson.loads(data)
        return found
    except orjson.JSONDecodeError:
        if data.startswith(b'{"type"'):
            event = decode_event(data)
            if isinstance(event, Unreadable):
                return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": event.resource_version}}}
            return event
        page = decode_list(data)
        return {**page.rest, "items": page.items}


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; aiohttp's own readline gives up on long ones."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
