"""Alert rules under the real promtool; metrics and the Grafana dashboard's queries under the real Prometheus."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Cluster, build
from tests.e2e.test_security import ask_prometheus
from tests.support.clients import call
from tests.support.install import ROOT
from tests.support.operator import Operator
from tests.support.receiver import receiving
from tests.support.waiting import eventually
from tests.support.world import World

MONITORING = ROOT / "manifests" / "monitoring"
RULE = {"name": "busy", "when": {"signal": "load", "above": 10}, "then": [{"alert": {}}, {"scaleUp": {"pods": 2}}]}


@pytest.fixture(scope="module")
def promtool() -> Callable[..., str]:
    """Run promtool, and expect it to succeed."""
    binary = build.ensure(("promtool",), print)["promtool"]

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run([str(binary), *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_alerts_fire_when_they_should_and_at_no_other_time(promtool: Callable[..., str]) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", str(MONITORING / "alerts.yaml"))
    told = promtool("test", "rules", str(Path(__file__).with_name("alerts.test.yaml")))
    assert "SUCCESS" in told


def test_the_manifests_hold_the_same_alerts_and_the_dashboard(cluster: Cluster) -> None:
    shown = call("kubectl", "kustomize", str(MONITORING), kubeconfig=cluster.kubeconfig).stdout
    built = {d["kind"]: d for d in yaml.safe_load_all(shown)}
    assert set(built) == {"ConfigMap", "PodMonitor", "PrometheusRule"}
    assert built["PrometheusRule"]["spec"] == yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    dashboard = (MONITORING / "grafana-dashboard.json").read_text()
    assert built["ConfigMap"]["data"] == {"grafana-dashboard.json": dashboard}
    pods = yaml.safe_load((ROOT / "manifests" / "base" / "deployment.yaml").read_text())["spec"]["template"]
    wanted = built["PodMonitor"]["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pods["metadata"]["labels"].items()
    (endpoint,) = built["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for c in pods["spec"]["containers"] for port in c["ports"]}


@pytest.fixture
def scraped(world: World) -> Iterator[Callable[[Operator], None]]:
    """Lets Prometheus scrape an operator until the test's end."""
    file = world.cluster.layout.scrape_targets / f"{world.namespace}.json"
    yield lambda operator: file.write_text(json.dumps([{"targets": [f"127.0.0.1:{operator.port}"]}])) and None
    file.unlink(missing_ok=True)


def unwell(world: World) -> set[tuple[str, str, str]]:
    """What Prometheus has of policies that are not well: policy, condition, reason."""
    query = f'resilience_policy_unwell_since_timestamp_seconds{{namespace="{world.namespace}"}} <= time()'
    found = ask_prometheus(world.cluster, "query", query=query)["data"]["result"]
    return {(s["metric"]["policy"], s["metric"]["condition"], s["metric"]["reason"]) for s in found}


def test_every_panel_of_the_dashboard_shows_what_a_running_operator_does(
    world: World,
    new_operator: Callable[..., Operator],
    scraped: Callable[[Operator], None],
    promtool: Callable[..., str],
    tmp_path: Path,
) -> None:
    with receiving() as receiver:
        receiver.status = 503  # so that there are retries and something that fails
        config = tmp_path / "config.yaml"
        notifier = {"name": "hook", "type": "webhook", "options": {"url": receiver.url}, "group_wait_seconds": 0}
        config.write_text(yaml.safe_dump({"notifiers": [notifier]}))
        operator = new_operator("--config", str(config)).start()
        scraped(operator)
        world.deployment()
        world.policy(signals=[{"name": "load", "query": "vector(25)"}], rules=[RULE], replicas={"min": 3, "max": 5})
        world.policy("astray", targetRef={"name": "nowhere"})
        world.until(lambda: world.actions() == ["scaleUp"], "it scales")

        def empty() -> list[str]:
            """The panels that show nothing; a query that Prometheus refuses fails at once."""
            found = []
            for panel, expression in queries():
                answer = ask_prometheus(world.cluster, "query", query=expression)
                assert answer["status"] == "success", (panel, expression, answer)
                if not answer["data"]["result"]:
                    found.append(panel)
            return found

        eventually(lambda: not empty(), "every panel shows something", last=lambda: str(empty()))
        page = operator.get("/metrics")[1]
    promtool("check", "metrics", stdin="".join(f"{line}\n" for line in page.splitlines() if "resilience_" in line))
    expected = {("astray", "Ready", "TargetNotFound"), ("checkout", "Scaling", "AtMaximum")}
    eventually(lambda: expected <= unwell(world), "both are listed as unwell", last=lambda: unwell(world))
    assert operator.metric("resilience_policies_by_condition", condition="Ready", status="False") == 1
    assert operator.metric("resilience_policies_by_condition", condition="Ready", status="True") == 1


ALL = [(f"${name}", ".*") for name in ("job", "namespace", "policy")]
"""What "All" stands for in the variables of the dashboard."""


def queries() -> Iterator[tuple[str, str]]:
    """Title and query of each target, with Grafana's variables filled in."""
    dashboard: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in (("$__rate_interval", "10s"), ("$__range", "1m"), *ALL):
                expression = expression.replace(variable, value)
            assert "$" not in expression, expression
            yield panel["title"], expression
