"""Poisonous policies beside healthy ones, and an operator that is blind: on a real API server and Prometheus."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.api.pause import UNTIL
from resilience_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from tests.cluster import Cluster
from tests.e2e.test_scaling import evaluations
from tests.support.operator import Operator
from tests.support.proxy import Proxy, faults, kubeconfig_through, prometheus_proxy
from tests.support.waiting import eventually
from tests.support.world import World

HEALTHY = ("one", "two", "three")
BUSY = {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": [{"alert": {}}]}
SLOW = {"name": "slow", "when": {"signal": "latency-p99", "above": "10s"}, "then": [{"alert": {}}]}


def guarded(world: World, name: str, **spec: Any) -> None:
    """A calm workload and a policy that is looked at every two seconds."""
    world.deployment(name, replicas=1)
    world.load.workload(world.namespace, name, cpu_utilisation=0.2)
    world.policy(name, targetRef={"name": name}, **{"interval": "2s", "rules": [BUSY], **spec})


def ready(world: World, name: str) -> tuple[str, str]:
    found = world.condition("Ready", name)
    return found.get("status", ""), found.get("reason", "")


def react(world: World, names: tuple[str, ...], utilisation: float, verdict: str) -> None:
    """Policies see what changes at their targets."""
    for name in names:
        world.load.workload(world.namespace, name, cpu_utilisation=utilisation)
    for name in names:
        world.until_verdict("cpu", verdict, name)


def checks(operator: Operator, path: str) -> tuple[int, dict[str, str]]:
    """A probe's status, and what its checks say."""
    status, body = operator.get(path)
    return status, json.loads(body or '{"checks": {}}')["checks"]


@pytest.mark.parametrize("restarted", [False, True], ids=["goes-on", "restarted"])
def test_pauses_that_no_calendar_holds(world: World, operator: Operator, *, restarted: bool) -> None:
    for name in HEALTHY:
        guarded(world, name)
        world.until_verdict("cpu", "Ok", name)
    ends = ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+23:59")
    for number, end in enumerate(ends):
        guarded(world, f"poison-{number}")
        world.annotate_policy({UNTIL: end}, f"poison-{number}")
    if restarted:
        operator.kill()
        operator.start()
    for number, _ in enumerate(ends):
        name = f"poison-{number}"
        world.until(lambda n=name: ready(world, n) == ("False", "PauseUnreadable"), "it is told", name)
    react(world, HEALTHY, 2.0, "Breach")
    # What was wrong is corrected.
    world.annotate_policy({UNTIL: "2000-01-01T00:00:00Z"}, "poison-0")
    world.until(lambda: ready(world, "poison-0") == ("True", "Accepted"), "it goes on", "poison-0")


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


FORGED: dict[str, dict[str, Any]] = {
    "deep": {"x": nested(280)},
    "deep-below-that": {"x": nested(200)},
    "large-integer": {"scaling": {"baseline": 2**65}},
    "year-10000": {"metricsGone": 253402300800},
    "intent": {"intent": {"at": 1, "commands": [{"verb": "resumeRollout", "reason": "r", "message": "m"}]}},
}


def forge(world: World, name: str, memory: dict[str, Any]) -> None:
    """Write into a policy's status, as whoever may."""
    body = [{"op": "add", "path": "/status/memory", "value": memory}]
    world.custom.patch_namespaced_custom_object_status(
        GROUP, VERSION, world.namespace, PLURAL, name, body, _content_type="application/json-patch+json"
    )


def test_forged_statuses_are_replaced(world: World, operator: Operator) -> None:
    """By the watch, and by the list of a process that starts."""
    for name in (*HEALTHY, *FORGED):
        guarded(world, name)
    for name in (*HEALTHY, *FORGED):
        world.until_verdict("cpu", "Ok", name)
    for name, memory in FORGED.items():
        forge(world, name, memory)
    for name in FORGED:
        world.until(lambda n=name: ready(world, n) == ("False", "StatusUnreadable"), "it is told", name)
        assert "x" not in world.status(name)["memory"], "the memory is the operator's own again"
    react(world, HEALTHY, 2.0, "Breach")
    operator.kill()
    for name, memory in FORGED.items():
        forge(world, name, memory)
    operator.start()
    for name in FORGED:
        world.until(lambda n=name: "release" in world.status(n)["memory"], "it is guarded", name)
        world.until(lambda n=name: ready(world, n) == ("False", "StatusUnreadable"), "it is told", name)
    react(world, (*HEALTHY, *FORGED), 0.2, "Ok")
    assert checks(operator, "/healthz")[0] == 200
    assert operator.metric("resilience_contained_errors_total", stage="status") >= len(FORGED)


@pytest.fixture
def source(cluster: Cluster) -> Iterator[Proxy]:
    """A Prometheus that answers late."""
    with prometheus_proxy(cluster) as found:
        found.add(faults.delay(0.5))
        yield found


def test_policies_that_are_edited_all_the_time(
    world: World, new_operator: Callable[..., Operator], source: Proxy
) -> None:
    """Their signals come and go while the source is asked for them, and for others' in the same batch."""
    operator = new_operator(prometheus_url=source.url).start()
    editing = ("edited-0", "edited-1", "edited-2", "edited-3")
    for name in (*HEALTHY, *editing):
        guarded(world, name)
    for name in (*HEALTHY, *editing):
        world.until_verdict("cpu", "Ok", name)
    wanted = evaluations(operator) + 150
    for rules in itertools.cycle(([BUSY, SLOW], [BUSY])):
        for name in editing:
            world.change_policy(name, rules=rules)
        if evaluations(operator) >= wanted:
            break
    react(world, HEALTHY, 2.0, "Breach")
    assert operator.metric("resilience_contained_errors_total") == 0
    for name in editing:
        world.until(lambda n=name: ready(world, n) == ("True", "Accepted"), "it is evaluated too", name)


@pytest.mark.long
def test_an_operator_that_is_blind_is_not_ready_and_one_that_is_idle_is(
    world: World, new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path
) -> None:
    """The watch of Deployments is away, and that of the policies delivers nothing. The others have nothing to tell."""
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    policies = proxy.add(faults.delay(0), path="/resiliencepolicies$", where=lambda asked: asked.watch)
    operator = new_operator(kubeconfig=kubeconfig, environment={"RESILIENCE_RELIST_SECONDS": "10"}).start()
    guarded(world, "checkout")
    world.until_verdict("cpu", "Ok", "checkout")
    eventually(lambda: policies.used > 0, "kopf watches the policies")
    proxy.remove(policies)
    contact = "resilience_watch_last_contact_timestamp_seconds"
    for resource in ("deployments", "replicasets", "horizontalpodautoscalers", "resiliencepolicies"):
        assert operator.metric(contact, resource=resource) > 1e9
    proxy.add(faults.answer(503), path="/deployments$")
    proxy.add(faults.mute_stream(), path="/resiliencepolicies$", where=lambda asked: asked.watch)
    proxy.cut_all()
    world.annotate_policy({"example.org/touched": "yes"})
    eventually(lambda: checks(operator, "/readyz")[0] == 503, "it is not ready", patience=240)
    named = ("deployments", "resiliencepolicies")
    eventually(
        lambda: all(name in checks(operator, "/readyz")[1]["contact"] for name in named),
        "what it does not see is named",
        last=lambda: checks(operator, "/readyz")[1],
        patience=240,
    )
    told = checks(operator, "/readyz")[1]
    assert not any(quiet in told["contact"] for quiet in ("replicasets", "statefulsets", "horizontalpodautoscalers"))
    assert checks(operator, "/healthz") == (200, {"scheduler": "ok", "tasks": "ok"}), "a restart would mend nothing"
    proxy.clear()
    proxy.cut_all()
    eventually(lambda: checks(operator, "/readyz")[0] == 200, "it is ready again", last=lambda: operator.get("/readyz"))
    react(world, ("checkout",), 2.0, "Breach")
