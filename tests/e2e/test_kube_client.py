"""The kube folder on a real control plane: what it reads, what it changes, and what it refuses to change."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from resilience_operator.decision.model.target import MANAGER, TargetState
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.cache.hpa import Autoscaler, project_autoscaler
from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.cache.revisions import RevisionRecord
from resilience_operator.kube.cache.workloads import Workload
from resilience_operator.kube.client import events
from resilience_operator.kube.client.client import KubeClient, PatchKind
from resilience_operator.kube.client.paths import AUTOSCALERS, DEPLOYMENTS, EVENTS, LEASES, POLICIES, REPLICA_SETS
from resilience_operator.kube.coordination.leader_election import ElectionTiming, LeaderElector
from resilience_operator.kube.writes import hpa, mutations, policies
from resilience_operator.resilience import (
    AlreadyExists,
    Conflict,
    Deadline,
    GiveUp,
    NotFound,
    Unauthorized,
    Unprocessable,
)
from tests.cluster import Cluster

Obj = dict[str, Any]


def soon(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


class Shop:
    """One Deployment, `web`, in a namespace of its own, watched by three reflectors."""

    def __init__(self, kube: KubeClient, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.path = DEPLOYMENTS.item(namespace, "web")
        only = (namespace,)
        self.deployments: Reflector[Workload] = Reflector(kube, DEPLOYMENTS, project_deployment, namespaces=only)
        self.sets: Reflector[RevisionRecord] = Reflector(
            kube,
            REPLICA_SETS,
            project_replica_set,
            namespaces=only,
            indexes={"owner": lambda record: record.owner_uid},
        )
        self.scalers: Reflector[Autoscaler] = Reflector(
            kube, AUTOSCALERS, project_autoscaler, namespaces=only, indexes={"target": lambda record: record.target}
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(r.run()) for r in (self.deployments, self.sets, self.scalers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def now(self) -> TargetState | None:
        deployment = self.deployments.get(self.namespace, "web")
        if deployment is None:
            return None
        scalers = self.scalers.by("target", ("Deployment", self.namespace, "web"))
        scaler = scalers[0].hpa if scalers else None
        return deployment_state(deployment, self.sets.by("owner", deployment.uid), scaler)

    async def until(self, condition: Callable[[TargetState], object], seconds: float = 30) -> TargetState:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    state = self.now
                    if state is not None and condition(state):
                        return state
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not so after {seconds} s: {self.now}") from None

    async def create(self, replicas: int = 3, **spec: Any) -> TargetState:
        template = {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "web", "image": "web:v1", "resources": {"requests": {"cpu": "1000m"}}}],
            },
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "template": template,
                **spec,
            },
        }
        await self.kube.create(DEPLOYMENTS.collection(self.namespace), body, deadline=soon())
        return await self.until(lambda s: s.rolled_out)

    async def change(self, spec: Obj, by: str = "person") -> None:
        await self.kube.patch(self.path, {"spec": spec}, kind=PatchKind.STRATEGIC, deadline=soon(), field_manager=by)

    async def release(self, image: str, by: str = "kubectl-set", **container: Any) -> None:
        containers = [{"name": "web", "image": image, **container}]
        await self.change({"template": {"spec": {"containers": containers}}}, by)

    async def raw(self) -> Obj:
        return await self.kube.get(self.path, deadline=soon())


@pytest_asyncio.fixture
async def kube(cluster: Cluster) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(cluster.kubeconfig) as connected:
        yield connected


@pytest_asyncio.fixture
async def shop(kube: KubeClient, namespace: str) -> AsyncIterator[Shop]:
    one = Shop(kube, namespace)
    async with one.watched():
        yield one


async def test_scaling_and_its_idempotence(shop: Shop) -> None:
    seen = await shop.create()
    assert (seen.replicas, seen.ready, seen.paused, seen.scaled_by) == (3, 3, False, MANAGER)
    change = await mutations.scale(shop.kube, seen, 5, deadline=soon())
    assert change is not None
    assert (change.verb, change.before, change.after) == ("scale", 3, 5)
    assert await mutations.scale(shop.kube, seen, 5, deadline=soon()) is None
    with pytest.raises(Conflict, match="has 5 replicas, not 3"):
        await mutations.scale(shop.kube, seen, 7, deadline=soon())
    after = await shop.until(lambda s: s.replicas == 5 and s.rolled_out)
    assert after.revision == seen.revision


async def test_a_person_s_scale_is_told_apart(shop: Shop) -> None:
    await shop.create()
    scale = DEPLOYMENTS.item(shop.namespace, "web", "scale")
    await shop.kube.patch(
        scale, {"spec": {"replicas": 4}}, kind=PatchKind.MERGE, deadline=soon(), field_manager="kubectl"
    )
    assert (await shop.until(lambda s: s.replicas == 4)).scaled_by == "kubectl-scale"


async def test_of_many_that_scale_at_once_one_does(shop: Shop) -> None:
    seen = await shop.create()
    calls = [mutations.scale(shop.kube, seen, 4 + n, deadline=soon()) for n in range(10)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, mutations.Change) for one in found) == 1
    assert sum(isinstance(one, Conflict) for one in found) == 9


async def test_what_the_api_refuses_is_not_tried_again(shop: Shop) -> None:
    seen = await shop.create()
    with pytest.raises(Unprocessable, match="must be greater than or equal to 0"):
        await mutations.scale(shop.kube, seen, -1, deadline=soon())


async def test_a_target_made_anew_is_another(shop: Shop) -> None:
    seen = await shop.create()
    await shop.kube.delete(shop.path, deadline=soon(), body={"propagationPolicy": "Background"})
    with suppress(AssertionError):
        await shop.until(lambda s: s.uid != seen.uid, 0.5)
    with pytest.raises(NotFound):
        await mutations.pause(shop.kube, seen, deadline=soon())
    await shop.create()
    with pytest.raises(Conflict, match="made anew"):
        await mutations.pause(shop.kube, seen, deadline=soon())


async def test_a_bad_release_is_paused_and_rolled_back(shop: Shop) -> None:
    good = await shop.create(replicas=6)
    await shop.release("web:bad", env=[{"name": "DEBUG", "value": "1"}])
    bad = await shop.until(lambda s: s.revision not in (None, good.revision) and s.ready < 12)
    assert (bad.template_by, bad.rolled_out) == ("kubectl-set", False)

    change = await mutations.pause(shop.kube, bad, deadline=soon())
    assert change is not None
    assert await mutations.pause(shop.kube, bad, deadline=soon()) is None
    paused = await shop.until(lambda s: s.paused)
    assert (paused.paused_by, paused.revision) == (MANAGER, bad.revision)

    assert good.revision is not None
    change = await mutations.rollback(shop.kube, paused, good.revision, deadline=soon())
    assert change is not None
    assert (change.before, change.after) == (bad.revision, good.revision)
    healed = await shop.until(lambda s: s.rolled_out)
    assert (healed.revision, healed.paused, healed.template_by) == (good.revision, False, MANAGER)
    container = (await shop.raw())["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container.get("env")) == ("web:v1", None)
    assert [r.number for r in healed.revisions] == [2, 3]
    assert await mutations.rollback(shop.kube, healed, good.revision, deadline=soon()) is None


async def test_a_rollback_is_one_write(shop: Shop) -> None:
    good = await shop.create()
    await shop.release("web:bad")
    bad = await shop.until(lambda s: s.revision not in (None, good.revision))
    await mutations.pause(shop.kube, bad, deadline=soon())
    paused = await shop.until(lambda s: s.paused)
    before = await shop.raw()
    assert good.revision is not None
    await mutations.rollback(shop.kube, paused, good.revision, deadline=soon())
    assert (await shop.raw())["metadata"]["generation"] == before["metadata"]["generation"] + 1


async def test_a_template_changed_while_paused_is_no_revision(shop: Shop) -> None:
    good = await shop.create()
    await shop.release("web:bad")
    bad = await shop.until(lambda s: s.revision not in (None, good.revision))
    await mutations.pause(shop.kube, bad, deadline=soon())
    paused = await shop.until(lambda s: s.paused)
    await shop.release("web:fixed")
    changed = await shop.until(lambda s: s.template_by == "kubectl-set" and s.revision is None)
    await asyncio.sleep(0.5)  # the controller makes no ReplicaSet while it is paused
    assert shop.now is not None
    assert shop.now.revision is None
    assert good.revision is not None
    with pytest.raises(Conflict, match="no longer runs the template"):
        await mutations.rollback(shop.kube, paused, good.revision, deadline=soon())
    with pytest.raises(Conflict, match="no longer runs the template"):
        await mutations.resume(shop.kube, paused, deadline=soon())
    assert await mutations.resume(shop.kube, changed, deadline=soon()) is not None
    out = await shop.until(lambda s: s.rolled_out)
    assert out.revision not in (None, good.revision, bad.revision)


async def test_a_person_s_pause_is_not_lifted(shop: Shop) -> None:
    seen = await shop.create()
    await mutations.pause(shop.kube, seen, deadline=soon())
    ours = await shop.until(lambda s: s.paused)
    await shop.change({"paused": False})
    await shop.change({"paused": True})
    with pytest.raises(Conflict, match="was paused by person"):
        await mutations.resume(shop.kube, ours, deadline=soon())
    theirs = await shop.until(lambda s: s.paused_by == "person")
    assert theirs.paused


async def test_resuming(shop: Shop) -> None:
    seen = await shop.create()
    await mutations.pause(shop.kube, seen, deadline=soon())
    paused = await shop.until(lambda s: s.paused)
    change = await mutations.resume(shop.kube, paused, deadline=soon())
    assert change is not None
    assert (change.verb, change.after) == ("resume", False)
    assert await mutations.resume(shop.kube, paused, deadline=soon()) is None


async def test_a_revision_that_is_gone_cannot_come_back(shop: Shop) -> None:
    good = await shop.create()
    await shop.release("web:v2")
    seen = await shop.until(lambda s: s.rolled_out and s.revision != good.revision)
    assert good.revision is not None
    old = seen.find(good.revision)
    assert old is not None
    await shop.kube.delete(REPLICA_SETS.item(shop.namespace, old.owner), deadline=soon())
    with pytest.raises(NotFound):
        await mutations.rollback(shop.kube, seen, good.revision, deadline=soon())
    with pytest.raises(NotFound, match="has no revision nonsense"):
        await mutations.rollback(shop.kube, seen, "nonsense", deadline=soon())


async def test_the_change_cause_goes_back_with_the_template(shop: Shop) -> None:
    async def cause(text: str) -> None:
        body = {"metadata": {"annotations": {"kubernetes.io/change-cause": text}}}
        await shop.kube.patch(shop.path, body, kind=PatchKind.MERGE, deadline=soon())

    good = await shop.create()
    await cause("release 1")
    rs = REPLICA_SETS.item(shop.namespace, good.revisions[0].owner)
    async with asyncio.timeout(10):
        while "kubernetes.io/change-cause" not in (await shop.kube.get(rs, deadline=soon()))["metadata"]["annotations"]:
            await asyncio.sleep(0.05)
    await cause("release 2")
    await shop.release("web:bad")
    bad = await shop.until(lambda s: s.rolled_out and s.revision != good.revision)
    old = (await shop.kube.get(rs, deadline=soon()))["metadata"]["annotations"]["kubernetes.io/change-cause"]
    assert good.revision is not None
    await mutations.rollback(shop.kube, bad, good.revision, deadline=soon())
    assert (await shop.raw())["metadata"]["annotations"]["kubernetes.io/change-cause"] == old


async def test_a_busy_rollout_is_no_conflict(shop: Shop) -> None:
    good = await shop.create(replicas=40)
    await shop.release("web:bad")
    bad = await shop.until(lambda s: s.revision not in (None, good.revision))
    stop = asyncio.Event()

    async def scribble() -> None:
        """Writes the object's metadata as fast as it can, so that every resourceVersion is old at once."""
        while not stop.is_set():
            body = {"metadata": {"annotations": {"scribble": str(random.random())}}}
            await shop.kube.patch(shop.path, body, kind=PatchKind.MERGE, deadline=soon(), field_manager="scribble")

    writers = [asyncio.create_task(scribble()) for _ in range(3)]
    try:
        assert await mutations.pause(shop.kube, bad, deadline=soon()) is not None
        paused = await shop.until(lambda s: s.paused)
        assert good.revision is not None
        assert await mutations.rollback(shop.kube, paused, good.revision, deadline=soon()) is not None
    finally:
        stop.set()
        await asyncio.gather(*writers)
    assert (await shop.until(lambda s: s.rolled_out, 60)).revision == good.revision


async def test_random_edits_never_meet_a_change_that_was_not_meant(shop: Shop) -> None:
    """A person edits as we scale: our scale is made on what we saw, or not at all."""
    await shop.create(replicas=2)
    rng = random.Random(7)
    for _ in range(15):
        seen = await shop.until(lambda s: True)
        live = int((await shop.raw())["spec"]["replicas"])
        person, ours = rng.randint(1, 9), rng.randint(1, 9)
        results = await asyncio.gather(
            shop.change({"replicas": person}),
            mutations.scale(shop.kube, seen, ours, deadline=soon()),
            return_exceptions=True,
        )
        final = int((await shop.raw())["spec"]["replicas"])
        if isinstance(results[1], mutations.Change):
            assert seen.replicas == live or results[1].after == ours
            assert final in (person, ours)
        else:
            assert results[1] is None or isinstance(results[1], Conflict)
            assert final == person
        await shop.until(lambda s, final=final: s.replicas == final)  # type: ignore[misc]


async def test_the_hpa_s_minimum_is_moved_and_given_back(shop: Shop) -> None:
    await shop.create()
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2,
            "maxReplicas": 9,
        },
    }
    await shop.kube.create(AUTOSCALERS.collection(shop.namespace), body, deadline=soon())

    async def until(minimum: int) -> TargetState:
        return await shop.until(lambda s: s.hpa is not None and s.hpa.min_replicas == minimum)

    seen = await until(2)
    change = await hpa.raise_hpa_min(shop.kube, seen, 5, deadline=soon())
    assert change is not None
    assert (change.kind, change.verb, change.after) == ("HorizontalPodAutoscaler", "raise-hpa-min", 5)
    assert await hpa.raise_hpa_min(shop.kube, seen, 5, deadline=soon()) is None
    raised = await until(5)
    assert raised.hpa is not None
    assert raised.hpa.original_min == 2
    with pytest.raises(Unprocessable):
        await hpa.raise_hpa_min(shop.kube, raised, 50, deadline=soon())
    await hpa.raise_hpa_min(shop.kube, raised, 7, deadline=soon())
    with pytest.raises(Conflict, match="has minReplicas 7, not 5"):
        await hpa.restore_hpa_min(shop.kube, raised, deadline=soon())
    higher = await until(7)
    lowered = await hpa.raise_hpa_min(shop.kube, higher, 4, deadline=soon())
    assert lowered is not None
    assert lowered.verb == "lower-hpa-min"
    restored = await hpa.restore_hpa_min(shop.kube, await until(4), deadline=soon())
    assert restored is not None
    assert restored.after == 2
    back = await until(2)
    assert back.hpa is not None
    assert back.hpa.original_min is None
    assert await hpa.restore_hpa_min(shop.kube, back, deadline=soon()) is None


async def test_an_event_recorded_twice_is_one(shop: Shop) -> None:
    seen = await shop.create()
    subject = events.ObjectRef("apps/v1", "Deployment", shop.namespace, "web", seen.uid)
    for _ in range(2):
        recorded = await events.record(
            shop.kube,
            subject,
            key="pause/1",
            type="Warning",
            reason="ErrorRateHigh",
            action="PauseRollout",
            message="日本語" * 1000,
        )
        assert recorded is None
    found = await shop.kube.list(EVENTS.collection(shop.namespace), deadline=soon())
    ours = [e for e in found.items if e.get("reportingController") == MANAGER]
    assert [(e["reason"], e["type"], e["regarding"]["uid"]) for e in ours] == [("ErrorRateHigh", "Warning", seen.uid)]


async def test_an_event_that_cannot_be_recorded_is_no_error(shop: Shop) -> None:
    nowhere = events.ObjectRef("apps/v1", "Deployment", "no-such-namespace", "web")
    recorded = await events.record(shop.kube, nowhere, key="k", type="Normal", reason="Any", action="Any", message="m")
    assert isinstance(recorded, NotFound)


async def test_the_status_of_a_policy(kube: KubeClient, namespace: str) -> None:
    body = {
        "apiVersion": POLICIES.api_version,
        "kind": POLICIES.kind,
        "metadata": {"name": "web"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "rules": [{"name": "slow", "when": {"signal": "latency-p99", "above": "1s"}, "then": [{"alert": {}}]}],
        },
    }
    made = await kube.create(POLICIES.collection(namespace), body, deadline=soon())
    meta = made["metadata"]
    status = {"observedGeneration": 1, "target": {"phase": "Stable"}}
    first = await policies.patch_status(
        kube, namespace, "web", status, deadline=soon(), uid=meta["uid"], resource_version=meta["resourceVersion"]
    )
    assert first["status"]["target"]["phase"] == "Stable"
    with pytest.raises(Conflict):
        await policies.patch_status(
            kube, namespace, "web", status, deadline=soon(), resource_version=meta["resourceVersion"]
        )
    again = await policies.patch_status(kube, namespace, "web", {"target": None}, deadline=soon())
    assert "target" not in again["status"]
    assert again["metadata"]["generation"] == 1
    listed = await policies.list_policies(kube, namespace, deadline=soon())
    assert [p["metadata"]["name"] for p in listed.items] == ["web"]
    assert (await policies.get_policy(kube, namespace, "web", deadline=soon()))["spec"]["rules"]


async def test_a_reflector_lists_in_pages_and_lists_again(kube: KubeClient, namespace: str) -> None:
    path = "/api/v1/namespaces/" + namespace + "/configmaps"
    names = [f"c{n:03}" for n in range(25)]
    await asyncio.gather(*(kube.create(path, {"metadata": {"name": n}}, deadline=soon()) for n in names))
    pages = [page async for page in kube.pages(path, deadline=soon(), page=10)]
    assert len(pages) >= 3
    assert len({page.resource_version for page in pages}) == 1
    assert set(names) <= {obj["metadata"]["name"] for page in pages for obj in page.items}
    with pytest.raises(AlreadyExists):
        await kube.create(path, {"metadata": {"name": "c000"}}, deadline=soon())


async def test_a_reflector_survives_a_relist_amid_changes(shop: Shop) -> None:
    seen = await shop.create()
    for replicas in (4, 5, 6):
        shop.deployments.relist()
        await shop.change({"replicas": replicas})
        await shop.until(lambda s, wanted=replicas: s.replicas == wanted)  # type: ignore[misc]
    assert shop.now is not None
    assert shop.now.uid == seen.uid
    await shop.kube.delete(shop.path, deadline=soon())
    shop.deployments.relist()
    async with asyncio.timeout(10):
        while shop.now is not None:
            await asyncio.sleep(0.02)


async def test_a_watch_ends_when_its_time_is_over(kube: KubeClient, namespace: str) -> None:
    path = DEPLOYMENTS.collection(namespace)
    listing = await kube.list(path, deadline=soon())
    async with kube.watch(path, listing.resource_version, lifetime=1) as stream:
        async with asyncio.timeout(30):
            assert all(event["type"] == "BOOKMARK" for event in [e async for e in stream])


async def test_a_token_that_is_not_known(kube: KubeClient, tmp_path: Path, cluster: Cluster) -> None:
    text = Path(cluster.kubeconfig).read_text()
    (tmp_path / "token").write_text("not-a-token")
    import yaml

    config = yaml.safe_load(text)
    config["users"][0]["user"] = {"tokenFile": "token"}
    for one in config["clusters"]:
        authority = one["cluster"].get("certificate-authority")
        if authority:
            one["cluster"]["certificate-authority"] = str(Path(cluster.kubeconfig).parent / authority)
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    async with KubeClient.connect(tmp_path / "config") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.get("/api/v1/namespaces", deadline=soon())


async def test_what_is_not_allowed(operator_identity: Path, namespace: str) -> None:
    async with KubeClient.connect(operator_identity) as operator:
        with pytest.raises(GiveUp) as caught:
            await operator.list(f"/api/v1/namespaces/{namespace}/serviceaccounts", deadline=soon())
        assert caught.value.status == 403


async def test_leadership_goes_over(kube: KubeClient, namespace: str) -> None:
    # Long enough that a busy machine loses nobody the lease.
    timing = ElectionTiming(lease_duration=10.0, renew_deadline=8.0, retry=0.5)
    electors = [
        LeaderElector(kube, namespace=namespace, name="op", identity=f"pod-{n}", timing=timing) for n in range(3)
    ]
    tasks = [asyncio.create_task(e.run()) for e in electors]

    async def leader() -> int:
        async with asyncio.timeout(60):
            while True:
                leading = [n for n, e in enumerate(electors) if e.is_leader()]
                assert len(leading) <= 1
                if leading:
                    return leading[0]
                await asyncio.sleep(0.01)

    async def renewed_for_longer_than_it_lasts() -> None:
        async with asyncio.timeout(60):
            while True:
                spec = (await kube.get(LEASES.item(namespace, "op"), deadline=soon()))["spec"]
                acquired, renewed = (datetime.fromisoformat(spec[f"{moment}Time"]) for moment in ("acquire", "renew"))
                if (renewed - acquired).total_seconds() > timing.lease_duration:
                    return
                await asyncio.sleep(0.5)

    try:
        first = await leader()
        await renewed_for_longer_than_it_lasts()
        assert await leader() == first
        tasks[first].cancel()
        await asyncio.wait([tasks[first]])
        second = await leader()
        assert second != first
        thief = {"spec": {"holderIdentity": "thief"}}
        await kube.patch(LEASES.item(namespace, "op"), thief, kind=PatchKind.MERGE, deadline=soon())
        async with asyncio.timeout(60):
            await asyncio.wait([tasks[second]])
        assert not electors[second].is_leader()
        third = await leader()
        assert third not in (first, second)
        lease = await kube.get(LEASES.item(namespace, "op"), deadline=soon())
        assert lease["spec"]["holderIdentity"] == f"pod-{third}"
        assert lease["spec"]["leaseTransitions"] >= 2
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
