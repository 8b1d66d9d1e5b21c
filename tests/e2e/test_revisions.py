"""Revisions that strangers plant, on a real control plane: none is taken for the workload's own, none is restored."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from resilience_operator.decision.model.target import Revision, TargetState
from resilience_operator.kube.client.client import KubeClient, PatchKind
from resilience_operator.kube.client.paths import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from resilience_operator.kube.writes import mutations
from resilience_operator.resilience import Conflict, Deadline
from resilience_operator.runtime.cache.targets import TargetCache
from tests.cluster import Cluster
from tests.e2e.test_release import bad, guard
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

Obj = dict[str, Any]
KEPT = {DEPLOYMENTS: REPLICA_SETS, STATEFUL_SETS: CONTROLLER_REVISIONS, DAEMON_SETS: CONTROLLER_REVISIONS}
FINALIZER = "example.org/held"


def soon() -> Deadline:
    return Deadline.after(30)


@pytest.fixture
def stranger(cluster: Cluster) -> Iterator[World]:
    """Somebody else's namespace."""
    found = World(cluster, f"t-{uuid.uuid4().hex[:8]}").create()
    yield found
    for one in found.apps.list_namespaced_replica_set(found.namespace).items:
        found.apps.patch_namespaced_replica_set(one.metadata.name, found.namespace, {"metadata": {"finalizers": None}})
    found.remove()


def planted(like: Obj, name: str, image: str, **metadata: Any) -> Obj:
    """A copy of a ReplicaSet or ControllerRevision with another template, that claims to be the oldest of all."""
    found = copy.deepcopy(like)
    kept = like["metadata"]
    found["metadata"] = {
        "name": name,
        "labels": kept["labels"],
        "annotations": {**(kept.get("annotations") or {}), "deployment.kubernetes.io/revision": "0"},
        "ownerReferences": kept["ownerReferences"],
        **metadata,
    }
    found.pop("status", None)
    held = found["data"]["spec"] if "data" in found else found["spec"]
    held["template"]["spec"]["containers"][0]["image"] = image
    if "data" in found:
        found["revision"] = 0
    return found


class TestWithTheOperator:
    """`checkout` had the releases 0.9 and 1.0, which is good; 2.0 fails and is paused."""

    def paused(self, world: World, operator: Operator) -> tuple[Obj, Obj]:
        """The ReplicaSets of 0.9 and 1.0."""
        world.deployment(replicas=4, tag="0.9")
        world.release("1.0")
        world.rolled_out()
        world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
        world.policy(replicas={"min": 4}, rules=guard({"pauseRollout": {}}))
        world.until_phase("Stable")
        world.until_verdict("error-rate", "Ok")
        bad(world)
        world.release("2.0")
        world.until(lambda: world.phase() == "Paused", "the release is paused")
        sets = world.api.sanitize_for_serialization(world.apps.list_namespaced_replica_set(world.namespace))["items"]
        by_tag = {rs["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]: rs for rs in sets}
        return by_tag["0.9"], by_tag["1.0"]

    def allow_rollback(self, world: World) -> None:
        world.change_policy(rules=guard({"pauseRollout": {}}, {"rollback": {"after": "0s"}}))

    def test_one_of_another_namespace_is_not_restored(
        self, world: World, stranger: World, new_operator: Callable[..., Operator]
    ) -> None:
        operator = new_operator("--namespace", stranger.namespace).start()
        oldest, good = self.paused(world, operator)
        name = oldest["metadata"]["name"]
        plant = planted(good, name, world.image("0.9"), finalizers=[FINALIZER])
        stranger.apps.create_namespaced_replica_set(stranger.namespace, plant)

        def collected() -> bool:
            found = stranger.apps.read_namespaced_replica_set(name, stranger.namespace)
            return found.metadata.deletion_timestamp is not None

        eventually(collected, "the garbage collector has deleted it, as far as it can")
        self.allow_rollback(world)
        world.until(lambda: world.running() != "2.0", "the release is rolled back")
        assert world.running() == "1.0"
        world.until(lambda: world.status()["lastDecision"]["action"] == "rollback", "the status tells of it")
        status = world.status()
        assert status["lastDecision"]["to"] == status["target"]["lastGoodRevision"]

    def test_one_of_the_same_namespace_is_not_restored(self, world: World, operator: Operator) -> None:
        _, good = self.paused(world, operator)
        world.apps.create_namespaced_replica_set(world.namespace, planted(good, "planted", world.image("0.9")))
        self.allow_rollback(world)
        world.until(lambda: world.running() != "2.0", "the release is rolled back")
        assert world.running() == "1.0"

    def test_a_good_revision_that_was_edited_is_not_restored(self, world: World, operator: Operator) -> None:
        _, good = self.paused(world, operator)
        edit = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": world.image("0.9")}]}}}}
        world.apps.patch_namespaced_replica_set(good["metadata"]["name"], world.namespace, edit)
        self.allow_rollback(world)
        told = world.until(lambda: world.told("GoodRevisionChanged"), "it is told that the good revision was changed")
        assert good["metadata"]["name"] in told[0]["note"]
        assert (world.running(), world.paused(), world.actions()) == ("2.0", True, ["pauseRollout"])


def labelled(name: str, image: str) -> Obj:
    container = {"name": "db", "image": image, "resources": {"requests": {"cpu": "10m"}}}
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }


def kept_in(state: TargetState, revision: Revision) -> str:
    """The name of the object that keeps a revision."""
    return {
        "Deployment": revision.owner,
        "StatefulSet": revision.name,
        "DaemonSet": f"{state.name}-{revision.name}",
    }[state.kind]


class Watched:
    """A workload `db` with two revisions, watched as the operator watches it."""

    def __init__(self, kube: KubeClient, resource: Resource, namespace: str) -> None:
        self.kube, self.resource, self.namespace = kube, resource, namespace
        self.targets = TargetCache(kube, (), self.changed)
        self.kept = KEPT[resource]
        self.history: list[TargetState] = []

    def changed(self, key: tuple[str, str, str]) -> None:
        """Called by `Targets`: when a revision comes or goes, at least."""
        if key == (self.resource.kind, self.namespace, "db") and (state := self.state) is not None:
            self.history.append(state)

    @property
    def state(self) -> TargetState | None:
        return self.targets.get((self.resource.kind, self.namespace, "db"))

    async def until(self, condition: Callable[[TargetState], object]) -> TargetState:
        async with asyncio.timeout(120):
            while True:
                if (state := self.state) is not None and condition(state):
                    return state
                await asyncio.sleep(0.05)

    async def set_up(self) -> tuple[TargetState, Obj]:
        """Released twice; the target, and the object that keeps the first revision."""
        spec: Obj = {"selector": {"matchLabels": {"app": "db"}}, "template": labelled("db", "db:v1")}
        if self.resource is not DAEMON_SETS:
            spec["replicas"] = 2
        if self.resource is STATEFUL_SETS:
            spec["serviceName"] = "db"
        body = {"metadata": {"name": "db"}, "spec": spec}
        await self.kube.create(self.resource.collection(self.namespace), body, deadline=soon())
        first = await self.until(lambda s: s.replicas > 0 and s.rolled_out)
        patch = {"spec": {"template": labelled("db", "db:v2")}}
        path = self.resource.item(self.namespace, "db")
        await self.kube.patch(path, patch, kind=PatchKind.STRATEGIC, deadline=soon())
        second = await self.until(lambda s: s.rolled_out and s.revision != first.revision)
        old = second.find(first.revision)
        assert old is not None
        return second, await self.kube.get(self.kept.item(self.namespace, kept_in(second, old)), deadline=soon())

    async def image(self) -> str:
        live = await self.kube.get(self.resource.item(self.namespace, "db"), deadline=soon())
        return str(live["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest_asyncio.fixture(params=list(KEPT), ids=lambda r: r.kind)
async def watched(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Watched]:
    async with KubeClient.connect(world.cluster.kubeconfig) as kube:
        found = Watched(kube, request.param, world.namespace)
        async with found.targets.watching():
            await found.targets.synced()
            yield found


async def test_strangers_revisions_are_not_seen(watched: Watched, stranger: World) -> None:
    """Neither one of the workload's own name, nor one of the good one's that has the newest template."""
    state, good = await watched.set_up()
    names, owners = {r.name for r in state.revisions}, {r.owner for r in state.revisions}
    watched.history.clear()
    for name in ("db", good["metadata"]["name"]):
        plant = planted(good, name, "db:v2")
        if "spec" in plant:
            plant["metadata"]["finalizers"] = [FINALIZER]
            plant["spec"]["replicas"] = 1
        else:
            plant["revision"] = 99
        await watched.kube.create(watched.kept.collection(stranger.namespace), plant, deadline=soon())
    # All of a kind are watched by one stream, so when the last one is seen, the others were.
    own = {"Deployment": "adopted/last", "StatefulSet": "last", "DaemonSet": "adopted/last"}[state.kind]
    last = planted(good, "last", "db:v0")
    await watched.kube.create(watched.kept.collection(watched.namespace), last, deadline=soon())
    await watched.until(lambda s: any(r.name == own for r in s.revisions))
    for after in (*watched.history, watched.state):
        assert after is not None
        assert {r.name for r in after.revisions} - names <= {own}
        assert len(after.revisions) <= len(names) + 1
        assert {r.owner for r in after.revisions} - owners <= {"last"}
        assert after.revision == state.revision


@pytest.mark.parametrize("how", ["another template", "made anew", "relabelled"])
async def test_what_was_kept_is_restored_only_as_it_was_seen(watched: Watched, how: str) -> None:
    """The decision saw the good revision; then somebody put something else in its place."""
    seen, good = await watched.set_up()
    name = good["metadata"]["name"]
    path = watched.kept.item(watched.namespace, name)
    if how == "relabelled":
        other: Obj = {"metadata": {"labels": {"app": "other"}}}
        await watched.kube.patch(path, other, kind=PatchKind.MERGE, deadline=soon())
    else:
        await watched.kube.delete(path, deadline=soon())
        image = "db:planted" if how == "another template" else "db:v1"
        anew = planted(good, name, image)
        await watched.kube.create(watched.kept.collection(watched.namespace), anew, deadline=soon())
    revision = next(r.name for r in seen.revisions if kept_in(seen, r) == name)
    with pytest.raises(Conflict):
        await mutations.rollback(watched.kube, seen, revision, deadline=soon())
    assert await watched.image() == "db:v2"
