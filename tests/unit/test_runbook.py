"""What is told about alerts, reasons and metrics is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from resilience_operator.api.conditions import REASONS
from resilience_operator.runtime.telemetry import metrics
from resilience_operator.runtime.telemetry.policy_metrics import PolicyMetricsCollector

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "manifests" / "monitoring"


def headings() -> dict[str, list[str]]:
    """Third-level headings by the second-level one above them."""
    found: dict[str, list[str]] = {}
    for level, title in re.findall(r"^(##|###) (\S+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE):
        if level == "##":
            section = found.setdefault(title, [])
        else:
            section.append(title)
    return found


def test_each_reason_and_each_alert_has_its_heading() -> None:
    found = headings()
    alerts = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert sorted(found.pop("Alerts")) == sorted(rule["alert"] for rule in alerts)
    told = [title for titles in found.values() for title in titles]
    assert len(told) == len(set(told)), "an anchor that is there twice leads to the first"
    assert set(told) == {reason for reasons in REASONS.values() for reason in reasons}
    assert set(found) == {str(type_) for type_ in REASONS}


def test_each_alert_leads_to_its_heading() -> None:
    for rule in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]:
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook_url"}, rule["alert"]
        assert annotations["runbook_url"].endswith(f"/docs/runbook.md#{rule['alert'].lower()}")


def test_the_dashboards_panels_have_places_and_sentences() -> None:
    panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_the_dashboards_panels_follow_its_variables() -> None:
    """Operators of several clusters may share a Prometheus: each query selects by job, or also by policy."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job", "namespace", "policy"}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            found = re.findall(r"\b((?:resilience|process)_\w+)(?:\{([^}]*)\})?", target["expr"])
            assert found, panel["title"]
            for name, selector in found:
                wanted = ["job"] + (["namespace", "policy"] if name.startswith("resilience_policy_") else [])
                assert all(f'{label}=~"${label}"' in selector for label in wanted), (panel["title"], name)


def test_no_metric_is_missing_in_the_list() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    section = page[page.index("## Metrics") : page.index("## Alerts")]
    listed = {
        name.removesuffix("_total").removesuffix("_info")
        for line in section.splitlines()
        if line.startswith("| `resilience_")
        for name in re.findall(r"`(resilience_\w+)`", line.split("|")[1])
    }
    assert metrics.LEADER, "the metrics are made when they are imported"
    told = {f.name for f in (*REGISTRY.collect(), *PolicyMetricsCollector((), lambda _: True).collect())}
    assert {name for name in told if name.startswith("resilience_")} - listed == set()
