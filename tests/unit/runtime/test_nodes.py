"""Lost zones: where a template's pods may run, which zones are lost to them, and how many pods the others need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.decision.decide import Decision, decide
from resilience_operator.decision.model.commands import Outcome, Result, Verb
from resilience_operator.decision.model.memory import Memory
from resilience_operator.decision.model.observation import Measured, Observation
from resilience_operator.decision.model.policy import Condition, Policy, Rule, ScaleDown, ScaleUp, Signal
from resilience_operator.decision.model.target import TargetState
from resilience_operator.decision.outcomes import apply_outcomes
from resilience_operator.kube.cache.nodes import ANYWHERE, ZONE, Node, Placement, allows, placement_of, project_node
from resilience_operator.signals.zone_lost import lost_zones, lost_zones_observation
from tests.unit.decision.builders import T0, target


def node(name: str, zone: str = "a", *, ready: bool = True, **labels: str) -> Node:
    found = {ZONE: zone, **labels} if zone else labels
    return Node(name, zone, ready, found)


def selector(*expressions: dict[str, Any], fields: tuple[dict[str, Any], ...] = ()) -> Placement:
    term: dict[str, Any] = {"matchExpressions": list(expressions)}
    if fields:
        term["matchFields"] = list(fields)
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return placement_of({"spec": {"affinity": {"nodeAffinity": required}}})


POOL = node("n", pool="web", size="3")


@pytest.mark.parametrize(
    ("placement", "allowed"),
    [
        (ANYWHERE, True),
        (placement_of({"spec": {"nodeSelector": {"pool": "web"}}}), True),
        (placement_of({"spec": {"nodeSelector": {"pool": "web", "disk": "ssd"}}}), False),
        (selector({"key": "pool", "operator": "In", "values": ["web", "api"]}), True),
        (selector({"key": "pool", "operator": "NotIn", "values": ["web"]}), False),
        (selector({"key": "disk", "operator": "NotIn", "values": ["hdd"]}), True),
        (selector({"key": "disk", "operator": "Exists"}), False),
        (selector({"key": "disk", "operator": "DoesNotExist"}), True),
        (selector({"key": "size", "operator": "Gt", "values": ["2"]}), True),
        (selector({"key": "size", "operator": "Lt", "values": ["3"]}), False),
        (selector({"key": "pool", "operator": "Gt", "values": ["2"]}), False),
        (selector({"key": "pool", "operator": "Exists"}, {"key": "size", "operator": "In", "values": ["4"]}), False),
        (selector(), False),
        (selector(fields=({"key": "metadata.name", "operator": "In", "values": ["n"]},)), True),
        (selector({"key": "pool", "operator": "Near", "values": ["web"]}), False),
    ],
)
def test_where_pods_may_run(placement: Placement, allowed: bool) -> None:
    assert allows(placement, POOL) is allowed


def test_any_term_is_enough() -> None:
    terms = [{"matchExpressions": [{"key": "pool", "operator": "In", "values": [v]}]} for v in ("api", "web")]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert allows(placement_of({"spec": {"affinity": {"nodeAffinity": required}}}), POOL)


def test_a_node_is_trimmed() -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]
    body = {"metadata": {"name": "n", "labels": {ZONE: "a"}}, "status": {"conditions": conditions}}
    found = project_node(body)
    assert found == node("n")
    assert project_node(body, found) is found
    conditions[0]["status"] = "Unknown"
    assert project_node(body, found) == node("n", ready=False)
    assert project_node({"metadata": {"name": "n"}}) == Node("n", "", False, {})


@pytest.mark.parametrize(
    ("nodes", "zones", "lost"),
    [
        ([node("1", "a"), node("2", "b"), node("3", "c")], "abc", ""),
        ([node("1", "a", ready=False), node("2", "b"), node("3", "c")], "abc", "a"),
        ([node("1", "a", ready=False), node("2", "a"), node("3", "b")], "ab", ""),
        ([node("1", "a"), node("2", "a", ready=False), node("3", "b")], "ab", ""),
        ([node("1", "a", ready=False), node("2", "b", ready=False)], "ab", "ab"),
        ([node("1", "", ready=False), node("2", "b")], "b", ""),
        ([], "", ""),
    ],
)
def test_lost_zones(nodes: list[Node], zones: str, lost: str) -> None:
    assert lost_zones(nodes, ANYWHERE) == (set(zones), set(lost))


def test_only_nodes_for_the_pods_count() -> None:
    nodes = [node("1", "a", ready=False, pool="web"), node("2", "a", pool="api"), node("3", "b", pool="web")]
    assert lost_zones(nodes, Placement((("pool", "web"),))) == ({"a", "b"}, {"a"})
    assert lost_zones(nodes, Placement((("pool", "api"),))) == ({"a"}, set())


def test_what_is_observed() -> None:
    three = [node("1", "a"), node("2", "b"), node("3", "c")]
    assert lost_zones_observation(three, ANYWHERE, 5.0) == Observation(5.0, Measured(0.0))
    one = lost_zones_observation([replace(three[0], ready=False), *three[1:]], ANYWHERE, 5.0)
    assert (one.measured, one.replica_factor, one.message) == (Measured(1.0), 1.5, "a of 3 zones")
    every = lost_zones_observation([replace(n, ready=False) for n in three], ANYWHERE, 5.0)
    assert (every.measured, every.replica_factor) == (Measured(3.0), None)
    assert lost_zones_observation([], ANYWHERE, 5.0).reason == "NoZones"


ZONES = Signal("zone-lost", 0.0, metered=False)
CPU = Signal("cpu", 60.0, unit="ratio")
LOST = Rule("lost", (Condition("zone-lost", 0.0),), scale_up=ScaleUp(to_target=True, cooldown=10.0))
BUSY = Rule("busy", (Condition("cpu", 0.7),), scale_up=ScaleUp(pods=2, cooldown=10.0))
POLICY = Policy(
    "u", "shop", "checkout", 1, (LOST,), {"zone-lost": ZONES}, interval=5.0, min_replicas=3, max_replicas=30,
    scale_down=ScaleDown(after=20.0, pods=10),
)  # fmt: skip
NOTHING = Observation(0.0, Measured(0.0))


def lost(zones: int, total: int = 3) -> Observation:
    multiple = total / (total - zones) if 0 < zones < total else None
    return Observation(0.0, Measured(float(zones)), message="b of 3 zones", replica_factor=multiple)


class Course:
    """A target that does what it is told, evaluated every ten seconds."""

    def __init__(self, replicas: int, policy: Policy = POLICY) -> None:
        self.policy, self.memory, self.now = policy, Memory(), T0
        self.target = target(replicas=replicas)

    def turn(self, observation: Observation, cpu: float | None = None) -> Decision:
        self.now += 10.0
        seen = {"zone-lost": observation._replace(at=self.now)}
        if cpu is not None:
            seen["cpu"] = Observation(self.now, Measured(cpu))
        decision = decide(self.policy, seen, self.target, self.memory, self.now)
        outcomes = [Outcome(command, Result.DONE) for command in decision.commands]
        self.memory = apply_outcomes(decision.memory, outcomes, self.target, self.now)
        for command in decision.commands:
            if command.verb in (Verb.SCALE_UP, Verb.SCALE_DOWN):
                self.resize(int(command.to or 0))
        return decision

    def resize(self, replicas: int) -> None:
        self.target = sized(self.target, replicas)


def sized(state: TargetState, replicas: int) -> TargetState:
    return replace(state, replicas=replicas, ready=replicas, scaled_by="resilience-operator")


@pytest.mark.parametrize(
    ("replicas", "zones", "total", "wanted"),
    [(4, 1, 3, 6), (3, 1, 3, 5), (3, 2, 3, 9), (5, 1, 2, 10), (10, 1, 4, 14), (3, 3, 3, 3), (25, 2, 3, 30)],
)
def test_the_remaining_zones_get_what_the_lost_ones_carried(replicas: int, zones: int, total: int, wanted: int) -> None:
    course = Course(replicas)
    course.turn(NOTHING)
    course.turn(lost(zones, total))
    assert course.target.replicas == wanted


def test_it_asks_once_and_for_more_only_when_more_is_lost() -> None:
    course = Course(4)
    course.turn(NOTHING)
    decision = course.turn(lost(1))
    assert decision.commands[0].message == "zone-lost is 1, b of 3 zones (above 0): 4 → 6 pods"
    for _ in range(5):
        assert course.turn(lost(1)).commands == ()
    course.turn(lost(2))
    assert course.target.replicas == 12


def test_it_is_given_back_when_the_zone_is_back_whatever_the_load() -> None:
    course = Course(4, replace(POLICY, rules=(LOST, BUSY), min_replicas=4, signals={"zone-lost": ZONES, "cpu": CPU}))
    course.turn(NOTHING, 0.5)
    course.turn(lost(1), 0.5)
    assert course.target.replicas == 6
    for _ in range(20):
        course.turn(lost(1), 0.34)
    assert course.target.replicas == 6
    for _ in range(20):
        course.turn(NOTHING, 0.34)
    assert course.target.replicas == 4


def test_an_unknown_zone_gives_nothing_back_and_forgets_nothing() -> None:
    course = Course(4)
    course.turn(NOTHING)
    course.turn(lost(1))
    unknown = Observation.unknown(0.0, "NodesNotListed", "x")
    for _ in range(10):
        assert course.turn(unknown).commands == ()
    assert course.turn(lost(1)).memory.rules["lost"].base_replicas is not None


def test_nodes_do_not_stand_in_for_metrics_that_are_gone() -> None:
    course = Course(4, replace(POLICY, rules=(LOST, BUSY), signals={"zone-lost": ZONES, "cpu": CPU}))
    assert course.turn(NOTHING).memory.metrics_missing_since is not None
    assert course.turn(NOTHING, 0.5).memory.metrics_missing_since is None
    assert Course(4).turn(NOTHING).memory.metrics_missing_since is None
