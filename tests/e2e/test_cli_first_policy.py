"""`kubectl resilience init` and `convert`: a first policy is accepted as it is printed, and taken up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.test_cli import Call, answered, resilience
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import GROUP, PLURAL, VERSION, World

__all__ = ["resilience"]


def test_a_first_policy_stands_on_what_was_recorded_and_is_taken_up(
    world: World, operator: Operator, resilience: Call
) -> None:
    world.deployment()
    world.load.workload(world.namespace, "checkout", cpu_utilisation=0.4)
    url = ("--prometheus-url", world.cluster.prometheus_url, "--since", "10m")

    def recorded() -> bool:
        run = resilience("init", "checkout", *url, "-o", "json")
        return run.returncode == 0 and "no data recorded" not in run.stdout

    eventually(recorded, "Prometheus has recorded some minutes", patience=180, every=3.0)
    run = resilience("init", "checkout", *url, "--apply")
    assert run.returncode == 0, run.stderr
    assert "http-generic: cpu" in run.stderr
    policy = yaml.safe_load(run.stdout)
    assert policy["spec"]["mode"] == "DryRun"
    assert policy["spec"]["replicas"] == {"min": 3, "max": 6}
    assert [rule["when"]["signal"] for rule in policy["spec"]["rules"]] == ["cpu", "latency-p99", "error-rate"]
    assert "# - cpu: only " in run.stdout, "ten minutes prove nothing, and that is told"
    world.until(lambda: world.condition("Ready").get("reason") == "DryRun", "the operator rehearses it")
    again = resilience("init", "checkout", *url, "--apply")
    assert (again.returncode, "already exists" in again.stderr) == (1, True)


def test_what_cannot_be_looked_at_is_told_in_words(world: World, resilience: Call) -> None:
    run = resilience("init", "nobody", "--prometheus-url", world.cluster.prometheus_url)
    assert (run.returncode, "Deployment nobody not found" in run.stderr, run.stdout) == (1, True, "")
    world.deployment("silent", replicas=0)
    run = resilience("init", "silent", "--prometheus-url", world.cluster.prometheus_url, "--since", "10m")
    assert (run.returncode, "has no data for Deployment" in run.stderr) == (1, True), run.stderr


def test_a_converted_autoscaler_is_accepted_beside_the_one_it_came_from(
    world: World, operator: Operator, resilience: Call, tmp_path: Path
) -> None:
    world.deployment()
    target = {"type": "Utilization", "averageUtilization": 70}
    body: Any = {
        "metadata": {"name": "checkout"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "minReplicas": 3,
            "maxReplicas": 20,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
    world.autoscaling.create_namespaced_horizontal_pod_autoscaler(world.namespace, body)
    hpas = world.autoscaling.list_namespaced_horizontal_pod_autoscaler(world.namespace)
    read = world.api.sanitize_for_serialization(hpas.items[0])
    file = tmp_path / "hpa.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **read}))
    run: subprocess.CompletedProcess[str] = resilience("convert", str(file), namespaced=False)
    assert run.returncode == 0, run.stderr
    policy = yaml.safe_load(run.stdout)
    world.custom.create_namespaced_custom_object(
        GROUP, VERSION, world.namespace, PLURAL, policy, field_validation="Strict"
    )
    world.until(lambda: world.condition("Ready").get("reason") == "DryRun", "the operator rehearses it")
    told = answered(resilience("explain", "checkout", "-o", "json"))
    assert any("HorizontalPodAutoscaler checkout" in sentence for sentence in told["blockers"])
