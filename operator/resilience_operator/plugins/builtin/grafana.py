"""Grafana's annotations: one for each notification.

https://grafana.com/docs/grafana/latest/developers/http_api/annotations/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from resilience_operator.plugins.builtin.formatting import sentence, subject
from resilience_operator.plugins.builtin.http import Endpoint
from resilience_operator.plugins.builtin.options import HttpOptions, parse_options
from resilience_operator.plugins.protocols import Notification
from resilience_operator.resilience import Deadline

PATH = "/api/annotations"


class GrafanaOptions(HttpOptions):
    """url: the base address, without /api."""

    dashboard_uid: Annotated[
        str, Field(description="Show on this dashboard only. Default: on all that select the tags.")
    ] = ""
    tags: Annotated[tuple[str, ...], Field(description="Tags of each annotation, besides its own.")] = ("resilience",)
    notices: Annotated[bool, Field(description="Also mark notices. Default: only actions.")] = False


class Grafana:
    """One POST for a notification: Grafana takes no groups."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.options = parse_options(GrafanaOptions, name, options)
        self._endpoint = Endpoint(self.options)

    def notify(self, notification: Notification, deadline: Deadline) -> None:
        """Send one annotation."""
        if notification.kind == "decision" or self.options.notices:
            self._endpoint.post(annotation(notification, self.options), deadline, path=PATH)


def annotation(n: Notification, options: GrafanaOptions) -> dict[str, Any]:
    """Return one annotation. Dashboards select by tags, so these name what happened and to whom."""
    own = {
        "namespace": n.namespace,
        "policy": n.policy,
        "target": f"{n.target_kind}/{n.target}",
        "action": n.action,
        "result": n.result,
        "reason": n.reason,
    }
    tags = [*options.tags, *(f"{name}:{value}" for name, value in own.items() if value)]
    link = options.link_to(n)
    found: dict[str, Any] = {
        "time": round(n.at * 1000),
        "tags": [*tags, "dry-run"] if n.dry_run else tags,
        "text": "\n".join(line for line in (f"{subject(n)}: {sentence(n)}", link) if line),
    }
    return {**found, "dashboardUID": options.dashboard_uid} if options.dashboard_uid else found
