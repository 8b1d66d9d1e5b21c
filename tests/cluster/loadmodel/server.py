"""The HTTP face: /metrics for Prometheus, /control and /state for tests, /healthz for the launcher."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from . import behaviour, exposition, layouts
from .engine import Engine, PodState
from .objects import Key
from .settings import ImageSettings, WorkloadSettings

Settings = TypeVar("Settings", WorkloadSettings, ImageSettings)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Handlers over one engine. `clock` is monotonic, in seconds; `ready` tells whether the pods are known
    yet."""

    def __init__(self, engine: Engine, clock: Callable[[], float], ready: Callable[[], bool]) -> None:
        self._engine = engine
        self._clock = clock
        self._ready = ready

    def app(self) -> web.Application:
        """The application, with its routes."""
        app = web.Application()
        workload, image = "/control/workloads/{namespace}/{name}", "/control/images/{image:.+}"
        app.add_routes(
            [
                web.get("/metrics", self.metrics),
                web.get("/healthz", self.healthz),
                web.get("/state", self.state),
                web.get("/control", self.control),
                web.delete("/control", self.reset),
                web.get(workload, self.get_workload),
                web.put(workload, self.put_workload),
                web.patch(workload, self.put_workload),
                web.delete(workload, self.delete_workload),
                web.get(image, self.get_image),
                web.put(image, self.put_image),
                web.patch(image, self.put_image),
                web.delete(image, self.delete_image),
            ]
        )
        return app

    async def metrics(self, _: web.Request) -> web.Response:
        """Every series, as of now."""
        self._engine.advance(self._clock())
        return web.Response(body=exposition.render(self._engine), headers={"Content-Type": exposition.CONTENT_TYPE})

    async def healthz(self, _: web.Request) -> web.Response:
        """200 once the first lists are in, 503 before."""
        if self._ready():
            return web.Response(text="ok\n")
        return web.Response(text="the pods are not listed yet\n", status=503)

    async def state(self, _: web.Request) -> web.Response:
        """What every pod does now, as computed."""
        self._engine.advance(self._clock())
        return web.json_response({"pods": [_state(pod) for pod in self._engine.pods()]})

    async def control(self, _: web.Request) -> web.Response:
        """All settings that are in force."""
        workloads, images = self._engine.workload_settings, self._engine.image_settings
        return web.json_response(
            {
                "workloads": {f"{key.namespace}/{key.name}": _given(s) for key, s in workloads.items()},
                "images": {image: _given(s) for image, s in images.items()},
            }
        )

    async def reset(self, _: web.Request) -> web.Response:
        """Back to defaults everywhere."""
        self._engine.reset(self._clock())
        return web.Response(status=204)

    async def get_workload(self, request: web.Request) -> web.Response:
        """A workload's settings; empty when it has none."""
        return web.json_response(_given(self._engine.workload_settings.get(_key(request), WorkloadSettings())))

    async def put_workload(self, request: web.Request) -> web.Response:
        """PUT replaces a workload's settings, PATCH merges into them (null takes a field away)."""
        key = _key(request)
        old = self._engine.workload_settings.get(key, WorkloadSettings())
        settings = await _read(request, old, WorkloadSettings)
        self._engine.set_workload(key, settings, self._clock())
        return web.json_response(_given(settings))

    async def delete_workload(self, request: web.Request) -> web.Response:
        """Back to defaults for a workload."""
        self._engine.set_workload(_key(request), None, self._clock())
        return web.Response(status=204)

    async def get_image(self, request: web.Request) -> web.Response:
        """An image's settings; empty when it has none."""
        image = request.match_info["image"]
        return web.json_response(_given(self._engine.image_settings.get(image, ImageSettings())))

    async def put_image(self, request: web.Request) -> web.Response:
        """PUT replaces an image's settings, PATCH merges into them (null takes a field away)."""
        image = request.match_info["image"]
        old = self._engine.image_settings.get(image, ImageSettings())
        settings = await _read(request, old, ImageSettings)
        self._engine.set_image(image, settings, self._clock())
        return web.json_response(_given(settings))

    async def delete_image(self, request: web.Request) -> web.Response:
        """Back to the workload's settings for an image."""
        self._engine.set_image(request.match_info["image"], None, self._clock())
        return web.Response(status=204)


def _key(request: web.Request) -> Key:
    return Key(request.match_info["namespace"], request.match_info["name"])


def _given(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_none=True)


async def _read(request: web.Request, old: Settings, model: type[Settings]) -> Settings:
    """The body as settings; a body that is not answers 400 and says what to change."""
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}\n") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object\n")
    if request.method == "PATCH":
        body = _given(old) | body
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise web.HTTPBadRequest(text=_explain(error, model)) from error


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One line a problem, by field, and what fields there are."""
    problems = (f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}\n" for e in error.errors())
    return "".join(problems) + f"known fields: {', '.join(sorted(model.model_fields))}\n"


def _state(state: PodState) -> dict[str, Any]:
    pod, now = state.pod, state.now
    request = behaviour.cpu_request(pod.containers)
    histogram = now.profile(layouts.DEFAULT, behaviour.OK).shares if now.rps > 0 else (0.0,)
    read = layouts.read_quantile(layouts.DEFAULT, histogram, 0.99)
    return {
        "namespace": pod.namespace,
        "workload": state.workload.name,
        "kind": state.workload.kind,
        "pod": pod.name,
        "uid": pod.uid,
        "image": pod.image,
        "serving": pod.serving,
        "rps": now.rps,
        "capacity_rps": now.capacity_rps,
        "rho": now.rho,
        "backlog": state.backlog,
        "cpu_cores": now.cpu_cores,
        "cpu_utilisation": now.cpu_cores / request if request else None,
        "latency_p99_seconds": now.latency_p99,
        "latency_p99_as_read_seconds": None if math.isnan(read) else read,
        "error_ratio": now.error_ratio,
        "families": sorted(state.settings.families),
        "metrics": state.settings.metrics,
    }
