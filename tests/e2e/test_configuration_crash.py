"""The operator dies at every single call of a rollback of template and configuration, and no pair is half restored.

As in test_crash: the calls of an undisturbed rollback are counted through a proxy. Then the operator is killed at call
n, for all n, before the API server gets it and after it answered. Each end is that of the undisturbed one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import ROLL_BACK, SIGNALS, ActPath, ready_at_once, without_retries
from tests.e2e.crashing import end_state as end_of_action
from tests.e2e.killing import kill_at_each, moments_of, until_all
from tests.support.configuration import config_map, copies, data_of, grant, reading
from tests.support.operator import Operator
from tests.support.proxy import Asked, Proxy, faults
from tests.support.world import Obj, World

pytestmark = pytest.mark.long

CALLS = 18
"""Calls of a rollback, at most, as far as is known."""

WRITES = 12
"""Those of them that write, at most."""

RESTORED = "resilience-operator.io/restored"


class PairPath(ActPath):
    """The calls of an action, those on ConfigMaps included."""

    def _about(self, asked: Asked) -> bool:
        if "/configmaps" in asked.path:
            return f"/{self.name}-" in asked.path
        return super()._about(asked)


@pytest.fixture(autouse=True)
def rights(cluster: Cluster) -> None:
    """The rights of the component."""
    grant(cluster)


def _names(name: str) -> tuple[str, str, str]:
    """A mounted ConfigMap, one read by the environment, and one with a generated name."""
    return f"{name}-files", f"{name}-variables", f"{name}-generated1"


def _prepare(world: World, names: list[str]) -> None:
    """Targets whose revision is known good, with what it reads."""

    def template(name: str) -> Obj:
        files, variables, generated = _names(name)
        for one in (files, variables, generated):
            config_map(world, one, level="good")
        return reading(world.template(name, "1.0"), files, generated, env={"V_": variables})

    # Old pods stay beside all new ones until `ready_at_once`: every release is judged by the same evidence.
    prepare_reading(world, names, template, minReadySeconds=300)
    for name in names:
        world.until_phase("Stable", name)


def prepare_reading(world: World, names: list[str], template: Callable[[str], Obj], **spec: object) -> None:
    """Targets whose policies include what they read, with copies of it. template: makes what it reads, too."""
    for name in names:
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": 3,
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "selector": {"matchLabels": {"app": name}},
                "template": template(name),
                **spec,
            },
        }
        world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
    for name in names:
        world.rolled_out(name)
        # Not before: the first pod that is ready would be asked for all of it, and fail.
        world.load.workload(world.namespace, name, rps=120, cpu_utilisation=0.3)
        world.policy(
            name,
            targetRef={"name": name},
            interval="2s",
            signals=SIGNALS,
            release={"bake": "5s", "configuration": {"include": "Referenced"}},
            replicas={"min": 3, "max": 10},
            rules=[ROLL_BACK],
        )
    for name in names:
        world.until(lambda name=name: bool(copies(world, name)), f"{name}: its content is kept", name)  # type: ignore[misc]
        world.until_verdict("error-rate", "Ok", name)


def _provoke(world: World, name: str) -> None:
    """Release a bad pair, as `kubectl apply -k` with pruning does: the generated ConfigMap has another name."""
    files, variables, generated = _names(name)
    world.load.image(world.image("2.0", name), error_ratio=0.5)
    new = f"{name}-generated2"
    for one in (files, variables, new):
        config_map(world, one, level="bad")
    template = reading(world.template(name, "2.0"), files, new, env={"V_": variables})
    world.apps.patch_namespaced_deployment(
        name,
        world.namespace,
        [{"op": "replace", "path": "/spec/template", "value": template}],
        field_manager="kubectl-client-side-apply",
    )
    world.core.delete_namespaced_config_map(generated, world.namespace)


def end_of_reading(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    """What a rollback of a target that reads configuration leaves behind, but for the content itself."""
    annotations = world.get(name)["spec"]["template"]["metadata"].get("annotations") or {}
    return end_of_action(world, proxy, name) | {
        "restarted": RESTORED in annotations,
        "copies": len(copies(world, name)),
        "unfinished": world.status(name)["memory"].get("unfinished"),
    }


def _end(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    volumes = world.get(name)["spec"]["template"]["spec"]["volumes"]
    return end_of_reading(world, proxy, name) | {
        "content": [data_of(world, one) for one in _names(name)],
        "reads": [v["configMap"]["name"].removeprefix(f"{name}-") for v in volumes],
    }


def _undisturbed(world: World, operator: Operator, proxy: Proxy, name: str) -> tuple[dict[str, Any], list[str]]:
    path = PairPath(name, "rollback")
    rule = proxy.add(faults.reset(), where=path, share=0.0)
    # As for the others, the operator sees the whole release at once: with half of it no old pod reads the old content.
    operator.stop()
    _provoke(world, name)
    operator.start()
    ready_at_once(world, name)
    world.until_phase("Stable", name)
    proxy.remove(rule)
    return _end(world, proxy, name), without_retries(path.calls)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-call", "before-the-answer"])
def test_killed_at_every_call(world: World, proxied: Operator, proxy: Proxy, after: bool) -> None:
    names = [f"pair{n}" for n in range((WRITES if after else CALLS) + 2)]
    _prepare(world, names)
    right, calls = _undisturbed(world, proxied, proxy, names[0])
    assert right["content"] == [{"level": "good"}] * 3
    assert right["reads"] == ["files", "generated1"]
    assert right["restarted"]
    assert right["history"].count("rollback") == 1
    assert len(calls) >= 12
    moments = moments_of(names[1:], calls, after)
    killed = kill_at_each(
        proxied,
        proxy,
        moments,
        lambda name: PairPath(name, "rollback"),
        lambda name: _provoke(world, name),
        spare=names[1 + len(moments) :],
    )
    for name in killed:
        ready_at_once(world, name)
    until_all(proxied, partial(_end, world, proxy), right, killed, targets=len(names))
