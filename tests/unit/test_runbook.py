"""The runbook has a heading for each alert and each reason of a condition, and none for anything else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from resilience_operator.api.conditions import REASONS

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
