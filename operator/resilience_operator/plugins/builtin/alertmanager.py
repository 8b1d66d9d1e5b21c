"""Alertmanager's API v2 (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml): one alert per
notification, which resolves by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from resilience_operator.plugins.builtin.formatting import Group, sentence, subject
from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions
from resilience_operator.plugins.protocols import Notification


class AlertmanagerOptions(HttpOptions):
    """url: the base address, without /api/v2."""

    resolve_after_seconds: Annotated[float, Field(ge=10, description="Seconds until an alert resolves.")] = 300.0


class Alertmanager(JsonNotifier[AlertmanagerOptions]):
    """One POST for a group. Routing, silences and inhibition are Alertmanager's."""

    options_model = AlertmanagerOptions
    path = "/api/v2/alerts"

    def document(self, group: Group) -> list[dict[str, Any]]:
        """Return one alert per notification."""
        return [alert(n, self.options) for n in group]


def alert(n: Notification, options: AlertmanagerOptions) -> dict[str, Any]:
    """Return one alert. Labels identify it, so they contain no values and no times."""
    labels = {
        "alertname": "ResilienceDecision" if n.kind == "decision" else "ResilienceNotice",
        "severity": "warning" if n.warning else "info",
        "namespace": n.namespace,
        "policy": n.policy,
        "target_kind": n.target_kind,
        "target": n.target,
        "reason": n.reason,
        "action": n.action,
        "result": n.result,
        "rule": n.rule,
        "dry_run": "true" if n.dry_run else "",
    }
    annotations = {"summary": f"{subject(n)}: {n.reason}", "description": sentence(n), "trace_id": n.trace_id}
    found: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": datetime.fromtimestamp(n.at, UTC).isoformat(),
        "endsAt": datetime.fromtimestamp(n.at + options.resolve_after_seconds, UTC).isoformat(),
    }
    if link := options.link_to(n):
        found["generatorURL"] = link
    return found
