"""The shipped image in pods, real services, real load: all on one real node. Figures: `docs/real-load.md`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.cluster import Cluster
from tests.cluster.realnode import CONTAINERD
from tests.e2e.test_release import guard
from tests.real import installed
from tests.real.load import Load
from tests.real.shopworld import ShopWorld
from tests.support.clients import call
from tests.support.configuration import config_map, copies, data_of, grant, reading
from tests.support.waiting import eventually

CALM, BUSY = 20.0, 60.0
"""Requests a second: two pods are half idle, and over their requests."""

SLOW = 1.4
"""Seconds that requests wait for something that became slow."""


def kubectl(cluster: Cluster, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return call("kubectl", *arguments, kubeconfig=cluster.kubeconfig, check=check)


class TestImage:
    """What the shipped Dockerfile makes, under the restricted standard, with the shipped manifests."""

    def test_it_runs_as_nobody_and_can_write_nothing(self, guarded: Cluster) -> None:
        pod = installed.pods(guarded)[0].metadata.name
        inside = ["exec", "-n", installed.NAMESPACE, pod, "--"]
        assert kubectl(guarded, *inside, "id", "-u").stdout.strip() == "65532"
        refused = kubectl(guarded, *inside, "touch", "/opt/resilience-operator/x", check=False)
        assert "Read-only file system" in refused.stderr
        assert kubectl(guarded, *inside, "resilience-operator", "version").stdout.strip()

    def test_its_probes_pass_and_its_log_is_json(self, guarded: Cluster) -> None:
        for pod in installed.pods(guarded):
            assert [s.restart_count for s in pod.status.container_statuses] == [0]
            log = kubectl(guarded, "logs", "-n", installed.NAMESPACE, pod.metadata.name).stdout
            assert log.startswith("{")
            assert '"level": "ERROR"' not in log

    def test_one_leads(self, guarded: Cluster) -> None:
        eventually(lambda: installed.leader(guarded), "one of the pods leads")


class TestLoad:
    """CPU that is really burnt, and durations that were really waited for."""

    def test_cpu_over_its_threshold_is_scaled_for_and_falls(self, shop: ShopWorld) -> None:
        with Load(shop.shop(), CALM) as load:
            shop.guard()
            load.rate = BUSY
            shop.until(lambda: shop.replicas() >= 4, "two pods are added")
            shop.until_verdict("cpu", "Ok")
            began = time.monotonic()
            eventually(lambda: len(load.since(began)) > 100, "a hundred more requests")
            assert not [answer for answer in load.answers if answer.failed], "nobody noticed"
        assert shop.told("ScaledUp")

    def test_a_p99_over_a_second_alerts_and_scales(self, shop: ShopWorld) -> None:
        with Load(shop.shop(), CALM) as load:
            shop.guard()
            load.wait = SLOW
            shop.until(lambda: shop.told("Alert"), "people are alerted")
            shop.until(lambda: shop.replicas() > 2, "pods are added")
            assert {d["rule"] for d in history(shop)} == {"slow-requests"}
            load.wait = 0.0
            shop.until_verdict("latency-p99", "Ok")


class TestRelease:
    """A version that fails one request in five, under load."""

    def test_a_bad_one_is_paused_and_rolled_back(self, shop: ShopWorld) -> None:
        bad_release(shop)

    def test_the_leader_is_killed_while_it_is_released(self, shop: ShopWorld, guarded: Cluster) -> None:
        def kill() -> None:
            was = eventually(lambda: installed.leader(guarded), "one of the pods leads")
            kubectl(guarded, "delete", "pod", "-n", installed.NAMESPACE, was, "--grace-period=0", "--force")
            eventually(lambda: installed.leader(guarded) not in ("", was), "another leads")

        bad_release(shop, kill)
        installed.until_ready(guarded)

    def test_the_container_runtime_is_restarted_under_load(self, shop: ShopWorld, guarded: Cluster) -> None:
        with Load(shop.shop(), CALM) as load:
            shop.guard()
            guarded.restart(CONTAINERD)
            began = time.monotonic()
            eventually(lambda: len(load.since(began)) > 100, "a hundred more requests")
            assert shop.actions() == [], "it is nothing that a release or the load did"
            assert shop.phase() == "Stable"
        assert [s.restart_count for pod in installed.pods(guarded) for s in pod.status.container_statuses] == [0, 0]


def bad_release(shop: ShopWorld, meanwhile: Callable[[], None] = lambda: None) -> None:
    with Load(shop.shop(replicas=4), 2 * CALM) as load:
        shop.guard()
        shop.release("2.0")
        meanwhile()
        shop.until(lambda: shop.actions()[-1:] == ["rollback"], "it is rolled back")
        eventually(lambda: set(shop.tags()) == {"1.0"}, "the bad pods are gone")
        began = time.monotonic()

        def only_good() -> bool:
            last = load.since(began)[-100:]
            return len(last) == 100 and {answer.version for answer in last} == {"1.0"}

        # kube-proxy may need a moment to forget the address of a pod that has ended.
        eventually(only_good, "a hundred requests in a row are answered by the good version")
        assert "2.0" not in {answer.version for answer in load.since(began)}
        failed = [answer for answer in load.answers if answer.failed]
        assert failed, "it was bad"
        assert len(failed) < 0.3 * len([answer for answer in load.answers if answer.sent >= failed[0].sent])
    assert "pauseRollout" in shop.actions()
    assert shop.status()["quarantined"]


def history(shop: ShopWorld) -> list[dict[str, str]]:
    found: list[dict[str, str]] = shop.status().get("history", [])
    return found


class TestConfiguration:
    """Content of a mounted file, which the kubelet updates in running pods."""

    def test_bad_content_is_rolled_back(self, shop: ShopWorld, guarded: Cluster) -> None:
        grant(guarded)
        config_map(shop, "settings", failing="0")
        template = reading(shop.template("checkout", "1.0"), "settings")
        with Load(shop.shop(template=template), 2 * CALM) as load:
            # The files are updated within 90 s: a shorter bake would end before.
            shop.policy(
                replicas={"min": 2, "max": 8},
                release={"bake": "90s", "configuration": {}},
                scaleDown={"enabled": False},
                rules=guard({"pauseRollout": {}}, {"rollback": {"after": "3s"}}),
            )
            shop.until(lambda: bool(copies(shop)), "what the good revision reads is kept", patience=300)
            shop.until_verdict("error-rate", "Ok")
            config_map(shop, "settings", failing="0.5")
            shop.until(lambda: shop.actions()[-1:] == ["rollback"], "it is rolled back", patience=240)
            assert data_of(shop, "settings") == {"failing": "0"}
            shop.until_phase("Stable", patience=300)
            began = time.monotonic()
            eventually(lambda: len(load.since(began)) > 100, "a hundred more requests")
            assert not [answer for answer in load.since(began) if answer.failed], "the pods read the good content"
            assert [answer for answer in load.answers if answer.failed], "it was bad"
        assert data_of(shop, "settings") == {"failing": "0"}


class TestHelm:
    """The same image by the chart, after what kubectl installed was taken away."""

    def test_it_runs_and_guards(self, shop: ShopWorld, guarded: Cluster) -> None:
        kubectl(guarded, "delete", "--wait", "--ignore-not-found", "-k", str(installed.BASE))
        installed.with_helm(guarded)
        bad_release(shop)
