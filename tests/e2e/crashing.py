"""Killing the operator at a chosen call of one policy's action, and telling whether the end is the right one.

Many targets stand in one namespace, each with a policy of its own, all calm. One after the other is provoked; the
operator dies at a call of its action, comes back, and has to bring it to the end that the first, undisturbed one
came to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.kube.writes.gitops_hold import HOLD
from tests.support.gitops import RECONCILE, attempted, install_definitions, marks, owned
from tests.support.proxy import Asked, Proxy, faults
from tests.support.world import Obj, World

CPU = {"signal": "cpu", "above": "70%"}
ERRORS = {"signal": "error-rate", "above": "1%"}
SIGNALS = [
    {"name": "cpu", "preset": "cpu", "window": "5s"},
    {"name": "error-rate", "preset": "error-rate", "window": "5s", "minSamples": 20},
]
SCALE_UP = {"name": "busy", "when": CPU, "then": [{"scaleUp": {"pods": 2, "cooldown": "1h"}}]}
PAUSE = {"name": "failing", "when": ERRORS, "then": [{"pauseRollout": {}}]}
ROLL_BACK = {"name": "failing", "when": ERRORS, "then": [{"pauseRollout": {}}, {"rollback": {"after": "3s"}}]}

ACTED = ("ScaledUp", "ScaledDown", "RolloutPaused", "RolloutResumed", "RolledBack", "ActionFailed")
"""Reasons of the events that tell of an action."""


@dataclass(frozen=True)
class Scenario:
    """One kind of action. verb: whose intent begins the count. load: the calm. provoke: what ends it.

    calls: that it is made of, at most, as far as is known: so many targets are prepared.
    held: a Kustomization of the same name applies the target, and leaves it after a rollback.
    min_ready: seconds that a new pod must be ready. Old pods stay beside the new ones meanwhile, so that all releases
    are judged by the same evidence, and at about the same time: longer than a busy machine takes to judge. Without
    old pods to compare with, targets that fail together are an incident, and not rolled back.
    """

    name: str
    verb: str
    policy: Mapping[str, Any]
    provoke: Callable[[World, str], None]
    load: Mapping[str, Any]
    replicas: int = 3
    calls: int = 7
    hpa: bool = False
    min_ready: int = 0
    held: bool = False


def _busy(world: World, name: str) -> None:
    world.load.workload(world.namespace, name, cpu_utilisation=3.0)


def _quiet(world: World, name: str) -> None:
    world.load.workload(world.namespace, name, cpu_total_cores=0.1)


def _bad_release(world: World, name: str) -> None:
    world.load.image(world.image("2.0", name), error_ratio=0.5)
    world.release("2.0", name)


_KEEP = {"enabled": False}
_REQUESTS = {"rps": 120, "cpu_utilisation": 0.3}

SCENARIOS = (
    Scenario("scale-up", "scaleUp", {"rules": [SCALE_UP], "scaleDown": _KEEP}, _busy, {"cpu_utilisation": 0.3}),
    Scenario(
        "scale-down",
        "scaleDown",
        {"rules": [SCALE_UP], "scaleDown": {"after": "5s", "pods": 2}},
        _quiet,
        # Too close to the threshold for a pod fewer. One step leads to the minimum, however slowly the rate falls.
        {"cpu_total_cores": 0.24},
        replicas=4,
    ),
    Scenario("pause", "pauseRollout", {"rules": [PAUSE]}, _bad_release, _REQUESTS, min_ready=60),
    Scenario("rollback", "rollback", {"rules": [ROLL_BACK]}, _bad_release, _REQUESTS, calls=9, min_ready=60),
    Scenario(
        "held-rollback", "rollback", {"rules": [ROLL_BACK]}, _bad_release, _REQUESTS, calls=11, min_ready=60, held=True
    ),
    Scenario(
        "hpa",
        "scaleUp",
        {"rules": [SCALE_UP], "scaleDown": _KEEP},
        _busy,
        {"cpu_utilisation": 0.3},
        calls=9,
        hpa=True,
    ),
)


def prepare(world: World, scenario: Scenario, names: list[str]) -> None:
    """Targets with calm policies, whose revision is known good."""
    if scenario.held:
        install_definitions(world.cluster)
    for name in names:
        if scenario.held:
            owned(world, "Kustomization", name)
            attempted(world, "main@sha1:bad", name=name)
        body = {
            "metadata": {"name": name, **(marks(world, "Kustomization", name) if scenario.held else {})},
            "spec": {
                "replicas": scenario.replicas,
                "minReadySeconds": scenario.min_ready,
                # All new pods at once: more pods are more evidence, and a verdict comes sooner.
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "selector": {"matchLabels": {"app": name}},
                "template": world.template(name, "1.0"),
            },
        }
        world.apps.create_namespaced_deployment(world.namespace, body, field_manager="test")
        if scenario.hpa:
            world.autoscaling.create_namespaced_horizontal_pod_autoscaler(world.namespace, _hpa(name))
    for name in names:
        world.rolled_out(name)
        # Not before: the first pod that is ready would be asked for all of it, and fail.
        world.load.workload(world.namespace, name, **scenario.load)
        world.policy(
            name,
            targetRef={"name": name},
            interval="2s",
            signals=SIGNALS,
            release={"bake": "5s", "gitOps": "Hold" if scenario.held else "Tell"},
            replicas={"min": 3, "max": 10},
            **scenario.policy,
        )
    signal = scenario.policy["rules"][0]["when"]["signal"]
    for name in names:
        world.until_phase("Stable", name)
        world.until_verdict(signal, "Ok", name)


def _hpa(name: str) -> Obj:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 3,
            "maxReplicas": 10,
            "metrics": [metric],
        },
    }


@dataclass
class ActPath:
    """Finds the calls that one policy's action is made of: from the status that says what is intended to the one
    that says what was done.
    """

    name: str
    verb: str
    calls: list[str] = field(default_factory=list)
    ended: bool = False

    def __call__(self, asked: Asked) -> bool:
        if self.ended or not self._about(asked) or not (self.calls or self._intends(asked)):
            return False
        self.ended = asked.path.endswith("/status") and not self._intends(asked)
        self.calls.append(f"{asked.method} {asked.path.partition('/namespaces/')[2]}")
        return True

    def _about(self, asked: Asked) -> bool:
        if asked.method == "POST" and asked.path.endswith("/events"):
            # Notices are told when they are due, which need not be within the action.
            event = asked.json()
            return event["regarding"]["name"] == self.name and event["reason"] in ACTED
        last = asked.path.removesuffix("/status").removesuffix("/scale").rpartition("/")[2]
        return last == self.name or last.rpartition("-")[0] == self.name

    def _intends(self, asked: Asked) -> bool:
        body = asked.json() if asked.method == "PATCH" and asked.path.endswith("/status") else None
        memory = ((body or {}).get("status") or {}).get("memory") or {}
        return any(c["verb"] == self.verb for c in (memory.get("intent") or {}).get("commands", ()))


def end_state(world: World, proxy: Proxy, name: str) -> dict[str, Any]:
    """All that an action leaves behind, in the cluster and in what is told of it, and how often it was written."""
    found = world.get(name)
    status = world.status(name)
    state: dict[str, Any] = {
        "replicas": found["spec"]["replicas"],
        "image": world.running(name),
        "paused": bool(found["spec"].get("paused")),
        "phase": status["target"]["phase"],
        "history": world.actions(name),
        "intent": status["memory"].get("intent"),
        "quarantined": [(q["revision"], q.get("rollbacks", 1)) for q in status.get("quarantined", ())],
        "writes": len(_writes(proxy, world, name)),
    }
    state["quarantined"] = [n for _, n in state["quarantined"]]
    held = found["metadata"].get("annotations", {})
    state["held"] = (held.get(RECONCILE), held.get(HOLD))
    hold = status["memory"].get("hold") or {}
    state["hold"] = bool(hold.get("since")) and hold.get("source")
    for kind in ("ResiliencePolicy", "Deployment"):
        told = [e["reason"] for e in world.events(kind, name)]
        state[f"told on {kind}"] = {reason: told.count(reason) for reason in ACTED if reason in told}
    hpas = world.autoscaling.list_namespaced_horizontal_pod_autoscaler(world.namespace).items
    for hpa in (h for h in hpas if h.metadata.name == name):
        state["minReplicas"] = hpa.spec.min_replicas
        state["original"] = dict(hpa.metadata.annotations or {})
    return state


def _writes(proxy: Proxy, world: World, name: str) -> list[str]:
    """Writes of the target that the API server carried out."""
    where = f"/namespaces/{world.namespace}/"
    return [
        p.asked.path
        for p in proxy.seen(lambda p: p.asked.method == "PATCH" and p.reached == 200)
        if where in p.asked.path
        and p.asked.path.endswith(
            (f"/deployments/{name}", f"/deployments/{name}/scale", f"/horizontalpodautoscalers/{name}")
        )
    ]


def ready_at_once(world: World, name: str) -> None:
    """Wait until a target is rolled back, and end its wait for pods that are ready: see `Scenario.min_ready`."""
    world.until(lambda: "rollback" in world.actions(name), f"{name} is rolled back", name)
    body = {"spec": {"minReadySeconds": 0}}
    world.apps.patch_namespaced_deployment(name, world.namespace, body, field_manager="test")


def undisturbed(world: World, proxy: Proxy, scenario: Scenario, name: str) -> tuple[dict[str, Any], list[str]]:
    """The end that is right, and the calls on the way to it."""
    path = ActPath(name, scenario.verb)
    rule = proxy.add(faults.reset(), where=path, share=0.0)
    scenario.provoke(world, name)
    if scenario.verb == "rollback":
        ready_at_once(world, name)
    phase = {"pauseRollout": "Paused"}.get(scenario.verb, "Stable")

    def done() -> bool:
        return bool(
            scenario.verb in world.actions(name)
            and world.phase(name) == phase
            and (
                scenario.verb == "pauseRollout"  # the new pods stay beside the old ones
                or world.get(name)["status"].get("replicas") == world.replicas(name) >= scenario.replicas - 2
            )
            and (not scenario.hpa or world.replicas(name) == scenario.replicas + 2)
        )

    world.until(done, f"{name}: {scenario.verb} is done", name)
    proxy.remove(rule)
    return end_state(world, proxy, name), without_retries(path.calls)


def without_retries(calls: list[str]) -> list[str]:
    """The calls without those that repeat a change of the target after a conflict with its controller's status.

    How many there are depends on the controller. A change is read again and repeated until no other write is between.
    """
    found: list[str] = []
    for call in calls:
        again = call in found and not call.endswith(("/status", "/events"))
        if again and (call.startswith("GET") or found.count(call) >= 2):
            continue
        found.append(call)
    return found
