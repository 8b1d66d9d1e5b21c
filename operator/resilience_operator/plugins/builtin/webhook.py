"""A generic webhook: every notification of a group as JSON, in one POST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from resilience_operator.plugins.builtin.formatting import Group, unlinked
from resilience_operator.plugins.builtin.http import JsonNotifier
from resilience_operator.plugins.builtin.options import HttpOptions
from resilience_operator.plugins.protocols import Notification


class Webhook(JsonNotifier[HttpOptions]):
    """One POST for a group."""

    options_model = HttpOptions

    def document(self, group: Group) -> dict[str, Any]:
        """Return the JSON document to post."""
        return message(group, self.options)


def message(group: Group, options: HttpOptions) -> dict[str, Any]:
    """Return the document. `version` changes if a field changes its meaning, not if one is added."""
    return {"version": 1, "notifications": [_item(n, options) for n in group]}


def _item(n: Notification, options: HttpOptions) -> dict[str, Any]:
    return {
        "key": n.key,
        "kind": n.kind,
        "at": datetime.fromtimestamp(n.at, UTC).isoformat(),
        "namespace": n.namespace,
        "policy": n.policy,
        "targetKind": n.target_kind,
        "target": n.target,
        "reason": n.reason,
        "message": unlinked(n.message),
        "warning": n.warning,
        "dryRun": n.dry_run,
        "action": n.action,
        "result": n.result,
        "rule": n.rule,
        "from": n.before,
        "to": n.after,
        "traceID": n.trace_id,
        "link": options.link_to(n),
    }
