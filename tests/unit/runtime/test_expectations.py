"""Expectations: own writes that the watch cache does not show yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from resilience_operator.kube.cache.reflector import Reflector
from resilience_operator.kube.client.paths import AUTOSCALERS
from resilience_operator.kube.writes.mutations import Change
from resilience_operator.runtime.cache import expectations
from resilience_operator.runtime.cache.policy_entry import TargetKey
from resilience_operator.runtime.cache.targets import TargetCache
from tests.unit.runtime.parts import deployment

KEY: TargetKey = ("Deployment", "shop", "checkout")


def written(version: str, kind: str = "Deployment") -> Change:
    return Change("scale", kind, "shop", "checkout", 3, 5, version)


class Cache:
    """A target cache, and the keys that it reported as changed."""

    def __init__(self) -> None:
        self.changed: list[TargetKey] = []
        kube: Any = None  # nothing is listed here
        self.targets = TargetCache(kube, (), self.changed.append)
        self.expectations = self.targets.expectations
        self.show("1")

    def show(self, version: str) -> None:
        obj = deployment("shop", "checkout")
        obj["metadata"]["resourceVersion"] = version
        self._deployments._upsert(obj)

    def delete(self) -> None:
        self._deployments._change(("shop", "checkout"), None)

    @property
    def _deployments(self) -> Reflector[Any]:
        return self.targets._workloads["Deployment"]


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    found = Cache()
    yield found
    found.expectations.close()


async def test_a_target_is_consistent_until_something_is_written(cache: Cache) -> None:
    assert cache.expectations.met(KEY)
    cache.expectations.expect(KEY, ())
    assert cache.expectations.met(KEY)


async def test_a_write_is_expected_until_the_watch_shows_it_or_a_later_one(cache: Cache) -> None:
    for version in ("7", "12"):
        cache.expectations.expect(KEY, (written(version),))
        assert not cache.expectations.met(KEY)
    cache.show("9")
    assert not cache.expectations.met(KEY), "versions are compared as numbers"
    cache.changed.clear()
    cache.show("13")
    assert cache.changed == [KEY], "the policy is evaluated as soon as the write is visible"
    assert cache.expectations.met(KEY)
    cache.show("14")
    assert cache.changed == [KEY]


async def test_a_deleted_target_is_waited_for_no_longer(cache: Cache) -> None:
    cache.expectations.expect(KEY, (written("7"),))
    cache.delete()
    assert cache.expectations.met(KEY)


async def test_only_what_is_watched_is_expected(cache: Cache) -> None:
    cache.expectations.expect(KEY, (written("7", "Rollout"),))
    assert cache.expectations.met(KEY)
    cache.expectations.expect(KEY, (written("7", AUTOSCALERS.kind),))
    assert cache.expectations.met(KEY), "the HPA has been deleted since"


async def test_objects_are_listed_again_and_the_wait_ends(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "RELIST_AFTER", 0.01)
    monkeypatch.setattr(expectations, "CONSISTENCY_TIMEOUT", 0.5)
    relisted: list[str] = []
    found = expectations.Expectations(lambda _: False, relisted.append, cache.changed.append)
    cache.changed.clear()
    started = time.monotonic()
    found.expect(KEY, (written("7"), written("8", AUTOSCALERS.kind)))
    async with asyncio.timeout(30):
        while not cache.changed:
            await asyncio.sleep(0.01)
    assert time.monotonic() - started >= 0.5
    assert (cache.changed, found.met(KEY)) == ([KEY], True)
    assert set(relisted) == {"Deployment", AUTOSCALERS.kind}
