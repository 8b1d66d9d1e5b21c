"""The control API through its client, and the watch against an API server that misbehaves on purpose. Loopback only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.cluster.loadmodel import objects
from tests.cluster.loadmodel.client import LoadModel, LoadModelError
from tests.cluster.loadmodel.engine import Engine
from tests.cluster.loadmodel.objects import Key
from tests.cluster.loadmodel.pods import Watcher
from tests.cluster.loadmodel.server import Server

IMAGE = "registry.test:5000/shop/checkout:2.0"


async def listen(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


@pytest.fixture
async def model() -> AsyncIterator[LoadModel]:
    engine = Engine()
    engine.put_pod(objects.pod(pod("checkout")), 0.0)
    clock = iter(range(1, 10_000))
    runner, url = await listen(Server(engine, lambda: float(next(clock)), lambda: True).app())
    yield LoadModel(url)
    await runner.cleanup()


async def test_settings_merge_replace_and_reset(model: LoadModel) -> None:
    def drive() -> None:
        model.workload("shop", "checkout", rps=20)
        model.workload("shop", "checkout", error_ratio=0.1, families=["istio"])
        model.image(IMAGE, latency_p99_seconds=1.4, metrics={"cpu": "stale"})
        assert model.control() == {
            "workloads": {"shop/checkout": {"rps": 20, "error_ratio": 0.1, "families": ["istio"]}},
            "images": {IMAGE: {"latency_p99_seconds": 1.4, "metrics": {"cpu": "stale"}}},
        }
        (pod,) = model.pods("shop", "checkout")
        assert (pod["rps"], pod["error_ratio"], pod["latency_p99_seconds"]) == (20, 0.1, 1.4)
        assert pod["latency_p99_as_read_seconds"] == pytest.approx(1.4, rel=1e-3)
        assert "istio_requests_total{" in model.metrics()
        model.workload("shop", "checkout", error_ratio=None)
        model.replace_image(IMAGE, cpu_utilisation=0.5)
        assert model.control() == {
            "workloads": {"shop/checkout": {"rps": 20, "families": ["istio"]}},
            "images": {IMAGE: {"cpu_utilisation": 0.5}},
        }
        model.reset_image(IMAGE)
        model.reset_workload("shop", "checkout")
        assert model.control() == {"workloads": {}, "images": {}}
        model.workload("shop", "checkout", rps=0)
        model.reset()
        assert model.control() == {"workloads": {}, "images": {}}
        assert model.healthy()

    await asyncio.to_thread(drive)


async def test_bad_bodies_are_refused_with_the_field(model: LoadModel) -> None:
    def drive() -> None:
        with pytest.raises(LoadModelError, match=r"400: error_ratio: .*less than or equal to 1"):
            model.workload("shop", "checkout", error_ratio=7)
        with pytest.raises(LoadModelError, match=r"400: rps: Extra inputs[^$]*known fields: base_error_ratio"):
            model.image(IMAGE, rps=7)  # type: ignore[call-arg]
        assert model.control() == {"workloads": {}, "images": {}}

    await asyncio.to_thread(drive)


async def test_unreachable_says_so() -> None:
    with pytest.raises(LoadModelError, match=r"127\.0\.0\.1:1/state"):
        await asyncio.to_thread(LoadModel("http://127.0.0.1:1").pods)


def pod(name: str, **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"uid": f"uid-{name}", "namespace": "shop", "name": name, "annotations": annotations}
        | {"resourceVersion": "5"},
        "spec": {"containers": [{"name": "main", "image": IMAGE}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


class FlakyApi:
    """Plays a script for pods, one step a request: a list, a watch's events, or a status to refuse with."""

    def __init__(self, script: list[dict[str, Any] | list[dict[str, Any]] | int]) -> None:
        self.script = script

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/pods", self.pods)
        app.router.add_get("/apis/apps/v1/{kind}", self.empty)
        return app

    async def empty(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.sleep(60)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async def pods(self, request: web.Request) -> web.StreamResponse:
        if not self.script:
            await asyncio.sleep(60)
        step = self.script.pop(0)
        if isinstance(step, int):
            return web.Response(status=step)
        if isinstance(step, dict):
            assert "watch" not in request.query
            return web.json_response(step)
        assert "watch" in request.query
        response = web.StreamResponse()
        await response.prepare(request)
        for event in step:
            await response.write(json.dumps(event).encode() + b"\n")
        assert request.transport is not None
        request.transport.close()
        return response


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.01)


async def test_the_watch_survives(tmp_path: Path) -> None:
    """Long lines, broken connections, an expired resourceVersion, and a server that is away for a moment."""

    def listing(*names: str) -> dict[str, Any]:
        return {"metadata": {"resourceVersion": "9"}, "items": [pod(name) for name in names]}

    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "metadata": {}}}
    api = FlakyApi(
        [
            503,
            listing("a", "b"),
            [{"type": "ADDED", "object": pod("c", long="x" * 300_000)}],
            [{"type": "DELETED", "object": pod("a")}, {"type": "BOOKMARK", "object": pod("z")}],
            500,
            [expired],
            listing("c", "d"),
            410,
            listing("d", "e"),
        ]
    )
    runner, url = await listen(api.app())
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "flaky",
                "clusters": [{"name": "flaky", "cluster": {"server": url}}],
                "users": [{"name": "flaky", "user": {}}],
                "contexts": [{"name": "flaky", "context": {"cluster": "flaky", "user": "flaky"}}],
            }
        )
    )
    engine = Engine()
    watcher = Watcher(engine, str(kubeconfig), lambda: 0.0)
    assert not watcher.ready
    task = asyncio.create_task(watcher.run())
    try:
        await until(lambda: watcher.ready)
        await until(lambda: not api.script)
        await until(lambda: {p.pod.name for p in engine.pods()} == {"d", "e"})
        assert not engine.workloads[Key("shop", "a")].pods
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()
