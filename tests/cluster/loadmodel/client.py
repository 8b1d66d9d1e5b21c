"""Drives a running load model, for tests and demonstrations. Synchronous, standard library only.

model = LoadModel()
model.workload("shop", "checkout", rps=120)
model.image("shop/checkout:2.0", latency_p99_seconds=1.4, error_ratio=0.2)
model.workload("shop", "checkout", metrics={"cpu": "absent"})
model.reset()
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, TypedDict, Unpack, cast

from .settings import FamilyName, Fault, Group

DEFAULT_URL = "http://127.0.0.1:9105"


class BehaviourFields(TypedDict, total=False):
    """What can be set for workloads and images; meanings and units in `settings.Common`. None takes a
    field away."""

    cpu_seconds_per_request: float | None
    service_time_seconds: float | None
    servers: int | None
    base_error_ratio: float | None
    timeout_seconds: float | None
    cpu_burst_factor: float | None
    cpu_utilisation: float | None
    latency_p99_seconds: float | None
    error_ratio: float | None
    metrics: Fault | dict[Group, Fault] | None


class WorkloadFields(BehaviourFields, total=False):
    """What can be set for workloads only; meanings and units in `settings.WorkloadSettings`."""

    rps: float | None
    pod_weights: dict[str, float] | None
    families: list[FamilyName] | None
    cpu_total_cores: float | None
    cpu_by_container: dict[str, float] | None


class PodState(TypedDict):
    """One pod of /state, as computed at this moment."""

    namespace: str
    workload: str
    kind: str
    pod: str
    uid: str
    image: str
    serving: bool
    rps: float
    capacity_rps: float
    rho: float
    backlog: float
    cpu_cores: float
    cpu_utilisation: float | None
    latency_p99_seconds: float
    latency_p99_as_read_seconds: float | None
    error_ratio: float
    families: list[FamilyName]
    metrics: dict[Group, Fault]


class Control(TypedDict):
    """All settings in force; workloads by `namespace/name`."""

    workloads: dict[str, dict[str, Any]]
    images: dict[str, dict[str, Any]]


class LoadModelError(Exception):
    """The load model refused a request, and says why; or it cannot be reached."""


class LoadModel:
    """A running load model at `url`; `timeout` in seconds holds for each request."""

    def __init__(self, url: str = DEFAULT_URL, timeout: float = 5.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout

    def workload(self, namespace: str, name: str, **fields: Unpack[WorkloadFields]) -> None:
        """Change some settings of a workload; the others stay."""
        self._call("PATCH", _workload(namespace, name), fields)

    def image(self, image: str, **fields: Unpack[BehaviourFields]) -> None:
        """Change some settings of an image; the others stay. They win over the workload's."""
        self._call("PATCH", _image(image), fields)

    def replace_workload(self, namespace: str, name: str, **fields: Unpack[WorkloadFields]) -> None:
        """Give a workload exactly these settings."""
        self._call("PUT", _workload(namespace, name), fields)

    def replace_image(self, image: str, **fields: Unpack[BehaviourFields]) -> None:
        """Give an image exactly these settings."""
        self._call("PUT", _image(image), fields)

    def reset_workload(self, namespace: str, name: str) -> None:
        """Back to defaults for one workload."""
        self._call("DELETE", _workload(namespace, name))

    def reset_image(self, image: str) -> None:
        """Back to the workload's settings for one image."""
        self._call("DELETE", _image(image))

    def reset(self) -> None:
        """Back to defaults everywhere."""
        self._call("DELETE", "/control")

    def control(self) -> Control:
        """All settings in force."""
        return cast(Control, json.loads(self._call("GET", "/control")))

    def pods(self, namespace: str | None = None, workload: str | None = None) -> list[PodState]:
        """What pods do now, of one namespace or workload if given."""
        pods = cast(list[PodState], json.loads(self._call("GET", "/state"))["pods"])
        return [pod for pod in pods if namespace in (None, pod["namespace"]) and workload in (None, pod["workload"])]

    def metrics(self) -> str:
        """The page that Prometheus scrapes."""
        return self._call("GET", "/metrics")

    def healthy(self) -> bool:
        """Whether it runs and has listed the pods."""
        try:
            self._call("GET", "/healthz")
        except LoadModelError:
            return False
        return True

    def wait_healthy(self, seconds: float = 30.0) -> None:
        """Wait until healthy, or raise LoadModelError."""
        deadline = time.monotonic() + seconds
        while not self.healthy():
            if time.monotonic() > deadline:
                raise LoadModelError(f"{self.url} is not healthy after {seconds} s")
            time.sleep(0.1)

    def _call(self, method: str, path: str, body: object = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                return cast(str, response.read().decode())
        except urllib.error.HTTPError as error:
            raise LoadModelError(f"{method} {path}: {error.code}: {error.read().decode().strip()}") from error
        except OSError as error:
            raise LoadModelError(f"{method} {self.url}{path}: {error}") from error


def _workload(namespace: str, name: str) -> str:
    return f"/control/workloads/{namespace}/{name}"


def _image(image: str) -> str:
    return f"/control/images/{urllib.parse.quote(image, safe='')}"
