"""Pods are listed when they need a look, and at no other time; a list that fails harms nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.decision.model.memory import Phase, ReleaseMemory
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.selectors import Selector
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.runtime.cache.pod_lists import FORBIDDEN_FOR
from resilience_operator.runtime.cache.pods import AGAIN_AFTER, KEPT_AFTER, MAX_AGE, PodReader
from tests.unit.decision.builders import T0, releasing, revision, target
from tests.unit.kube.server import hang, serving, status

STABLE = ReleaseMemory(Phase.STABLE, T0, "a", good="a")
BAKING = ReleaseMemory(Phase.BAKING, T0, "a", bake_started=T0)
PROGRESSING = ReleaseMemory(Phase.PROGRESSING, T0, "b", good="a")


def pod(name: str, owner: str, *, ready: str = "True", at: str = "2026-01-01T00:00:10Z") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "ReplicaSet", "uid": owner, "controller": True}],
        },
        "status": {
            "phase": "Running",
            "startTime": "2026-01-01T00:00:01Z",
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": at}],
        },
    }


def with_uids(found: TargetState) -> TargetState:
    return replace(found, revisions=tuple(replace(r, uid=f"rs-{r.name}") for r in found.revisions))


RELEASING = with_uids(releasing(ready=3))
CALM = with_uids(target())


class Clock:
    now = T0

    def __call__(self) -> float:
        return self.now


def reader(kube: KubeClient, clock: Clock) -> PodReader:
    return PodReader(kube, lambda _: Selector((",app=checkout,",)), clock)


async def test_at_rest_nothing_is_listed(tmp_path: Path) -> None:
    async with serving(tmp_path, status(200, {"items": []})) as (server, kube):
        found = reader(kube, Clock())
        for release in (STABLE, BAKING, ReleaseMemory(Phase.ROLLED_BACK, T0, "a")):
            for _ in range(3):
                assert await found.read(CALM, release) is CALM
        assert server.requests == []


async def test_a_release_is_listed_at_each_look_from_the_watch_cache(tmp_path: Path) -> None:
    body = {"items": [pod("b-1", "rs-b"), pod("a-1", "rs-a"), pod("x-1", "another")]}
    async with serving(tmp_path, status(200, body)) as (server, kube):
        found = reader(kube, Clock())
        for _ in range(3):
            state = await found.read(RELEASING, PROGRESSING)
        assert {(p.name, p.revision) for p in state.pods or ()} == {("b-1", "b"), ("a-1", "a")}
        assert len(server.requests) == 3
        query = server.requests[0].query
        assert (query["resourceVersion"], query["labelSelector"]) == ("0", "app=checkout")


async def test_a_restart_in_the_bake_that_is_over_is_looked_at(tmp_path: Path) -> None:
    async with serving(tmp_path, status(200, {"items": []})) as (server, kube):
        clock = Clock()
        found = reader(kube, clock)
        await found.read(CALM, BAKING)
        changed = replace(CALM, resource_version="2")
        assert (await found.read(changed, BAKING)).pods == ()
        assert len(server.requests) == 1
        clock.now += KEPT_AFTER
        assert (await found.read(changed, BAKING)).pods is None
        assert len(server.requests) == 1


async def test_outside_a_release_a_target_with_missing_pods_is_listed_now_and_then(tmp_path: Path) -> None:
    async with serving(tmp_path, status(200, {"items": []})) as (server, kube):
        clock = Clock()
        found = reader(kube, clock)
        short = replace(CALM, ready=3)
        for _ in range(4):
            assert (await found.read(short, STABLE)).pods == ()
            clock.now += AGAIN_AFTER / 4
        assert len(server.requests) == 1
        await found.read(replace(CALM, ready=2), STABLE)
        assert len(server.requests) == 2, "at once when readiness changes"


async def test_readiness_that_is_lost_between_two_lists_is_counted(tmp_path: Path) -> None:
    lists = [status(200, {"items": [pod("b-1", "rs-b", at=f"2026-01-01T00:0{minute}:00Z")]}) for minute in (1, 2, 3)]
    async with serving(tmp_path, *lists) as (_, kube):
        found = reader(kube, Clock())
        counts = [((await found.read(RELEASING, PROGRESSING)).pods or ())[0].unready_count for _ in range(3)]
        assert counts == [0, 1, 2]


async def test_a_list_that_fails_leaves_the_last_one_for_a_while(tmp_path: Path) -> None:
    good = status(200, {"items": [pod("b-1", "rs-b")]})
    async with serving(tmp_path, good, status(400)) as (_, kube):
        clock = Clock()
        found = reader(kube, clock)
        await found.read(RELEASING, PROGRESSING)
        assert (await found.read(RELEASING, PROGRESSING)).pods
        clock.now += MAX_AGE + 1
        assert await found.read(RELEASING, PROGRESSING) is RELEASING


async def test_without_the_right_it_is_said_once_and_not_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, status(403, {"message": "no", "code": 403})) as (server, kube):
        clock = Clock()
        found = reader(kube, clock)
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                assert await found.read(RELEASING, PROGRESSING) is RELEASING
        assert len(server.requests) == 1
        assert [r.message for r in caplog.records].count(caplog.records[0].message) == 1
        clock.now += FORBIDDEN_FOR + 1
        await found.read(RELEASING, PROGRESSING)
        assert len(server.requests) == 2


async def test_a_list_that_hangs_holds_up_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path, hang) as (_, kube):
        found = reader(kube, Clock())
        other = replace(RELEASING, name="other", uid="other")
        async with asyncio.timeout(8):
            both = await asyncio.gather(found.read(RELEASING, PROGRESSING), found.read(other, PROGRESSING))
            assert await found.read(CALM, STABLE) is CALM
        assert both == [RELEASING, other]


async def test_malformed_pods_are_left_out(tmp_path: Path) -> None:
    body = {"items": [pod("b-1", "rs-b"), {"metadata": {"name": 7, "ownerReferences": 3}}, {"status": None}]}
    async with serving(tmp_path, status(200, body)) as (_, kube):
        state = await reader(kube, Clock()).read(RELEASING, PROGRESSING)
        assert [p.name for p in state.pods or ()] == ["b-1"]


async def test_a_very_large_target_is_read_in_two_pages(tmp_path: Path) -> None:
    large = replace(RELEASING, replicas=5000, revisions=(*RELEASING.revisions, revision("c", replicas=5000)))
    body = {"metadata": {"continue": "more"}, "items": [pod("b-1", "rs-b")]}
    async with serving(tmp_path, status(200, body)) as (server, kube):
        await reader(kube, Clock()).read(large, PROGRESSING)
        selectors = [r.query["labelSelector"] for r in server.requests]
        assert selectors == ["app=checkout,pod-template-hash=b", "app=checkout,pod-template-hash!=b"]
        assert {r.query["limit"] for r in server.requests} == {"500"}
