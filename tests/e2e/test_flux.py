"""`release.gitOps: Hold` with Flux's own controllers and a git repository.

The controllers are built on request: `make flux`. Without them the test is skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import watch

from tests.e2e.test_release import bad, guard
from tests.e2e.test_scaling import after_evaluations
from tests.support import flux
from tests.support.flux import Repository
from tests.support.gitops import RECONCILE, annotations, install_definitions
from tests.support.operator import Operator
from tests.support.waiting import eventually, throughout
from tests.support.world import World

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(flux.missing()), reason="Flux's controllers are not built: make flux"),
]

INTERVAL = 5.0
"""Seconds between two reconciliations of the Kustomization."""


class Shop:
    """The repository, and what Flux applied of it."""

    def __init__(self, world: World, repository: Repository) -> None:
        self.world, self.repository = world, repository
        self.templates: list[str] = []

    def commit(self, tag: str, number: int) -> str:
        """A Deployment of that version, and a ConfigMap with that number."""
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "checkout"},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": "checkout"}},
                "template": self.world.template("checkout", tag),
            },
        }
        other = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "other"},
            "data": {"number": str(number)},
        }
        return self.repository.commit({"deployment.yaml": deployment, "other.yaml": other})

    def number(self) -> str:
        """The number in the ConfigMap."""
        found = self.world.core.read_namespaced_config_map("other", self.world.namespace)
        return str(found.data["number"])

    def drift(self) -> None:
        """Edit the ConfigMap by hand."""
        self.world.core.patch_namespaced_config_map("other", self.world.namespace, {"data": {"number": "drifted"}})

    def attempted(self) -> str:
        """The version that the Kustomization has tried to apply last."""
        found: Any = self.world.custom.get_namespaced_custom_object(
            "kustomize.toolkit.fluxcd.io", "v1", self.world.namespace, "kustomizations", "shop"
        )
        return str(found.get("status", {}).get("lastAttemptedRevision", ""))

    def record(self, stop: threading.Event) -> None:
        """Append each template that the Deployment gets."""
        while not stop.is_set():
            stream = watch.Watch().stream(
                self.world.apps.list_namespaced_deployment, self.world.namespace, timeout_seconds=2
            )
            for event in stream:
                tag = event["object"].spec.template.spec.containers[0].image.rpartition(":")[2]
                if not self.templates or self.templates[-1] != tag:
                    self.templates.append(tag)


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Iterator[Shop]:
    install_definitions(world.cluster)
    with flux.repository(tmp_path) as repository, flux.controllers(world.cluster, tmp_path):
        found = Shop(world, repository)
        found.commit("1.0", 1)
        source = {"kind": "GitRepository", "name": "shop"}
        create(
            world,
            "GitRepository",
            {"interval": "2s", "timeout": "20s", "url": repository.url, "ref": {"branch": "main"}},
        )
        create(
            world,
            "Kustomization",
            {
                "interval": f"{INTERVAL:.0f}s",
                "retryInterval": f"{INTERVAL:.0f}s",
                "timeout": "60s",
                "path": "./",
                "prune": True,
                "targetNamespace": world.namespace,
                "sourceRef": source,
            },
        )
        try:
            eventually(lambda: found.number() == "1", "Flux has applied it", last=lambda: logs(tmp_path), patience=120)
        except AssertionError:
            raise
        stop = threading.Event()
        recorder = threading.Thread(target=found.record, args=(stop,))
        recorder.start()
        yield found
        stop.set()
        recorder.join()
        for kind in ("Kustomization", "GitRepository"):
            group, (version,), plural = flux.KINDS[kind]
            world.custom.patch_namespaced_custom_object(
                group, version, world.namespace, plural, "shop", {"metadata": {"finalizers": []}},
                _content_type="application/merge-patch+json",
            )  # fmt: skip
            world.custom.delete_namespaced_custom_object(group, version, world.namespace, plural, "shop")


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in folder.glob("*.log"))


def create(world: World, kind: str, spec: dict[str, Any]) -> None:
    group, (version,), plural = flux.KINDS[kind]
    body = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}
    world.custom.create_namespaced_custom_object(group, version, world.namespace, plural, body)


def rolled_back(world: World, shop: Shop, mode: str) -> None:
    """Version 1.0 is good. The commit of version 2.0 is bad, and is rolled back."""
    world.rolled_out()
    world.load.workload(world.namespace, "checkout", rps=120, cpu_utilisation=0.3, latency_p99_seconds=0.2)
    world.policy(
        replicas={"min": 4},
        rules=guard({"pauseRollout": {}}, {"rollback": {"after": "2s"}}),
        release={"bake": "5s", "gitOps": mode},
    )
    world.until_phase("Stable")
    world.until_verdict("error-rate", "Ok")
    bad(world)
    shop.commit("2.0", 2)
    world.until(lambda: shop.number() == "2" and "rollback" in world.actions(), "2.0 is applied and rolled back")


def test_flux_leaves_the_template_and_nothing_else(world: World, operator: Operator, shop: Shop) -> None:
    rolled_back(world, shop, "Hold")
    eventually(lambda: world.running() == "1.0", "the good template is back")
    # Each sync goes on for the other objects, and leaves the template.
    for _ in range(4):
        shop.drift()
        eventually(lambda: shop.number() == "2", "the drift of the other object is corrected")
    assert shop.templates == ["1.0", "2.0", "1.0"]

    # A commit that is still bad: the template flips at most once.
    version = shop.commit("2.0", 3)
    eventually(lambda: shop.number() == "3" and shop.attempted() == version, "the other object is not held")
    eventually(
        lambda: shop.templates == ["1.0", "2.0", "1.0", "2.0", "1.0"], "it is tried once", last=lambda: shop.templates
    )
    world.until(lambda: annotations(world).get(RECONCILE) == "disabled", "and held again")
    for _ in range(3):
        shop.drift()
        eventually(lambda: shop.number() == "3", "the drift of the other object is corrected")
    throughout(
        lambda: shop.templates == ["1.0", "2.0", "1.0", "2.0", "1.0"], "no more", until=after_evaluations(operator, 3)
    )

    # The fix is taken by the first sync after the operator has seen the new version.
    version = shop.commit("3.0", 4)
    eventually(lambda: shop.attempted() == version, "Flux has the commit")
    began = time.monotonic()
    world.until(lambda: world.running() == "3.0", "the fix is applied")
    took = time.monotonic() - began
    print(f"the fix was applied {took:.1f} s after Flux had attempted its version; interval {INTERVAL:.0f} s")
    world.until_phase("Stable")
    assert RECONCILE not in annotations(world)
    assert shop.templates == ["1.0", "2.0", "1.0", "2.0", "1.0", "3.0"]


def test_without_a_hold_flux_applies_it_again(world: World, operator: Operator, shop: Shop) -> None:
    """The same with `Tell`: this is what the hold is for."""
    rolled_back(world, shop, "Tell")
    eventually(
        lambda: shop.templates[:4] == ["1.0", "2.0", "1.0", "2.0"],
        "Flux applies 2.0 again",
        last=lambda: shop.templates,
    )
