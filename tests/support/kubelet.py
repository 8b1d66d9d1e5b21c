"""What a kubelet reports of pods that fail: on the simulated nodes, their status is written as a kubelet would.

The pods of an image tag fail. Their template carries the mark `resilience-test/never-ready`, so that the simulated node
does not make them ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes.client.exceptions import ApiException

from tests.support.world import World

Obj = dict[str, Any]
NEVER_READY = "resilience-test/never-ready"

Fault = Callable[[Obj, int], Obj]
"""From a pod and the number of looks at it to what is patched: a status, or the whole object."""


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _waiting(pod: Obj, reason: str, message: str, **container: Any) -> Obj:
    name = pod["spec"]["containers"][0]["name"]
    state = {
        "name": name,
        "image": pod["spec"]["containers"][0]["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
        **container,
    }
    return {"status": {"containerStatuses": [state]}}


def image_pull_error(pod: Obj, look: int) -> Obj:
    """The registry does not have the image."""
    image = pod["spec"]["containers"][0]["image"]
    message = f'Back-off pulling image "{image}": ErrImagePull: rpc error: code = NotFound: not found'
    return _waiting(pod, "ErrImagePull" if look == 0 else "ImagePullBackOff", message)


def configuration_error(pod: Obj, look: int) -> Obj:
    """A Secret is missing."""
    return _waiting(pod, "CreateContainerConfigError", 'secret "database" not found')


def crash_loop(pod: Obj, look: int, reason: str = "Error", code: int = 1) -> Obj:
    """The container ends again and again, with a restart at every look."""
    last = {"terminated": {"reason": reason, "exitCode": code, "startedAt": now(), "finishedAt": now()}}
    return _waiting(
        pod, "CrashLoopBackOff", "back-off 10s restarting failed container", restartCount=look + 1, lastState=last
    )


def out_of_memory(pod: Obj, look: int) -> Obj:
    """The kernel kills the container again and again."""
    return crash_loop(pod, look, "OOMKilled", 137)


def never_ready(pod: Obj, look: int) -> Obj:
    """The readiness probe never passes: the mark in the template is enough."""
    return {}


def flapping(pod: Obj, look: int) -> Obj:
    """The readiness probe passes and fails in turns."""
    return {"metadata": {"annotations": {NEVER_READY: "false" if look % 2 == 0 else "true"}}}


def marked(fault: Fault) -> Fault:
    """Only pods that carry the mark themselves fail: `World` puts it on pods that are ready."""

    def report(pod: Obj, look: int) -> Obj:
        return fault(pod, look) if (pod["metadata"].get("annotations") or {}).get(NEVER_READY) == "true" else {}

    return report


def mark(world: World, name: str, pods: int) -> None:
    """Make that many ready pods of a workload unready."""
    found = world.core.list_namespaced_pod(world.namespace, label_selector=f"app={name}").items
    for pod in found[:pods]:
        body = {"metadata": {"annotations": {NEVER_READY: "true"}}}
        world.core.patch_namespaced_pod(pod.metadata.name, world.namespace, body)


class FailingKubelet:
    """Writes the status of the pods of a namespace whose image is named: `faults` by image."""

    def __init__(self, world: World, every: float = 1.0) -> None:
        self._world, self._every = world, every
        self.faults: dict[str, Fault] = {}
        self._looks: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FailingKubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            for found in self._world.core.list_namespaced_pod(self._world.namespace).items:
                pod: Obj = self._world.api.sanitize_for_serialization(found)
                fault = self.faults.get(pod["spec"]["containers"][0]["image"])
                scheduled = pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
                if fault is None or not scheduled or not pod.get("status", {}).get("containerStatuses"):
                    continue
                self._report(pod, fault)

    def _report(self, pod: Obj, fault: Fault) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        look = self._looks.get(uid, 0)
        self._looks[uid] = look + 1
        patch, core = fault(pod, look), self._world.core
        try:
            if "status" in patch:
                core.patch_namespaced_pod_status(name, self._world.namespace, patch)
            elif patch:
                core.patch_namespaced_pod(name, self._world.namespace, patch)
        except ApiException as error:
            if error.status not in (404, 409):
                raise
