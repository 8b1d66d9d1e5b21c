"""The operator dies, or freezes, in the rollback of content alone: the pod template of the release was not changed.

As in test_configuration_crash, for a target that reads one ConfigMap under a fixed name. The bad content was rolled
back before, so it is rolled back at once when it is applied again, and each death takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.e2e.crashing import ROLL_BACK, SIGNALS, without_retries
from tests.e2e.crashing import end_state as end_of_action
from tests.e2e.test_configuration_crash import PairPath
from tests.e2e.test_scaling import after_evaluations
from tests.support.configuration import config_map, copies, data_of, grant, reading
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.proxy import Passed, Proxy, api_proxy, faults, kubeconfig_through
from tests.support.waiting import eventually
from tests.support.world import World

pytestmark = pytest.mark.long

CALLS = 15
"""Calls of such a rollback, at most, as far as is known."""

WRITES = 8
"""Those of them that write, at most."""

RESTORED = "resilience-operator.io/restored"


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of the API server, and the rights of the component."""
    grant(cluster)
    with api_proxy(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def run(
    world: World, new_operator: Callable[..., Operator], proxy: Proxy, operator_identity: Path, tmp_path: Path
) -> Callable[..., Operator]:
    """Make operators that reach the API server through the proxy alone."""
    kubeconfig = kubeconfig_through(proxy, operator_identity, tmp_path)
    environment = {"RESILIENCE_REFRESH_SECONDS": "0", "RESILIENCE_LEASE_NAMESPACE": world.namespace}
    return partial(new_operator, kubeconfig=kubeconfig, environment=environment)


def content(name: str) -> str:
    return f"{name}-files"


def level(world: World, name: str) -> str | None:
    return (data_of(world, content(name)) or {}).get("level")


def prepare(world: World, names: list[str]) -> None:
    """Targets whose bad content was rolled back once."""
    for name in names:
        config_map(world, content(name), level="good")
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": 3,
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "selector": {"matchLabels": {"app": name}},
                "template": reading(world.template(name, "1.0"), content(name)),
            },
        }
        world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
        world.load.workload(world.namespace, name, rps=120, cpu_utilisation=0.3)
    for name in names:
        world.rolled_out(name)
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
    for name in names:
        world.load.image(world.image("1.0", name), error_ratio=0.5)
        provoke(world, name)
    failing = set(names)

    def mend() -> bool:
        """The good content mends each at once. A restored revision that fails alike would not be the cause."""
        for name in tuple(failing):
            if level(world, name) == "good":
                world.load.image(world.image("1.0", name), error_ratio=0.0)
                failing.discard(name)
        return not failing

    eventually(mend, "all are rolled back", last=lambda: sorted(failing))
    for name in names:
        world.until_phase("Stable", name)


def provoke(world: World, name: str) -> None:
    config_map(world, content(name), level="bad")


def end(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    template = world.get(name)["spec"]["template"]
    return end_of_action(world, proxy, name) | {
        "content": level(world, name),
        "restarted": RESTORED in (template["metadata"].get("annotations") or {}),
        "copies": len(copies(world, name)),
        "unfinished": world.status(name)["memory"].get("unfinished"),
    }


def until_end(world: World, proxy: Proxy, name: str, right: dict[str, Any], what: str) -> None:
    """Wait for the end of an undisturbed rollback; a failure shows in what it differs."""

    def differs() -> str:
        found = end(world, proxy, name)
        return "\n".join(f"{k}: {found.get(k)!r}, not {right[k]!r}" for k in right if found.get(k) != right[k])

    eventually(lambda: not differs(), what, last=differs, every=0.3, patience=90)


def undisturbed(world: World, proxy: Proxy, name: str) -> tuple[dict[str, Any], list[str]]:
    path = PairPath(name, "rollback")
    rule = proxy.add(faults.reset(), where=path, share=0.0)
    provoke(world, name)
    world.until(
        lambda: world.actions(name).count("rollback") == 2 and world.phase(name) == "Stable", "it is restored", name
    )
    proxy.remove(rule)
    right = end(world, proxy, name)
    assert right["content"] == "good"
    assert right["restarted"]
    return right, without_retries(path.calls)


def test_killed_at_every_call(world: World, run: Callable[..., Operator], proxy: Proxy) -> None:
    operator = run().start()
    names = [f"kept{n}" for n in range(CALLS + WRITES + 1)]
    prepare(world, names)
    right, calls = undisturbed(world, proxy, names[0])
    # To die with the answer of a read is to die before the next call.
    moments = [(n, False) for n, _ in enumerate(calls, 1)]
    moments += [(n, True) for n, call in enumerate(calls, 1) if not call.startswith("GET")]
    assert 10 <= len(moments) < len(names), f"prepare more targets: {calls}"
    killed = dict(zip(names[1:], moments, strict=False))
    for name, (n, after) in killed.items():
        process = operator.process
        assert process is not None
        where = PairPath(name, "rollback")
        rule = proxy.add(faults.call(process.kill, after=after), where=where, skip=n - 1, times=1)
        provoke(world, name)
        eventually(lambda p=process: p.poll() is not None, f"call {n} of {name}", last=operator.tail)  # type: ignore[misc]
        operator.kill()
        proxy.remove(rule)
        operator.start()
        assert rule.used == 1
        # What is not measured yet is held paused, and judged later.
        eventually(after_evaluations(operator, 2 * len(names)), "all are measured again")  # type: ignore[arg-type]
    for name, moment in killed.items():
        until_end(world, proxy, name, right, f"killed at {moment} of {calls}")
    eventually(after_evaluations(operator, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name, moment in killed.items():
        until_end(world, proxy, name, right, f"killed at {moment} of {calls}: it stays so")


def test_frozen_at_every_write(world: World, run: Callable[..., Operator], proxy: Proxy) -> None:
    """As in test_crash_two: the frozen leader's write comes when another replica has ended the rollback."""
    grant_lease(world.cluster, world.namespace)
    leader = run("--leader-election").start()
    eventually(lambda: leader.leads, "the first leads")
    standby = run("--leader-election").start()
    names = [f"cold{n}" for n in range(WRITES + 1)]
    prepare(world, names)
    right, calls = undisturbed(world, proxy, names[0])
    writes = [n for n, call in enumerate(calls, 1) if not call.startswith("GET")]
    assert len(writes) < len(names), f"prepare more targets: {calls}"
    moments = dict(zip(names[1:], writes, strict=False))
    begun, frozen, over = Event(), Event(), Event()
    started: set[str] = set()
    reached: set[str] = set()

    def start(name: str) -> None:
        started.add(name)
        if len(started) == len(moments):
            begun.set()

    def reach(name: str) -> None:
        start(name)
        reached.add(name)
        if len(reached) == len(moments):
            leader.freeze()
            frozen.set()

    for name, n in moments.items():
        late = faults.held(partial(reach, name), until=over.is_set)
        proxy.add(late, where=PairPath(name, "rollback"), skip=n - 1, times=1, name=name)
        first = faults.held(partial(start, name), until=begun.is_set)
        proxy.add(first, where=PairPath(name, "rollback"), times=1, name="start")
    for name in moments:
        provoke(world, name)
    eventually(frozen.is_set, "each rollback comes to its write", last=lambda: (started, reached))
    eventually(lambda: standby.leads, "the standby leads")
    for name, n in moments.items():
        until_end(world, proxy, name, right, f"frozen at call {n} of {calls}: the standby ends it")
    over.set()

    def passed() -> dict[str, Passed] | None:
        found = {p.fault: p for p in proxy.seen() if p.fault in moments}
        return found if set(found) == set(moments) else None

    through = eventually(passed, "all calls are through")
    for name in moments:
        call = through[name]
        assert call.asked.method != "PATCH" or call.reached != 200, call
    leader.thaw()
    process = leader.process
    assert process is not None
    eventually(lambda: process.poll() is not None, "who lost the lease ends")
    eventually(after_evaluations(standby, 2 * len(names)), "all are looked at again")  # type: ignore[arg-type]
    for name in moments:
        until_end(world, proxy, name, right, f"{name}: it stays so")
