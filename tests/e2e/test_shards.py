"""Replicas that share the policies: each has one owner, and only the share of who comes or goes moves."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest
from kubernetes import client

from resilience_operator.kube.coordination.shard_assignment import shard_of
from resilience_operator.kube.coordination.shard_membership import MEMBERS
from tests.e2e.crashing import SCALE_UP
from tests.e2e.test_scaling import after_evaluations
from tests.support.install import grant_lease
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = pytest.mark.long

SHARDS = 4
LEASE = "leader.resilience-operator.io"
Replica = Callable[..., Operator]


@pytest.fixture
def shops(world: World) -> Iterator[list[World]]:
    """A namespace in each shard, with a calm target and its policy."""
    grant_lease(world.cluster, world.namespace)
    names: dict[int, str] = {}
    while len(names) < SHARDS:
        name = f"t-{uuid.uuid4().hex[:8]}"
        names.setdefault(shard_of(name, SHARDS), name)
    found = [World(world.cluster, names[shard]).create() for shard in range(SHARDS)]
    for shop in found:
        shop.deployment()
        shop.load.workload(shop.namespace, "checkout", cpu_utilisation=0.3)
        shop.policy(rules=[SCALE_UP], scaleDown={"enabled": False})
    yield found
    for shop in found:
        shop.remove()


@pytest.fixture
def replica(world: World, shops: list[World], new_operator: Callable[..., Operator]) -> Replica:
    """Starts a replica under a name, which looks at all shops."""
    everywhere = [argument for shop in shops for argument in ("--namespace", shop.namespace)]

    def start(name: str, *how: str) -> Operator:
        environment = {
            "POD_NAME": name,
            "RESILIENCE_LEASE_NAMESPACE": world.namespace,
            "RESILIENCE_REFRESH_SECONDS": "0",
        }
        return new_operator(*everywhere, *(how or (f"--shards={SHARDS}",)), environment=environment).start()

    return start


def shares(world: World) -> Mapping[str, set[int]]:
    """Who holds what, by the Lease."""
    lease = client.CoordinationV1Api(world.api).read_namespaced_lease(LEASE, world.namespace)
    roster = json.loads((lease.metadata.annotations or {}).get(MEMBERS, "{}"))
    return {name.rpartition("_")[0]: set(member["shards"]) for name, member in roster.items()}


def until_held(world: World, **counts: int) -> Mapping[str, set[int]]:
    """Wait until the replicas hold so many shards each, all of them together."""

    def settled() -> bool:
        found = shares(world)
        return {name: len(held) for name, held in found.items()} == counts and set().union(*found.values()) == set(
            range(SHARDS)
        )

    eventually(settled, f"the shards are shared as {counts}", last=lambda: shares(world))
    return shares(world)


def until_looked_at(shop: World, interval: str) -> None:
    """Change a policy, and wait until its owner has seen to it."""
    shop.change_policy(interval=interval)
    shop.until(
        lambda: shop.status().get("observedGeneration") == shop.read_policy()["metadata"]["generation"],
        f"{shop.namespace}: somebody sees to its policy",
    )


def until_scaled_once(shop: World) -> None:
    shop.until(lambda: shop.actions() == ["scaleUp"], f"{shop.namespace}: it is scaled")
    assert shop.replicas() == 5
    assert len(shop.told("ScaledUp")) == 1


def test_each_policy_has_one_owner_as_replicas_come_and_go(world: World, shops: list[World], replica: Replica) -> None:
    replicas = {"one": replica("one")}
    alone = until_held(world, one=4)
    replicas["two"] = replica("two")
    both = until_held(world, one=2, two=2)
    assert both["one"] < alone["one"]
    replicas["three"] = replica("three")
    # Of two with as many, the one whose name comes first keeps the one more.
    three = until_held(world, one=2, two=1, three=1)
    assert three["one"] == both["one"]
    assert three["two"] < both["two"]
    for name, operator in replicas.items():
        eventually(lambda: operator.metric("resilience_shards_held") == len(three[name]), f"{name} shows its shards")  # noqa: B023
        assert operator.metric("resilience_policies_owned") == len(three[name])

    for shop in shops:
        shop.load.workload(shop.namespace, "checkout", cpu_utilisation=3.0)
    for shop in shops:
        until_scaled_once(shop)
    for name, operator in replicas.items():
        assert operator.metric("resilience_actions_total", action="scaleUp", result="Done") == len(three[name])

    replicas["one"].kill()
    killed = until_held(world, two=2, three=2)
    assert killed["two"] > three["two"]
    assert killed["three"] > three["three"]
    assert replicas["three"].stop() == 0
    until_held(world, two=4)
    for shop in shops:
        until_looked_at(shop, "6s")
        until_scaled_once(shop)


def test_a_frozen_owner_writes_nothing_when_it_goes_on(world: World, shops: list[World], replica: Replica) -> None:
    frozen, other = replica("one"), replica("two")
    of_one = until_held(world, one=2, two=2)["one"]
    frozen.freeze()
    until_held(world, two=4)
    moved = [shops[shard] for shard in of_one]
    for shop in moved:
        shop.load.workload(shop.namespace, "checkout", cpu_utilisation=3.0)
    for shop in moved:
        until_scaled_once(shop)
        until_looked_at(shop, "6s")
    versions = [shop.read_policy()["metadata"]["resourceVersion"] for shop in shops]
    other.freeze()
    try:
        frozen.thaw()
        assert frozen.process is not None
        process = frozen.process
        eventually(lambda: process.poll() is not None, "who was struck off ends")
        assert [shop.read_policy()["metadata"]["resourceVersion"] for shop in shops] == versions
    finally:
        other.thaw()


def test_replicas_that_divide_otherwise_wait(world: World, shops: list[World], replica: Replica) -> None:
    four = replica("four")
    until_held(world, four=4)
    others = {"plain": replica("plain", "--leader-election"), "five": replica("five", "--shards=5")}

    def nothing(*operators: Operator) -> bool:
        return all(
            operator.metric("resilience_shards_held") == 0 == operator.metric("resilience_status_writes_total")
            for operator in operators
        )

    throughout(lambda: nothing(*others.values()), "the others wait", until=after_evaluations(four, 2 * SHARDS))
    assert four.stop() == 0
    acting = eventually(
        lambda: next((name for name, operator in others.items() if operator.leads), ""), "one of the others acts"
    )
    (waiting,) = others.keys() - {acting}
    for shop in shops:
        until_looked_at(shop, "6s")
    assert nothing(others[waiting])
    others[acting].kill()
    eventually(lambda: others[waiting].leads, "the last one acts")
    for shop in shops:
        until_looked_at(shop, "7s")
