"""A target that cannot be read is not taken for one that is gone, nor for what it was before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.cache.targets import TargetCache
from tests.unit.kube.server import serving
from tests.unit.kube.test_decoding import nested

Obj = dict[str, Any]


def metadata(name: str, version: int, namespace: str = "shop") -> Obj:
    return {
        "namespace": namespace,
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
    }


def deployment(name: str, version: int = 1) -> Obj:
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {"spec": {}}}
    return {"metadata": metadata(name, version), "spec": spec}


def autoscaler(name: str, target: str, version: int = 1, namespace: str = "shop") -> Obj:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    return {
        "metadata": metadata(name, version, namespace),
        "spec": {"scaleTargetRef": ref, "minReplicas": 1, "maxReplicas": 3},
    }


def poisoned(obj: Obj) -> str:
    """As the API server would send it, with a field of its spec nested too deep."""
    return json.dumps({**obj, "spec": {**obj["spec"], "deep": 0}}).replace(
        '"deep": 0', f'"deep": {nested(2_000).decode()}'
    )


class Api:
    """The kinds that targets consist of. events: what each watch tells, by plural, as it is put there."""

    def __init__(self, **items: list[str]) -> None:
        self.items = items
        self.events: dict[str, asyncio.Queue[str]] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        if "watch" not in request.query:
            items = ",".join(self.items.get(plural, ()))
            return web.Response(text=f'{{"metadata":{{"resourceVersion":"1"}},"items":[{items}]}}')
        response = web.StreamResponse()
        await response.prepare(request)
        events = self.events.setdefault(plural, asyncio.Queue())
        while True:
            kind, _, obj = (await events.get()).partition(" ")
            await response.write(f'{{"type":"{kind}","object":{obj}}}\n'.encode())

    def tell(self, plural: str, kind: str, obj: str) -> None:
        self.events.setdefault(plural, asyncio.Queue()).put_nowait(f"{kind} {obj}")


@asynccontextmanager
async def watching(tmp_path: Path, api: Api) -> AsyncIterator[tuple[TargetCache, list[TargetKey]]]:
    changed: list[TargetKey] = []
    async with serving(tmp_path, api) as (_, kube):
        targets = TargetCache(kube, (), changed.append)
        async with targets.watching():
            await targets.synced()
            yield targets, changed


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def key(name: str, namespace: str = "shop") -> TargetKey:
    return "Deployment", namespace, name


REASON = "spec.deep is nested more than 100 levels deep"


async def test_a_target_that_becomes_unreadable(tmp_path: Path) -> None:
    api = Api(deployments=[json.dumps(deployment("web")), json.dumps(deployment("other")), poisoned(deployment("bad"))])
    async with watching(tmp_path, api) as (targets, changed):
        assert targets.get(key("web")) is not None
        assert targets.get(key("bad")) is None
        assert targets.unreadable(key("bad")) == f"Deployment bad cannot be read: {REASON}"
        assert targets.unreadable(key("nobody")) == ""
        assert key("bad") in changed, "its policy shows it without delay"
        changed.clear()
        api.tell("deployments", "MODIFIED", poisoned(deployment("web", 7)))
        await until(lambda: key("web") in changed)
        assert targets.get(key("web")) is None, "what it was before no longer counts"
        assert targets.unreadable(key("web")) == f"Deployment web cannot be read: {REASON}"
        assert targets.get(key("other")) is not None
        changed.clear()
        api.tell("deployments", "MODIFIED", json.dumps(deployment("web", 8)))
        await until(lambda: key("web") in changed)
        found = targets.get(key("web"))
        assert found is not None
        assert found.resource_version == "8"
        assert targets.unreadable(key("web")) == ""
        api.tell("deployments", "DELETED", poisoned(deployment("bad", 9)))
        await until(lambda: targets.unreadable(key("bad")) == "")


async def test_an_autoscaler_that_cannot_be_read_may_scale_any_target_of_its_namespace(tmp_path: Path) -> None:
    """So none is acted on but those that have another, and those elsewhere: two must not write the same replicas."""
    elsewhere = {**deployment("web"), "metadata": metadata("web", 1, "elsewhere")}
    api = Api(
        deployments=[json.dumps(deployment("web")), json.dumps(deployment("scaled")), json.dumps(elsewhere)],
        horizontalpodautoscalers=[
            json.dumps(autoscaler("fine", "scaled")),
            poisoned(autoscaler("bad", "web")),
        ],
    )
    async with watching(tmp_path, api) as (targets, _):
        assert targets.get(key("web")) is None
        assert targets.unreadable(key("web")) == (
            f"HorizontalPodAutoscaler bad, which may scale Deployment web, cannot be read: {REASON}"
        )
        scaled = targets.get(key("scaled"))
        assert scaled is not None
        assert scaled.hpa is not None
        assert targets.get(key("web", "elsewhere")) is not None
        api.tell("horizontalpodautoscalers", "MODIFIED", json.dumps(autoscaler("bad", "web", 7)))
        await until(lambda: targets.get(key("web")) is not None)
        mended = targets.get(key("web"))
        assert mended is not None
        assert mended.hpa is not None
        assert mended.hpa.name == "bad"


async def test_revisions_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    revision = {
        "metadata": {
            **metadata("web-1", 1),
            "labels": {"app": "web", "pod-template-hash": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "controller": True, "uid": "uid-web"}],
            "creationTimestamp": "not a moment",
            "annotations": {"deployment.kubernetes.io/revision": "9" * 5_000},
        },
        "spec": {"template": {"spec": {}}},
    }
    bad = {**revision, "metadata": {**revision["metadata"], "name": "web-2"}}
    api = Api(deployments=[json.dumps(deployment("web"))], replicasets=[json.dumps(revision), poisoned(bad)])
    async with watching(tmp_path, api) as (targets, _):
        found = targets.get(key("web"))
        assert found is not None
        assert [(r.owner, r.number, r.created) for r in found.revisions] == [("web-1", 0, 0.0)]
